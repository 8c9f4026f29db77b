import numpy as np
import pytest
import scipy.stats

from rec_sys.evaluation.scores import Bootstrap, Interval, average_over_seeds
from rec_sys.foundation.errors import InputError

DRAWS = Bootstrap(300, 0.95, 0)


def test_a_model_beside_itself():
    values = np.random.default_rng(0).random(50)
    same = Bootstrap(200, 0.95, 0).compare(values, values)
    assert same["difference"] == Interval(0, 0, 0)
    assert same["ratio"] == Interval(1, 1, 1)


def test_the_seed_decides():
    one, other = np.random.default_rng(0).random((2, 60))
    first, again, else_ = (Bootstrap(99, 0.9, seed).compare(one, other) for seed in (0, 0, 1))
    assert first == again
    assert first["difference"].low != else_["difference"].low
    assert first["difference"].value == pytest.approx(one.mean() - other.mean())
    assert first["ratio"].value == pytest.approx(one.mean() / other.mean())


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """300 experiments; 95 % of them, give or take three standard errors of 1.3 %."""
    rng, inside = np.random.default_rng(0), np.zeros(2)
    for seed in range(300):
        baseline = rng.random(200) + 0.5  # mean 1
        model = baseline + rng.normal(0.1, 0.3, 200)
        found = Bootstrap(300, 0.95, seed).compare(model, baseline)
        inside[0] += found["difference"].low <= 0.1 <= found["difference"].high
        inside[1] += found["ratio"].low <= 1.1 <= found["ratio"].high
    assert (np.abs(inside / 300 - 0.95) < 0.04).all(), inside


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(0)
    easy = rng.random(300)
    model, shuffled = easy + 0.01, rng.permutation(easy)
    paired = DRAWS.compare(model, easy)["difference"]
    apart = DRAWS.compare(model, shuffled)["difference"]
    assert paired.high - paired.low < 1e-12 < apart.high - apart.low


def test_a_baseline_without_a_hit_has_no_ratio():
    found = DRAWS.compare(np.ones(5), np.zeros(5))
    assert found["difference"].value == 1
    assert not np.isfinite(found["ratio"].value)


def test_a_single_user_is_refused():
    with pytest.raises(InputError, match="at least two users"):
        DRAWS.compare(np.ones(1), np.ones(1))


def test_values_of_different_people_are_refused():
    with pytest.raises(ValueError, match="same length"):
        DRAWS.compare(np.ones(3), np.ones(4))


def test_intervals_agree_with_scipy():
    values = np.random.default_rng(0).gamma(1, size=(400, 3))
    for column, mean in enumerate(Bootstrap(4_000, 0.9, 0).means(values)):
        found = scipy.stats.bootstrap(
            (values[:, column],), np.mean, confidence_level=0.9, method="percentile", rng=1
        ).confidence_interval
        assert mean.value == pytest.approx(values[:, column].mean())
        np.testing.assert_allclose([mean.low, mean.high], found, rtol=0.02)


def test_seeds_are_averaged_and_different_people_pooled():
    means = average_over_seeds(
        [np.array([1, 5]), np.array([5, 7]), np.array([5])],
        [np.array([1.0, 0.0]), np.array([0.5, 0.2]), np.array([1.0])],
    )
    assert means.index.tolist() == [1, 5, 7]
    assert means.tolist() == pytest.approx([1.0, 0.5, 0.2])

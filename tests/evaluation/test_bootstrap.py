import numpy as np
import pytest

from rec_sys.evaluation.statistics import average_over_seeds, paired_bootstrap
from rec_sys.foundation.errors import InputError


def test_a_model_beside_itself():
    values = np.random.default_rng(0).random(50)
    same = paired_bootstrap(values, values, 200, 0.95, 0)
    assert same.difference == 0 and same.difference_interval == (0, 0)
    assert same.ratio == 1 and same.ratio_interval == (1, 1)
    assert same.num_users == 50


def test_the_seed_decides():
    one, other = np.random.default_rng(0).random((2, 60))
    first, again, else_ = (paired_bootstrap(one, other, 99, 0.9, seed) for seed in (0, 0, 1))
    assert first == again
    assert first.difference_interval != else_.difference_interval
    assert first.difference == pytest.approx(one.mean() - other.mean())
    assert first.ratio == pytest.approx(one.mean() / other.mean())


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """300 experiments; 95 % of them, give or take three standard errors of 1.3 %."""
    rng, inside = np.random.default_rng(0), np.zeros(2)
    for seed in range(300):
        baseline = rng.random(200) + 0.5  # mean 1
        model = baseline + rng.normal(0.1, 0.3, 200)
        found = paired_bootstrap(model, baseline, 300, 0.95, seed)
        inside[0] += found.difference_interval[0] <= 0.1 <= found.difference_interval[1]
        inside[1] += found.ratio_interval[0] <= 1.1 <= found.ratio_interval[1]
    assert (np.abs(inside / 300 - 0.95) < 0.04).all(), inside


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(0)
    easy = rng.random(300)
    model, shuffled = easy + 0.01, rng.permutation(easy)
    paired = paired_bootstrap(model, easy, 300, 0.95, 0).difference_interval
    apart = paired_bootstrap(model, shuffled, 300, 0.95, 0).difference_interval
    assert paired[1] - paired[0] < 1e-12 < apart[1] - apart[0]


def test_a_baseline_without_a_hit_has_no_ratio():
    found = paired_bootstrap(np.ones(5), np.zeros(5), 20, 0.95, 0)
    assert found.difference == 1
    assert not np.isfinite(found.ratio)


@pytest.mark.parametrize(
    "size, resamples, confidence", [(1, 10, 0.95), (5, 0, 0.95), (5, 10, 0), (5, 10, 1.0)]
)
def test_what_cannot_be_drawn_is_refused(size, resamples, confidence):
    with pytest.raises(InputError):
        paired_bootstrap(np.ones(size), np.ones(size), resamples, confidence, 0)


def test_values_of_different_people_are_refused():
    with pytest.raises(ValueError, match="one value of each"):
        paired_bootstrap(np.ones(3), np.ones(4), 10, 0.95, 0)


def test_seeds_are_averaged_and_different_people_pooled():
    users, means = average_over_seeds(
        [np.array([1, 5]), np.array([5, 7]), np.array([5])],
        [np.array([1.0, 0.0]), np.array([0.5, 0.2]), np.array([1.0])],
    )
    assert users.tolist() == [1, 5, 7]
    assert means.tolist() == pytest.approx([1.0, 0.5, 0.2])

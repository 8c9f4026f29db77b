import numpy as np
import pytest
import torch

from rec_sys.evaluation.scores import best_threshold, macro_f1, score_ratings
from rec_sys.foundation.errors import InputError
from rec_sys.modules.metrics import rating_metrics


def test_macro_f1_is_the_same_as_in_training():
    rng = np.random.default_rng(0)
    for likes in (0.0, 0.3, 1.0):
        for says in (0.0, 0.6, 1.0):
            liked, answer = rng.random(50) < likes, rng.random(50) < says
            as_ratings = [torch.from_numpy(np.where(x, 5.0, 1.0)) for x in (answer, liked)]
            expected = rating_metrics(*as_ratings, 3.0)["macro_f1"]
            assert macro_f1(answer, liked) == pytest.approx(expected, abs=1e-6)


def test_the_threshold_is_the_best_of_all():
    rng = np.random.default_rng(0)
    true = rng.integers(1, 6, 60).astype(np.float32)
    predicted = np.round(4 + 0.2 * (true - 3) + rng.normal(scale=0.2, size=60), 1)
    found = best_threshold(predicted, true, 3.0)
    tried = [macro_f1(predicted > t, true > 3) for t in np.arange(2, 6, 0.05)]
    assert macro_f1(predicted > found, true > 3) == pytest.approx(max(tried))


def test_a_constant_prediction_still_has_a_threshold():
    true = np.array([5, 5, 1], dtype=np.float32)
    threshold = best_threshold(np.full(3, 4.0), true, 3.0)
    assert threshold < 4  # saying "liked" three times is better than never


def test_ties_go_to_the_threshold_nearest_to_the_scales_own():
    predicted, true = np.array([1.0, 2.0, 4.0, 5.0]), np.array([1.0, 1.0, 5.0, 5.0])
    assert best_threshold(predicted, true, 3.0) == pytest.approx(3.0)


def test_scores_by_hand():
    predicted = np.array([4.0, 3.5, 2.0, 1.0], dtype=np.float32)
    true = np.array([5, 2, np.nan, 1], dtype=np.float32)
    scores = score_ratings(predicted, true, np.array([0, 0, 1, 2]), 3.0, threshold=3.7)
    assert scores.metrics["mae"] == pytest.approx((1 + 1.5) / 3)
    assert scores.metrics["mse"] == pytest.approx((1 + 2.25) / 3)
    assert scores.metrics["accuracy"] == pytest.approx(2 / 3)
    assert scores.metrics["macro_f1_tuned"] == 1.0 > scores.metrics["macro_f1"]
    assert set(scores.metrics) >= {"mae", "mse", "auc", "f1", "accuracy", "macro_f1"}
    np.testing.assert_allclose(scores.squared_error, [1, 2.25, 0])
    assert scores.user.tolist() == [0, 0, 2]


def test_nothing_to_compare_with_is_told():
    nothing = np.array([np.nan])
    with pytest.raises(InputError, match="no target has a rating"):
        best_threshold(np.array([3.0]), nothing, 3.0)
    with pytest.raises(ValueError, match="not finite"):
        score_ratings(nothing, np.array([3.0]), np.array([0]), 3.0, 3.0)

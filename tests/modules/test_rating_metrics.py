import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.modules.metrics import RatingMetrics, rating_metrics

STARS = st.integers(1, 5).map(float)
# Thousandths of stars: scaling for the AUC makes equal what differs by less than floats hold.
PREDICTED = st.integers(0, 5000).map(lambda thousandths: thousandths / 1000)


def naive(predicted, true, threshold):
    """Every metric by its definition, in plain loops."""
    pairs = [(p > threshold, t > threshold) for p, t in zip(predicted, true, strict=True)]

    def f1(answer):
        hits = sum(p == t == answer for p, t in pairs)
        said = sum(p == answer for p, _ in pairs)
        wanted = sum(t == answer for _, t in pairs)
        return 2 * hits / (said + wanted) if said + wanted else None

    liked = [p for p, t in zip(predicted, true, strict=True) if t > threshold]
    other = [p for p, t in zip(predicted, true, strict=True) if t <= threshold]
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in liked for b in other]
    both = [value for value in (f1(True), f1(False)) if value is not None]
    errors = [p - t for p, t in zip(predicted, true, strict=True)]
    return {
        "f1": f1(True) or 0.0,
        "accuracy": sum(p == t for p, t in pairs) / len(pairs),
        "macro_f1": sum(both) / len(both),
        "mae": sum(map(abs, errors)) / len(errors),
        "mse": sum(e * e for e in errors) / len(errors),
        "auc": sum(wins) / len(wins) if wins else math.nan,
    }


@given(st.lists(st.tuples(PREDICTED, STARS), min_size=1, max_size=25), st.integers(1, 4))
def test_metrics_equal_a_naive_loop(pairs, threshold):
    predicted, true = (list(values) for values in zip(*pairs, strict=True))
    found = rating_metrics(torch.tensor(predicted), torch.tensor(true), threshold)
    expected = naive(predicted, true, threshold)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-5, nan_ok=True), name


def test_batches_add_up_and_reset_forgets():
    predicted, true = torch.tensor([4.0, 2.0, 3.5, 1.0]), torch.tensor([5.0, 4.0, 1.0, 2.0])
    metrics = RatingMetrics(3.0)
    metrics.update(torch.tensor([1.0]), torch.tensor([5.0]))
    metrics.reset()
    metrics.update(predicted[:1], true[:1])
    metrics.update(predicted[1:], true[1:])
    metrics.update(predicted[:0], true[:0])
    assert metrics.compute() == pytest.approx(rating_metrics(predicted, true, 3.0))


def test_nothing_seen_is_not_a_number():
    assert all(math.isnan(value) for value in RatingMetrics(3.0).compute().values())


def test_an_unknown_rating_does_not_count():
    predicted, true = torch.tensor([4.0, 1.0, 2.0]), torch.tensor([5.0, torch.nan, 1.0])
    found = rating_metrics(predicted, true, 3.0)
    assert found == rating_metrics(predicted[[0, 2]], true[[0, 2]], 3.0)
    assert math.isnan(rating_metrics(predicted, true * torch.nan, 3.0)["mae"])

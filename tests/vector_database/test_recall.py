import numpy as np
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.vector_database.index import (
    IndexSettings,
    ProductIndex,
    measure_recall,
    require_recall,
)


def build(keys, factory, **more):
    return ProductIndex.build(keys, IndexSettings(factory=factory, **more))


def keys_and_queries(number=600):
    rng = np.random.default_rng(0)
    # Of different lengths and away from the origin, as the model's are.
    keys = rng.normal(1, 1, (number, 6)) * rng.uniform(0.3, 2, (number, 1))
    return keys.astype(np.float32), rng.normal(size=(50, 6)).astype(np.float32)


def test_recall_equals_counting():
    keys, queries = keys_and_queries()
    index = build(keys, "IVF16,Flat", search={"nprobe": 2})
    index.leave_out(np.arange(len(index)) % 7 == 0)
    scores = queries @ keys.T
    scores[:, index.removed] = -np.inf
    best = np.argsort(-scores, axis=1)[:, :10]
    found, _ = index.search(queries, 10)
    shares = [len(set(one) & set(two)) / 10 for one, two in zip(best, found, strict=True)]
    assert 0.2 < np.mean(shares) < 1
    assert measure_recall(index, keys, queries) == pytest.approx(np.mean(shares))


def test_of_equals_any_counts_and_few_products_are_enough():
    keys = np.ones((40, 3), dtype=np.float32)
    queries = np.eye(3, dtype=np.float32)
    assert measure_recall(build(keys, "HNSW4"), keys, queries) == 1
    assert measure_recall(build(keys[:4], "Flat"), keys[:4], queries) == 1


def test_an_index_that_misses_too_much_is_refused():
    keys, queries = keys_and_queries()
    poor = build(keys, "IVF16,Flat", search={"nprobe": 1})
    with pytest.raises(InputError, match="min_recall=0.99") as error:
        require_recall(poor, keys, queries, 0.99)
    for way_out in ("search.nprobe", "search.efSearch", "factory=Flat", "lower vector_db.min_rec"):
        assert way_out in str(error.value)
    assert 0.1 < require_recall(poor, keys, queries, 0.1) < 0.99
    better = build(keys, "IVF16,Flat", search={"nprobe": 16})
    assert require_recall(better, keys, queries, 0.99) == 1
    with pytest.raises(InputError, match="nobody's queries"):
        require_recall(better, keys, queries[:0], 0.99)


def test_auto_is_exact_up_to_a_size():
    keys, queries = keys_and_queries()
    more = {"large_factory": "IVF16,Flat", "search": {"nprobe": 16}}
    exact = build(keys, "auto", exact_up_to=600, **more)
    assert exact.is_exact and require_recall(exact, keys, queries[:0], 0.99) == 1
    large = build(keys, "auto", exact_up_to=599, **more)
    assert large.factory == "IVF16,Flat"


@pytest.mark.parametrize(
    "change",
    [{"exact_up_to": -1}, {"train_on": 0}, {"chunk_size": 0}, {"min_recall": 1.1}, {"search": 3}],
)
def test_settings_that_make_no_sense(change):
    with pytest.raises(InputError, match=f"vector_db.{next(iter(change))}="):
        IndexSettings(**change)

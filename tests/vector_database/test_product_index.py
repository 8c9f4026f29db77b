import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.vector_database.index import NO_PRODUCT, IndexSettings, ProductIndex


def build(keys, factory="Flat", **more):
    return ProductIndex.build(keys, IndexSettings(factory=factory, **more))


def unit(rng, *shape):
    array = vectors(rng, *shape)
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def vectors(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


@settings(deadline=None)
@given(
    seed=st.integers(0, 999),
    num_products=st.integers(1, 30),
    num_users=st.integers(0, 25),
    k=st.integers(1, 40),
    repeated=st.booleans(),
)
def test_search_equals_brute_force(seed, num_products, num_users, k, repeated):
    rng = np.random.default_rng(seed)
    products, users = vectors(rng, num_products, 4), vectors(rng, num_users, 4)
    if repeated:  # equal products, so that the order of equals is put to the test
        products[:] = products[rng.integers(0, num_products, num_products)]
    index = build(products, "Flat", chunk_size=7)
    rows, scores = index.search(users, k)
    assert rows.shape == scores.shape == (num_users, k)
    for user in range(num_users):
        best = np.sort(products @ users[user])[::-1][:k]
        found = rows[user][rows[user] != NO_PRODUCT]
        assert len(found) == len(set(found)) == len(best)
        np.testing.assert_allclose(scores[user][: len(best)], best, atol=1e-5)
        np.testing.assert_allclose(products[found] @ users[user], best, atol=1e-5)
        assert (rows[user][len(best) :] == NO_PRODUCT).all()
        assert np.isnan(scores[user][len(best) :]).all()


def test_equals_come_in_the_order_of_their_rows():
    products = np.eye(3, dtype=np.float32)[[1, 0, 0, 0, 2]]
    rows, scores = build(products, "Flat").search(products[1:2], 6)
    assert rows.tolist() == [[1, 2, 3, 0, 4, NO_PRODUCT]]
    assert scores[0, :5].tolist() == [1, 1, 1, 0, 0]


def test_round_trip(tmp_path):
    products = unit(np.random.default_rng(0), 9, 4)
    index = build(products, "HNSW8")
    index.write(tmp_path)
    same = ProductIndex.read(tmp_path, "HNSW8", {})
    assert (len(same), same.key_dim) == (9, 4)
    assert same.search(products, 1)[0][:, 0].tolist() == list(range(9))


@pytest.mark.parametrize("factory", ["Flatt", "IVF64,Flat", ""])
def test_a_factory_that_faiss_cannot_build(factory):
    with pytest.raises(InputError, match="vector_db.factory=") as error:
        build(np.eye(4, dtype=np.float32), factory)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_index(tmp_path):
    (tmp_path / "index.faiss").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not a readable FAISS index"):
        ProductIndex.read(tmp_path, "Flat", {})


@settings(deadline=None)
@given(
    seed=st.integers(0, 999),
    num_products=st.integers(1, 25),
    num_more=st.integers(0, 10),
    k=st.integers(1, 12),
)
def test_added_and_removed_products_equal_brute_force(seed, num_products, num_more, k):
    """Small whole numbers: many equals, and sums without rounding."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(-2, 3, (num_products + num_more, 3)).astype(np.float32)
    queries = rng.integers(-2, 3, (4, 3)).astype(np.float32)
    index = build(keys[:num_products], "Flat", chunk_size=4)
    removed = np.flatnonzero(rng.random(num_products) < 0.4)
    index.leave_out(np.isin(np.arange(len(index)), removed))
    index.add(keys[num_products:], chunk_size=3)
    rows, scores = index.search(queries, k)
    assert index.num_products == len(keys) - len(removed) and len(index) == len(keys)
    kept = np.setdiff1d(np.arange(len(keys)), removed)
    for found, told, query in zip(rows, scores, queries, strict=True):
        best = np.sort(keys[kept] @ query)[::-1][:k].tolist()
        found = found[found != NO_PRODUCT]
        assert not np.isin(found, removed).any()
        assert told[: len(best)].tolist() == (keys[found] @ query).tolist() == best
        assert np.isnan(told[len(best) :]).all()


@pytest.mark.parametrize("factory", ["Flat", "HNSW8", "IVF4,Flat", "IVF4,PQ4x4,RFlat", "PCA4,SQ8"])
def test_removed_rows_stay_removed_and_others_keep_theirs(factory, tmp_path):
    keys = vectors(np.random.default_rng(1), 200, 6)
    search = {"nprobe": 4, "efSearch": 200}
    index = build(keys[:150], factory, search=search)
    index.add(keys[150:], chunk_size=100)
    index.leave_out(np.isin(np.arange(len(index)), [3, 160]))
    index.write(tmp_path)
    same = ProductIndex.read(tmp_path, factory, index.search_parameters)
    for each in (index, same):
        assert (len(each), each.num_products, each.key_dim) == (200, 198, 6)
        rows, scores = each.search(keys, 20)
        assert not np.isin(rows, [3, 160]).any()
        if factory in ("Flat", "HNSW8", "IVF4,Flat"):
            wanted = keys @ keys.T
            wanted[:, [3, 160]] = -np.inf
            np.testing.assert_allclose(scores, -np.sort(-wanted, axis=1)[:, :20], atol=1e-4)


def test_an_index_that_cannot_leave_out_rows_says_so():
    index = build(vectors(np.random.default_rng(0), 50, 4), "PQ4x2")
    with pytest.raises(InputError, match="cannot leave out single products"):
        index.leave_out(np.arange(len(index)) == 1)
    assert index.num_products == 50


def test_parts_of_a_quantizer_fit_any_key_length():
    index = build(vectors(np.random.default_rng(0), 300, 65), "IVF2,PQ16x4")
    assert index.key_dim == 65
    assert (index.search(vectors(np.random.default_rng(1), 2, 65), 3)[0] >= 0).all()


def test_parameters_of_searching():
    keys = vectors(np.random.default_rng(0), 300, 4)
    both = {"nprobe": 5, "efSearch": 7}
    applied = [
        build(keys, factory, search=both).search_parameters
        for factory in ("Flat", "HNSW8", "IVF8,Flat")
    ]
    assert applied == [{}, {"efSearch": 7}, {"nprobe": 5}]
    for search in ({"nprobes": 3}, {"nprobe": 0}, {"nprobe": "many"}, {"nprobe": True}):
        with pytest.raises(InputError, match="vector_db.search.nprobe.*(must be|no such)"):
            build(keys, "IVF8,Flat", search=search)

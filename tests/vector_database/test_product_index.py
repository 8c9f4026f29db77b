import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.vector_database.product_index import NO_PRODUCT, ProductIndex


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
def test_search_equals_brute_force_without_the_excluded(seed, num_products, num_users, k, repeated):
    rng = np.random.default_rng(seed)
    products, users = vectors(rng, num_products, 4), vectors(rng, num_users, 4)
    if repeated:  # equal products, so that the order of equals is put to the test
        products[:] = products[rng.integers(0, num_products, num_products)]
    exclude = [
        rng.choice(num_products, rng.integers(0, num_products + 1), replace=False)
        for _ in range(num_users)
    ]
    index = ProductIndex.build(products, "Flat", chunk_size=7)
    rows, scores = index.search(users, k, exclude)
    assert rows.shape == scores.shape == (num_users, k)
    for user in range(num_users):
        allowed = np.setdiff1d(np.arange(num_products), exclude[user])
        best = np.sort(products[allowed] @ users[user])[::-1][:k]
        found = rows[user][rows[user] != NO_PRODUCT]
        assert len(found) == len(set(found)) == len(best)
        assert set(found) <= set(allowed)
        np.testing.assert_allclose(scores[user][: len(best)], best, atol=1e-5)
        np.testing.assert_allclose(products[found] @ users[user], best, atol=1e-5)
        assert (rows[user][len(best) :] == NO_PRODUCT).all()
        assert np.isnan(scores[user][len(best) :]).all()


def test_equals_come_in_the_order_of_their_rows():
    products = np.eye(3, dtype=np.float32)[[1, 0, 0, 0, 2]]
    rows, scores = ProductIndex.build(products, "Flat").search(products[1:2], 5, [np.array([2])])
    assert rows.tolist() == [[1, 3, 0, 4, NO_PRODUCT]]
    assert scores[0, :4].tolist() == [1, 1, 0, 0]


def test_without_exclusions_and_round_trip(tmp_path):
    products = unit(np.random.default_rng(0), 9, 4)
    index = ProductIndex.build(products, "HNSW8")
    index.write(tmp_path)
    same = ProductIndex.read(tmp_path, "HNSW8")
    assert (len(same), same.key_dim) == (9, 4)
    assert same.search(products, 1)[0][:, 0].tolist() == list(range(9))


@pytest.mark.parametrize("factory", ["Flatt", "IVF64,Flat", ""])
def test_a_factory_that_faiss_cannot_build(factory):
    with pytest.raises(InputError, match="vector_db.factory=") as error:
        ProductIndex.build(np.eye(4, dtype=np.float32), factory)
    assert "\n" not in str(error.value)


def test_a_chunk_size_that_makes_no_sense():
    with pytest.raises(InputError, match="chunk_size=0"):
        ProductIndex.build(np.eye(4, dtype=np.float32), "Flat", chunk_size=0)


def test_a_file_that_is_no_index(tmp_path):
    (tmp_path / "index.faiss").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not a readable FAISS index"):
        ProductIndex.read(tmp_path)

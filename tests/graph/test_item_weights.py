import numpy as np
import pytest
import scipy.sparse

from rec_sys.foundation.errors import InputError
from rec_sys.modules.product_graph import co_occurrence, ease_weights

# Four people on products 0 and 1, 0 and 1, 1 and 2, 3 alone; the last pair is there twice.
USER = np.array([0, 0, 1, 1, 2, 2, 3, 3])
PRODUCT = np.array([0, 1, 0, 1, 1, 2, 3, 3])


def textbook(gram, l2):
    """Steck's eq. 8 as it is printed, in float64."""
    inverse = np.linalg.inv(gram.astype(np.float64) + l2 * np.eye(len(gram)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def test_co_occurrence_by_hand():
    gram = co_occurrence(USER, PRODUCT, 5, 5)
    expected = [[2, 2, 0, 0, 0], [2, 3, 1, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0] * 5]
    assert gram.toarray().tolist() == expected
    assert gram.dtype == np.float32


def test_stored_weights():
    """A change of these numbers is a change of the model."""
    weights = ease_weights(co_occurrence(USER, PRODUCT, 4, 4), l2=1.0)
    stored = [[0, 2 / 3, -1 / 4, 0], [4 / 7, 0, 3 / 8, 0], [-2 / 7, 1 / 2, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(weights, stored, atol=1e-6)


@pytest.mark.parametrize("num_products", [1, 7, 300, 521])
def test_weights_equal_the_textbook(num_products):
    """Sizes around the blocks of rows in which one triangle is copied to the other."""
    rng = np.random.default_rng(0)
    user, product = rng.integers(0, 200, 900), rng.integers(0, num_products, 900)
    gram = co_occurrence(user, product, 200, num_products)
    before = gram.copy()
    weights = ease_weights(gram, l2=5.0)
    np.testing.assert_allclose(weights, textbook(gram.toarray(), 5.0), atol=1e-5)
    assert weights.dtype == np.float32
    assert not np.diag(weights).any()
    assert (gram != before).nnz == 0


def test_a_dense_matrix_gives_the_same_and_stays_as_it_is():
    gram = co_occurrence(USER, PRODUCT, 4, 4)
    dense = gram.toarray()
    np.testing.assert_array_equal(ease_weights(dense, 2.0), ease_weights(gram, 2.0))
    np.testing.assert_array_equal(dense, gram.toarray())


@pytest.mark.parametrize("l2", [0, -1.0, np.nan, np.inf])
def test_a_useless_ridge_is_refused(l2):
    with pytest.raises(InputError, match="positive"):
        ease_weights(scipy.sparse.eye_array(3).tocsr(), l2)


def test_a_ridge_that_drowns_in_rounding_is_refused():
    with pytest.raises(InputError, match="too small"):
        ease_weights(np.full((3, 3), 1e6, dtype=np.float32), 1e-9)

"""Linear item-to-item models in closed form: which products go with which, solved exactly."""

import numpy as np
import scipy.linalg
import scipy.sparse

from rec_sys.foundation.errors import InputError

# Rows handled at once while one triangle is copied to the other; small enough for the cache.
_MIRROR_ROWS = 256
# Columns handled at once while another matrix is added.
_COLUMNS_AT_ONCE = 2048


def co_occurrence(
    user: np.ndarray, product: np.ndarray, num_users: int, num_products: int
) -> scipy.sparse.csr_array:
    """How many people reviewed both of two products: the Gram matrix of the user-product matrix.

    Args:
        user: int64 [n], 0...num_users - 1, in any order.
        product: int64 [n], 0...num_products - 1. A pair that occurs twice counts once.
        num_users: Number of users.
        num_products: P.

    Returns:
        float32 [P, P], symmetric; the diagonal holds the number of reviewers of each product.
    """
    ones = np.ones(len(user), dtype=np.float32)
    reviewed = scipy.sparse.csr_array((ones, (user, product)), shape=(num_users, num_products))
    reviewed.sum_duplicates()
    reviewed.data[:] = 1
    return (reviewed.T @ reviewed).tocsr()


def ease_weights(gram: np.ndarray | scipy.sparse.sparray, l2: float) -> np.ndarray:
    """The weights of EASE: each product predicted from all others by one ridge regression.

    Minimises |X - X B|^2 + l2 |B|^2 over all B with a zero diagonal, where gram = X^T X (Steck,
    "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq. 8): with
    K = (gram + l2 I)^-1, B_ij = -K_ij / K_jj. People are scored by their rows of X times B.

    Args:
        gram: float [P, P], symmetric, positive semidefinite, dense or sparse; not changed.
        l2: Strength of the ridge, in reviewers: added to the diagonal.

    Returns:
        float32 [P, P], zero diagonal; row i says what product i speaks for.

    Raises:
        InputError: `l2` is not a positive number, or so small that the matrix cannot be inverted.
    """
    weights = ridge_inverse(gram, l2)
    inverse_to_ease(weights)
    return weights


def inverse_to_ease(inverse: np.ndarray) -> None:
    """Turns what `ridge_inverse` returns into the weights of `ease_weights`, in place.

    Args:
        inverse: float32 [P, P]; the largest thing in memory, hence no copy.
    """
    inverse /= -np.diag(inverse).copy()
    np.fill_diagonal(inverse, 0)


def add_inner_products(gram: np.ndarray, features: np.ndarray) -> None:
    """Adds features @ features.T to a matrix, in place and without a second one of its size.

    Args:
        gram: float32 [P, P].
        features: float32 [P, D].
    """
    for start in range(0, len(gram), _COLUMNS_AT_ONCE):
        columns = slice(start, start + _COLUMNS_AT_ONCE)
        gram[:, columns] += features @ features[columns].T


def ridge_inverse(
    gram: np.ndarray | scipy.sparse.sparray, l2: float, overwrite: bool = False
) -> np.ndarray:
    """The inverse of gram + l2 I.

    It is made in place by a Cholesky factorisation, half the work of a general inverse and one
    matrix of memory. float32 is enough: on the 9,922 products of the 2018 Musical Instruments no
    weight of EASE differs from float64's by more than 7e-7, both give NDCG@10 .102508, and it
    takes half the time (22 s against 45 s on two busy cores) and half the memory (0.4 GB).

    Args:
        gram: float [P, P], symmetric, positive semidefinite, dense or sparse.
        l2: Added to the diagonal.
        overwrite: Whether `gram` may be destroyed, if that spares a copy.

    Returns:
        float32 [P, P], symmetric.

    Raises:
        InputError: `l2` is not a positive number, or so small that the matrix cannot be inverted.
    """
    if not 0 < l2 < np.inf:
        raise InputError(f"l2={l2}: must be a positive number")
    dense = gram.toarray() if scipy.sparse.issparse(gram) else gram
    # LAPACK wants columns one after the other; a symmetric matrix is its own transpose.
    columns = dense if dense.flags.f_contiguous else dense.T
    system = np.array(columns, dtype=np.float32, order="F", copy=None if overwrite else True)
    system[np.diag_indices_from(system)] += l2
    factor, failed = scipy.linalg.lapack.spotrf(system, lower=False, overwrite_a=True, clean=False)
    if not failed:
        inverse, failed = scipy.linalg.lapack.spotri(factor, lower=False, overwrite_c=True)
    if failed:
        raise InputError(f"l2={l2}: too small for these reviews, the weights cannot be solved for")
    _mirror_upper(inverse)
    return inverse.T  # the same values, rows one after the other


def _mirror_upper(matrix: np.ndarray) -> None:
    """Copies the upper triangle onto the lower one, in place."""
    size = len(matrix)
    for start in range(0, size, _MIRROR_ROWS):
        stop = min(start + _MIRROR_ROWS, size)
        matrix[stop:, start:stop] = matrix[start:stop, stop:].T
        block = matrix[start:stop, start:stop]
        block[:] = np.triu(block) + np.triu(block, 1).T

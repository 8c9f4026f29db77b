"""Small `Reviews` and catalogues for tests."""

import numpy as np

from rec_sys.evaluation.protocol import Catalogue, Reviews


def reviews_of(lists, times=None):
    """`lists`: the products of each user, oldest first; `times`: in one list for all reviews."""
    product = np.array([p for products in lists for p in products], dtype=np.int64)
    user = np.repeat(np.arange(len(lists)), [len(products) for products in lists])
    number = np.arange(len(product))
    return Reviews(
        user=user,
        product=product,
        rating=np.full(len(product), 5, dtype=np.float32),
        time=number if times is None else np.array(times, dtype=np.int64),
        text=number * 0,
        num_users=len(lists),
    )


def catalogue_of(num_products, seed=0, dimension=6):
    """Product 0 has no text at all, product 1 no description; vectors are random."""
    vectors = np.random.default_rng(seed).normal(size=(2 * num_products + 1, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = 0
    name = np.arange(1, num_products + 1)
    info = np.arange(num_products + 1, 2 * num_products + 1)
    name[0] = info[:2] = 0
    return Catalogue(num_products, name, info, vectors.astype(np.float16))

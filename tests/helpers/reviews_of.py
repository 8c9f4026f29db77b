"""Small graphs of reviews and the vectors of their texts."""

import numpy as np

from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import NOW, Queries


def reviews_of(lists, times=None, num_products=10):
    """`lists`: the products of each user, oldest first; `times`: in one list for all reviews.

    Product 0 has no text at all, product 1 no description.
    """
    product = np.array([p for products in lists for p in products], dtype=np.int64)
    number, names = np.arange(len(product)), np.arange(num_products)
    return ReviewGraph(
        user_ids=np.arange(len(lists)).astype(str).astype(object),
        product_ids=names.astype(str).astype(object),
        user_ptr=np.cumsum([0, *map(len, lists)]),
        edge_product=product,
        edge_text=number * 0,
        edge_rating=np.full(len(product), 5, dtype=np.float32),
        edge_time=number if times is None else np.array(times, dtype=np.int64),
        product_name_text=np.where(names > 0, names + 1, 0),
        product_info_text=np.where(names > 1, names + 1 + num_products, 0),
        product_brand=names // 2,
    )


def vectors_of(num_products=10, seed=0, dimension=6):
    """Random ones, for the texts of `reviews_of`."""
    vectors = np.random.default_rng(seed).normal(size=(2 * num_products + 1, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = 0
    return vectors.astype(np.float16)


def queries_of(histories, targets):
    """Everybody asks now."""
    users = np.arange(histories.num_users)
    return Queries(users, histories, targets, np.full(len(users), NOW))


def scores_of(model, histories):
    """Of users who ask now."""
    return model.score(histories, np.full(histories.num_users, NOW))

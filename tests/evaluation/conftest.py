"""A small evaluation that tests plant leaks in."""

import numpy as np
import pytest

from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Split, Task
from tests.helpers.planted import DIMENSION, EDGES, LONG, PER_USER, PRODUCTS, USERS


@pytest.fixture
def graph():
    """Everyone reviews six of nine products, one a day; every text is long and unique."""
    rng = np.random.default_rng(0)
    return ReviewGraph(
        user_ids=np.arange(USERS).astype(str).astype(object),
        product_ids=np.arange(PRODUCTS).astype(str).astype(object),
        user_ptr=np.arange(USERS + 1) * PER_USER,
        edge_product=np.concatenate([rng.permutation(PRODUCTS)[:PER_USER] for _ in range(USERS)]),
        edge_text=np.arange(EDGES) + 1,
        edge_rating=rng.integers(1, 6, EDGES).astype(np.float32),
        edge_time=np.tile(np.arange(PER_USER), USERS) * 86_400,
        product_name_text=np.zeros(PRODUCTS, dtype=np.int64),
        product_info_text=np.zeros(PRODUCTS, dtype=np.int64),
        product_brand=np.arange(PRODUCTS) // 2,
    )


@pytest.fixture
def vectors():
    vectors = np.random.default_rng(1).normal(size=(EDGES + 1, DIMENSION)).astype(np.float16)
    vectors[0] = 0
    return vectors


@pytest.fixture
def words():
    return np.full(EDGES + 1, LONG)


@pytest.fixture
def split(graph):
    """Four days train, the fifth is the validation, the sixth the test."""
    day = graph.edge_time // 86_400
    return Split("time", day < 4, Task(day == 4, day < 4), Task(day == 5, day < 5))

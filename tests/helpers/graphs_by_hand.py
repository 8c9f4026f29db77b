"""Graphs from lists of reviews, and splits told as lists of edges."""

import numpy as np

from rec_sys.graph.review_graph import NO_BRAND, ReviewGraph, rows_to_pointers


def graph_of(*users, products=None):
    """A graph from lists of (product, time), one list per user, each in time order."""
    edges = [edge for user in users for edge in user]
    product, time = (np.array([e[i] for e in edges], dtype=np.int64) for i in (0, 1))
    owner = np.repeat(np.arange(len(users)), [len(user) for user in users])
    number = products or (int(product.max()) + 1 if len(product) else 0)
    return ReviewGraph(
        user_ids=np.array([f"u{i}" for i in range(len(users))], dtype=object),
        product_ids=np.array([f"p{i}" for i in range(number)], dtype=object),
        user_ptr=rows_to_pointers(owner, len(users)),
        edge_product=product,
        edge_text=np.zeros(len(edges), dtype=np.int64),
        edge_rating=np.full(len(edges), np.nan, dtype=np.float32),
        edge_time=time,
        product_name_text=np.zeros(number, dtype=np.int64),
        product_info_text=np.zeros(number, dtype=np.int64),
        product_brand=np.full(number, NO_BRAND),
    )


def at(*times):
    """A user who reviews product after product at these times."""
    return list(enumerate(times))


def edges(mask):
    return np.flatnonzero(mask).tolist()


def told(split):
    """All masks as lists of edges."""
    tasks = [(edges(task.target), edges(task.history)) for task in (split.validation, split.test)]
    return edges(split.train), *tasks

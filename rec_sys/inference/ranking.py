"""The best of all products for some people, exactly: the product graph and the network together."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rec_sys.graph.product_graph import Carried
from rec_sys.graph.segments import rows_to_pointers
from rec_sys.vector_database.product_index import NO_PRODUCT
from rec_sys.vector_database.vectorbase import Vectorbase


class Ranked(NamedTuple):
    """The best products of one person.

    Attributes:
        rows: int64 [m], the best first and of equals the lowest row; fewer than asked for if there
            are no more.
        scores: float32 [m], what is carried plus the inner product of query and key.
    """

    rows: np.ndarray
    scores: np.ndarray


def best_products(
    vectorbase: Vectorbase,
    queries: np.ndarray,
    carried: Carried,
    reviewed: Sequence[np.ndarray],
    k: int,
    among: np.ndarray | None = None,
) -> list[Ranked]:
    """Ranks all products for each of U people without computing all scores.

    Whatever the product graph says nothing about is ranked by the network alone: the index knows
    the k best of these. No other product than those and the ones that the graph reaches can be
    among the k best. With an index that is not exact, some of the former may be missed.

    Args:
        vectorbase: The products.
        queries: float32 [U, d + 1].
        carried: What the histories carry to the products.
        reviewed: For each person the rows not to recommend, int64 of any length.
        k: Products per person, at least 1.
        among: int64, ascending and distinct: only these rows; by default all. Removed products
            are left out in any case.
    """
    removed = vectorbase.index.removed
    among = None if among is None else among[~removed[among]]
    pointers = rows_to_pointers(carried.user, len(queries))
    reached = [carried.product[a:b] for a, b in zip(pointers[:-1], pointers[1:], strict=True)]
    if among is None:
        not_searched = [np.union1d(*pair) for pair in zip(reached, reviewed, strict=True)]
        searched, _ = vectorbase.index.search(
            queries, min(k, len(vectorbase.index)), exclude=not_searched
        )
    ranked = []
    for user, query in enumerate(queries):
        new = ~np.isin(reached[user], reviewed[user]) & ~removed[reached[user]]
        if among is None:
            found = searched[user][searched[user] != NO_PRODUCT]
        else:  # a part of the products has no index of its own: all of them are scored
            new &= np.isin(reached[user], among)
            found = np.setdiff1d(among, reviewed[user])
        connected = reached[user][new]
        rows = np.union1d(found, connected)
        scores = vectorbase.keys[rows] @ query
        own = slice(pointers[user], pointers[user + 1])
        scores[np.searchsorted(rows, connected)] += carried.score[own][new]
        best = np.argsort(-scores, kind="stable")[:k]  # rows ascend: the lowest of equals is first
        ranked.append(Ranked(rows[best], scores[best]))
    return ranked

"""Which of a person's reviews are to be predicted."""

import numpy as np

from rec_sys.graph.review_graph import ReviewGraph


def newest_targets(graph: ReviewGraph, users: np.ndarray, share: float) -> np.ndarray:
    """The newest reviews of each user as targets.

    Args:
        graph: The graph; its edges are in time order inside a user.
        users: int64 [n].
        share: Share of a user's reviews, rounded, at least one. A user with a single review has
            no target: there would be no history to predict it from.

    Returns:
        bool [E], false for all other users.
    """
    degrees = graph.degrees[users]
    count = np.clip(np.round(share * degrees).astype(np.int64), 1, np.maximum(degrees - 1, 0))
    count[degrees < 2] = 0
    return mask_of_last(graph, graph.edges_of(users), degrees, count)


def drawn_targets(
    graph: ReviewGraph,
    users: np.ndarray,
    share: float,
    rng: np.random.Generator,
    train: np.ndarray,
) -> np.ndarray:
    """Random training reviews of each user as targets, for one epoch of training.

    Each user gives at least one target. One with several training reviews keeps at least one as
    history; the only one of a user is predicted from nothing, which teaches the model to start
    cold.

    Args:
        graph: The graph.
        users: int64 [n], the training users; each has a training edge.
        share: Expected share of the training reviews that become targets.
        rng: Source of randomness.
        train: bool [E], the training edges; nothing else is drawn.

    Returns:
        bool [E], false for all other users and edges.
    """
    edges = graph.edges_of(users)
    owner = np.repeat(np.arange(len(users)), graph.degrees[users])
    edges, owner = edges[train[edges]], owner[train[edges]]
    lengths = np.bincount(owner, minlength=len(users))
    count = np.clip(rng.binomial(lengths, share), 1, np.maximum(lengths - 1, 1))
    shuffled = edges[np.lexsort((rng.random(len(edges)), owner))]
    return mask_of_last(graph, shuffled, lengths, count)


def mask_of_last(
    graph: ReviewGraph, edges: np.ndarray, lengths: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """Marks the last edges of each of some users.

    Args:
        graph: The graph.
        edges: int64 [sum of `lengths`], user after user.
        lengths: int64 [n], how many of the edges belong to each user.
        count: int64 [n], how many of them to mark; at most `lengths`.

    Returns:
        bool [E].
    """
    ends = np.repeat(np.cumsum(lengths), lengths)
    mask = np.zeros(graph.num_edges, dtype=bool)
    mask[edges[np.arange(len(edges)) >= ends - np.repeat(count, lengths)]] = True
    return mask

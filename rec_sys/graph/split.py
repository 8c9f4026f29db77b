"""Who is held out, and which of a person's reviews are to be predicted."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import ReviewGraph


@dataclass(frozen=True)
class UserSplit:
    """Training users and held-out users.

    Attributes:
        train: int64, index of the training users, ascending.
        validation: int64, index of the held-out users, ascending.
        seed: The seed that drew them.
    """

    train: np.ndarray
    validation: np.ndarray
    seed: int

    def to_dict(self, graph: ReviewGraph) -> dict[str, Any]:
        """The split as plain values: the ids of the held-out users; all others train."""
        return {
            "seed": self.seed,
            "train_users": len(self.train),
            "validation_user_ids": graph.user_ids[self.validation].tolist(),
        }


def split_users(graph: ReviewGraph, validation_share: float, seed: int) -> UserSplit:
    """Draws the held-out users with ``torch.utils.data.random_split``.

    Args:
        graph: The graph.
        validation_share: Share of the users to hold out, between 0 and 1; at least one user.
        seed: Seeds the draw; independent of any other random state.

    Raises:
        InputError: The share is not between 0 and 1, or there are fewer than two users.
    """
    import torch
    from torch.utils.data import random_split

    if not 0 < validation_share < 1:
        raise InputError(f"train.validation_share={validation_share}: must be between 0 and 1")
    if graph.num_users < 2:
        raise InputError("the reviews come from a single user; training needs at least two users")
    held_out = min(max(1, round(validation_share * graph.num_users)), graph.num_users - 1)
    train, validation = random_split(
        range(graph.num_users),
        [graph.num_users - held_out, held_out],
        generator=torch.Generator().manual_seed(seed),
    )
    return UserSplit(
        train=np.sort(np.asarray(train.indices, dtype=np.int64)),
        validation=np.sort(np.asarray(validation.indices, dtype=np.int64)),
        seed=seed,
    )


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
    return _mask_of_last(graph, users, graph.edges_of(users), count)


def drawn_targets(
    graph: ReviewGraph, users: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Random reviews of each user as targets, for one epoch of training.

    Each user gives at least one target. One with several reviews keeps at least one as history;
    the only review of a user is predicted from nothing, which teaches the model to start cold.

    Args:
        graph: The graph.
        users: int64 [n], the training users.
        share: Expected share of the reviews that become targets.
        rng: Source of randomness.

    Returns:
        bool [E], false for all other users.
    """
    degrees = graph.degrees[users]
    count = np.clip(rng.binomial(degrees, share), 1, np.maximum(degrees - 1, 1))
    edges = graph.edges_of(users)
    owner = np.repeat(np.arange(len(users)), degrees)
    shuffled = edges[np.lexsort((rng.random(len(edges)), owner))]
    return _mask_of_last(graph, users, shuffled, count)


def _mask_of_last(
    graph: ReviewGraph, users: np.ndarray, edges: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """Marks the last `count[i]` of the edges of user ``users[i]`` (`edges`: user after user)."""
    degrees = graph.degrees[users]
    ends = np.repeat(np.cumsum(degrees), degrees)
    mask = np.zeros(graph.num_edges, dtype=bool)
    mask[edges[np.arange(len(edges)) >= ends - np.repeat(count, degrees)]] = True
    return mask

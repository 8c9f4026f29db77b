"""A split: what may be known, what is to be predicted, and when it is asked."""

from dataclasses import dataclass

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.reviews.schema import NO_TIME
from rec_sys.text.store import EMPTY_TEXT_ROW

#: The moment of asking of users who ask now: nothing that is known is later.
NOW = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Task:
    """Reviews to be predicted, `target` bool [E], each from its user's `history`, bool [E], which
    holds no target. `begin`: seconds since 1970 from which on all targets are; None if each user
    has a time of their own, right after the newest review that is shown."""

    target: np.ndarray
    history: np.ndarray
    begin: int | None = None

    def __post_init__(self) -> None:
        if (self.target & self.history).any():
            raise ValueError("an edge is both a target and part of the history")

    def users(self, graph: ReviewGraph) -> np.ndarray:
        """Everyone who has a target, int64 [n], ascending."""
        return np.unique(graph.edge_user[self.target])

    @property
    def hidden(self) -> np.ndarray:
        """Edges that are neither predicted nor shown, bool [E]."""
        return ~(self.target | self.history)

    def targets_with_text(self, graph: ReviewGraph) -> np.ndarray:
        """One target with a text of each user who has any, the first, whose words stand for what
        the user wants; edges, int64, ascending."""
        told = np.flatnonzero(self.target & (graph.edge_text != EMPTY_TEXT_ROW))
        return told[np.unique(graph.edge_user[told], return_index=True)[1]]

    def asked(self, graph: ReviewGraph, users: np.ndarray) -> np.ndarray:
        """The moment of asking of users, int64 [n]: what others write from then on is not known.
        Taken from what is shown, never from the target: the moment of the newest review of the
        history, or `begin`; `NOW` where no time is known."""
        shown = graph.edges_of(users)
        shown = shown[self.history[shown]]
        newest = np.full(graph.num_users, NO_TIME)
        np.maximum.at(newest, graph.edge_user[shown], graph.edge_time[shown])
        asked = np.maximum(newest[users], NO_TIME if self.begin is None else self.begin)
        return np.where(asked == NO_TIME, NOW, asked)


@dataclass(frozen=True)
class Split:
    """Who learns from what, and what is measured. Models and statistics learn from `train`, bool
    [E], no target; `validation` chooses epochs and settings; `test`, if any, is looked at last."""

    name: str
    train: np.ndarray
    validation: Task
    test: Task | None

    def __post_init__(self) -> None:
        for task in (self.validation, self.test):
            if task is not None and (task.target & self.train).any():
                raise ValueError(f"split {self.name}: a target is among the training edges")


def check_usable(split: Split, graph: ReviewGraph) -> None:
    """InputError without a training edge, or a validation target whose user has a history."""
    if not split.train.any():
        raise InputError(f"split={split.name}: leaves no review to train with; use more reviews")
    user, task = graph.edge_user, split.validation
    if not np.isin(user[task.target], user[task.history]).any():
        has_copies = (graph.first_copy != np.arange(graph.num_edges)).any()
        copies = "; copies of one review count as one" if has_copies else ""
        raise InputError(
            f"split={split.name}: nobody has both an older review and a newer one to be predicted:"
            " there is nothing to validate with; use more reviews, raise split.validation_share"
            f" where there is one, or choose another split{copies}"
        )


def newest_targets(graph: ReviewGraph, users: np.ndarray, share: float) -> np.ndarray:
    """The newest reviews of each user, int64 [n], as targets: bool [E]. `share` of them, rounded,
    at least one; none of a user with a single review, who would have no history beside it."""
    degrees = graph.degrees[users]
    count = np.clip(np.round(share * degrees).astype(np.int64), 1, np.maximum(degrees - 1, 0))
    count[degrees < 2] = 0
    return mask_of_last(graph, graph.edges_of(users), degrees, count)


def drawn_targets(
    graph: ReviewGraph, users: np.ndarray, share: float, rng: np.random.Generator, train: np.ndarray
) -> np.ndarray:
    """Random training reviews of each user, int64 [n], as targets for one epoch: bool [E].

    Each user, who has an edge in `train`, bool [E], gives at least one target, in expectation
    `share`. One with several training reviews keeps at least one as history; the only one of a user
    is predicted from nothing, which teaches the model to start cold.
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
    """Marks the last edges of each of n users: bool [E]. `edges`: int64, user after user;
    `lengths`: int64 [n], how many belong to each; `count`: int64 [n], how many of them to mark."""
    ends = np.repeat(np.cumsum(lengths), lengths)
    return graph.edge_mask(edges[np.arange(len(edges)) >= ends - np.repeat(count, lengths)])

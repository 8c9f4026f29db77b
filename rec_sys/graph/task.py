"""A split: what is known, what is predicted, at what moment; and what earlier weights have seen."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy import ndarray

from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.reviews.schema import NO_TIME
from rec_sys.text.store import EMPTY_TEXT_ROW

#: The moment of asking of users who ask now: nothing that is known is later.
NOW = int(np.iinfo(np.int64).max)

_TRAIN, _VALIDATION, _VALIDATION_HISTORY, _TEST, _TEST_HISTORY = (1 << bit for bit in range(5))
_HASH_BYTES = 8
# An odd number with its bits all over (2^64 over the golden ratio): it spreads pairs of hashes.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Task:
    """Reviews to be predicted, `target` bool [E], each from its user's `history`, bool [E], without
    targets. `begin`: seconds since 1970, from which on all targets are; None if each user has a
    time of their own, after the newest review that is shown."""

    target: ndarray
    history: ndarray
    begin: int | None = None

    def __post_init__(self) -> None:
        if (self.target & self.history).any():
            raise ValueError("an edge is both a target and part of the history")

    def users(self, graph: ReviewGraph) -> ndarray:
        """Everyone who has a target, int64 [n], ascending."""
        return np.unique(graph.edge_user[self.target])

    @property
    def hidden(self) -> ndarray:
        """Edges that are neither predicted nor shown, bool [E]."""
        return ~(self.target | self.history)

    def targets_with_text(self, graph: ReviewGraph) -> ndarray:
        """Of each user the first target with a text, as what they want; edges, int64, ascending."""
        told = np.flatnonzero(self.target & (graph.edge_text != EMPTY_TEXT_ROW))
        return told[np.unique(graph.edge_user[told], return_index=True)[1]]

    def asked(self, graph: ReviewGraph, users: ndarray) -> ndarray:
        """The moment of asking of users, int64 [n], from which on reviews of others are unknown:
        that of the newest review of the history, or `begin`, never the target's; else `NOW`."""
        shown = graph.edges_of(users)
        shown = shown[self.history[shown]]
        newest = np.full(graph.num_users, NO_TIME)
        np.maximum.at(newest, graph.edge_user[shown], graph.edge_time[shown])
        asked = np.maximum(newest[users], NO_TIME if self.begin is None else self.begin)
        return np.where(asked == NO_TIME, NOW, asked)


@dataclass(frozen=True)
class Queries:
    """A task as models take it. `users`: int64 [U], in the graph, ascending: everyone with a
    target; `asked`: int64 [U], see `Task.asked`; `wish`: int64 [U], row of a text, or None."""

    users: np.ndarray
    histories: ReviewGraph
    targets: ReviewGraph
    asked: np.ndarray
    wish: np.ndarray | None = None

    @classmethod
    def of(cls, graph: ReviewGraph, task: Task) -> "Queries":
        users = task.users(graph)
        parts = (graph.histories(users, edges) for edges in (task.history, task.target))
        return cls(users, *parts, task.asked(graph, users))

    @classmethod
    def wishes(cls, graph: ReviewGraph, task: Task, with_history: bool) -> "Queries":
        """The words of one target of each user, from which its product is to be found."""
        told = task.targets_with_text(graph)
        users = graph.edge_user[told]
        shown = task.history if with_history else np.zeros(graph.num_edges, dtype=bool)
        parts = (graph.histories(users, edges) for edges in (shown, graph.edge_mask(told)))
        return cls(users, *parts, task.asked(graph, users), graph.edge_text[told])

    def of_users(self, rows: np.ndarray) -> "Queries":
        parts = (part.histories(rows) for part in (self.histories, self.targets))
        wish = None if self.wish is None else self.wish[rows]
        return Queries(self.users[rows], *parts, self.asked[rows], wish)


@dataclass(frozen=True)
class Split:
    """Models and statistics learn from `train`, bool [E], no target; `validation` chooses epochs
    and settings. Then statistics are of all that is `known`; `test`, if any, is looked at last."""

    name: str
    train: ndarray
    validation: Task
    test: Task | None

    def __post_init__(self) -> None:
        for task in (self.validation, self.test):
            if task is not None and (task.target & self.train).any():
                raise ValueError(f"split {self.name}: a target is among the training edges")
        if self.test is not None and (self.test.target & self.known).any():
            raise ValueError(f"split {self.name}: a test target is in the validation")

    @property
    def known(self) -> ndarray:
        """The reviews of training and validation, bool [E], no target of the test."""
        return self.train | self.validation.target | self.validation.history


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


def newest_targets(graph: ReviewGraph, users: ndarray, share: float) -> ndarray:
    """The newest reviews of each user, int64 [n], as targets: bool [E]. `share` of them, rounded,
    at least one; none of a user with a single review, who would have no history beside it."""
    degrees = graph.degrees[users]
    count = np.clip(np.round(share * degrees).astype(np.int64), 1, np.maximum(degrees - 1, 0))
    count[degrees < 2] = 0
    return mask_of_last(graph, graph.edges_of(users), degrees, count)


def drawn_targets(
    graph: ReviewGraph, users: ndarray, share: float, rng: np.random.Generator, train: ndarray
) -> ndarray:
    """Draws an expected `share` of the training reviews, `train` bool [E], of each user, int64 [n],
    as targets of one epoch: bool [E]. Of several reviews at least one is a target and one history.
    A single one is predicted from nothing, which teaches the model to start cold."""
    edges = graph.edges_of(users)
    owner = np.repeat(np.arange(len(users)), graph.degrees[users])
    edges, owner = edges[train[edges]], owner[train[edges]]
    lengths = np.bincount(owner, minlength=len(users))
    count = np.clip(rng.binomial(lengths, share), 1, np.maximum(lengths - 1, 1))
    shuffled = edges[np.lexsort((rng.random(len(edges)), owner))]
    return mask_of_last(graph, shuffled, lengths, count)


def mask_of_last(graph: ReviewGraph, edges: ndarray, lengths: ndarray, count: ndarray) -> ndarray:
    """Marks the last edges of each of n users: bool [E]. `edges`: int64, user after user;
    `lengths`: int64 [n], how many belong to each; `count`: int64 [n], how many of them to mark."""
    ends = np.repeat(np.cumsum(lengths), lengths)
    return graph.edge_mask(edges[np.arange(len(edges)) >= ends - np.repeat(count, lengths)])


class LearnedReviews(NamedTuple):
    """What weights have learned from, as hashes: int64 [n] each, ascending."""

    users: ndarray
    products: ndarray
    reviews: ndarray


class Groups(NamedTuple):
    """Which of n users, or products, had which part; one without any is new. bool [n] each: the
    weights have learned from them; they were held out as a whole for validation, or the test."""

    learned: ndarray
    validation: ndarray
    test: ndarray


@dataclass(frozen=True)
class Provenance:
    """The reviews of a training and the part that each had in its split.

    Attributes:
        users: int64 [U], hashes of the ids, in the order of the graph; likewise `products` [P].
        edge_user: int32 [E], index of each review's user; likewise `edge_product`.
        roles: uint8 [E], one bit for each mask of the `Split`.
        begins: `Task.begin` of validation and test.
        earlier: What the trainings learned from that this one started from.
    """

    users: ndarray
    products: ndarray
    edge_user: ndarray
    edge_product: ndarray
    roles: ndarray
    has_test: bool
    begins: tuple[int | None, int | None]
    earlier: LearnedReviews

    @classmethod
    def of(cls, split: Split, graph: ReviewGraph, earlier: Self | None = None) -> Self:
        """Notes what a training is about to see, and what an `earlier` one had seen."""
        validation = split.validation
        masks = {_TRAIN: split.train, _VALIDATION: validation.target}
        masks[_VALIDATION_HISTORY] = validation.history
        if split.test is not None:
            masks |= {_TEST: split.test.target, _TEST_HISTORY: split.test.history}
        roles = np.zeros(graph.num_edges, dtype=np.uint8)
        for bit, mask in masks.items():
            roles[mask] |= bit
        return cls(
            users=_hashes("user", graph.user_ids),
            products=_hashes("product", graph.product_ids),
            edge_user=graph.edge_user.astype(np.int32),
            edge_product=graph.edge_product.astype(np.int32),
            roles=roles,
            has_test=split.test is not None,
            begins=(validation.begin, split.test.begin if split.test else None),
            earlier=earlier.learned if earlier else LearnedReviews(*[np.zeros(0, np.int64)] * 3),
        )

    def split(self, name: str, graph: ReviewGraph) -> Split:
        """The split of the training, for the same data; an `InputError` for other data."""
        if len(self.roles) != graph.num_edges:
            why = f"was trained with {len(self.roles)} reviews, not with these {graph.num_edges}"
            raise InputError(f"the checkpoint {why}; use the data of its training")
        begin, test_begin = self.begins
        validation = Task(self._has(_VALIDATION), self._has(_VALIDATION_HISTORY), begin)
        test = Task(self._has(_TEST), self._has(_TEST_HISTORY), test_begin)
        return Split(name, self._has(_TRAIN), validation, test if self.has_test else None)

    @cached_property
    def reviews(self) -> ndarray:
        """int64 [E], a hash of user and product."""
        return _pairs(self.users[self.edge_user], self.products[self.edge_product])

    @cached_property
    def learned(self) -> LearnedReviews:
        """What this training, and those that it started from, learned from."""
        train = self._has(_TRAIN)
        users, products = self.users[self.edge_user[train]], self.products[self.edge_product[train]]
        own = users, products, self.reviews[train]
        return LearnedReviews(*map(np.union1d, own, self.earlier))

    def learned_edges(self, graph: ReviewGraph) -> ndarray:
        """Which reviews of another graph the weights have learned from, bool [E]."""
        users, products = _hashes("user", graph.user_ids), _hashes("product", graph.product_ids)
        reviews = _pairs(users[graph.edge_user], products[graph.edge_product])
        return np.isin(reviews, self.learned.reviews)

    def user_groups(self, graph: ReviewGraph) -> Groups:
        """The part that each user of another graph had, if any."""
        masks = self._has(_VALIDATION | _VALIDATION_HISTORY), self._has(_TEST | _TEST_HISTORY)
        held_out = (self.users[self.edge_user[mask]] for mask in masks)
        return _groups(_hashes("user", graph.user_ids), self.learned.users, *held_out)

    def product_groups(self, graph: ReviewGraph) -> Groups:
        """The part that each product of another graph had, if any."""
        masks = self._has(_VALIDATION), self._has(_TEST)
        held_out = (self.products[self.edge_product[mask]] for mask in masks)
        return _groups(_hashes("product", graph.product_ids), self.learned.products, *held_out)

    def _has(self, bits: int) -> ndarray:
        return (self.roles & bits) > 0


def require_unlearned(split: Split, graph: ReviewGraph, seen: Provenance) -> None:
    """InputError if a target was learned from by the weights that a training starts from."""
    target = split.validation.target.copy()
    if split.test is not None:
        target |= split.test.target
    if leaking := int((target & seen.learned_edges(graph)).sum()):
        raise InputError(
            f"train.warm_start: the checkpoint has learned from {leaking} of the"
            f" {int(target.sum())} reviews that split={split.name} measures, which would flatter"
            " the new model; let the parts begin later (split.validation_from, split.test_from),"
            " choose another split, or train without train.warm_start"
        )


def _groups(hashes: ndarray, learned: ndarray, validation: ndarray, test: ndarray) -> Groups:
    learned = np.isin(hashes, learned)
    validation = np.isin(hashes, validation) & ~learned
    return Groups(learned, validation, np.isin(hashes, test) & ~learned & ~validation)


def _hashes(kind: str, ids: Iterable[str]) -> ndarray:
    kind_of_hash = {"digest_size": _HASH_BYTES, "person": kind.encode()}
    encoded = (each.encode("utf-8", "surrogatepass") for each in ids)
    digests = [hashlib.blake2b(each, **kind_of_hash).digest() for each in encoded]
    return np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64)


def _pairs(users: ndarray, products: ndarray) -> ndarray:
    return (users.view(np.uint64) * _SPREAD + products.view(np.uint64)).view(np.int64)

"""What the weights of a training have seen, so that one that starts from them never measures it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Split, Task

_TRAIN, _VALIDATION, _VALIDATION_HISTORY, _TEST, _TEST_HISTORY = (1 << bit for bit in range(5))
_HASH_BYTES = 8
# An odd number with its bits all over (2^64 over the golden ratio): it spreads pairs of hashes.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class LearnedReviews(NamedTuple):
    """What weights have learned from, as hashes: int64 [n] each, ascending."""

    users: np.ndarray
    products: np.ndarray
    reviews: np.ndarray


class Groups(NamedTuple):
    """Which of n users, or products, had which part; one without any is new. bool [n] each: the
    weights have learned from them; they were held out as a whole for validation, or the test."""

    learned: np.ndarray
    validation: np.ndarray
    test: np.ndarray


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

    users: np.ndarray
    products: np.ndarray
    edge_user: np.ndarray
    edge_product: np.ndarray
    roles: np.ndarray
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
    def reviews(self) -> np.ndarray:
        """int64 [E], a hash of user and product."""
        return _pairs(self.users[self.edge_user], self.products[self.edge_product])

    @cached_property
    def learned(self) -> LearnedReviews:
        """What this training, and those that it started from, learned from."""
        train = self._has(_TRAIN)
        users, products = self.users[self.edge_user[train]], self.products[self.edge_product[train]]
        own = users, products, self.reviews[train]
        return LearnedReviews(*map(np.union1d, own, self.earlier))

    def learned_edges(self, graph: ReviewGraph) -> np.ndarray:
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

    def _has(self, bits: int) -> np.ndarray:
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


def _groups(
    hashes: np.ndarray, learned: np.ndarray, validation: np.ndarray, test: np.ndarray
) -> Groups:
    learned = np.isin(hashes, learned)
    validation = np.isin(hashes, validation) & ~learned
    return Groups(learned, validation, np.isin(hashes, test) & ~learned & ~validation)


def _hashes(kind: str, ids: Iterable[str]) -> np.ndarray:
    kind_of_hash = {"digest_size": _HASH_BYTES, "person": kind.encode()}
    encoded = (each.encode("utf-8", "surrogatepass") for each in ids)
    digests = [hashlib.blake2b(each, **kind_of_hash).digest() for each in encoded]
    return np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64)


def _pairs(users: np.ndarray, products: np.ndarray) -> np.ndarray:
    return (users.view(np.uint64) * _SPREAD + products.view(np.uint64)).view(np.int64)

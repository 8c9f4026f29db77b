"""Ways to split a data set.

Each is a class with a ``name`` and ``split(graph, seen)``, where `seen` tells what the weights have
seen that the training starts from, if any: nothing is measured by what they have learned from.

Copies of one review (`ReviewGraph.first_copy`), whoever wrote them, never stand on both sides.
Where a split counts reviews, copies count as one, their oldest: they are known where it is known,
and where it is a target they are in no part. Where time or product decide, a copy that would stand
elsewhere than its oldest is in no part.
"""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy import ndarray
from pydantic import BeforeValidator

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import Count, InnerShare, PositiveCount, Share, settings_of
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Groups, Provenance, Split, Task, mask_of_last, newest_targets
from rec_sys.reviews.schema import NO_TIME

# One to train with, one to validate and one to test with.
_LEAST_REVIEWS = 3


class LeaveOneOut:
    """The last review of each user is for the test, the last but one for validation, in the order
    of the edges, so that no times are needed. A user with fewer than three reviews only trains."""

    name = "leave_one_out"

    def split(self, graph: ReviewGraph, seen: Provenance | None = None) -> Split:
        """After an earlier training a target must be newer than all of its user's reviews that were
        learned from; others train. A third review may be for the test, with none for validation."""
        edges, distinct = _distinct(graph)
        ends = distinct.user_ptr[1:][distinct.degrees >= _LEAST_REVIEWS]
        validation, test = graph.edge_mask(edges[ends - 2]), graph.edge_mask(edges[ends - 1])
        if seen is not None:
            learned = np.flatnonzero(seen.learned_edges(graph))
            newest = np.full(graph.num_users, -1)
            np.maximum.at(newest, graph.edge_user[learned], learned)
            newer = np.arange(graph.num_edges) > newest[graph.edge_user]
            validation, test = validation & newer, test & newer
        train = ~(validation | test | _elsewhere(graph, validation, test))
        tasks = _task(graph, validation, train), _task(graph, test, train | validation)
        return Split(self.name, train, *tasks)


@dataclass(frozen=True)
class _WithShares:
    validation_share: InnerShare
    test_share: Share

    @property
    def shares(self) -> tuple[float, float]:
        return self.validation_share, self.test_share

    def __post_init__(self) -> None:
        if sum(self.shares) >= 1:
            validation, test = self.shares
            both = f"split.validation_share={validation} and split.test_share={test}"
            raise InputError(f"{both}: leave nothing to train with; their sum must be below 1")


def _seconds(day: str | None) -> int | None:
    if day is None:
        return None
    try:
        moment = datetime.fromisoformat(day)
    except (TypeError, ValueError):
        raise ValueError("must be a date like 2014-01-31, or null") from None
    # Without a zone of its own it is UTC, as the reviews' times are.
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


_FirstDay = Annotated[int | None, BeforeValidator(_seconds)]


@settings_of("split")
class GlobalTime(_WithShares):
    """Cuts all reviews at two moments: training, validation, test. A cut is given by a share of the
    reviews with a time or by the first day of a part, ISO ("2014-01-31", UTC). Equal times are
    never parted: the cut of a share moves to the nearest change of time. A review of unknown time
    counts as old. A user without any older review has targets, too, but is not known."""

    name: ClassVar[str] = "time"

    validation_from: _FirstDay
    test_from: _FirstDay

    def split(self, graph: ReviewGraph, seen: Provenance | None = None) -> Split:
        """Splits a graph; InputError if no time is known, or one of the parts would be empty. A
        validation that begins by a share is newer than what an earlier training learned from."""
        time = graph.edge_time
        if not (time != NO_TIME).any():
            remedy = "use split=leave_one_out, which needs only the order of each user's reviews"
            raise InputError(f"split=time: the time of no review is known; {remedy}")
        validation_from, test_from = self._cuts(np.sort(time[time != NO_TIME]))
        if seen is not None and self.validation_from is None:
            newest = time[seen.learned_edges(graph)].max(initial=NO_TIME)
            validation_from = max(validation_from, int(newest) + 1)
        train = time < validation_from  # NO_TIME is below every time
        test = np.zeros_like(train) if test_from is None else time >= test_from
        validation = ~train & ~test
        stray = _elsewhere(graph, validation, test)
        train, validation, test = train & ~stray, validation & ~stray, test & ~stray
        parts = {"to train with": train, "to validate with": validation}
        parts |= {} if test_from is None else {"to test with": test}
        for what, edges in parts.items():
            if not edges.any():
                remedy = "change split.validation_from, split.test_from or the shares"
                remedy += ", or use split=leave_one_out"
                raise InputError(f"split=time: leaves no review {what}; {remedy}")
        to_test = None if test_from is None else _task(graph, test, train | validation, test_from)
        return Split(self.name, train, _task(graph, validation, train, validation_from), to_test)

    def _cuts(self, times: ndarray) -> tuple[int, int | None]:
        """First second of validation and test, by the known times, int64 [n], ascending."""
        values, older = np.unique(times, return_index=True)  # older: how many reviews come before
        validation_from, test_from = self.validation_from, self.test_from
        if test_from is None and self.test_share:
            open_to = np.arange(len(values)) >= 2  # a moment each for training and validation
            if validation_from is not None:
                open_to = values > validation_from
            test_from = _nearest(values, older, len(times) * (1 - self.test_share), open_to)
        if validation_from is None:
            end = len(times) if test_from is None else np.searchsorted(times, test_from)
            open_to = (older > 0) & (older < end)
            wanted = end - len(times) * self.validation_share
            validation_from = _nearest(values, older, wanted, open_to)
        return validation_from, test_from


def _nearest(values: ndarray, older: ndarray, wanted: float, open_to: ndarray) -> int:
    if not open_to.any():
        parts = "training, validation and test"
        why = f"the {len(values)} different times of the reviews cannot be cut into {parts}"
        remedy = "change the shares or days of config/split, or use split=leave_one_out"
        raise InputError(f"split=time: {why}; {remedy}")
    values, older = values[open_to], older[open_to]
    return int(values[np.abs(older - wanted).argmin()])


class _UserSplit(_WithShares):
    """Some users train; of the others nothing is known but the history they show."""

    name: ClassVar[str]

    def split(self, graph: ReviewGraph, seen: Provenance | None = None) -> Split:
        """Splits a graph; users keep parts of an earlier training. InputError for too few."""
        if graph.num_users < 2:
            raise InputError("the reviews come from a single user; training needs at least two")
        known = seen and seen.user_groups(graph)
        groups = draw_groups(graph.num_users, self.shares, self.seed, "users", known)
        edges, distinct = _distinct(graph)
        targets = [graph.edge_mask(edges[self._targets(distinct, some)]) for some in groups[1:]]
        stray = _elsewhere(graph, *targets)
        train, *of_others = (graph.edge_mask(graph.edges_of(some)) & ~stray for some in groups)
        tasks = [Task(t, shown & ~t) for t, shown in zip(targets, of_others, strict=True)]
        return Split(self.name, train, tasks[0], tasks[1] if len(groups[-1]) else None)

    def _targets(self, graph: ReviewGraph, users: ndarray) -> ndarray:
        """Which reviews of held-out users are to be predicted, bool [E]."""
        raise NotImplementedError


@settings_of("split")
class HeldOutUsers(_UserSplit):
    """Holds out whole users, by shares; the newest of each one's reviews, a `target_share`, are
    predicted from the older ones. Of a single review nothing is predicted."""

    name: ClassVar[str] = "users"

    target_share: InnerShare
    seed: Count

    def _targets(self, graph: ReviewGraph, users: ndarray) -> ndarray:
        return newest_targets(graph, users, self.target_share)


@settings_of("split")
class NewUsers(_UserSplit):
    """Holds out users, by shares; all but their first `history_length` reviews are predicted."""

    name: ClassVar[str] = "new_users"

    history_length: PositiveCount
    seed: Count

    def _targets(self, graph: ReviewGraph, users: ndarray) -> ndarray:
        degrees = graph.degrees[users]
        later = np.maximum(degrees - self.history_length, 0)
        return mask_of_last(graph, graph.edges_of(users), degrees, later)


@settings_of("split")
class NewProducts(_WithShares):
    """Holds out products, by shares of those with reviews; who reviewed them is predicted from
    reviews of others, perhaps newer. Reviews by somebody who reviewed no others are in no part."""

    name: ClassVar[str] = "new_products"

    seed: Count

    def split(self, graph: ReviewGraph, seen: Provenance | None = None) -> Split:
        """Splits a graph; products keep parts of an earlier training. InputError for too few."""
        # A product without any review would be no target, only make the groups smaller.
        reviewed = np.unique(graph.edge_product)
        known = seen and Groups(*(mask[reviewed] for mask in seen.product_groups(graph)))
        groups = draw_groups(len(reviewed), self.shares, self.seed, "products", known)
        train, validation, test = (np.isin(graph.edge_product, reviewed[group]) for group in groups)
        stray = _elsewhere(graph, validation, test)
        train, validation, test = train & ~stray, validation & ~stray, test & ~stray
        predictable = np.isin(graph.edge_user, graph.edge_user[train])
        to_validate = _task(graph, validation & predictable, train)
        to_test = _task(graph, test & predictable, train | to_validate.target)
        return Split(self.name, train, to_validate, to_test if len(groups[-1]) else None)


def _distinct(graph: ReviewGraph) -> tuple[ndarray, ReviewGraph]:
    """The edges that are the oldest of their copies, int64, and the graph of these alone."""
    is_first = graph.first_copy == np.arange(graph.num_edges)
    return np.flatnonzero(is_first), graph.histories(np.arange(graph.num_users), is_first)


def _elsewhere(graph: ReviewGraph, *parts: ndarray) -> ndarray:
    """Which edges are in another part, bool [E] each, than the oldest of their copies, bool [E]."""
    first = graph.first_copy
    return np.logical_or.reduce([part != part[first] for part in parts])


def _task(graph: ReviewGraph, target: ndarray, known: ndarray, begin: int | None = None) -> Task:
    """The task of predicting targets, bool [E], from what is known of the same users, bool [E]."""
    return Task(target, known & np.isin(graph.edge_user, graph.edge_user[target]), begin)


def draw_groups(
    number: int, shares: Sequence[float], seed: int, what: str, known: Groups | None = None
) -> list[ndarray]:
    """Draws disjoint groups by shares, rounded, by ``torch.utils.data.random_split`` with a seed;
    after an earlier split, whose groups are `known`, see `continue_groups`. A group is empty if its
    share is 0, otherwise it has at least one member. Returns the rest, of one member at least, and
    the groups; int64, ascending. InputError, naming `what`, for too few."""
    if known is not None:
        return continue_groups(known, shares, seed, what)
    sizes: list[int] = []
    for share in shares:
        left = number - 1 - sum(sizes)  # one stays to train with
        if share and left < 1:
            why = f"too few {what} to split ({number}): each part needs one; use more reviews"
            raise InputError(why)
        sizes.append(min(max(1, round(share * number)), left) if share else 0)
    return _drawn(number, sizes, seed)


def continue_groups(known: Groups, shares: Sequence[float], seed: int, what: str) -> list[ndarray]:
    """Keeps the groups of an earlier split, even of a test that is not asked for, and divides new
    members by shares. A group without members left gets at least one. Else as `draw_groups`."""
    old = [np.flatnonzero(mask) for mask in (known.validation, known.test)]
    new = np.flatnonzero(~np.any(known, axis=0))
    sizes = [
        max(round(share * len(new)), 1 if share and not len(group) else 0)
        for share, group in zip(shares, old, strict=True)
    ]
    if sum(sizes) > len(new):
        raise InputError(
            f"train.warm_start: of the {len(known.learned)} {what} only {len(new)} are new to the"
            " checkpoint, too few where it held out nobody for validation or test; use more"
            " reviews, or train without train.warm_start"
        )
    rest, *drawn = _drawn(len(new), sizes, seed)
    train = np.sort(np.append(np.flatnonzero(known.learned), new[rest]))
    return [train, *(np.sort(np.append(o, new[d])) for o, d in zip(old, drawn, strict=True))]


def _drawn(number: int, sizes: Sequence[int], seed: int) -> list[ndarray]:
    """The rest and a group of each size, int64, ascending."""
    # PyTorch takes a second to import; settings are checked before that.
    import torch
    from torch.utils.data import random_split

    lengths = [number - sum(sizes), *sizes]
    with warnings.catch_warnings(action="ignore"):  # an empty part is meant
        parts = random_split(range(number), lengths, torch.Generator().manual_seed(seed))
    return [np.sort(np.array(part.indices, dtype=np.int64)) for part in parts]


def describe_split(split: Split, graph: ReviewGraph, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint tells about its split. With the same data, `settings`, the resolved
    ``config/split``, give the same split. It has ids of users only if whole ones are held out."""
    return {
        "name": split.name,
        "settings": dict(settings),
        "fingerprint": split_fingerprint(split),
        "train_edges": int(split.train.sum()),
        "validation_edges": int(split.validation.target.sum()),
        "test_edges": int(split.test.target.sum()) if split.test else 0,
        "validation_user_ids": _held_out_user_ids(split, graph, split.validation),
        "test_user_ids": _held_out_user_ids(split, graph, split.test),
    }


def split_fingerprint(split: Split) -> str:
    """SHA-256 of which edge is what."""
    digest = hashlib.sha256(f"{split.name}:{len(split.train)}:{split.test is None}".encode())
    masks = [split.train, split.validation.target, split.validation.history]
    masks += [split.test.target, split.test.history] if split.test else []
    for mask in masks:
        digest.update(np.packbits(mask).tobytes())
    return digest.hexdigest()


def _held_out_user_ids(split: Split, graph: ReviewGraph, task: Task | None) -> list[str]:
    if task is None or split.name not in (HeldOutUsers.name, NewUsers.name):
        return []
    # All reviews of a held-out user are in the task, also of one who has no target.
    return graph.user_ids[np.unique(graph.edge_user[task.target | task.history])].tolist()

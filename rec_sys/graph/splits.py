"""Ways to split a data set; each is a class with ``name`` and ``split(graph)``."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.graph.groups import continue_groups, draw_groups, edge_mask, shown_to, split_by_users
from rec_sys.graph.provenance import Groups, Provenance, newer_than_learned
from rec_sys.graph.review_graph import NO_TIME, ReviewGraph
from rec_sys.graph.task import (
    Split,
    Task,
    check_share,
    check_shares,
    check_whole,
    mask_of_last,
    newest_targets,
)

# One to train with, one to validate and one to test with.
_LEAST_REVIEWS = 3


class LeaveOneOut:
    """The last review of each user is for the test, the last but one for validation.

    Needs no times: the order of the edges decides, which is that of the data where times are equal
    or unknown. A user with fewer than three reviews only trains.
    """

    name = "leave_one_out"

    def split(self, graph: ReviewGraph, seen: Provenance | None = None) -> Split:
        """Splits a graph.

        Args:
            graph: The graph.
            seen: What the weights have seen that the training starts from. A review is then a
                target only if it is newer than all of its user's that were learnt from, and
                trains otherwise: who had two reviews, and trained with both, and now has a third
                one, has a target for the test but none for validation.
        """
        ends = graph.user_ptr[1:][graph.degrees >= _LEAST_REVIEWS]
        validation, test = edge_mask(graph, ends - 2), edge_mask(graph, ends - 1)
        if seen is not None:
            newer = newer_than_learned(graph, seen.learnt_edges(graph))
            validation, test = validation & newer, test & newer
        train: np.ndarray = ~validation & ~test
        return Split(
            self.name,
            train,
            shown_to(graph, validation, train),
            shown_to(graph, test, train | validation),
        )


class GlobalTime:
    """Cuts all reviews at two moments, the same for everybody.

    Reviews before the first cut train, those from there to the second are for validation, those
    from the second on for the test. Equal times are never parted: a cut that a share asks for
    is moved to the nearest change of time. A review of unknown time counts as old. The target of a
    user without any older review stays a target, of a user who is not known.

    Args:
        validation_share: Share of the reviews with a time, between 0 and 1.
        test_share: Share of the reviews with a time, the newest; 0 for no test.
        validation_from: First day of the validation, ISO ("2014-01-31", UTC), or None for what
            the share says.
        test_from: First day of the test, likewise.

    Raises:
        InputError: One of them makes no sense.
    """

    name = "time"

    def __init__(
        self,
        validation_share: float,
        test_share: float,
        validation_from: str | None,
        test_from: str | None,
    ) -> None:
        check_shares(validation_share, test_share)
        self.validation_share = validation_share
        self.test_share = test_share
        self.validation_from = _seconds("validation_from", validation_from)
        self.test_from = _seconds("test_from", test_from)

    def split(self, graph: ReviewGraph, seen: Provenance | None = None) -> Split:
        """Splits a graph.

        Args:
            graph: The graph.
            seen: What the weights have seen that the training starts from: a validation whose
                beginning a share decides begins after the newest review that was learnt from.

        Raises:
            InputError: No time is known, or one of the parts would be empty.
        """
        time = graph.edge_time
        if not (time != NO_TIME).any():
            raise InputError(
                "split=time: the time of no review is known; use split=leave_one_out, which needs"
                " only the order of each user's reviews"
            )
        validation_from, test_from = self._cuts(np.sort(time[time != NO_TIME]))
        if seen is not None and self.validation_from is None:
            newest = time[seen.learnt_edges(graph)].max(initial=NO_TIME)
            validation_from = max(validation_from, int(newest) + 1)
        train = time < validation_from  # NO_TIME is below every time
        test = np.zeros_like(train) if test_from is None else time >= test_from
        validation = ~train & ~test
        parts = {"to train with": train, "to validate with": validation}
        parts |= {} if test_from is None else {"to test with": test}
        for what, edges in parts.items():
            if not edges.any():
                raise InputError(
                    f"split=time: leaves no review {what}; change split.validation_from,"
                    " split.test_from or the shares, or use split=leave_one_out"
                )
        return Split(
            self.name,
            train,
            shown_to(graph, validation, train),
            None if test_from is None else shown_to(graph, test, train | validation),
        )

    def _cuts(self, times: np.ndarray) -> tuple[int, int | None]:
        """First second of the validation and of the test.

        Args:
            times: int64 [n], the known times, ascending.
        """
        values, older = np.unique(times, return_index=True)  # older: how many reviews come before
        validation_from, test_from = self.validation_from, self.test_from
        if test_from is None and self.test_share:
            if validation_from is None:
                open_to = np.arange(len(values)) >= 2  # a moment each for training and validation
            else:
                open_to = values > validation_from
            test_from = _nearest(values, older, len(times) * (1 - self.test_share), open_to)
        if validation_from is None:
            end = len(times) if test_from is None else np.searchsorted(times, test_from)
            open_to = (older > 0) & (older < end)
            wanted = end - len(times) * self.validation_share
            validation_from = _nearest(values, older, wanted, open_to)
        return validation_from, test_from


def _nearest(values: np.ndarray, older: np.ndarray, wanted: float, open_to: np.ndarray) -> int:
    if not open_to.any():
        raise InputError(
            f"split=time: the {len(values)} different times of the reviews cannot be cut into"
            " training, validation and test; change the shares or days of config/split, or use"
            " split=leave_one_out"
        )
    values, older = values[open_to], older[open_to]
    return int(values[np.abs(older - wanted).argmin()])


def _seconds(key: str, day: str | None) -> int | None:
    if day is None:
        return None
    try:
        moment = datetime.fromisoformat(str(day))
    except ValueError:
        raise InputError(f"split.{key}={day}: must be a date like 2014-01-31, or null") from None
    # Without a zone of its own it is UTC, as the reviews' times are.
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


class HeldOutUsers:
    """Holds out whole users; their newest reviews are predicted from their older ones.

    Args:
        validation_share: Share of the users, between 0 and 1; at least one user.
        test_share: Share of the users for the test, disjoint from the others; 0 for none.
        target_share: Share of a held-out user's reviews that are predicted. A user with a single
            review has no target: there would be no history to predict it from.
        seed: Seeds the draw of the users.

    Raises:
        InputError: One of them makes no sense.
    """

    name = "users"

    def __init__(
        self, validation_share: float, test_share: float, target_share: float, seed: int
    ) -> None:
        check_shares(validation_share, test_share)
        check_share("target_share", target_share)
        check_whole("seed", seed, least=0)
        self.validation_share = validation_share
        self.test_share = test_share
        self.target_share = target_share
        self.seed = seed

    def split(self, graph: ReviewGraph, seen: Provenance | None = None) -> Split:
        """Splits a graph.

        Args:
            graph: The graph.
            seen: What the weights have seen that the training starts from: its users keep their
                parts, new ones are drawn.

        Raises:
            InputError: There are too few users.
        """
        return split_by_users(
            self.name,
            graph,
            self.validation_share,
            self.test_share,
            self.seed,
            lambda users: newest_targets(graph, users, self.target_share),
            seen,
        )


class NewUsers:
    """Holds out whole users; all but their first reviews are predicted from these.

    Args:
        validation_share: Share of the users, between 0 and 1; at least one user.
        test_share: Share of the users for the test, disjoint from the others; 0 for none.
        history_length: How many first reviews are shown. A user without a further one has no
            target.
        seed: Seeds the draw of the users.

    Raises:
        InputError: One of them makes no sense.
    """

    name = "new_users"

    def __init__(
        self, validation_share: float, test_share: float, history_length: int, seed: int
    ) -> None:
        check_shares(validation_share, test_share)
        check_whole("history_length", history_length, least=1)
        check_whole("seed", seed, least=0)
        self.validation_share = validation_share
        self.test_share = test_share
        self.history_length = history_length
        self.seed = seed

    def split(self, graph: ReviewGraph, seen: Provenance | None = None) -> Split:
        """Splits a graph.

        Args:
            graph: The graph.
            seen: What the weights have seen that the training starts from: its users keep their
                parts, new ones are drawn.

        Raises:
            InputError: There are too few users.
        """
        return split_by_users(
            self.name,
            graph,
            self.validation_share,
            self.test_share,
            self.seed,
            lambda users: self._later_reviews(graph, users),
            seen,
        )

    def _later_reviews(self, graph: ReviewGraph, users: np.ndarray) -> np.ndarray:
        degrees = graph.degrees[users]
        later = np.maximum(degrees - self.history_length, 0)
        return mask_of_last(graph, graph.edges_of(users), degrees, later)


class NewProducts:
    """Holds out whole products; who reviewed them is predicted from reviews of the others.

    Time plays no part: a history may hold reviews that are newer than the target. A review of a
    held-out product by somebody who wrote about nothing else is in no part of the split.

    Args:
        validation_share: Share of the reviewed products, between 0 and 1; at least one.
        test_share: Share of the reviewed products for the test, disjoint from the others; 0 for
            none.
        seed: Seeds the draw of the products.

    Raises:
        InputError: One of them makes no sense.
    """

    name = "new_products"

    def __init__(self, validation_share: float, test_share: float, seed: int) -> None:
        check_shares(validation_share, test_share)
        check_whole("seed", seed, least=0)
        self.validation_share = validation_share
        self.test_share = test_share
        self.seed = seed

    def split(self, graph: ReviewGraph, seen: Provenance | None = None) -> Split:
        """Splits a graph.

        Args:
            graph: The graph.
            seen: What the weights have seen that the training starts from: its products keep
                their parts, new ones are drawn.

        Raises:
            InputError: There are too few products.
        """
        # A product without any review would be no target, only make the groups smaller.
        reviewed = np.unique(graph.edge_product)
        shares = [self.validation_share, self.test_share]
        if seen is None:
            groups = draw_groups(len(reviewed), shares, self.seed, "products")
        else:
            known = Groups(*(mask[reviewed] for mask in seen.product_groups(graph)))
            groups = continue_groups(known, shares, self.seed, "products")
        train, validation, test = (np.isin(graph.edge_product, reviewed[group]) for group in groups)
        trains = np.zeros(graph.num_users, dtype=bool)
        trains[graph.edge_user[train]] = True
        predictable = trains[graph.edge_user]
        return Split(
            self.name,
            train,
            shown_to(graph, validation & predictable, train),
            shown_to(graph, test & predictable, train) if len(groups[-1]) else None,
        )


#: The splits that hold out whole users.
_USER_WISE = (HeldOutUsers.name, NewUsers.name)


def describe_split(split: Split, graph: ReviewGraph, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint tells about its split.

    Args:
        split: The split.
        graph: The graph that was split.
        settings: The resolved ``config/split``; with the same data they give the same split.

    Returns:
        ``name``, ``settings``, ``fingerprint``, the number of edges of each kind, and the ids of
        the held-out users; these are empty for a split that does not hold out whole users.
    """
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
    if task is None or split.name not in _USER_WISE:
        return []
    # All reviews of a held-out user are in the task, also of one who has no target.
    users = np.unique(graph.edge_user[task.target | task.history])
    return graph.user_ids[users].tolist()

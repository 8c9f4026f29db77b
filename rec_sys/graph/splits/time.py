"""The past trains, the future is predicted: what a shop would have known on a certain day."""

from datetime import UTC, datetime

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import NO_TIME, ReviewGraph
from rec_sys.graph.splits.checks import check_shares
from rec_sys.graph.splits.draw import shown_to
from rec_sys.graph.splits.seen import SeenReviews
from rec_sys.graph.task import Split


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

    def split(self, graph: ReviewGraph, seen: SeenReviews | None = None) -> Split:
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

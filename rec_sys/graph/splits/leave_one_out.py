"""What everybody chooses next: the split of most papers on sequences."""

import numpy as np

from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.splits.draw import edge_mask, shown_to
from rec_sys.graph.splits.seen import SeenReviews, newer_than_learnt
from rec_sys.graph.task import Split

# One to train with, one to validate and one to test with.
_LEAST_REVIEWS = 3


class LeaveOneOut:
    """The last review of each user is for the test, the last but one for validation.

    Needs no times: the order of the edges decides, which is that of the data where times are equal
    or unknown. A user with fewer than three reviews only trains.
    """

    name = "leave_one_out"

    def split(self, graph: ReviewGraph, seen: SeenReviews | None = None) -> Split:
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
            newer = newer_than_learnt(graph, seen.learnt_edges(graph))
            validation, test = validation & newer, test & newer
        train: np.ndarray = ~validation & ~test
        return Split(
            self.name,
            train,
            shown_to(graph, validation, train),
            shown_to(graph, test, train | validation),
        )

"""People who have only just arrived: everything is to be predicted from their first words."""

import numpy as np

from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.splits.checks import check_shares, check_whole
from rec_sys.graph.splits.draw import split_by_users
from rec_sys.graph.splits.seen import SeenReviews
from rec_sys.graph.targets import mask_of_last
from rec_sys.graph.task import Split


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

    def split(self, graph: ReviewGraph, seen: SeenReviews | None = None) -> Split:
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

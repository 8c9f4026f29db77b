"""People whom training has never met, as far as the newest of what they wrote."""

from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.splits.checks import check_share, check_shares, check_whole
from rec_sys.graph.splits.draw import split_by_users
from rec_sys.graph.splits.seen import SeenReviews
from rec_sys.graph.targets import newest_targets
from rec_sys.graph.task import Split


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
            lambda users: newest_targets(graph, users, self.target_share),
            seen,
        )

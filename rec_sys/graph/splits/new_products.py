"""Products that nobody has reviewed yet: only their texts can tell whom they suit."""

import numpy as np

from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.splits.checks import check_shares, check_whole
from rec_sys.graph.splits.draw import continue_groups, draw_groups, shown_to
from rec_sys.graph.splits.seen import Groups, SeenReviews
from rec_sys.graph.task import Split


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

    def split(self, graph: ReviewGraph, seen: SeenReviews | None = None) -> Split:
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

"""The trained recommender as one more model of the evaluation."""

from typing import TYPE_CHECKING

import numpy as np

from rec_sys.evaluation.interface import Catalogue, Reviews
from rec_sys.graph.review_graph import ReviewGraph

if TYPE_CHECKING:
    from rec_sys.modules.full_catalogue import FullCatalogue

OUR_NAME = "rec_sys"


class OurModel:
    """A `RankingModel` and a `RatingModel` around what `rec_sys.train.train` gives back.

    Args:
        catalogue: The trained model over all products.
        products: Any graph of these products; only they are read.
        name: See `RankingModel`.
    """

    def __init__(
        self, catalogue: "FullCatalogue", products: ReviewGraph, name: str = OUR_NAME
    ) -> None:
        self.name = name
        self._catalogue = catalogue
        self._products = products

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """Does nothing: `rec_sys.train.train` has trained it, on the same training reviews."""

    def score(self, histories: Reviews) -> np.ndarray:
        """See `RankingModel`."""
        if not histories.num_users:
            return np.zeros((0, self._products.num_products), dtype=np.float32)
        return self._catalogue.score(history_graph(histories, self._products))

    def rate(self, histories: Reviews, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        """See `RatingModel`."""
        if not len(user):
            return np.zeros(0, dtype=np.float32)
        return self._catalogue.rate(history_graph(histories, self._products), user, product)


def history_graph(histories: Reviews, products: ReviewGraph) -> ReviewGraph:
    """Histories as the graph that the trained model takes: these reviews and nothing else.

    Args:
        histories: Of U people, who are called "0"..."U - 1".
        products: Any graph of the same products.
    """
    return ReviewGraph(
        user_ids=np.arange(histories.num_users).astype(str).astype(object),
        product_ids=products.product_ids,
        user_ptr=histories.user_ptr,
        edge_product=histories.product,
        edge_text=histories.text,
        edge_rating=histories.rating,
        edge_time=histories.time,
        product_name_text=products.product_name_text,
        product_info_text=products.product_info_text,
        product_brand=products.product_brand,
    )

"""Products that the same users reviewed: neighbours by cosine."""

import numpy as np
import pandas as pd
import scipy.sparse

from rec_sys.foundation.settings import Decay, NotNegative, PositiveCount, settings_of
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.modules.baselines.base import history_matrix, popular_for_strangers, popularity
from rec_sys.modules.ease import co_occurrence


@settings_of("ItemKNN", frozen=False)
class ItemKNN:
    """Scores by the sum of the similarities to the history (see `history_matrix`): with c_ij common
    reviewers, c_ij / (sqrt(c_ii c_jj) + shrink), the shrunk cosine of Ferrari Dacrema, Cremonesi &
    Jannach, RecSys 2019. `shrink` is in reviewers; a product listens to so many most similar
    `neighbours`, and to those tied with the last."""

    score_settings = ("history_decay",)

    shrink: NotNegative
    neighbours: PositiveCount
    history_decay: Decay
    name: str = "ItemKNN"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        size = train.num_products
        self._popularity = popularity(train)
        common = co_occurrence(train.edge_user, train.edge_product, train.num_users, size).tocoo()
        row, column = common.coords
        norm = np.sqrt(common.diagonal())
        similarity = common.data / (norm[row] * norm[column] + np.float32(self.shrink))
        similarity[row == column] = 0  # a product does not recommend itself
        rank = pd.Series(-similarity).groupby(row).rank(method="min").to_numpy()
        kept = (rank <= self.neighbours) & (similarity > 0)
        # Row j lists whom product j listens to; users' rows are multiplied from the left.
        self._similarity = scipy.sparse.coo_array(
            (similarity[kept], (column[kept], row[kept])), shape=(size, size)
        ).tocsr()

    def score(self, histories: ReviewGraph, asked: np.ndarray) -> np.ndarray:
        history = history_matrix(histories, self.history_decay)
        scores = (history @ self._similarity).toarray()
        return popular_for_strangers(scores, histories, self._popularity)

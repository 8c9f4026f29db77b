"""What users reviewed right after the product that this user reviewed last."""

import numpy as np
import scipy.sparse

from rec_sys.foundation.settings import Positive, settings_of
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.modules.baselines.base import popularity


@settings_of("Markov", frozen=False)
class Markov:
    """Scores by the probability of the next product given the last, a first-order Markov chain:
    with n_ij users going from product i straight to j, whose share in all training reviews is q_j,
    (n_ij + smoothing * q_j) / (n_i. + smoothing). That falls back to popularity for a last product
    that nobody went on from, and for an empty history."""

    score_settings = ("smoothing",)

    smoothing: Positive
    name: str = "Markov chain"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        size = train.num_products
        same_user = train.edge_user[1:] == train.edge_user[:-1]
        pairs = (train.edge_product[:-1][same_user], train.edge_product[1:][same_user])
        ones = np.ones(len(pairs[0]), dtype=np.float32)
        self._transitions = scipy.sparse.coo_array((ones, pairs), shape=(size, size)).tocsr()
        self._share = popularity(train) / max(len(train.edge_product), 1)

    def score(self, histories: ReviewGraph, asked: np.ndarray) -> np.ndarray:
        known = histories.degrees > 0
        last = histories.edge_product[histories.user_ptr[1:][known] - 1]
        scores = np.tile(self._share * np.float32(self.smoothing), (histories.num_users, 1))
        scores[known] += self._transitions[last].toarray()
        # Each row is divided by its sum, n_i. + smoothing, as far as the shares sum up to one.
        seen = np.zeros(histories.num_users, dtype=np.float32)
        seen[known] = self._transitions.sum(axis=1)[last]
        return scores / (seen + np.float32(self.smoothing))[:, None]

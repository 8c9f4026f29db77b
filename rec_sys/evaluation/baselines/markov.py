"""What people reviewed right after the product that this person reviewed last."""

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse

from rec_sys.evaluation.baselines.base import popularity, require_positive
from rec_sys.evaluation.protocol import Catalogue, Reviews


@dataclass(kw_only=True)
class Markov:
    """Scores by the probability of the next product given the last, a first-order Markov chain.

    With n_ij people going from product i straight to j and the share q_j of all training reviews,
    the score is (n_ij + smoothing * q_j) / (n_i. + smoothing): Dirichlet smoothing, which falls
    back to popularity for a last product that nobody went on from. So does an empty history.

    Attributes:
        smoothing: How many imagined transitions to popular products count beside the seen ones.
        name: See `RankingModel`.

    Raises:
        InputError: `smoothing` is not positive.
    """

    score_settings = ("smoothing",)

    smoothing: float
    name: str = "Markov chain"
    _transitions: scipy.sparse.csr_array = field(init=False, repr=False, compare=False)
    _share: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuses settings out of range."""
        require_positive("smoothing", self.smoothing)

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `RankingModel`."""
        size = catalogue.num_products
        same_person = train.user[1:] == train.user[:-1]
        pairs = (train.product[:-1][same_person], train.product[1:][same_person])
        ones = np.ones(len(pairs[0]), dtype=np.float32)
        self._transitions = scipy.sparse.coo_array((ones, pairs), shape=(size, size)).tocsr()
        self._share = popularity(train, size) / max(len(train.product), 1)

    def score(self, histories: Reviews) -> np.ndarray:
        """See `RankingModel`."""
        ends = histories.user_ptr[1:]
        known = np.diff(histories.user_ptr) > 0
        scores = np.tile(self._share * np.float32(self.smoothing), (histories.num_users, 1))
        scores[known] += self._transitions[histories.product[ends[known] - 1]].toarray()
        # Each row is divided by its sum, n_i. + smoothing, as far as the shares sum up to one.
        seen = np.zeros(histories.num_users, dtype=np.float32)
        seen[known] = self._transitions.sum(axis=1)[histories.product[ends[known] - 1]]
        return scores / (seen + np.float32(self.smoothing))[:, None]

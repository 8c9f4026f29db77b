"""Products that the same people reviewed: neighbours by cosine."""

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse

from rec_sys.evaluation.baselines.base import (
    history_matrix,
    popular_for_strangers,
    popularity,
    require_decay,
    require_not_negative,
    require_positive,
)
from rec_sys.evaluation.protocol import Catalogue, Reviews
from rec_sys.modules.ease import co_occurrence


@dataclass(kw_only=True)
class ItemKNN:
    """Scores by the sum of the similarities to the history.

    With c_ij common reviewers, the similarity is c_ij / (sqrt(c_ii c_jj) + shrink): the shrunk
    cosine of the comparison by Ferrari Dacrema, Cremonesi & Jannach, RecSys 2019.

    Attributes:
        shrink: In reviewers; keeps a chance meeting of two rare products from looking certain.
        neighbours: A product listens to so many most similar ones, and to those tied with the last.
        history_decay: See `history_matrix`.
        name: See `RankingModel`.

    Raises:
        InputError: A setting is out of its range.
    """

    score_settings = ("history_decay",)

    shrink: float
    neighbours: int
    history_decay: float
    name: str = "ItemKNN"
    _similarity: scipy.sparse.csr_array = field(init=False, repr=False, compare=False)
    _popularity: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuses settings out of range."""
        require_not_negative("shrink", self.shrink)
        require_positive("neighbours", self.neighbours)
        require_decay("history_decay", self.history_decay)

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `RankingModel`."""
        size = catalogue.num_products
        self._popularity = popularity(train, size)
        common = co_occurrence(train.user, train.product, train.num_users, size).tocoo()
        row, column = common.coords
        norm = np.sqrt(common.diagonal())
        similarity = common.data / (norm[row] * norm[column] + np.float32(self.shrink))
        similarity[row == column] = 0  # a product does not recommend itself
        kept = _strongest(row, similarity, size, self.neighbours) & (similarity > 0)
        # Row j lists whom product j listens to; people's rows are multiplied from the left.
        self._similarity = scipy.sparse.coo_array(
            (similarity[kept], (column[kept], row[kept])), shape=(size, size)
        ).tocsr()

    def score(self, histories: Reviews) -> np.ndarray:
        """See `RankingModel`."""
        history = history_matrix(histories, self._similarity.shape[0], self.history_decay)
        scores = (history @ self._similarity).toarray()
        return popular_for_strangers(scores, histories, self._popularity)


def _strongest(row: np.ndarray, value: np.ndarray, num_rows: int, count: int) -> np.ndarray:
    """Marks the `count` largest values of each row, and those equal to the last of them."""
    order = np.lexsort((-value, row))
    sorted_row = row[order]
    starts = np.searchsorted(sorted_row, np.arange(num_rows))
    sizes = np.diff(np.append(starts, len(row)))
    smallest = np.full(num_rows, -np.inf, dtype=value.dtype)
    full = sizes >= count
    smallest[full] = value[order][starts[full] + count - 1]
    return value >= smallest[row]

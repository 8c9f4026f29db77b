"""The same stars for everybody."""

import numpy as np

from rec_sys.evaluation.interface import Catalogue, Reviews
from rec_sys.evaluation.rating_baselines.known_ratings import as_stars, training_ratings
from rec_sys.foundation.errors import InputError

_KINDS = ("majority", "mean")


class Constant:
    """Always the most frequent training rating, or always the mean.

    The majority is the best constant for accuracy, the mean for the squared error.

    Args:
        kind: ``majority`` or ``mean``.

    Raises:
        InputError: Another kind.
    """

    def __init__(self, kind: str = "majority") -> None:
        if kind not in _KINDS:
            raise InputError(f"kind={kind}: must be one of {', '.join(_KINDS)}")
        self.kind = kind
        self.name = "majority rating" if kind == "majority" else "mean rating"

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `RatingModel`.

        Raises:
            InputError: No training review has a rating.
        """
        rating = training_ratings(train).rating.astype(np.float64)
        values, counts = np.unique(rating, return_counts=True)
        self._stars = values[counts.argmax()] if self.kind == "majority" else rating.mean()

    def rate(self, histories: Reviews, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        """See `RatingModel`."""
        return as_stars(np.full(len(user), self._stars))

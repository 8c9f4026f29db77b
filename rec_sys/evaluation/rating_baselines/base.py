"""What the rating baselines share: the training ratings, or a clear word that there are none."""

import numpy as np

from rec_sys.evaluation.protocol import Reviews
from rec_sys.foundation.errors import InputError
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING


def training_ratings(train: Reviews) -> Reviews:
    """The training reviews that have a rating.

    Raises:
        InputError: There is none.
    """
    rated = train.rated
    if not len(rated.rating):
        raise InputError("no training review has a rating: nothing can predict stars; rank instead")
    return rated


def as_stars(values: np.ndarray) -> np.ndarray:
    """Predictions as float32, clipped to the scale: what is beyond it is wrong for certain."""
    return np.clip(values, MIN_RATING, MAX_RATING).astype(np.float32)

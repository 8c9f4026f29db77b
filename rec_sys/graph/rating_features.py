"""The ratings and reviews of a user or a product in three numbers for a network."""

import numpy as np

from rec_sys.graph.segments import segment_sum
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING

MIDDLE_RATING = (MIN_RATING + MAX_RATING) / 2
HALF_RANGE = (MAX_RATING - MIN_RATING) / 2
#: Length of a row of rating features.
NUM_RATING_FEATURES = 3
#: So many imaginary ratings stand against the real ones: a single one does not say much. People
#: differ more from each other than products do, so theirs count sooner.
USER_SHRINKAGE = 5.0
PRODUCT_SHRINKAGE = 10.0
# log(1 + reviews) of a very popular product: the feature comes out between 0 and about 1.
_LOG_MANY_REVIEWS = 7.0


def rating_sums(
    rating: np.ndarray, segment: np.ndarray, num_segments: int
) -> tuple[np.ndarray, np.ndarray]:
    """Adds up the known ratings of each user or product.

    Args:
        rating: float32 [n], stars, NaN if missing.
        segment: int [n], whose rating it is.
        num_segments: Number of users or products.

    Returns:
        Sum of the distances from the middle of the scale, -1...1 each, float64; number of
        ratings, int64.
    """
    known = ~np.isnan(rating)
    distance = (rating[known].astype(np.float64) - MIDDLE_RATING) / HALF_RANGE
    sums = segment_sum(distance, segment[known], num_segments)
    return sums, np.bincount(segment[known], minlength=num_segments)


def rating_features(
    sums: np.ndarray, counts: np.ndarray, reviews: np.ndarray, shrinkage: float
) -> np.ndarray:
    """Turns sums into features.

    With s the sum, n the number and k imaginary ratings: s/(n+k) and n/(n+k). The mean shrunk
    towards any value m is a linear function of both, s/(n+k) + m·k/(n+k), so that the network
    finds the m that fits, and no statistic over other ratings is needed. The third number is the
    logarithm of the number of reviews: how popular a product, how active a user is.

    Args:
        sums: float64 [n], see `rating_sums`.
        counts: int64 [n], number of ratings.
        reviews: int64 [n], number of reviews, with and without a rating.
        shrinkage: k, `USER_SHRINKAGE` or `PRODUCT_SHRINKAGE`.

    Returns:
        float32 [n, 3]; zeros without a review.
    """
    total = counts + shrinkage
    activity = np.log1p(reviews) / _LOG_MANY_REVIEWS
    return np.stack([sums / total, counts / total, activity], axis=1).astype(np.float32)

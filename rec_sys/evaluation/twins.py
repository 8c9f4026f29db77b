"""Targets that are variants of something in the person's own history.

Shops that pool the reviews of variants, such as two colours of one thing, make "twins": products
with nearly the same reviewers. Whoever has one of them in the history "buys" the other one, and
predicting it shows only that a model can count. Their share of a metric belongs beside the metric.
"""

import numpy as np

from rec_sys.evaluation.interface import Reviews
from rec_sys.foundation.errors import InputError
from rec_sys.reviews.twins import twin_groups


def twins_in_history(
    reviews: Reviews, histories: Reviews, targets: Reviews, min_jaccard: float
) -> np.ndarray:
    """Marks the targets of which the person's own history has a twin.

    Args:
        reviews: What twins are told by. Take all reviews for this: twins are often the last two
            reviews of a person, which no training review shows. No model sees the result.
        histories: Of U people.
        targets: Of the same people.
        min_jaccard: See `rec_sys.reviews.twins.collapse_twins`.

    Returns:
        bool [T].

    Raises:
        InputError: `min_jaccard` is not above 0 and at most 1.
    """
    if not 0 < min_jaccard <= 1:
        raise InputError(f"min_jaccard={min_jaccard}: must be above 0 and at most 1")
    if not len(reviews.product):
        return np.zeros(len(targets.product), dtype=bool)
    known = twin_groups(reviews.user, reviews.product, min_jaccard)
    # Products without a review are nobody's twins.
    size = max(r.product.max(initial=-1) for r in (reviews, histories, targets)) + 1
    group = np.arange(len(known), len(known) + size)
    group[: len(known)] = known
    num_groups = len(known) + size
    seen = histories.user * num_groups + group[histories.product]
    related = np.isin(targets.user * num_groups + group[targets.product], seen)
    same = np.isin(targets.user * size + targets.product, histories.user * size + histories.product)
    return related & ~same

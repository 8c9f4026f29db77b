"""What a person gets: products, each with the reviews that speak for it."""

from dataclasses import dataclass

import numpy as np

#: The most popular products stand in for a person of whom nothing is known.
POPULAR = "popular"


@dataclass(frozen=True)
class Reason:
    """One of the person's own reviews.

    Attributes:
        review_id: The review.
        product_name: The product it is about; empty if it has no name.
        text: The beginning of the review.
        weight: Its share in what speaks for the product, 0...1.
        rating: Its stars; None if it has none. Also what was not liked says what is looked for.
    """

    review_id: str
    product_name: str
    text: str
    weight: float
    rating: float | None = None


@dataclass(frozen=True)
class Recommendation:
    """One product for one person.

    Attributes:
        product_id: The product.
        name: Its name; empty if it has none.
        score: What ranks: the higher, the more likely the person turns to it. Scores of two people
            cannot be compared.
        predicted_rating: How much the person would like it, in stars, 0...5.
        because: The reviews that weigh most, the heaviest first; empty for a fallback.
    """

    product_id: str
    name: str
    score: float
    predicted_rating: float
    because: tuple[Reason, ...]


@dataclass(frozen=True)
class UserRecommendations:
    """Everything for one person.

    Attributes:
        user_id: The person.
        nickname: The name they go by, if one is known.
        recommendations: The best first; fewer than asked for if there are no more products.
        fallback: None, or why these are no personal recommendations: `POPULAR`.
        explanation: The fallback in words; None without one.
        embedding: float32 [d], unit length.
    """

    user_id: str
    nickname: str | None
    recommendations: tuple[Recommendation, ...]
    fallback: str | None
    explanation: str | None
    embedding: np.ndarray

"""What a person gets: products, each with the reviews that speak for it."""

from dataclasses import dataclass

import numpy as np

#: The most popular products stand in for a person who wrote nothing.
POPULAR = "popular"


@dataclass(frozen=True)
class Reason:
    """One of the person's own reviews.

    Attributes:
        review_id: The review.
        product_name: The product it is about; empty if it has no name.
        text: The beginning of the review.
        weight: Its share in what the model knows about the person, 0...1.
    """

    review_id: str
    product_name: str
    text: str
    weight: float


@dataclass(frozen=True)
class Recommendation:
    """One product for one person.

    Attributes:
        product_id: The product.
        name: Its name; empty if it has none.
        score: Cosine of the person's and the product's embedding, -1...1.
        predicted_rating: The score as stars, 0...5.
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

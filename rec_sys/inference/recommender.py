"""From what people wrote to what they may like, and why. Needs no PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, starmap

import numpy as np
import pandas as pd

from rec_sys.foundation.console import progress
from rec_sys.foundation.errors import InputError
from rec_sys.graph.csr import rows_to_pointers
from rec_sys.graph.ego_batch import predicted_rating
from rec_sys.graph.task import NOW
from rec_sys.inference.backends import GraphBackend
from rec_sys.inference.histories import (
    UNKNOWN,
    Author,
    Encode,
    Histories,
    build_history_batch,
    read_histories,
)
from rec_sys.modules.features import Situation, WalkFeature
from rec_sys.text.words import columns_of
from rec_sys.vector_database.quotes import Quote
from rec_sys.vector_database.vectorbase import Vectorbase

#: Of a user of whom nothing is known: what has many reviews stands in.
POPULAR = "popular"
_EXPLANATIONS = {
    POPULAR: "no review has a text or is of a product of the catalogue, so the order is the same"
    " for everybody: by {evidences}"
}
_EXCERPT_CHARACTERS = 160
# Words that add so much less than the best one are "for" and "the".
_TELLING = 0.3
DEFAULT_BATCH_SIZE = 256


@dataclass(frozen=True)
class Reason:
    """One of the user's own reviews.

    Attributes:
        product_name: Of the reviewed product, or its style or id if it has none.
        text: The beginning of the review.
        weight: Its share in the contributions that speak for the product, 0...1.
        rating: 1...5, or None; never one that was not liked.
    """

    review_id: str
    product_name: str
    text: str
    weight: float
    rating: float | None = None
    product_id: str = ""


@dataclass(frozen=True)
class Match:
    """Why a product fits what the user wants.

    `weight` is the share of the match in the contributions that speak for the product, 0...1;
    `words` of the wish are used by others for the product, the most telling first; `quote` is what
    somebody else wrote about it.
    """

    weight: float
    words: tuple[str, ...]
    quote: Quote | None


@dataclass(frozen=True)
class Recommendation:
    """One product for one user.

    Attributes:
        score: What ranks: the higher, the more likely the user turns to it. Scores of two users
            cannot be compared.
        predicted_rating: How much the user would like it, 0...5.
        because: The liked reviews that weigh most, the heaviest first.
        contributions: What each evidence adds to the score; they add up to it.
        match: None where nothing was wished for, or the match does not speak for the product.
    """

    product_id: str
    name: str
    score: float
    predicted_rating: float
    because: tuple[Reason, ...]
    contributions: dict[str, float] = field(default_factory=dict)
    match: Match | None = None


@dataclass(frozen=True)
class UserRecommendations:
    """Everything for one user.

    Attributes:
        recommendations: The best first; fewer than asked for if there are no more products.
        fallback: None, or why these are no personal recommendations: `POPULAR`.
        explanation: The fallback in words.
        embedding: float32 [d], unit length.
        wish: What was understood as what they want; empty if nothing was.
    """

    user_id: str
    nickname: str | None
    recommendations: tuple[Recommendation, ...]
    fallback: str | None
    explanation: str | None
    embedding: np.ndarray
    wish: str = ""


@dataclass(frozen=True)
class CandidateFilter:
    """Rows of a vectorbase that may be recommended: only those `among`, int64, ascending and
    distinct, or all if None; none of those `without`, int64."""

    among: np.ndarray | None = None
    without: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Those of some rows that may be recommended, in their order."""
        if self.among is not None:
            rows = rows[np.isin(rows, self.among)]
        return rows[~np.isin(rows, self.without)]


EVERYTHING = CandidateFilter()


class Recommender:
    """Recommends products of a vectorbase, with at most `max_reasons` reasons each.

    `encode` gives the vectors of distinct texts, float [n, D], by the encoder that the model was
    trained with. Raises InputError if the vectorbase was built from another model.
    """

    def __init__(
        self,
        backend: GraphBackend,
        vectorbase: Vectorbase,
        encode: Encode,
        max_reasons: int = 3,
    ) -> None:
        vectorbase.require_model(backend.model_fingerprint)
        self.backend = backend
        self.vectorbase = vectorbase
        self.encode = encode
        self.max_reasons = max_reasons

    def recommend(
        self,
        reviews: pd.DataFrame | Sequence[Author] | Histories,
        k: int,
        batch_size: int = DEFAULT_BATCH_SIZE,
        show_progress: bool = False,
        candidates: CandidateFilter = EVERYTHING,
    ) -> list[UserRecommendations]:
        """Recommends to every author of the reviews, in the order in which they first occur.

        What a user has reviewed is not recommended to them. A user of whom neither a text nor a
        product of the vectorbase is known gets what is popular and much reviewed of late, as the
        combiner adds it up for users without reviews, and is told so. For `reviews` see
        `read_histories`; histories must have been read with this vectorbase. `batch_size` decides
        memory, not results. Raises InputError if there is nobody, or a number is too small.
        """
        if k < 1:
            raise InputError(f"k={k}: at least 1 product must be asked for")
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}: must be at least 1")
        if not isinstance(reviews, Histories):
            reviews = read_histories(reviews, self.vectorbase)
        results: list[UserRecommendations] = []
        with progress(len(reviews), "recommending", "person", show_progress) as bar:
            for first in range(0, len(reviews), batch_size):
                part = reviews.part(first, min(first + batch_size, len(reviews)))
                results += self._recommend_batch(part, k, candidates)
                bar.advance(len(part))
        return results

    def _recommend_batch(
        self, histories: Histories, k: int, candidates: CandidateFilter
    ) -> list[UserRecommendations]:
        base = self.vectorbase
        batch = build_history_batch(histories, base, self.encode)
        outputs = self.backend.embed(batch.inputs)
        pointers = rows_to_pointers(batch.user, len(histories))
        product, rating = histories.catalogue_row[batch.review], batch.inputs["edge_rating"]
        situation = Situation(
            user_ptr=pointers,
            product=product,
            rating=rating,
            asked=np.full(len(histories), NOW),
            network=outputs.user_queries @ base.keys.T,
            # Rounding goes beyond 1.
            predicted_rating=predicted_rating(
                np.clip(outputs.user_embeddings @ base.embeddings.T, -1.0, 1.0)
            ),
            wishes=batch.wishes,
            links=batch.links,
        )
        scores = base.combiner.score(base.features, situation)
        results = []
        for user, edges in enumerate(starmap(slice, pairwise(pointers))):
            reviewed = product[edges][product[edges] != UNKNOWN]
            rows = best_rows(scores[user], base.index.removed, reviewed, candidates, k)
            known = bool(histories.is_known[user])
            one = situation.of_user(user)
            contributions = base.combiner.contributions(base.features, one, rows)
            weights, of_wish = reason_weights(base, one, contributions, rows)
            columns = (
                base.product_ids[rows],
                base.labels[rows],
                scores[user, rows].tolist(),
                situation.predicted_rating[user, rows].tolist(),
                [self._reasons(histories, batch.review[edges], column) for column in weights.T],
                [base.combiner.by_evidence(column) for column in contributions.T],
                self._matches(histories.wishes[user], one, of_wish, rows),
            )
            results.append(
                UserRecommendations(
                    user_id=histories.user_ids[user],
                    nickname=histories.nicknames[user],
                    recommendations=tuple(starmap(Recommendation, zip(*columns, strict=True))),
                    fallback=None if known else POPULAR,
                    explanation=None if known else self._explanation,
                    embedding=outputs.user_embeddings[user],
                    wish=histories.wishes[user],
                )
            )
        return results

    def _matches(
        self, wish: str, situation: Situation, shares: np.ndarray, rows: np.ndarray
    ) -> list[Match | None]:
        """For each product why it fits the wish of one user; `shares` are those of the wish."""
        if situation.wishes is None or not wish:
            return [None] * len(rows)
        base, words = self.vectorbase, situation.wishes.words
        said = {column: word for word, column in columns_of(wish).items()}
        matches: list[Match | None] = []
        for row, share in zip(rows.tolist(), shares.tolist(), strict=True):
            if share <= 0:
                matches.append(None)
                continue
            added = base.match_words.words_for(words, row)
            telling = np.flatnonzero(added > _TELLING * added.max(initial=0))
            telling = telling[np.argsort(-added[telling], kind="stable")]
            columns = words.indices[telling]
            told = [said[column] for column in columns.tolist() if column in said]
            quote = base.quotes.nearest(row, columns, base.match_words.idf[columns])
            matches.append(Match(share, tuple(told[: self.max_reasons]), quote))
        return matches

    @property
    def _explanation(self) -> str:
        """What decides where nothing is known, most first."""
        shares = self.vectorbase.combiner.decides(0)
        *others, last = [name for name, share in shares.items() if share > 0]
        evidences = f"{', '.join(others)} and {last}" if others else last
        return _EXPLANATIONS[POPULAR].format(evidences=evidences)

    def _reasons(
        self, histories: Histories, reviews: np.ndarray, weights: np.ndarray
    ) -> tuple[Reason, ...]:
        """The reviews, int64 [n], of the highest weights, float32 [n], descending; none without."""
        heaviest = np.argsort(-weights, kind="stable")[: self.max_reasons]
        reasons = []
        for position in heaviest[weights[heaviest] > 0]:
            review = reviews[position]
            row = histories.catalogue_row[review]
            rating, text = histories.rating[review], histories.texts[review]
            own_name = histories.product_names[review]
            if len(text) > _EXCERPT_CHARACTERS:
                text = text[: _EXCERPT_CHARACTERS - 1].rstrip() + "…"
            reasons.append(
                Reason(
                    review_id=histories.review_ids[review],
                    product_name=own_name if row == UNKNOWN else self.vectorbase.labels[row],
                    text=text,
                    weight=float(weights[position]),
                    rating=float(rating) if rating > 0 else None,  # neither 0 nor NaN
                    product_id="" if row == UNKNOWN else self.vectorbase.product_ids[row],
                )
            )
        return tuple(reasons)


def best_rows(
    scores: np.ndarray,
    removed: np.ndarray,
    reviewed: np.ndarray,
    candidates: CandidateFilter,
    k: int,
) -> np.ndarray:
    """The best products of one user, int64 [at most k]; of equals the lowest row comes first.

    `scores`: float32 [P]; `removed`: bool [P], not recommended to anybody; `reviewed`: int64, rows
    that the user knows.
    """
    open_to = ~removed
    if candidates.among is not None:
        open_to &= np.isin(np.arange(len(scores)), candidates.among)
    open_to[reviewed] = open_to[candidates.without] = False
    rows = np.flatnonzero(open_to)
    if len(rows) > k:
        # Everything that is not below the k-th best; ties there are cut by the stable sort.
        least = np.partition(scores[rows], len(rows) - k)[len(rows) - k]
        rows = rows[scores[rows] >= least]
    return rows[np.argsort(-scores[rows], kind="stable")[:k]]


def reason_weights(
    vectorbase: Vectorbase, situation: Situation, contributions: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How much each review of one user, and their wish, speak for each recommended product.

    A review speaks by what its product brings to the evidences that walk from product to product. A
    weight is a share in all that speaks for the product, what is popular included. A review of
    something that was not liked is no reason, whatever follows from it. `contributions`:
    float32 [K, m], of the features to the scores; `rows`: int64 [m]. Returns float32 [n, m] of the
    reviews and [m] of the wish, not negative; a product's sum to at most 1.
    """
    (weights,) = vectorbase.combiner.weights_of(vectorbase.features, situation)
    walks = np.array([isinstance(each, WalkFeature) for each in vectorbase.features])
    match = np.array([e.evidence == vectorbase.match.evidence for e in vectorbase.features])
    speaking = np.zeros((len(situation.product), len(rows)), dtype=np.float32)
    for weight, feature in zip(weights, vectorbase.features, strict=True):
        if weight > 0 and isinstance(feature, WalkFeature):
            speaking += weight * np.maximum(feature.contributions(situation, rows), 0)
    spoken = np.maximum(contributions, 0)
    # Reviews may cancel each other out in a walk.
    by_reviews = np.maximum(spoken[walks].sum(axis=0), speaking.sum(axis=0))
    total = spoken[~walks].sum(axis=0) + by_reviews
    disliked = (situation.rating > 0) & (situation.rating <= vectorbase.liked_above)
    speaking[disliked] = 0
    total = np.where(total > 0, total, 1)
    return speaking / total, spoken[match].sum(axis=0) / total

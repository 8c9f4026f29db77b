"""From what people wrote to what they may like, and why. Needs no PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, starmap
from typing import NamedTuple

import numpy as np
import pandas as pd

from rec_sys.foundation.console import progress
from rec_sys.foundation.errors import InputError
from rec_sys.graph.csr import rows_to_pointers
from rec_sys.graph.ego_batch import predicted_rating
from rec_sys.inference.backends import GraphBackend
from rec_sys.inference.histories import (
    UNKNOWN,
    Author,
    Encode,
    Histories,
    build_history_batch,
    read_histories,
)
from rec_sys.modules.product_graph import ProductGraph, PropagatedScores
from rec_sys.vector_database.index import NO_PRODUCT
from rec_sys.vector_database.vectorbase import Vectorbase

#: The most popular products stand in for a user of whom nothing is known.
POPULAR = "popular"
_EXPLANATIONS = {
    POPULAR: "no review has a text or is of a product of the catalogue, so these are the most"
    " popular products"
}
_EXCERPT_CHARACTERS = 160
DEFAULT_BATCH_SIZE = 256


@dataclass(frozen=True)
class Reason:
    """One of the user's own reviews.

    Attributes:
        review_id: Its id.
        product_name: Empty if the reviewed product has no name.
        text: The beginning of the review.
        weight: Its share in what speaks for the product, 0...1.
        rating: 1...5, or None. Also what was not liked says what is looked for.
    """

    review_id: str
    product_name: str
    text: str
    weight: float
    rating: float | None = None


@dataclass(frozen=True)
class Recommendation:
    """One product for one user.

    Attributes:
        product_id: Its id.
        name: Empty if it has none.
        score: What ranks: the higher, the more likely the user turns to it. Scores of two users
            cannot be compared.
        predicted_rating: How much the user would like it, 0...5.
        because: The reviews that weigh most, the heaviest first; empty for a fallback.
    """

    product_id: str
    name: str
    score: float
    predicted_rating: float
    because: tuple[Reason, ...]


@dataclass(frozen=True)
class UserRecommendations:
    """Everything for one user.

    Attributes:
        user_id: As it was given.
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


@dataclass(frozen=True)
class CandidateFilter:
    """Rows of a vectorbase that may be recommended.

    Attributes:
        among: int64, ascending and distinct, only these; None for all.
        without: int64, none of these.
    """

    among: np.ndarray | None = None
    without: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Those of some rows that may be recommended, in their order."""
        if self.among is not None:
            rows = rows[np.isin(rows, self.among)]
        return rows[~np.isin(rows, self.without)]


EVERYTHING = CandidateFilter()


class Recommender:
    """Recommends products of a vectorbase.

    Args:
        backend: Runs the graph model.
        vectorbase: The products, embedded by the same model.
        encode: Gives the vectors of distinct texts, float [n, D], by the encoder that the model
            was trained with.
        max_reasons: Reviews to name as the reasons of a recommendation, at most.

    Raises:
        InputError: The vectorbase was built from another model.
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
        """Recommends to every author of the reviews.

        What a user has reviewed is not recommended to them. A user of whom neither a text nor a
        product of the vectorbase is known gets the most popular products and is told so.

        Args:
            reviews: A table or authors, see `read_histories`; or histories that were read with
                this vectorbase.
            k: Products per user, at least 1.
            batch_size: Users at once; decides memory, not results.
            show_progress: Shows a progress bar.
            candidates: The products that may be recommended.

        Returns:
            One element per user, in the order in which they first occur.

        Raises:
            InputError: There is nobody, or a number is too small.
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
        batch = build_history_batch(histories, self.vectorbase, self.encode)
        outputs = self.backend.embed(batch.inputs)
        attention = outputs.attention.mean(axis=1)  # over the heads
        pointers = rows_to_pointers(batch.user, len(histories))
        product, rating = histories.catalogue_row[batch.review], batch.inputs["edge_rating"]
        graph = self.vectorbase.product_graph
        own = [slice(a, b) for a, b in pairwise(pointers)]
        reviewed = [product[edges][product[edges] != UNKNOWN] for edges in own]
        ranked = best_products(
            self.vectorbase,
            outputs.user_queries,
            graph.propagate(pointers, product, rating),
            [np.append(rows, candidates.without) for rows in reviewed],
            k,
            candidates.among,
        )
        results = []
        for user, (edges, (rows, scores)) in enumerate(zip(own, ranked, strict=True)):
            fallback = None
            if histories.has_text[user] or len(reviewed[user]):
                weights = reason_weights(
                    graph, product[edges], rating[edges], attention[edges], rows
                )
                because = [
                    self._reasons(histories, batch.review[edges], column) for column in weights.T
                ]
            else:
                fallback, rows = POPULAR, candidates.of(self.vectorbase.by_popularity)[:k]
                scores = self.vectorbase.keys[rows] @ outputs.user_queries[user]
                because = [()] * len(rows)
            embedding = outputs.user_embeddings[user]
            # Rounding goes beyond 1.
            cosines = np.clip(self.vectorbase.embeddings[rows] @ embedding, -1.0, 1.0)
            columns = (
                self.vectorbase.product_ids[rows],
                self.vectorbase.names[rows],
                scores.tolist(),
                predicted_rating(cosines).tolist(),
                because,
            )
            results.append(
                UserRecommendations(
                    user_id=histories.user_ids[user],
                    nickname=histories.nicknames[user],
                    recommendations=tuple(starmap(Recommendation, zip(*columns, strict=True))),
                    fallback=fallback,
                    explanation=_EXPLANATIONS.get(fallback),
                    embedding=embedding,
                )
            )
        return results

    def _reasons(
        self, histories: Histories, reviews: np.ndarray, weights: np.ndarray
    ) -> tuple[Reason, ...]:
        """The reviews that weigh most, the heaviest first; none that weighs nothing.

        Args:
            histories: Has the reviews.
            reviews: int64 [n], counted as in `Histories`.
            weights: float32 [n].
        """
        heaviest = np.argsort(-weights, kind="stable")[: self.max_reasons]
        reasons = []
        for position in heaviest[weights[heaviest] > 0]:
            review = reviews[position]
            row, rating = histories.catalogue_row[review], histories.rating[review]
            unknown, text = row == UNKNOWN, histories.texts[review]
            if len(text) > _EXCERPT_CHARACTERS:
                text = text[: _EXCERPT_CHARACTERS - 1].rstrip() + "…"
            reasons.append(
                Reason(
                    review_id=histories.review_ids[review],
                    product_name=(
                        histories.product_names[review] if unknown else self.vectorbase.names[row]
                    ),
                    text=text,
                    weight=float(weights[position]),
                    rating=float(rating) if rating > 0 else None,  # neither 0 nor NaN
                )
            )
        return tuple(reasons)


class Ranked(NamedTuple):
    """The best products of one user.

    Attributes:
        rows: int64 [m], the best first and of equals the lowest row; fewer than asked for if there
            are no more.
        scores: float32 [m], what is propagated plus the inner product of query and key.
    """

    rows: np.ndarray
    scores: np.ndarray


def best_products(
    vectorbase: Vectorbase,
    queries: np.ndarray,
    propagated: PropagatedScores,
    reviewed: Sequence[np.ndarray],
    k: int,
    among: np.ndarray | None = None,
) -> list[Ranked]:
    """Ranks all products for each of U users without computing all scores.

    Whatever the product graph says nothing about is ranked by the network alone: the index knows
    the k best of these. No other product than those and the ones that the graph reaches can be
    among the k best. With an index that is not exact, some of the former may be missed.

    Args:
        vectorbase: The products.
        queries: float32 [U, d + 1].
        propagated: From the users' reviews to products.
        reviewed: For each user the rows not to recommend, int64 of any length.
        k: Products per user, at least 1.
        among: int64, ascending and distinct: only these rows; by default all. Removed products
            are left out in any case.
    """
    removed = vectorbase.index.removed
    among = None if among is None else among[~removed[among]]
    pointers = rows_to_pointers(propagated.user, len(queries))
    reached = [propagated.product[a:b] for a, b in pairwise(pointers)]
    if among is None:
        not_searched = [np.union1d(*pair) for pair in zip(reached, reviewed, strict=True)]
        searched, _ = vectorbase.index.search(
            queries, min(k, len(vectorbase.index)), exclude=not_searched
        )
    ranked = []
    for user, query in enumerate(queries):
        new = ~np.isin(reached[user], reviewed[user]) & ~removed[reached[user]]
        if among is None:
            found = searched[user][searched[user] != NO_PRODUCT]
        else:  # a part of the products has no index of its own: all of them are scored
            new &= np.isin(reached[user], among)
            found = np.setdiff1d(among, reviewed[user])
        connected = reached[user][new]
        rows = np.union1d(found, connected)
        scores = vectorbase.keys[rows] @ query
        own = slice(pointers[user], pointers[user + 1])
        scores[np.searchsorted(rows, connected)] += propagated.score[own][new]
        best = np.argsort(-scores, kind="stable")[:k]  # rows ascend: the lowest of equals is first
        ranked.append(Ranked(rows[best], scores[best]))
    return ranked


def reason_weights(
    product_graph: ProductGraph,
    product: np.ndarray,
    rating: np.ndarray,
    attention: np.ndarray,
    targets: np.ndarray,
) -> np.ndarray:
    """How much each review of one user speaks for each of some products.

    Where the product graph speaks for a product, a review's weight is its share in what speaks
    for it; elsewhere it is the network's attention, the same for all products.

    Args:
        product_graph: Over the vectorbase's rows.
        product: int64 [n], the reviewed products, see `ProductGraph.propagate`.
        rating: float32 [n].
        attention: float32 [n], sums to 1.
        targets: int64 [m], the recommended products.

    Returns:
        float32 [n, m], not negative; columns sum to 1.
    """
    speaking_for = np.maximum(product_graph.contributions(product, rating, targets), 0)
    total = speaking_for.sum(axis=0)
    connected = total > 0
    shares = speaking_for / np.where(connected, total, 1)
    return np.where(connected, shares, attention[:, None])

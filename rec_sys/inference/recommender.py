"""From what people wrote to what they may like. Needs no PyTorch."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from rec_sys.foundation.errors import InputError
from rec_sys.graph.segments import rows_to_pointers
from rec_sys.inference.backend import GraphBackend
from rec_sys.inference.histories import UNKNOWN, Histories, read_histories
from rec_sys.inference.history_batch import Encode, HistoryBatch, build_history_batch
from rec_sys.inference.recommendation import (
    POPULAR,
    Reason,
    Recommendation,
    UserRecommendations,
)
from rec_sys.reviews.schema import MAX_RATING
from rec_sys.vector_database.product_index import NO_PRODUCT
from rec_sys.vector_database.vectorbase import Vectorbase

DEFAULT_BATCH_SIZE = 256
_EXPLANATIONS = {POPULAR: "none of the reviews has a text, so these are the most popular products"}
_EXCERPT_CHARACTERS = 160


def stars(cosine: np.ndarray) -> np.ndarray:
    """Predicted ratings 0...5, as the model was trained: ``5/2 * (cosine + 1)``.

    Args:
        cosine: float [...]; rounding beyond -1...1 is cut off.
    """
    return MAX_RATING / 2 * (np.clip(cosine, -1.0, 1.0) + 1.0)


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
        reviews: pd.DataFrame | Histories,
        k: int,
        batch_size: int = DEFAULT_BATCH_SIZE,
        show_progress: bool = False,
    ) -> list[UserRecommendations]:
        """Recommends to everybody who wrote one of the reviews.

        What a person has reviewed is not recommended to them. A person without any text gets
        the most popular products instead and is told so.

        Args:
            reviews: Table with the columns of `REVIEW_SCHEMA`, see `read_histories`; or
                histories that were read with this vectorbase.
            k: Products per person, at least 1.
            batch_size: People at once; decides memory, not results.
            show_progress: Shows a progress bar.

        Returns:
            One element per person, in the order in which they first occur.

        Raises:
            InputError: There is no review, or a number is too small.
        """
        if k < 1:
            raise InputError(f"k={k}: at least 1 product must be asked for")
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}: must be at least 1")
        if not isinstance(reviews, Histories):
            reviews = read_histories(reviews, self.vectorbase)
        results: list[UserRecommendations] = []
        with tqdm(
            total=len(reviews), desc="recommending", unit="person", disable=not show_progress
        ) as progress:
            for first in range(0, len(reviews), batch_size):
                last = min(first + batch_size, len(reviews))
                results += self._recommend_batch(reviews, first, last, k)
                progress.update(last - first)
        return [results[user] for user in reviews.order]

    def _recommend_batch(
        self, histories: Histories, first: int, last: int, k: int
    ) -> list[UserRecommendations]:
        batch = build_history_batch(histories, first, last, self.vectorbase, self.encode)
        outputs = self.backend.embed(batch.inputs)
        embeddings = outputs.user_embeddings
        reviewed = [
            _known(histories.catalogue_row[histories.user_ptr[u] : histories.user_ptr[u + 1]])
            for u in range(first, last)
        ]
        k = min(k, len(self.vectorbase.index))
        rows, cosines = self.vectorbase.index.search(embeddings, k, reviewed)
        reasons = self._reasons(histories, batch, outputs.attention, last - first)
        results = []
        for position, user in enumerate(range(first, last)):
            fallback = None if histories.has_text[user] else POPULAR
            chosen, scores, because = rows[position], cosines[position], reasons[position]
            if fallback:
                chosen = self._popular(k, reviewed[position])
                scores, because = self.vectorbase.embeddings[chosen] @ embeddings[position], ()
            results.append(
                UserRecommendations(
                    user_id=histories.user_ids[user],
                    nickname=histories.nicknames[user],
                    recommendations=self._recommendations(chosen, scores, because),
                    fallback=fallback,
                    explanation=_EXPLANATIONS.get(fallback),
                    embedding=embeddings[position],
                )
            )
        return results

    def _recommendations(
        self, rows: np.ndarray, scores: np.ndarray, because: tuple[Reason, ...]
    ) -> tuple[Recommendation, ...]:
        there = rows != NO_PRODUCT
        rows, scores = rows[there], scores[there].astype(np.float64)
        columns = (
            self.vectorbase.product_ids[rows],
            self.vectorbase.names[rows],
            scores.tolist(),
            stars(scores).tolist(),
        )
        return tuple(Recommendation(*each, because) for each in zip(*columns, strict=True))

    def _popular(self, k: int, reviewed: np.ndarray) -> np.ndarray:
        first = self.vectorbase.by_popularity[: k + len(reviewed)]
        return first[~np.isin(first, reviewed)][:k]

    def _reasons(
        self, histories: Histories, batch: HistoryBatch, attention: np.ndarray, num_users: int
    ) -> list[tuple[Reason, ...]]:
        """The reviews with the largest attention, averaged over the heads, of each user."""
        weights = attention.mean(axis=1)
        heaviest_first = np.lexsort((-weights, batch.user))
        pointers = rows_to_pointers(batch.user, num_users)
        review_ids = histories.reviews["review_id"]
        own_names = histories.products["name"]
        reasons = []
        for start, stop in zip(pointers[:-1], pointers[1:], strict=True):
            edges = heaviest_first[start:stop][: self.max_reasons]
            reasons.append(
                tuple(
                    Reason(
                        review_id=review_ids.iat[review],
                        product_name=(
                            own_names.iat[histories.product[review]]
                            if histories.catalogue_row[review] == UNKNOWN
                            else self.vectorbase.names[histories.catalogue_row[review]]
                        ),
                        text=_excerpt(histories.texts[review]),
                        weight=float(weight),
                    )
                    for review, weight in zip(batch.review[edges], weights[edges], strict=True)
                )
            )
        return reasons


def _known(rows: np.ndarray) -> np.ndarray:
    return rows[rows != UNKNOWN]


def _excerpt(text: str) -> str:
    if len(text) <= _EXCERPT_CHARACTERS:
        return text
    return text[: _EXCERPT_CHARACTERS - 1].rstrip() + "…"

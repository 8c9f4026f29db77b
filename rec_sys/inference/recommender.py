"""From what people wrote to what they may like. Needs no PyTorch."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from rec_sys.foundation.errors import InputError
from rec_sys.graph.segments import rows_to_pointers
from rec_sys.inference.backend import GraphBackend
from rec_sys.inference.choice import EVERYTHING, Choice
from rec_sys.inference.histories import UNKNOWN, Histories, read_histories
from rec_sys.inference.history_batch import Encode, HistoryBatch, build_history_batch
from rec_sys.inference.ranking import best_products
from rec_sys.inference.reasons import heaviest_reasons, reason_weights
from rec_sys.inference.recommendation import (
    POPULAR,
    Reason,
    Recommendation,
    UserRecommendations,
)
from rec_sys.reviews.schema import MAX_RATING
from rec_sys.vector_database.vectorbase import Vectorbase

DEFAULT_BATCH_SIZE = 256
_EXPLANATIONS = {
    POPULAR: "no review has a text or is of a product of the catalogue, so these are the most"
    " popular products"
}


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
        choice: Choice = EVERYTHING,
        encode: Encode | None = None,
    ) -> list[UserRecommendations]:
        """Recommends to everybody who wrote one of the reviews.

        What a person has reviewed is not recommended to them. A person of whom neither a text nor
        a product of the vectorbase is known gets the most popular products and is told so.

        Args:
            reviews: Table with the columns of `REVIEW_SCHEMA`, see `read_histories`; or
                histories that were read with this vectorbase.
            k: Products per person, at least 1.
            batch_size: People at once; decides memory, not results.
            show_progress: Shows a progress bar.
            choice: The products that may be recommended.
            encode: Used instead of the recommender's own; it may know some texts already.

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
                batch = build_history_batch(
                    reviews, first, last, self.vectorbase, encode or self.encode
                )
                results += self._recommend_batch(reviews, batch, first, last, k, choice)
                progress.update(last - first)
        return [results[user] for user in reviews.order]

    def _recommend_batch(
        self,
        histories: Histories,
        batch: HistoryBatch,
        first: int,
        last: int,
        k: int,
        choice: Choice,
    ) -> list[UserRecommendations]:
        outputs = self.backend.embed(batch.inputs)
        attention = outputs.attention.mean(axis=1)  # over the heads
        pointers = rows_to_pointers(batch.user, last - first)
        product, rating = histories.catalogue_row[batch.review], batch.inputs["edge_rating"]
        graph = self.vectorbase.product_graph
        carried = graph.carry(pointers, product, rating)
        own = [slice(a, b) for a, b in zip(pointers[:-1], pointers[1:], strict=True)]
        reviewed = [product[edges][product[edges] != UNKNOWN] for edges in own]
        ranked = best_products(
            self.vectorbase,
            outputs.user_queries,
            carried,
            [np.append(rows, choice.without) for rows in reviewed],
            k,
            choice.among,
        )
        results = []
        for position, user in enumerate(range(first, last)):
            edges, embedding = own[position], outputs.user_embeddings[position]
            if histories.has_text[user] or len(reviewed[position]):
                fallback, (rows, scores) = None, ranked[position]
                weights = reason_weights(
                    graph, product[edges], rating[edges], attention[edges], rows
                )
                because = [
                    heaviest_reasons(
                        histories, self.vectorbase, batch.review[edges], column, self.max_reasons
                    )
                    for column in weights.T
                ]
            else:
                fallback, rows = POPULAR, choice.of(self.vectorbase.by_popularity)[:k]
                scores = self.vectorbase.keys[rows] @ outputs.user_queries[position]
                because = [()] * len(rows)
            results.append(
                UserRecommendations(
                    user_id=histories.user_ids[user],
                    nickname=histories.nicknames[user],
                    recommendations=self._recommendations(rows, scores, embedding, because),
                    fallback=fallback,
                    explanation=_EXPLANATIONS.get(fallback),
                    embedding=embedding,
                )
            )
        return results

    def _recommendations(
        self,
        rows: np.ndarray,
        scores: np.ndarray,
        embedding: np.ndarray,
        because: list[tuple[Reason, ...]],
    ) -> tuple[Recommendation, ...]:
        columns = (
            self.vectorbase.product_ids[rows],
            self.vectorbase.names[rows],
            scores.tolist(),
            stars(self.vectorbase.embeddings[rows] @ embedding).tolist(),
            because,
        )
        return tuple(Recommendation(*each) for each in zip(*columns, strict=True))

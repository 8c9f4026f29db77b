"""The model's inputs for some of the people."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rec_sys.graph.ego_batch import EgoBatchBuilder
from rec_sys.graph.product_reviews import FixedReviews, ReviewSummary
from rec_sys.graph.review_graph import build_review_graph
from rec_sys.inference.histories import UNKNOWN, Histories
from rec_sys.reviews.schema import ReviewData
from rec_sys.vector_database.vectorbase import Vectorbase

#: Distinct texts, none of them empty -> float [n, D].
Encode = Callable[[Sequence[str]], np.ndarray]

# As in the vector store: what training saw is what the model sees now.
_VECTOR_DTYPE = np.float16


@dataclass(frozen=True)
class HistoryBatch:
    """U people of some histories as a graph.

    Attributes:
        inputs: The arrays that a `GraphBackend` takes.
        review: int64 [E], the review of each history edge, a row of ``Histories.reviews``.
        user: int64 [E], the user of each history edge, counted in the batch; ascending.
    """

    inputs: dict[str, np.ndarray]
    review: np.ndarray
    user: np.ndarray


def build_history_batch(
    histories: Histories, first: int, last: int, vectorbase: Vectorbase, encode: Encode
) -> HistoryBatch:
    """Builds the graph of the users ``first`` to ``last - 1`` with all their reviews as history.

    Args:
        histories: The people.
        first: First user.
        last: The user after the last one.
        vectorbase: Gives the vectors of the products it holds.
        encode: Gives the vectors of texts.
    """
    start, stop = histories.user_ptr[first], histories.user_ptr[last]
    product_rows = np.unique(histories.product[start:stop])
    data = ReviewData(
        histories.reviews.iloc[start:stop],
        histories.products.iloc[product_rows].reset_index(drop=True),
    )
    texts = _TextRows(encode, vectorbase.name_vectors.shape[1])
    graph = build_review_graph(data, texts.rows_of)

    # Reviews of known products tell their catalogue row; each product has one, or none.
    catalogue_row = np.full(len(product_rows), UNKNOWN)
    catalogue_row[graph.edge_product] = histories.catalogue_row[start:stop]
    known = catalogue_row != UNKNOWN
    rows = catalogue_row[known]
    vectors = np.concatenate(
        [texts.vectors, vectorbase.name_vectors[rows], vectorbase.info_vectors[rows]]
    )
    name_text, info_text = graph.product_name_text.copy(), graph.product_info_text.copy()
    name_text[known] = len(texts.vectors) + np.arange(len(rows))
    info_text[known] = len(texts.vectors) + len(rows) + np.arange(len(rows))
    graph = replace(graph, product_name_text=name_text, product_info_text=info_text)
    summary = ReviewSummary(
        *(np.zeros((len(product_rows), each.shape[1]), each.dtype) for each in vectorbase.reviews)
    )
    for own, all_of in zip(summary, vectorbase.reviews, strict=True):
        own[known] = all_of[rows]

    hidden = histories.says_nothing[start:stop]
    builder = EgoBatchBuilder(graph, vectors, FixedReviews(summary))
    batch = builder.build(np.arange(last - first), np.zeros_like(hidden), hidden)
    # Edges are in the order of the table: both are by user, oldest first.
    return HistoryBatch(batch.model_inputs(), start + np.flatnonzero(~hidden), batch.edge_index[1])


class _TextRows:
    """A vector store for a moment: row 0 is the empty text."""

    def __init__(self, encode: Encode, vector_dim: int) -> None:
        self._encode = encode
        self.vectors = np.zeros((1, vector_dim), dtype=_VECTOR_DTYPE)

    def rows_of(self, texts: Sequence[str]) -> np.ndarray:
        distinct = list(dict.fromkeys(text for text in texts if text))
        if distinct:
            encoded = np.asarray(self._encode(distinct)).astype(_VECTOR_DTYPE)
            self.vectors = np.concatenate([self.vectors, encoded])
        row_of = {"": 0} | {text: row for row, text in enumerate(distinct, start=1)}
        return np.fromiter((row_of[text] for text in texts), np.int64, len(texts))

"""The model's inputs for some of the people."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rec_sys.graph.brands import NO_BRAND
from rec_sys.graph.ego_batch import EgoBatchBuilder
from rec_sys.graph.product_reviews import FixedReviews, ReviewSummary
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.inference.histories import UNKNOWN, Histories
from rec_sys.vector_database.vectorbase import Vectorbase

#: Distinct texts, none of them empty -> float [n, D].
Encode = Callable[[Sequence[str]], np.ndarray]

#: As in the vector store: what training saw is what the model sees now.
VECTOR_DTYPE = np.float16


@dataclass(frozen=True)
class HistoryBatch:
    """U people of some histories as a graph.

    Attributes:
        inputs: The arrays that a `GraphBackend` takes.
        review: int64 [E], the review of each history edge, counted as in `Histories`.
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
    own = slice(start, stop)
    products, product = np.unique(histories.product[own], return_inverse=True)
    texts = _TextRows(encode, vectorbase.name_vectors.shape[1])
    rows = texts.rows_of(
        [
            *histories.texts[own],
            *histories.product_names[products],
            *histories.product_infos[products],
        ]
    )
    edge_text, name_text, info_text = np.split(rows, [len(product), len(product) + len(products)])
    # Reviews of known products tell their catalogue row; each product has one, or none.
    catalogue_row = np.full(len(products), UNKNOWN)
    catalogue_row[product] = histories.catalogue_row[own]
    known = catalogue_row != UNKNOWN
    rows = catalogue_row[known]
    vectors = np.concatenate(
        [texts.vectors, vectorbase.name_vectors[rows], vectorbase.info_vectors[rows]],
        dtype=np.float32,
    )
    name_text[known] = len(texts.vectors) + np.arange(len(rows))
    info_text[known] = len(texts.vectors) + len(rows) + np.arange(len(rows))
    graph = ReviewGraph(
        user_ids=histories.user_ids[first:last],
        product_ids=products,
        user_ptr=histories.user_ptr[first : last + 1] - start,
        edge_product=product,
        edge_text=edge_text,
        edge_rating=histories.rating[own],
        edge_time=histories.time[own],
        product_name_text=name_text,
        product_info_text=info_text,
        product_brand=np.full(len(products), NO_BRAND),
    )
    summary = ReviewSummary(
        *(np.zeros((len(products), each.shape[1]), each.dtype) for each in vectorbase.reviews)
    )
    for some, all_of in zip(summary, vectorbase.reviews, strict=True):
        some[known] = all_of[rows]

    hidden = histories.says_nothing[own]
    builder = EgoBatchBuilder(graph, vectors, FixedReviews(summary))
    batch = builder.build(np.arange(last - first), np.zeros_like(hidden), hidden)
    # Edges are in the order of the reviews: both are by user, oldest first.
    return HistoryBatch(batch.model_inputs(), start + np.flatnonzero(~hidden), batch.edge_index[1])


class _TextRows:
    """A vector store for a moment: row 0 is the empty text."""

    def __init__(self, encode: Encode, vector_dim: int) -> None:
        self._encode = encode
        self.vectors = np.zeros((1, vector_dim), dtype=VECTOR_DTYPE)

    def rows_of(self, texts: Sequence[str]) -> np.ndarray:
        distinct = list(dict.fromkeys(text for text in texts if text))
        if distinct:
            encoded = np.asarray(self._encode(distinct)).astype(VECTOR_DTYPE)
            self.vectors = np.concatenate([self.vectors, encoded])
        row_of = {"": 0} | {text: row for row, text in enumerate(distinct, start=1)}
        return np.fromiter((row_of[text] for text in texts), np.int64, len(texts))

"""From a source of reviews to a graph whose every text has a vector."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rec_sys.foundation.console import note
from rec_sys.foundation.processes import in_turn
from rec_sys.graph.review_graph import ReviewGraph, build_review_graph
from rec_sys.reviews.schema import ReviewData
from rec_sys.text.encode import encode_texts, open_empty_store, open_store
from rec_sys.text.encoder import TextEncoder
from rec_sys.text.vector_store import VectorStore


@dataclass(frozen=True)
class PreparedReviews:
    """A data set that is ready for the model.

    Attributes:
        data: The clean tables.
        graph: Their graph.
        encoder: The encoder of the texts.
        store: Holds a vector of every text.
        has_texts: Whether any review or product says anything; if not, nothing was asked of the
            encoder, not even its precision.
        newly_encoded: How many distinct texts had to be encoded just now.
    """

    data: ReviewData
    graph: ReviewGraph
    encoder: TextEncoder
    store: VectorStore
    newly_encoded: int
    has_texts: bool = True

    @property
    def vectors(self) -> np.ndarray:
        """The store's rows, float16 [N, dimension], memory-mapped."""
        return self.store.vectors


def prepare_reviews(
    data: ReviewData, encoder: TextEncoder, cache_dir: str | Path
) -> PreparedReviews:
    """Encodes the texts that are new and builds the graph.

    Args:
        data: Clean tables.
        encoder: Encodes what the store does not hold yet.
        cache_dir: The store is below it.
    """
    with in_turn(cache_dir):
        return _prepare_reviews(data, encoder, cache_dir)


def _prepare_reviews(
    data: ReviewData, encoder: TextEncoder, cache_dir: str | Path
) -> PreparedReviews:
    has_texts = _has_texts(data)
    if has_texts:
        store = open_store(cache_dir, encoder)
    else:
        store = open_empty_store(cache_dir, encoder.dimension)
    newly_encoded = 0

    def encode(texts: list[str]) -> np.ndarray:
        nonlocal newly_encoded
        encoded = encode_texts(texts, encoder, store)
        newly_encoded += encoded.newly_encoded
        return encoded.rows

    graph = build_review_graph(data, encode)
    encoded = f"{newly_encoded} texts newly encoded, the others were stored"
    note(
        f"graph: {graph.num_users} users, {graph.num_products} products, {graph.num_edges} reviews;"
        f" {encoded if has_texts else 'nobody says anything: no text to encode'}"
    )
    return PreparedReviews(data, graph, encoder, store, newly_encoded, has_texts)


def _has_texts(data: ReviewData) -> bool:
    columns = (data.reviews["text"], *(data.products[name] for name in ("name", "info", "style")))
    return any((column != "").any() for column in columns)

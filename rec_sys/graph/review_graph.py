"""The graph of all reviews as flat arrays, every text with a vector; sums by key of such arrays."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse

from rec_sys.foundation.console import note
from rec_sys.foundation.distributed import one_at_a_time
from rec_sys.reviews.schema import ReviewData, to_table
from rec_sys.reviews.tables import copies_of, seconds_of
from rec_sys.text.encoder import TextEncoder
from rec_sys.text.store import VectorStore, encode_texts, open_store
from rec_sys.text.words import words_by_row

# Vectors are added in blocks, so that their float32 copy stays small.
_VECTORS_AT_ONCE = 65_536
# So many NumPy widens in less time than PyTorch takes to import.
_FEW_VECTORS = 100_000


def rows_to_pointers(segment: np.ndarray, num_segments: int) -> np.ndarray:
    """CSR pointers, int64 [num_segments + 1], of a key, int [n], ascending: the rows of segment
    ``s`` are ``pointers[s]:pointers[s + 1]``."""
    return np.searchsorted(segment, np.arange(num_segments + 1)).astype(np.int64)


def segment_sum(values: np.ndarray, segment: np.ndarray, num_segments: int) -> np.ndarray:
    """Sums rows by segment, int [n] in any order: float [n, ...] -> [num_segments, ...], else 0."""
    result = np.zeros((num_segments, *values.shape[1:]), dtype=values.dtype)
    if not len(values):
        return result
    if (segment[1:] < segment[:-1]).any():
        order = np.argsort(segment, kind="stable")
        values, segment = values[order], segment[order]
    starts = np.flatnonzero(np.r_[True, segment[1:] != segment[:-1]])
    # reduceat over the non-empty runs only: an empty run would copy its neighbour.
    result[segment[starts]] = np.add.reduceat(values, starts, axis=0)
    return result


def read_vectors(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some rows, int64 [n], of the stored vectors, float [N, D]: float32 [n, D]."""
    chosen = vectors[rows]
    # As in serving, where there is no PyTorch, or not worth its import.
    if chosen.dtype == np.float32 or len(chosen) < _FEW_VECTORS:
        return chosen.astype(np.float32, copy=False)
    import torch  # widens many numbers at once, NumPy one after the other: six times the time

    return torch.from_numpy(chosen).float().numpy()


def vector_sums(vectors: np.ndarray, row: np.ndarray, segment: np.ndarray, size: int) -> np.ndarray:
    """Sums of stored vectors, float [N, D], perhaps memory-mapped, that share a key, int64 [n] in
    any order; `row`: int64 [n], those of the vectors. float32 [size, D], block by block."""
    sums = np.zeros((size, vectors.shape[1]), dtype=np.float32)
    # In the order of the segments, so that a block touches few of them.
    order = np.argsort(segment, kind="stable")
    for start in range(0, len(order), _VECTORS_AT_ONCE):
        block = order[start : start + _VECTORS_AT_ONCE]
        touched, local = np.unique(segment[block], return_inverse=True)
        sums[touched] += segment_sum(read_vectors(vectors, row[block]), local, len(touched))
    return sums


NO_BRAND = -1
# A brand of one product joins nothing.
_LEAST_PRODUCTS = 2
# Each is a column of numbers for all products; so many take less than half the room of the texts.
_MOST_BRANDS = 512


@dataclass(frozen=True)
class ReviewGraph:
    """A bipartite graph: an edge is a review, from the product to the user who wrote it.

    Edges are stored by user (CSR) and, inside a user, from the oldest to the newest. Texts are not
    here: ``*_text`` are rows of the vector store.

    Attributes:
        user_ids: str [U]; `product_ids`: str [P].
        user_ptr: int64 [U + 1]; the edges of user ``u`` are ``user_ptr[u]:user_ptr[u + 1]``.
        edge_product: int64 [E], index into `product_ids`.
        edge_text: int64 [E].
        edge_rating: float32 [E], 1...5, NaN if missing.
        edge_time: int64 [E], seconds since 1970 (UTC), `NO_TIME` if missing.
        product_name_text: int64 [P]; `product_info_text`, of the description, likewise.
        product_brand: int64 [P], equal for products of one brand, `NO_BRAND` if unknown.
        edge_copy: int64 [E], equal for copies of one review and only for them, see `copies_of`;
            None where no review repeats another.
    """

    user_ids: np.ndarray
    product_ids: np.ndarray
    user_ptr: np.ndarray
    edge_product: np.ndarray
    edge_text: np.ndarray
    edge_rating: np.ndarray
    edge_time: np.ndarray
    product_name_text: np.ndarray
    product_info_text: np.ndarray
    product_brand: np.ndarray
    edge_copy: np.ndarray | None = None

    @property
    def num_users(self) -> int:
        return len(self.user_ids)

    @property
    def num_products(self) -> int:
        return len(self.product_ids)

    @property
    def num_edges(self) -> int:
        return len(self.edge_product)

    @property
    def degrees(self) -> np.ndarray:
        """Number of reviews per user, int64 [U]."""
        return np.diff(self.user_ptr)

    @property
    def edge_user(self) -> np.ndarray:
        """Index of the user of each edge, int64 [E]."""
        return np.repeat(np.arange(self.num_users), self.degrees)

    def edges_of(self, users: np.ndarray) -> np.ndarray:
        """All edges of some users, user after user, oldest first; int64."""
        lengths = self.degrees[users]
        starts = np.cumsum(lengths) - lengths
        return np.arange(lengths.sum()) + np.repeat(self.user_ptr[users] - starts, lengths)

    @property
    def steps_back(self) -> np.ndarray:
        """How many reviews the same user wrote later, int64 [E]; 0 is the newest."""
        return np.repeat(self.user_ptr[1:], self.degrees) - 1 - np.arange(self.num_edges)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the reviews in their order, whatever users and products are called."""
        digest = hashlib.sha256()
        for name in (each.name for each in fields(self) if not each.name.endswith("_ids")):
            if (array := getattr(self, name)) is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    @property
    def first_copy(self) -> np.ndarray:
        """The oldest edge of the copies that each edge is one of, int64 [E]; mostly itself."""
        if self.edge_copy is None:
            return np.arange(self.num_edges)
        _, first, number = np.unique(self.edge_copy, return_index=True, return_inverse=True)
        return first[number]

    def histories(
        self, users: np.ndarray, shown: np.ndarray | None = None, newest: int | None = None
    ) -> "ReviewGraph":
        """The reviews of some users, int64 [n], as a graph of them and all products: of the edges
        that may be seen, bool [E], only so many of the `newest` of each user; None for all."""
        kept, user = self.edges_of(users), np.repeat(np.arange(len(users)), self.degrees[users])
        if shown is not None:
            kept, user = kept[shown[kept]], user[shown[kept]]
        pointers = rows_to_pointers(user, len(users))
        found = replace(self.in_order(kept), user_ids=self.user_ids[users], user_ptr=pointers)
        if newest is None:
            return found
        return found.histories(np.arange(len(users)), found.steps_back < newest)

    def in_order(self, edges: np.ndarray) -> "ReviewGraph":
        """The graph with these edges, int64, in this order; `user_ptr` stays."""
        names = ["edge_product", "edge_text", "edge_rating", "edge_time"]
        names += [] if self.edge_copy is None else ["edge_copy"]
        return replace(self, **{name: getattr(self, name)[edges] for name in names})

    def edge_mask(self, edges: np.ndarray) -> np.ndarray:
        """Edges, int [n], as a mask, bool [E]."""
        mask = np.zeros(self.num_edges, dtype=bool)
        mask[edges] = True
        return mask


def build_review_graph(
    data: ReviewData, encode: Callable[[Sequence[str]], np.ndarray]
) -> ReviewGraph:
    """Builds the graph of a data set; ValueError if it was not cleaned. `encode` is given all
    texts, those of the edges first, and returns their rows in the vector store, int64."""
    table = to_table(data.reviews)
    user_of_row, user_ids = pd.factorize(data.reviews["user_id"], sort=True)
    time = seconds_of(table["timestamp"])
    order = np.lexsort((time, user_of_row))  # stable: ties keep the order of the table
    product_ids = data.products["product_id"].to_numpy(dtype=object)
    product_of_row = pd.Index(product_ids).get_indexer(data.reviews["product_id"])
    if (product_of_row < 0).any():
        raise ValueError("a review's product is missing from the product table")
    user, product = user_of_row[order], product_of_row[order].astype(np.int64)
    pairs = user.astype(np.int64) * len(product_ids) + product
    if len(np.unique(pairs)) != len(pairs):
        raise ValueError("a user has several reviews of one product; clean the reviews first")

    texts = data.reviews["text"].to_numpy(dtype=object)[order]
    names, infos = product_texts(data.products)
    rows = encode([*texts, *names, *infos])
    edge_text, name_text, info_text = np.split(rows, [len(texts), len(texts) + len(names)])
    return ReviewGraph(
        user_ids=np.asarray(user_ids, dtype=object),
        product_ids=product_ids,
        user_ptr=rows_to_pointers(user, len(user_ids)),
        edge_product=product,
        edge_text=edge_text,
        edge_rating=data.reviews["rating"].to_numpy(dtype=np.float32, na_value=np.nan)[order],
        edge_time=time[order],
        product_name_text=name_text,
        product_info_text=info_text,
        product_brand=brand_codes(data.products["brand"]),
        edge_copy=copies_of(table, of_one_user=False)[order],
    )


def brand_codes(brands: pd.Series) -> np.ndarray:
    """A number for each brand in any case, int64 [P], ascending with the names; or `NO_BRAND`."""
    names = brands.astype(object).str.casefold()
    return pd.factorize(names.where(names != ""), sort=True)[0].astype(np.int64)


def brand_columns(brand: np.ndarray) -> np.ndarray:
    """Indicators of brands, see `brand_codes`, float32 [P, B]: of those with several products, at
    most the most frequent ones; of equally frequent ones those with lower numbers."""
    brands, counts = np.unique(brand[brand != NO_BRAND], return_counts=True)
    frequent = np.argsort(-counts, kind="stable")[:_MOST_BRANDS]
    kept = np.sort(brands[frequent[counts[frequent] >= _LEAST_PRODUCTS]])
    return (brand[:, None] == kept).astype(np.float32)


def product_texts(products: pd.DataFrame) -> tuple[list[str], list[str]]:
    """What is encoded of a product: its name, and its style followed by its description."""
    infos = map(product_info_text, products["style"], products["info"])
    return products["name"].to_list(), list(infos)


def product_info_text(style: str, info: str) -> str:
    """What is encoded of a product beside its name."""
    return ". ".join(part for part in (style, info) if part)


@dataclass(frozen=True)
class PreparedReviews:
    """A data set that is ready for the model; the store holds a vector of every text. `edge_texts`:
    str [E]; `words`: float32 [N, W], of the store's texts, none in rows of other data sets;
    `newly_encoded`: distinct texts. Without `has_texts` the encoder was not measured, either."""

    data: ReviewData
    graph: ReviewGraph
    encoder: TextEncoder
    store: VectorStore
    edge_texts: np.ndarray
    words: scipy.sparse.csr_array
    newly_encoded: int
    has_texts: bool = True

    @property
    def vectors(self) -> np.ndarray:
        """The store's rows, float16 [N, dimension], memory-mapped."""
        return self.store.vectors


def prepare_reviews(data: ReviewData, encoder: TextEncoder, cache: str | Path) -> PreparedReviews:
    """Encodes the texts that are new to the store below the folder `cache` and builds the graph."""
    columns = (data.reviews["text"], *(data.products[name] for name in ("name", "info", "style")))
    has_texts = any((column != "").any() for column in columns)
    with one_at_a_time(cache):
        store = open_store(cache, encoder, has_texts)
        said: Sequence[str]
        rows: np.ndarray
        newly_encoded: int

        def encode(texts: Sequence[str]) -> np.ndarray:
            nonlocal said, rows, newly_encoded
            said, (rows, newly_encoded) = texts, encode_texts(texts, encoder, store)
            return rows

        graph = build_review_graph(data, encode)
    sizes = f"{graph.num_users} users, {graph.num_products} products, {graph.num_edges} reviews"
    how_many = f"{newly_encoded} of {len(set(filter(None, said)))} texts newly encoded"
    note(f"graph: {sizes}; {how_many if has_texts else 'nobody says anything: no text to encode'}")
    texts = np.array(said[: graph.num_edges], dtype=object)
    words = words_by_row(said, rows, len(store.vectors))
    return PreparedReviews(data, graph, encoder, store, texts, words, newly_encoded, has_texts)

"""Products of a vectorbase come and go without a new build."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse

from rec_sys.foundation.errors import InputError
from rec_sys.graph.ego_batch import ReviewSummary
from rec_sys.graph.review_graph import product_texts
from rec_sys.modules.product_graph import ProductGraph
from rec_sys.reviews.schema import PRODUCT_SCHEMA
from rec_sys.vector_database.product_index import DEFAULT_CHUNK_SIZE, ProductIndex
from rec_sys.vector_database.recall import measured
from rec_sys.vector_database.vectorbase import (
    UPDATED,
    VECTORBASE_SCHEMA,
    Vectorbase,
    read_vectorbase,
    write_vectorbase,
)

# What has a row for each product.
_ARRAYS = ("name_vectors", "info_vectors", "embeddings", "keys")


@dataclass(frozen=True)
class ProductRows:
    """n products that are to be rows, see `Vectorbase`.

    Attributes:
        products: Columns of `VECTORBASE_SCHEMA`.
        name_vectors: float16 [n, D].
        info_vectors: float16 [n, D].
        reviews: Of these products.
        embeddings: float32 [n, d].
        keys: float32 [n, d + 1].
    """

    products: pd.DataFrame
    name_vectors: np.ndarray
    info_vectors: np.ndarray
    reviews: ReviewSummary
    embeddings: np.ndarray
    keys: np.ndarray


def with_rows(vectorbase: Vectorbase, new: ProductRows, chunk_size: int) -> Vectorbase:
    """Adds rows behind the others, without edges in the product graph.

    Args:
        vectorbase: Its index is changed, too.
        new: The rows.
        chunk_size: Products indexed at once.
    """
    vectorbase.index.add(new.keys, chunk_size)
    arrays = {
        name: np.concatenate([getattr(vectorbase, name), getattr(new, name)]) for name in _ARRAYS
    }
    pairs = zip(vectorbase.reviews, new.reviews, strict=True)
    graph = vectorbase.product_graph
    pointers = np.append(graph.pointers, np.full(len(new.keys), graph.pointers[-1]))
    return replace(
        vectorbase,
        products=_frame(pa.concat_tables([_table(vectorbase.products), _table(new.products)])),
        reviews=ReviewSummary(*(np.concatenate(pair) for pair in pairs)),
        product_graph=replace(graph, pointers=pointers),
        **arrays,
    )


def without_rows(vectorbase: Vectorbase, rows: np.ndarray) -> Vectorbase:
    """Sees to it that nothing finds some rows any more.

    Args:
        vectorbase: Its index is changed, too.
        rows: int64 [n].
    """
    vectorbase.index.remove(rows)
    # A new object: the one at hand may have looked up products before.
    return replace(vectorbase)


def with_table(vectorbase: Vectorbase, products: pd.DataFrame, rows: np.ndarray) -> Vectorbase:
    """Says anew what is known about some products.

    Args:
        vectorbase: All others keep their line.
        products: n products, columns of `VECTORBASE_SCHEMA`.
        rows: int64 [n], where they stand.
    """
    source = np.arange(len(vectorbase.products))
    source[rows] = len(source) + np.arange(len(rows))
    both = pa.concat_tables([_table(vectorbase.products), _table(products)])
    return replace(vectorbase, products=_frame(both.take(pa.array(source))))


def without_unused(vectorbase: Vectorbase, chunk_size: int) -> Vectorbase:
    """Lets the others move up where products were removed.

    Args:
        vectorbase: Its index is exact: a new one is no more than a copy of the keys.
        chunk_size: Products indexed at once.
    """
    kept = np.flatnonzero(~vectorbase.index.removed)
    rows = np.full(len(vectorbase.keys), -1)
    rows[kept] = np.arange(len(kept))
    arrays = {name: getattr(vectorbase, name)[kept] for name in _ARRAYS}
    return replace(
        vectorbase,
        products=vectorbase.products.take(kept),
        reviews=ReviewSummary(*(each[kept] for each in vectorbase.reviews)),
        product_graph=moved_to(vectorbase.product_graph, rows, len(kept)),
        index=ProductIndex.build(
            arrays["keys"],
            vectorbase.index.factory,
            chunk_size,
            vectorbase.index.search_parameters,
        ),
        **arrays,
    )


def moved_to(graph: ProductGraph, rows: np.ndarray, num_rows: int) -> ProductGraph:
    """The same edges between other rows.

    Args:
        graph: Between P products.
        rows: int64 [P], distinct: where each of them stands, below 0 if nowhere any more.
        num_rows: How many rows there are.
    """
    source, target = np.repeat(rows, np.diff(graph.pointers)), rows[graph.neighbours]
    there = (source >= 0) & (target >= 0)
    matrix = scipy.sparse.csr_array(
        (graph.weights[there], (source[there], target[there])), shape=(num_rows, num_rows)
    )
    return ProductGraph.of(matrix, graph.history_decay, graph.disliked_weight, graph.liked_above)


def _table(products: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(products, schema=VECTORBASE_SCHEMA, preserve_index=False)


def _frame(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas(types_mapper=pd.ArrowDtype)


#: Distinct texts, none of them empty -> float [n, D].
Encode = Callable[[Sequence[str]], np.ndarray]
#: Name vectors and info vectors, float16 [n, D], and reviews of n products -> their embeddings
#: float32 [n, d] and keys float32 [n, d + 1].
Embed = Callable[[np.ndarray, np.ndarray, ReviewSummary], tuple[np.ndarray, np.ndarray]]

# A message names so many products at most.
_NAMED = 3


def add_products(
    folder: str | Path,
    products: pd.DataFrame,
    encode: Encode,
    embed: Embed,
    model_fingerprint: str,
    encoder_fingerprint: str,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
) -> Vectorbase:
    """Adds products that nobody has reviewed yet.

    Args:
        folder: A vectorbase.
        products: Columns of `PRODUCT_SCHEMA`, see `rec_sys.reviews.reading.read_products`.
        encode: The text encoder.
        embed: The model, for instance ``partial(embed_products, model)``.
        model_fingerprint: Of the model.
        encoder_fingerprint: Model fingerprint of the encoder.
        chunk_size: Products encoded and embedded at once.

    Returns:
        The vectorbase as it stands in the folder now; the new products are its last rows.

    Raises:
        InputError: A product is there already, the model or the encoder is another one than the
            vectorbase's, or the index would miss too much.
    """
    vectorbase = read_vectorbase(folder, model_fingerprint, encoder_fingerprint)
    ids = products["product_id"].to_numpy(dtype=object)
    _require_new(vectorbase, ids)
    names, infos = product_texts(products)
    parts = []
    for start in range(0, len(products), chunk_size):
        chunk = slice(start, start + chunk_size)
        vectors = (
            _encode(names[chunk], encode, vectorbase),
            _encode(infos[chunk], encode, vectorbase),
        )
        number = len(vectors[0])
        unknown = ReviewSummary(
            *(np.zeros((number, each.shape[1]), each.dtype) for each in vectorbase.reviews)
        )
        parts.append((*vectors, *unknown, *embed(*vectors, unknown)))
    if not parts:
        return vectorbase
    name_vectors, info_vectors, texts, ratings, embeddings, keys = (
        np.concatenate(each) for each in zip(*parts, strict=True)
    )
    new = ProductRows(
        _unreviewed(products, int(vectorbase.products["popularity_rank"].max())),
        name_vectors,
        info_vectors,
        ReviewSummary(texts, ratings),
        embeddings,
        keys,
    )
    return write_updated(with_rows(vectorbase, new, chunk_size))


def remove_products(folder: str | Path, product_ids: Sequence[str]) -> Vectorbase:
    """Removes products: they are neither recommended nor found by id, name or words any more.

    What a person wrote about one counts further on like a review of a product that the shop does
    not have. The folder does not become smaller before the next create_vectorbase.

    Args:
        folder: A vectorbase.
        product_ids: Of the products; repetitions are welcome.

    Returns:
        The vectorbase as it stands in the folder now; all rows are what they were.

    Raises:
        InputError: There is no such product, none would be left, or the index cannot do it.
    """
    vectorbase = read_vectorbase(folder)
    ids = np.array(list(dict.fromkeys(product_ids)), dtype=object)
    rows = vectorbase.rows_of(ids)
    if (rows < 0).any():
        raise InputError(
            f"product_ids: {folder} has no product {_list(ids[rows < 0])}; leave out what is not"
            " there"
        )
    if len(rows) == vectorbase.num_products:
        raise InputError(f"product_ids: {folder} would be left without any product; keep one")
    if not len(rows):
        return vectorbase
    return write_updated(without_rows(vectorbase, rows))


def write_updated(vectorbase: Vectorbase) -> Vectorbase:
    """Writes a vectorbase whose products have changed, if its index still finds enough.

    Args:
        vectorbase: The vectorbase.

    Returns:
        What stands in its folder now.

    Raises:
        InputError: The index misses too much.
    """
    least = vectorbase.manifest.get("min_recall", 0.0)
    facts = {UPDATED: datetime.now(UTC).isoformat(timespec="seconds")}
    # An index of an older version was built without queries to measure it by.
    if vectorbase.index.is_exact or len(vectorbase.queries):
        facts |= measured(vectorbase.index, vectorbase.keys, vectorbase.queries, least).facts
    return write_vectorbase(replace(vectorbase, manifest=vectorbase.manifest | facts))


def _require_new(vectorbase: Vectorbase, ids: np.ndarray) -> None:
    repeated = pd.Series(ids, dtype=object).duplicated().to_numpy()
    if repeated.any():
        raise InputError(f"product_id: {_list(ids[repeated])} occurs more than once; keep one row")
    there = vectorbase.rows_of(ids) >= 0
    if there.any():
        raise InputError(
            f"product_id: {vectorbase.folder} has {_list(ids[there])} already; leave them out, or"
            " remove them first"
        )


def _encode(texts: list[str], encode: Encode, vectorbase: Vectorbase) -> np.ndarray:
    """As in the vector store: an empty text is the zero vector."""
    vectors = np.zeros((len(texts), vectorbase.name_vectors.shape[1]), np.float16)
    distinct = list(dict.fromkeys(text for text in texts if text))
    if distinct:
        row_of = {text: row for row, text in enumerate(distinct)}
        said = np.flatnonzero([text != "" for text in texts])
        vectors[said] = np.asarray(encode(distinct))[[row_of[texts[row]] for row in said]]
    return vectors


def _unreviewed(products: pd.DataFrame, last: int) -> pd.DataFrame:
    """With the statistics of products that nobody knows, behind the `last` in popularity."""
    table = pa.Table.from_pandas(products, schema=PRODUCT_SCHEMA, preserve_index=False)
    number = len(products)
    columns = (
        np.zeros(number, np.int64),
        pa.nulls(number, pa.float32()),
        last + np.arange(1, number + 1),
    )
    for field, column in zip(list(VECTORBASE_SCHEMA)[len(PRODUCT_SCHEMA) :], columns, strict=True):
        table = table.append_column(field, pa.array(column, field.type))
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def _list(ids: np.ndarray) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(map(str, ids[:_NAMED])) + more

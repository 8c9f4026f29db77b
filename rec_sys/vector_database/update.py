"""Products come and go without a new build.

Both functions read a vectorbase, change it and write it as a whole in the place of the old one. A
bundle has a copy of its own: make it again afterwards.

What a new product means to others, its edges in the product graph, is only known after the next
create_vectorbase or update_vectorbase, which see the reviews. Until then it is ranked by its key
alone, and comes last by popularity.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from rec_sys.foundation.errors import InputError
from rec_sys.graph.product_reviews import ReviewSummary
from rec_sys.graph.review_graph import product_texts
from rec_sys.reviews.schema import PRODUCT_SCHEMA
from rec_sys.vector_database.index_settings import DEFAULT_CHUNK_SIZE
from rec_sys.vector_database.product_rows import ProductRows, with_rows, without_rows
from rec_sys.vector_database.product_statistics import VECTORBASE_SCHEMA
from rec_sys.vector_database.recall import measured
from rec_sys.vector_database.vectorbase import Vectorbase
from rec_sys.vector_database.vectorbase_folder import UPDATED, read_vectorbase, write_vectorbase

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
        products: Columns of `PRODUCT_SCHEMA`, see `rec_sys.reviews.metadata.read_products`.
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

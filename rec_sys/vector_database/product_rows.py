"""Rows of a vectorbase that come and go; the others keep their numbers."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse

from rec_sys.graph.product_graph import ProductGraph
from rec_sys.graph.product_reviews import ReviewSummary
from rec_sys.vector_database.product_index import ProductIndex
from rec_sys.vector_database.product_statistics import VECTORBASE_SCHEMA
from rec_sys.vector_database.vectorbase import Vectorbase

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

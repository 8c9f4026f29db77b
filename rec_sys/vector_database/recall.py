"""How many of the best products an index finds that does not look at all of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.vector_database.product_index import DEFAULT_CHUNK_SIZE, IndexSettings, ProductIndex

#: Recall is measured among so many.
RECALL_AT = 10
#: So many people's queries are enough: the measured share is then right to about half a percent.
MEASURED_QUERIES = 500
# Two products count as equally good if rounding alone could tell their scores apart.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class MeasuredIndex:
    """An index that has been found good enough.

    Attributes:
        index: The index.
        queries: float32 [n, d], by which it was measured; none if it is exact.
        recall: Share of the `RECALL_AT` best products that it finds.
        min_recall: The least that would have done.
    """

    index: ProductIndex
    queries: np.ndarray
    recall: float
    min_recall: float

    @property
    def facts(self) -> dict[str, float]:
        """What the manifest of a vectorbase tells about it."""
        return {"recall_at_10": self.recall, "min_recall": self.min_recall}


def build_measured(
    keys: np.ndarray, settings: IndexSettings, queries: Callable[[], np.ndarray]
) -> MeasuredIndex:
    """Builds an index and measures it unless it is exact.

    Args:
        keys: float32 [P, d], at least one; may be memory-mapped.
        settings: How to build it.
        queries: Gives those of some people, float32 [n, d]; not asked for an exact index.

    Raises:
        InputError: It cannot be built so, or misses too much.
    """
    index = ProductIndex.build(
        keys,
        settings.factory_for(len(keys)),
        settings.chunk_size,
        settings.search,
        settings.train_on,
    )
    asked = keys[:0] if index.is_exact else queries()
    return measured(index, keys, asked, settings.min_recall, settings.chunk_size)


def measured(
    index: ProductIndex,
    keys: np.ndarray,
    queries: np.ndarray,
    min_recall: float,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
) -> MeasuredIndex:
    """Measures an index unless it is exact.

    Args:
        index: Over the keys.
        keys: float32 [P, d].
        queries: float32 [n, d].
        min_recall: The least that will do, 0...1.
        chunk_size: Keys compared at once.

    Raises:
        InputError: It misses too much, or there is nothing to measure it by.
    """
    if index.is_exact:
        return MeasuredIndex(index, queries[:0], 1.0, min_recall)
    if not len(queries):
        raise InputError(
            f"vector_db.factory={index.factory}: nobody's queries are known by which to measure"
            " what it misses; use vector_db.factory=Flat"
        )
    recall = measure_recall(index, keys, queries, chunk_size)
    require_recall(recall, min_recall, index.factory)
    return MeasuredIndex(index, queries, recall, min_recall)


def measure_recall(
    index: ProductIndex,
    keys: np.ndarray,
    queries: np.ndarray,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
) -> float:
    """The mean share of the `RECALL_AT` best products that an index finds.

    Of products that are equally good any counts.

    Args:
        index: Over the keys.
        keys: float32 [P, d]; may be memory-mapped. Removed rows do not count.
        queries: float32 [n, d], at least one.
        chunk_size: Keys compared at once.
    """
    k = min(RECALL_AT, index.num_products)
    if not k:
        return 1.0
    worst = _best_scores(keys, ~index.removed, queries, k, chunk_size)[:, -1:]
    rows, _ = index.search(queries, k)
    # Taken from the keys: an index may know its own scores only roughly.
    scores = np.einsum("nd,nkd->nk", queries, keys[rows])
    scale = np.maximum(np.abs(worst), np.linalg.norm(queries, axis=1, keepdims=True))
    good = (rows >= 0) & (scores >= worst - _ROUNDING * scale)
    return float(good.mean())


def require_recall(recall: float, least: float, factory: str) -> None:
    """Refuses an index that misses too much.

    Args:
        recall: What was measured.
        least: The lowest that will do.
        factory: Of the index.

    Raises:
        InputError: Tells the ways out.
    """
    if recall < least:
        raise InputError(
            f"vector_db.factory={factory}: finds {recall:.3f} of the {RECALL_AT} best products"
            f" (recall@{RECALL_AT}), less than vector_db.min_recall={least}; raise"
            " vector_db.search.nprobe (IVF) or vector_db.search.efSearch (HNSW), or search exactly"
            " with vector_db.factory=Flat, or be content with a lower vector_db.min_recall"
        )


def _best_scores(
    keys: np.ndarray, wanted: np.ndarray, queries: np.ndarray, k: int, chunk_size: int
) -> np.ndarray:
    """The k highest inner products of each query, float32 [n, k], the highest first."""
    best = np.full((len(queries), k), -np.inf, dtype=np.float32)
    for start in range(0, len(keys), chunk_size):
        chunk = slice(start, start + chunk_size)
        scores = np.where(wanted[chunk], queries @ keys[chunk].T, -np.inf)
        # Sorted in the end only; what matters until then is which k.
        best = -np.partition(-np.hstack([best, scores]), k - 1, axis=1)[:, :k]
    return -np.sort(-best, axis=1)

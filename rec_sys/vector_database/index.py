"""The FAISS index over the products' keys, the products that it leaves out, and what it misses. The
recommender scores every product by all evidences; of the index it uses which products are left out.
The search is for programs that ask the vectorbase with a user's query of the network."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import faiss
import numpy as np
from safetensors.numpy import load_file, save_file

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import Count, Positive, PositiveCount, Share, settings_of
from rec_sys.modules.full_catalogue import DEFAULT_CHUNK_SIZE

#: Exact search; the one factory string that needs no measuring.
FLAT = "Flat"
#: The factory string that leaves the choice to the number of products.
AUTO = "auto"


@settings_of("vector_db")
class IndexSettings:
    """How products are indexed; the values of ``config/vector_db``, which explains them."""

    factory: str = FLAT
    exact_up_to: Count = 0
    large_factory: str = FLAT
    search: dict[str, Positive] = field(default_factory=dict)
    min_recall: Share = 0.0
    chunk_size: PositiveCount = DEFAULT_CHUNK_SIZE
    train_on: PositiveCount = 100_000
    quotes: Count = 0

    def factory_for(self, num_products: int) -> str:
        if self.factory != AUTO:
            return self.factory.strip()
        return FLAT if num_products <= self.exact_up_to else self.large_factory

    def fits(self, index: "ProductIndex") -> bool:
        applied = index.search_parameters
        wanted = {name: self.search.get(name) for name in applied}
        return index.factory == self.factory_for(index.num_products) and wanted == applied


#: Row of "no product", FAISS's: where search finds fewer than were asked for.
NO_PRODUCT = -1

INDEX_FILE = "index.faiss"
#: What FAISS does not keep: removed rows, and how keys were brought to one length.
ROWS_FILE = "index_rows.safetensors"

# Which products an index learns from is drawn with this seed: equal keys give an equal index.
_SEED = 0


class ProductIndex:
    """A FAISS index over the products' keys; the inner product with a query ranks. Row i is the
    i-th product that was added; a removed one keeps its row, but is never found. `mips_to_l2`: how
    keys were changed; `removed`: bool [P]; for `search` see `set_parameters`."""

    def __init__(
        self,
        index: faiss.Index,
        mips_to_l2: "MipsToL2 | None",
        removed: np.ndarray,
        factory: str,
        search: Mapping[str, float],
    ) -> None:
        self._index, self._mips_to_l2, self.factory = index, mips_to_l2, factory
        self.search_parameters = set_parameters(index, search)
        self.leave_out(removed)

    @classmethod
    def build(cls, keys: np.ndarray, settings: IndexSettings) -> "ProductIndex":
        """Indexes products by keys float32 [P > 0, d], which may be memory-mapped. InputError if
        FAISS does not know factory or search parameter, or needs more products."""
        factory, mips_to_l2, width = settings.factory_for(len(keys)), None, keys.shape[1]
        if factory != FLAT:
            # One longer, by what fills up a key's length; product quantizers cut it equally.
            parts = math.lcm(*filter(None, map(int, re.findall(r"PQ(\d+)", factory))))
            width = -(-(width + 1) // parts) * parts
            mips_to_l2 = MipsToL2.of(keys, settings.chunk_size, width)
        try:
            index = faiss.index_factory(width, factory, faiss.METRIC_INNER_PRODUCT)
            if not index.is_trained:
                rng, most = np.random.default_rng(_SEED), min(len(keys), settings.train_on)
                sample = keys[np.sort(rng.choice(len(keys), most, replace=False))]
                index.train(_prepared(sample, mips_to_l2))
            built = cls(index, mips_to_l2, np.zeros(0, dtype=bool), factory, settings.search)
            built.add(keys, settings.chunk_size)
        except RuntimeError as error:
            # FAISS says where in its sources it gave up, and then why.
            reason = str(error).strip().splitlines()[-1].rpartition(".cpp:")[2]
            why = f"FAISS cannot build it for {len(keys)} products ({reason})"
            remedy = "use vector_db.factory=Flat"
            raise InputError(f"vector_db.factory={factory}: {why}; {remedy}") from None
        return built

    def __len__(self) -> int:
        """Number of rows, P; those of removed products count."""
        return self._index.ntotal

    @property
    def num_products(self) -> int:
        return len(self) - int(self.removed.sum())

    @property
    def key_dim(self) -> int:
        """Length of a key and of a query, d."""
        return self._index.d if self._mips_to_l2 is None else len(self._mips_to_l2.centre)

    @property
    def is_exact(self) -> bool:
        """Whether nothing is ever missed."""
        return self.factory == FLAT

    def add(self, keys: np.ndarray, chunk_size: int) -> None:
        """Adds products behind the others by keys float32 [n, d]."""
        for start in range(0, len(keys), chunk_size):
            self._index.add(_prepared(keys[start : start + chunk_size], self._mips_to_l2))
        self.leave_out(np.append(self.removed, np.zeros(len(keys), dtype=bool)))

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Finds the k > 0 products with the highest inner products with queries, float32 [U, d]. An
        index that is not exact may find fewer than there are; it never returns a removed product.
        Returns rows int64 [U, k], the highest first and of equals the lowest row, `NO_PRODUCT`
        where none is left; and their inner products float32 [U, k], NaN there."""
        queries, moved = np.ascontiguousarray(queries, dtype=np.float32), self._mips_to_l2
        wanted = queries if moved is None else moved.filled_up(queries)
        scores, rows = self._index.search(wanted, k, params=self._only)
        if moved is not None:
            scores += (queries @ moved.centre)[:, None]
        # FAISS leaves the order of equals open.
        order = np.lexsort((rows, -scores), axis=1)
        rows, scores = (np.take_along_axis(each, order, axis=1) for each in (rows, scores))
        return rows, np.where(rows == NO_PRODUCT, np.nan, scores)

    def write(self, folder: Path) -> None:
        faiss.write_index(self._index, str(folder / INDEX_FILE))
        arrays = {"removed": self.removed}
        if self._mips_to_l2 is not None:
            arrays["centre"] = self._mips_to_l2.centre
            arrays["radius"] = np.array([self._mips_to_l2.radius], dtype=np.float64)
        save_file(arrays, folder / ROWS_FILE)

    @classmethod
    def read(cls, folder: Path, factory: str, search: Mapping[str, float]) -> "ProductIndex":
        """Reads what `write` wrote; factory and search parameters stand elsewhere. Raises
        InputError if the folder holds no index, or it does not know a search parameter."""
        path, mips_to_l2 = folder / INDEX_FILE, None
        try:
            index = faiss.read_index(str(path))
        except RuntimeError:
            raise InputError(f"{path}: not a readable FAISS index; build it again") from None
        arrays = load_file(folder / ROWS_FILE)
        if "centre" in arrays:
            mips_to_l2 = MipsToL2(arrays["centre"], float(arrays["radius"][0]), index.d)
        return cls(index, mips_to_l2, arrays["removed"], factory, search)

    def leave_out(self, removed: np.ndarray) -> None:
        """Sees to it that products, bool [P], are not found; InputError if it cannot."""
        only = None
        if removed.any():
            selector = faiss.IDSelectorBitmap(np.packbits(~removed, bitorder="little"))
            try:
                only = _parameters(self._index, selector)
                # FAISS only tells by a search whether it can do it.
                nothing = np.zeros((1, self._index.d), dtype=np.float32)
                self._index.search(nothing, 1, params=only)
            except RuntimeError:
                why = "FAISS cannot leave out single products of such an index"
                remedy = "build it again without them, or with Flat, HNSW32 or IVF1024,Flat"
                raise InputError(f"vector_db.factory={self.factory}: {why}; {remedy}") from None
        self.removed, self._only = removed, only


@dataclass(frozen=True)
class MipsToL2:
    """Moves keys to their centre and adds a number that makes all of them equally long: graphs and
    inverted lists find what is near, which then is what has the highest inner product (Bachrach et
    al., Speeding Up the Xbox Recommender System Using a Euclidean Transformation for Inner-Product
    Spaces, RecSys 2014). A query gets a zero there, so that its inner products change by the same
    for all keys. `centre`: float32 [d]; `radius`: the longest distance of a key from it; `width`,
    at least d + 1: length of what goes into the index, filled up with zeros."""

    centre: np.ndarray
    radius: float
    width: int

    @classmethod
    def of(cls, keys: np.ndarray, chunk_size: int, width: int) -> "MipsToL2":
        """Measures keys, float32 [P, d], chunk by chunk: they may be memory-mapped."""
        chunks = [slice(start, start + chunk_size) for start in range(0, len(keys), chunk_size)]
        total = sum(keys[chunk].sum(axis=0, dtype=np.float64) for chunk in chunks)
        centre = (total / len(keys)).astype(np.float32)
        radius = max(_lengths(keys[chunk] - centre).max() for chunk in chunks)
        return cls(centre, float(radius), width)

    def of_keys(self, keys: np.ndarray) -> np.ndarray:
        """What goes into the index, float32 [n, width], for keys, float32 [n, d]. A later one
        beyond the radius stays longer: right inner products, but found less surely."""
        moved = keys - self.centre
        missing = np.sqrt(np.maximum(self.radius**2 - _lengths(moved) ** 2, 0))
        return self.filled_up(np.column_stack([moved, missing]))

    def filled_up(self, vectors: np.ndarray) -> np.ndarray:
        """What is searched for, float32 [n, width], for queries, float32 [n, d]."""
        return np.pad(vectors.astype(np.float32), ((0, 0), (0, self.width - vectors.shape[1])))


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors.astype(np.float64), axis=1)


def _prepared(keys: np.ndarray, mips_to_l2: MipsToL2 | None) -> np.ndarray:
    keys = np.ascontiguousarray(keys, dtype=np.float32)
    return keys if mips_to_l2 is None else mips_to_l2.of_keys(keys)


# Each is for one kind of index; the others ignore it, so that one setting holds values for both.
_OF_ONE_KIND = ("nprobe", "efSearch")


def set_parameters(index: faiss.Index, search: Mapping[str, float]) -> dict[str, float]:
    """Tells an index how to search: FAISS's names with their values, "nprobe" for inverted lists,
    "efSearch" for graphs, and others. Returns those that it has; InputError for any other."""
    applied = {}
    for name, value in search.items():
        try:
            faiss.ParameterSpace().set_index_parameter(index, name, value)
        except RuntimeError:
            if name not in _OF_ONE_KIND:
                why = "an index like this has no such parameter"
                remedy = f"leave it out, or use {' or '.join(_OF_ONE_KIND)}"
                raise InputError(f"vector_db.search.{name}: {why}; {remedy}") from None
        else:
            applied[name] = int(value) if float(value).is_integer() else value
    return applied


def _parameters(index: faiss.Index, selector: faiss.IDSelector) -> faiss.SearchParameters:
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        return faiss.SearchParametersPreTransform(index_params=_parameters(index.index, selector))
    if isinstance(index, faiss.IndexRefine):
        inner = _parameters(index.base_index, selector)
        return faiss.IndexRefineSearchParameters(k_factor=index.k_factor, base_index_params=inner)
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(sel=selector, nprobe=index.nprobe)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(sel=selector, efSearch=index.hnsw.efSearch)
    return faiss.SearchParameters(sel=selector)


RECALL_AT = 10
#: So many people's queries are enough: the measured share is then right to about half a percent.
MEASURED_QUERIES = 500
# Two products count as equally good if rounding alone could tell their scores apart.
_ROUNDING = 1e-5


def require_recall(
    index: ProductIndex, keys: np.ndarray, queries: np.ndarray, min_recall: float
) -> float:
    """Measures an index as `measure_recall` unless it is exact; returns that share. Raises
    InputError if it is below `min_recall`, or there is nothing to measure it by."""
    if index.is_exact:
        return 1.0
    if not len(queries):
        why = "nobody's queries are known by which to measure what it misses"
        raise InputError(f"vector_db.factory={index.factory}: {why}; use vector_db.factory=Flat")
    recall = measure_recall(index, keys, queries)
    if recall < min_recall:
        raise InputError(
            f"vector_db.factory={index.factory}: finds {recall:.3f} of the {RECALL_AT} best"
            f" products (recall@{RECALL_AT}), less than vector_db.min_recall={min_recall}; raise"
            " vector_db.search.nprobe (IVF) or vector_db.search.efSearch (HNSW), or search exactly"
            " with vector_db.factory=Flat, or be content with a lower vector_db.min_recall"
        )
    return recall


def measure_recall(index: ProductIndex, keys: np.ndarray, queries: np.ndarray) -> float:
    """The mean share of the `RECALL_AT` best products that an index finds by queries, float32 [n >
    0, d]; of equals any counts. `keys`: float32 [P, d]."""
    if not (k := min(RECALL_AT, index.num_products)):
        return 1.0
    best, _ = faiss.knn(queries, keys[~index.removed], k, metric=faiss.METRIC_INNER_PRODUCT)
    worst = best.min(axis=1, keepdims=True)
    rows, _ = index.search(queries, k)
    # Taken from the keys: an index may know its own scores only roughly.
    scores = np.einsum("nd,nkd->nk", queries, keys[rows])
    scale = np.maximum(np.abs(worst), np.linalg.norm(queries, axis=1, keepdims=True))
    return float(((rows >= 0) & (scores >= worst - _ROUNDING * scale)).mean())

"""Which products a query ranks first, without those that are left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from omegaconf import DictConfig, OmegaConf
from safetensors.numpy import load_file, save_file

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import is_number, is_whole
from rec_sys.vector_database.faiss_search import (
    MipsToL2,
    index_width,
    only_rows,
    set_parameters,
)

#: Exact search; the one factory string that needs no measuring.
FLAT = "Flat"
#: The factory string that leaves the choice to the number of products.
AUTO = "auto"

DEFAULT_CHUNK_SIZE = 8192
DEFAULT_TRAIN_ON = 100_000


@dataclass(frozen=True)
class IndexSettings:
    """How products are indexed; the values of ``config/vector_db``.

    Attributes:
        factory: "Flat" is exact, "HNSW32" or "IVF1024,Flat" are faster and miss some, "auto" is
            exact as long as that is fast. See FAISS's guide to the index factory.
        exact_up_to: "auto" is "Flat" up to so many products.
        large_factory: What "auto" is above.
        search: FAISS's parameters of searching, see `set_parameters`.
        min_recall: Share of the 10 best products that an index has to find, 0...1.
        chunk_size: Products embedded and added at once.
        train_on: So many products at most are looked at where an index learns before it is
            filled.
    """

    factory: str = FLAT
    exact_up_to: int = 0
    large_factory: str = FLAT
    search: Mapping[str, float] = field(default_factory=dict)
    min_recall: float = 0.0
    chunk_size: int = DEFAULT_CHUNK_SIZE
    train_on: int = DEFAULT_TRAIN_ON

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: One makes no sense; names it.
        """
        for name, least in {"exact_up_to": 0, "chunk_size": 1, "train_on": 1}.items():
            value = getattr(self, name)
            if not is_whole(value, least):
                raise InputError(
                    f"vector_db.{name}={value}: must be a whole number from {least} up"
                )
        if not is_number(self.min_recall) or not 0 <= self.min_recall <= 1:
            raise InputError(f"vector_db.min_recall={self.min_recall}: must be from 0 to 1")
        if not isinstance(self.search, Mapping):
            raise InputError(
                f"vector_db.search={self.search}: must be names with values, like {{nprobe: 64}}"
            )

    @classmethod
    def of(cls, config: DictConfig) -> "IndexSettings":
        """From the settings of a command.

        Args:
            config: The axis ``vector_db``.

        Raises:
            InputError: A value makes no sense, or there is an unknown one.
        """
        values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise InputError(
                f"vector_db.{min(unknown)}: no such setting; choose from"
                f" {', '.join(cls.__dataclass_fields__)}"
            )
        return cls(**values)

    def factory_for(self, num_products: int) -> str:
        """The factory string that FAISS gets.

        Args:
            num_products: P.
        """
        if str(self.factory) != AUTO:
            return str(self.factory)
        return FLAT if num_products <= self.exact_up_to else str(self.large_factory)

    def fits(self, factory: str, search: Mapping[str, float], num_products: int) -> bool:
        """Whether an index is what these settings would build.

        Args:
            factory: Of the index.
            search: Its parameters of searching.
            num_products: In it.
        """
        wanted = {name: self.search.get(name) for name in search}
        return factory == self.factory_for(num_products) and wanted == dict(search)


#: Row of "no product": what search returns where fewer products exist than were asked for.
NO_PRODUCT = -1

INDEX_FILE = "index.faiss"
#: What FAISS does not keep: removed rows, and how keys were brought to one length.
ROWS_FILE = "index_rows.safetensors"

# Which products an index learns from is drawn with this seed: equal keys give an equal index.
_SEED = 0


class ProductIndex:
    """A FAISS index over the products' keys, of any length; the inner product with a query ranks.

    Row i is the product that was added as the i-th, for ever: a removed one leaves its number
    behind, and is never found again.

    Args:
        index: Holds the products in the order of their rows.
        lengths: How keys were changed before they were added; None if they were not.
        removed: bool [P]; by default none.
        factory: What FAISS built the index from.
        search: FAISS's parameters of searching, see `set_parameters`.
    """

    def __init__(
        self,
        index: faiss.Index,
        lengths: MipsToL2 | None = None,
        removed: np.ndarray | None = None,
        factory: str = FLAT,
        search: Mapping[str, float] | None = None,
    ) -> None:
        self._index = index
        self._lengths = lengths
        self.factory = factory
        self.search_parameters = set_parameters(index, search or {})
        self._set_removed(np.zeros(index.ntotal, dtype=bool) if removed is None else removed)

    @classmethod
    def build(
        cls,
        keys: np.ndarray,
        factory: str = FLAT,
        chunk_size: int = DEFAULT_CHUNK_SIZE,
        search: Mapping[str, float] | None = None,
        train_on: int = DEFAULT_TRAIN_ON,
    ) -> "ProductIndex":
        """Indexes products.

        Args:
            keys: float32 [P, d], at least one; may be memory-mapped.
            factory: What FAISS is to build: "Flat" is exact, "HNSW32" or "IVF1024,Flat" are
                faster and miss some. See FAISS's guide to the index factory.
            chunk_size: Products added at once.
            search: See `ProductIndex`.
            train_on: An index that learns before it is filled learns from so many products.

        Raises:
            InputError: FAISS does not know the factory string, or it needs more products, or the
                index does not know a search parameter.
        """
        if not is_whole(chunk_size, least=1):
            raise InputError(f"vector_db.chunk_size={chunk_size}: must be a whole number above 0")
        factory, lengths, width = str(factory).strip(), None, keys.shape[1]
        if factory != FLAT:
            lengths = MipsToL2.of(keys, chunk_size, index_width(keys.shape[1], factory))
            width = lengths.width
        try:
            index = faiss.index_factory(width, factory, faiss.METRIC_INNER_PRODUCT)
            if not index.is_trained:
                index.train(_prepared(_sample(keys, train_on), lengths))
            built = cls(index, lengths, factory=factory, search=search)
            built.add(keys, chunk_size)
        except RuntimeError as error:
            # FAISS says where in its sources it gave up, and then why.
            reason = str(error).strip().splitlines()[-1].rpartition(".cpp:")[2]
            raise InputError(
                f"vector_db.factory={factory}: FAISS cannot build it for {len(keys)}"
                f" products ({reason}); use vector_db.factory=Flat"
            ) from None
        return built

    def __len__(self) -> int:
        """Number of rows, P; those of removed products count."""
        return self._index.ntotal

    @property
    def num_products(self) -> int:
        """Number of products that can be found."""
        return len(self) - int(self.removed.sum())

    @property
    def key_dim(self) -> int:
        """Length of a key and of a query, d."""
        return self._index.d if self._lengths is None else len(self._lengths.centre)

    @property
    def is_exact(self) -> bool:
        """Whether nothing is ever missed."""
        return self.factory == FLAT

    def add(self, keys: np.ndarray, chunk_size: int = DEFAULT_CHUNK_SIZE) -> None:
        """Adds products behind the others.

        Args:
            keys: float32 [n, d].
            chunk_size: Products added at once.
        """
        for start in range(0, len(keys), chunk_size):
            self._index.add(_prepared(keys[start : start + chunk_size], self._lengths))
        self._set_removed(np.append(self.removed, np.zeros(len(keys), dtype=bool)))

    def remove(self, rows: np.ndarray) -> None:
        """Sees to it that products are not found any more; all rows stay what they are.

        Args:
            rows: int64 [n], 0...P - 1; those removed before are welcome.

        Raises:
            InputError: Such an index cannot leave out products.
        """
        if len(rows) and not (np.min(rows) >= 0 and np.max(rows) < len(self)):
            raise IndexError(f"rows must be from 0 to {len(self) - 1}")
        removed = self.removed.copy()
        removed[rows] = True
        self._set_removed(removed)

    def search(
        self, queries: np.ndarray, k: int, exclude: Sequence[np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finds the products with the highest inner products.

        An index that is not exact may find fewer than there are; it never returns an excluded or
        removed product either.

        Args:
            queries: float32 [U, d].
            k: Products per user, at least 1.
            exclude: For each user the rows not to return, int64 of any length; by default none.

        Returns:
            Rows int64 [U, k], the highest first and of equals the lowest row, `NO_PRODUCT` where
            none is left; and their inner products float32 [U, k], NaN there.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        num_users, num_rows = len(queries), len(self)
        rows = np.full((num_users, k), NO_PRODUCT, dtype=np.int64)
        scores = np.full((num_users, k), np.nan, dtype=np.float32)
        exclude = [np.empty(0, dtype=np.int64)] * num_users if exclude is None else exclude
        lengths = [len(each) for each in exclude]
        # Even if all that a user excludes come first, k others are still among so many.
        reach = min(k + max(lengths, default=0), self.num_products)
        if not reach or not num_users:
            return rows, scores

        found_scores, found = self._find(queries, reach)
        # One number for each pair of user and product, to compare all pairs at once.
        first_pair = np.arange(num_users) * num_rows
        excluded = np.repeat(first_pair, lengths) + np.concatenate(exclude)
        missing = (found < 0) | np.isin(first_pair[:, None] + found, excluded)
        # A stable order in which the missing come last; FAISS leaves the order of equals open.
        order = np.lexsort((found, -found_scores, missing), axis=1)[:, :k]
        found, found_scores, missing = (
            np.take_along_axis(each, order, axis=1) for each in (found, found_scores, missing)
        )
        width = order.shape[1]
        rows[:, :width] = np.where(missing, NO_PRODUCT, found)
        scores[:, :width] = np.where(missing, np.nan, found_scores)
        return rows, scores

    def write(self, folder: str | Path) -> None:
        """Writes `INDEX_FILE` and `ROWS_FILE` into a folder."""
        folder = Path(folder)
        faiss.write_index(self._index, str(folder / INDEX_FILE))
        arrays = {"removed": self.removed}
        if self._lengths is not None:
            arrays["centre"] = self._lengths.centre
            arrays["radius"] = np.array([self._lengths.radius], dtype=np.float64)
        save_file(arrays, folder / ROWS_FILE)

    @classmethod
    def read(
        cls,
        folder: str | Path,
        factory: str = FLAT,
        search: Mapping[str, float] | None = None,
    ) -> "ProductIndex":
        """Reads what `write` wrote.

        Args:
            folder: The folder. `ROWS_FILE` may be missing: older versions changed no keys and
                removed nothing.
            factory: See `ProductIndex`.
            search: See `ProductIndex`.

        Raises:
            InputError: It holds no index, or the index does not know a search parameter.
        """
        path, lengths = Path(folder) / INDEX_FILE, None
        try:
            index = faiss.read_index(str(path))
        except RuntimeError:
            raise InputError(f"{path}: not a readable FAISS index; build it again") from None
        rows_path = Path(folder) / ROWS_FILE
        arrays = load_file(rows_path) if rows_path.is_file() else {}
        if "centre" in arrays:
            lengths = MipsToL2(arrays["centre"], float(arrays["radius"][0]), index.d)
        return cls(index, lengths, arrays.get("removed"), factory, search)

    def _find(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        wanted = {} if self._only is None else {"params": self._only}
        if self._lengths is None:
            return self._index.search(queries, k, **wanted)
        scores, rows = self._index.search(self._lengths.of_queries(queries), k, **wanted)
        return self._lengths.scores(scores, queries), rows

    def _set_removed(self, removed: np.ndarray) -> None:
        only = only_rows(self._index, ~removed, self.factory) if removed.any() else None
        self.removed, self._only = removed, only


def _prepared(keys: np.ndarray, lengths: MipsToL2 | None) -> np.ndarray:
    keys = np.ascontiguousarray(keys, dtype=np.float32)
    return keys if lengths is None else lengths.of_keys(keys)


def _sample(keys: np.ndarray, number: int) -> np.ndarray:
    if len(keys) <= number:
        return keys
    rng = np.random.default_rng(_SEED)
    return keys[np.sort(rng.choice(len(keys), number, replace=False))]

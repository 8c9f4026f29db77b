"""Which products a query ranks first, without those that are left out."""

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np

from rec_sys.foundation.checks import is_whole
from rec_sys.foundation.errors import InputError

#: Row of "no product": what search returns where fewer products exist than were asked for.
NO_PRODUCT = -1

DEFAULT_CHUNK_SIZE = 8192


class ProductIndex:
    """A FAISS index over the products' keys, of any length; the inner product with a query ranks.

    Args:
        index: Holds the products in the order of their rows.
    """

    def __init__(self, index: faiss.Index) -> None:
        self._index = index

    @classmethod
    def build(
        cls, keys: np.ndarray, factory: str, chunk_size: int = DEFAULT_CHUNK_SIZE
    ) -> "ProductIndex":
        """Indexes products.

        Args:
            keys: float32 [P, d]; may be memory-mapped.
            factory: What FAISS is to build: "Flat" is exact, "HNSW32" or "IVF256,Flat" are
                faster and miss some. See FAISS's guide to the index factory.
            chunk_size: Products added at once.

        Raises:
            InputError: FAISS does not know the factory string, or it needs more products.
        """
        if not is_whole(chunk_size, least=1):
            raise InputError(f"vector_db.chunk_size={chunk_size}: must be a whole number above 0")
        try:
            index = faiss.index_factory(keys.shape[1], str(factory), faiss.METRIC_INNER_PRODUCT)
            if not index.is_trained:
                index.train(np.ascontiguousarray(keys, dtype=np.float32))
            for start in range(0, len(keys), chunk_size):
                chunk = keys[start : start + chunk_size]
                index.add(np.ascontiguousarray(chunk, dtype=np.float32))
        except RuntimeError as error:
            # FAISS says where in its sources it gave up, and then why.
            reason = str(error).strip().splitlines()[-1].rpartition(".cpp:")[2]
            raise InputError(
                f"vector_db.factory={factory}: FAISS cannot build it for {len(keys)}"
                f" products ({reason}); use vector_db.factory=Flat"
            ) from None
        return cls(index)

    def __len__(self) -> int:
        """Number of products."""
        return self._index.ntotal

    @property
    def key_dim(self) -> int:
        """Length of a key and of a query, d."""
        return self._index.d

    def search(
        self, queries: np.ndarray, k: int, exclude: Sequence[np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finds the products with the highest inner products.

        An index that is not exact may find fewer than there are; it never returns an excluded
        product either.

        Args:
            queries: float32 [U, d].
            k: Products per user, at least 1.
            exclude: For each user the rows not to return, int64 of any length; by default none.

        Returns:
            Rows int64 [U, k], the highest first and of equals the lowest row, `NO_PRODUCT` where
            none is left; and their inner products float32 [U, k], NaN there.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        num_users, num_products = len(queries), len(self)
        rows = np.full((num_users, k), NO_PRODUCT, dtype=np.int64)
        scores = np.full((num_users, k), np.nan, dtype=np.float32)
        exclude = [np.empty(0, dtype=np.int64)] * num_users if exclude is None else exclude
        lengths = [len(each) for each in exclude]
        # Even if all that a user excludes come first, k others are still among so many.
        reach = min(k + max(lengths, default=0), num_products)
        if not reach or not num_users:
            return rows, scores

        found_scores, found = self._index.search(queries, reach)
        # One number for each pair of user and product, to compare all pairs at once.
        first_pair = np.arange(num_users) * num_products
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

    def write(self, path: str | Path) -> None:
        """Writes a FAISS index file."""
        faiss.write_index(self._index, str(path))

    @classmethod
    def read(cls, path: str | Path) -> "ProductIndex":
        """Reads a FAISS index file.

        Raises:
            InputError: It is none.
        """
        try:
            return cls(faiss.read_index(str(path)))
        except RuntimeError:
            raise InputError(f"{path}: not a readable FAISS index; build it again") from None

"""The vectorbase: everything that is known about products, and nothing else."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rec_sys.foundation.errors import InputError
from rec_sys.graph.product_graph import ProductGraph
from rec_sys.graph.product_reviews import ReviewSummary
from rec_sys.vector_database.product_index import ProductIndex

BUILD_COMMAND = "uv run -m rec_sys.vector_database.create_vectorbase"
# As much of a fingerprint as tells two apart in a message.
_SHOWN = 12


@dataclass(frozen=True)
class Vectorbase:
    """All products: P rows of them, text vectors of length D, embeddings of length d.

    The rows of removed products stay, so that the others keep theirs; nothing finds them any more.

    Attributes:
        folder: Where it was read from.
        manifest: Content of ``manifest.json``.
        products: Table with the columns of `VECTORBASE_SCHEMA`, P rows.
        name_vectors: float16 [P, D].
        info_vectors: float16 [P, D].
        reviews: Of all products, from the reviews that may be known.
        embeddings: float32 [P, d], unit length; their cosines with people are ratings.
        keys: float32 [P, d + 1]; their inner products with people's queries rank.
        index: Over the keys; knows which rows are removed.
        product_graph: Between the P products, from the reviews that may be known.
        queries: float32 [n, d + 1], of a few people, to measure by them what the index misses;
            none if it misses nothing.
    """

    folder: Path
    manifest: dict[str, Any]
    products: pd.DataFrame
    name_vectors: np.ndarray
    info_vectors: np.ndarray
    reviews: ReviewSummary
    embeddings: np.ndarray
    keys: np.ndarray
    index: ProductIndex
    product_graph: ProductGraph
    queries: np.ndarray

    @property
    def num_products(self) -> int:
        """Number of products that are not removed."""
        return self.index.num_products

    @cached_property
    def product_ids(self) -> np.ndarray:
        """str [P]."""
        return self.products["product_id"].to_numpy(dtype=object)

    @cached_property
    def names(self) -> np.ndarray:
        """str [P], empty where a product has no name."""
        return self.products["name"].to_numpy(dtype=object)

    @cached_property
    def styles(self) -> np.ndarray:
        """str [P], empty where a product has none."""
        return self.products["style"].to_numpy(dtype=object)

    @cached_property
    def by_popularity(self) -> np.ndarray:
        """int64 [num_products], all rows that are not removed, the most reviewed product first."""
        rows = np.argsort(self.products["popularity_rank"].to_numpy(dtype=np.int64), kind="stable")
        return rows[~self.index.removed[rows]]

    def rows_of(self, product_ids: np.ndarray) -> np.ndarray:
        """Finds products by id.

        Args:
            product_ids: str or None [n].

        Returns:
            int64 [n], -1 where there is no such product.
        """
        return _looked_up(product_ids, self._row_of_id)

    def rows_of_names(self, names: np.ndarray) -> np.ndarray:
        """Finds products by their exact name.

        Args:
            names: str or None [n].

        Returns:
            int64 [n], -1 where no product, or more than one, has this name.
        """
        return _looked_up(names, self._row_of_name)

    def require_model(self, fingerprint: str, name: str = "another model") -> None:
        """Makes sure that embeddings of this model may be searched here.

        Args:
            fingerprint: The model's.
            name: What the message calls it.

        Raises:
            InputError: The vectorbase was built from another model.
        """
        own = self.manifest["model_fingerprint"]
        if own != fingerprint:
            raise InputError(
                f"{self.folder}: built from another model ({self.manifest['checkpoint']},"
                f" {own[:_SHOWN]}) than the one in use ({name}, {fingerprint[:_SHOWN]}); rebuild"
                f" it with `{BUILD_COMMAND}`, or use the checkpoint it was built from"
            )

    def require_encoder(self, model_fingerprint: str) -> None:
        """Makes sure that vectors of this text encoder may stand beside those here.

        Raises:
            InputError: The vectorbase was built with another encoder.
        """
        own = self.manifest["encoder_model_fingerprint"]
        if own != model_fingerprint:
            raise InputError(
                f"{self.folder}: built with another text encoder ({own[:_SHOWN]}) than the one in"
                f" use ({model_fingerprint[:_SHOWN]}); leave encoder=from_checkpoint, or train and"
                f" run `{BUILD_COMMAND}` again"
            )

    @cached_property
    def _row_of_id(self) -> dict[str, int]:
        # The id of a removed product may have been given again.
        there = np.flatnonzero(~self.index.removed)
        return dict(zip(self.product_ids[there], there.tolist(), strict=True))

    @cached_property
    def _row_of_name(self) -> dict[str, int]:
        there = np.flatnonzero(~self.index.removed)
        names = pd.Series(self.names[there], dtype=object)
        rows = there[~names.duplicated(keep=False) & (names != "")]
        return dict(zip(self.names[rows], rows.tolist(), strict=True))


def _looked_up(keys: np.ndarray, row_of: dict[str, int]) -> np.ndarray:
    # For a few keys a dictionary takes microseconds where a pandas index takes a tenth of a ms.
    return np.fromiter((row_of.get(key, -1) for key in keys), np.int64, len(keys))

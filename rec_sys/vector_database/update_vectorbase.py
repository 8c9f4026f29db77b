"""Brings the product index up to date: ``uv run -m rec_sys.vector_database.update_vectorbase``.

For the checkpoint that it was built from, the result says of each product what `create_vectorbase`
would say of it for the same data: text vectors, reviews, embedding, key, statistics and edges. Only
texts that are new are encoded, and only products that are new or about which something else is
known now are embedded. What differs is how the rows lie:

* New and changed products stand at the end.
* An index that is not exact is the one that is there, filled further and measured again. The rows
  of removed and changed products stay behind in it, unused, until the next `create_vectorbase`.

As for a new build, all reviews of data that is not exactly the training's may be known, also those
that validation held back. The product graph is solved for anew: a new product changes the weights
between the others. With ``solve_product_graph=false`` the edges are kept instead, which saves time
that grows with the third power of the number of products; new products have none until they are
solved for, and are ranked by their keys alone.

After a further training all embeddings are other ones: then use `create_vectorbase`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from rec_sys.foundation.cli import command
from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import is_whole
from rec_sys.graph.ego_batch import ProductReviews, ReviewSummary
from rec_sys.graph.review_graph import PreparedReviews, prepare_reviews
from rec_sys.modules.checkpoint import find_checkpoint, load_data, load_encoder
from rec_sys.reviews.schema import PRODUCT_SCHEMA
from rec_sys.vector_database.create_vectorbase import build_product_graph, known_edges
from rec_sys.vector_database.update import (
    ProductRows,
    moved_to,
    with_rows,
    with_table,
    without_rows,
    without_unused,
    write_updated,
)
from rec_sys.vector_database.vectorbase import Vectorbase, read_vectorbase, with_statistics

if TYPE_CHECKING:
    from rec_sys.modules.checkpoint import TrainedModel


_TEXTS = tuple(name for name in PRODUCT_SCHEMA.names if name != "product_id")
# Means of the same reviews, added up in another order, differ by no more.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class ProductChanges:
    """P products of a data set beside the rows of a vectorbase.

    Attributes:
        rows: int64 [P], the row of each product, -1 for a new one.
        retold: bool [P], there, but with another name, description, style or brand.
        reviewed: bool [P], there and not retold, but with other reviews about it.
        gone: int64 [n], rows whose products the data set does not have.
    """

    rows: np.ndarray
    retold: np.ndarray
    reviewed: np.ndarray
    gone: np.ndarray

    @property
    def new(self) -> np.ndarray:
        """bool [P], not there yet."""
        return self.rows < 0

    @property
    def changed(self) -> np.ndarray:
        """bool [P], there, but to be embedded anew."""
        return self.retold | self.reviewed

    @property
    def any(self) -> bool:
        """Whether a row has to come, go or change."""
        return bool(len(self.gone) or self.new.any() or self.changed.any())


def find_changes(
    vectorbase: Vectorbase, products: pd.DataFrame, reviews: ReviewSummary
) -> ProductChanges:
    """Compares a vectorbase with a data set.

    Args:
        vectorbase: The vectorbase.
        products: P products, columns of `VECTORBASE_SCHEMA`.
        reviews: What may be known of the same products' reviews.
    """
    rows = vectorbase.rows_of(products["product_id"].to_numpy(dtype=object))
    there = np.flatnonzero(rows >= 0)
    old_rows = rows[there]
    retold, reviewed = (np.zeros(len(rows), dtype=bool) for _ in range(2))
    for name in _TEXTS:
        then, now = (
            table[name].to_numpy(dtype=object)[which]
            for table, which in ((vectorbase.products, old_rows), (products, there))
        )
        retold[there] |= then != now
    then, now = (
        table["num_reviews"].to_numpy(dtype=np.int64)[which]
        for table, which in ((vectorbase.products, old_rows), (products, there))
    )
    reviewed[there] = then != now
    for before, after in zip(vectorbase.reviews, reviews, strict=True):
        same = np.isclose(before[old_rows], after[there], rtol=0, atol=_ROUNDING)
        reviewed[there] |= ~same.all(axis=1)
    gone = np.setdiff1d(np.flatnonzero(~vectorbase.index.removed), old_rows)
    return ProductChanges(rows, retold, reviewed & ~retold, gone)


def update_vectorbase(config: DictConfig) -> Vectorbase:
    """Adds, removes and changes products until the vectorbase says what a data set says.

    Args:
        config: Composed from ``config/update_config.yaml``.

    Returns:
        The vectorbase, as it stands in ``paths.vectorbase_dir``; untouched if nothing changed.

    Raises:
        InputError: Something in the settings, the vectorbase, the checkpoint or the data cannot
            be used, or the index would miss too much.
    """
    if not is_whole(config.chunk_size, least=1):
        raise InputError(f"chunk_size={config.chunk_size}: must be a whole number above 0")
    vectorbase = read_vectorbase(config.paths.vectorbase_dir)
    folder = config.paths.checkpoint_dir
    built_from = Path(folder) / vectorbase.manifest["checkpoint"]
    path = find_checkpoint(config.checkpoint or built_from, folder)

    from rec_sys.modules.checkpoint import load_trained

    trained = load_trained(path)
    vectorbase.require_model(trained.fingerprint, path.name)
    encoder = load_encoder(trained, config)
    vectorbase.require_encoder(encoder.model_fingerprint)
    data = load_data(trained, config)
    prepared = prepare_reviews(data, encoder, config.paths.cache_dir)

    edges = known_edges(trained, prepared, config)
    reviews = ProductReviews.of(prepared.graph, prepared.vectors, edges).summary()
    products = with_statistics(data.products, prepared.graph, edges)
    changes = find_changes(vectorbase, products, reviews)
    if not changes.any and vectorbase.manifest["data_fingerprint"] == data.fingerprint:
        note(f"nothing changed: {vectorbase.folder} says what the data says; left as it is")
        return vectorbase
    updated = _apply(vectorbase, changes, products, reviews, trained, prepared, config.chunk_size)
    rows = updated.rows_of(prepared.graph.product_ids)
    if config.solve_product_graph:
        solved = build_product_graph(trained, prepared, edges, config)
        updated = replace(updated, product_graph=moved_to(solved, rows, len(updated.keys)))
    updated = write_updated(
        replace(updated, manifest=updated.manifest | {"data_fingerprint": data.fingerprint})
    )
    _show_summary(updated, changes, prepared.newly_encoded)
    return updated


def _apply(
    vectorbase: Vectorbase,
    changes: ProductChanges,
    products: pd.DataFrame,
    reviews: ReviewSummary,
    trained: "TrainedModel",
    prepared: PreparedReviews,
    chunk_size: int,
) -> Vectorbase:
    """Everything but the product graph, whose edges go where their products go."""
    from rec_sys.modules.full_catalogue import embed_products

    graph, vectors = prepared.graph, prepared.vectors
    fresh = np.flatnonzero(changes.new | changes.changed)
    replaced = changes.rows[changes.changed]
    name_vectors = vectors[graph.product_name_text[fresh]]
    info_vectors = vectors[graph.product_info_text[fresh]]
    fresh_reviews = ReviewSummary(*(each[fresh] for each in reviews))
    embedded = embed_products(trained.model, name_vectors, info_vectors, fresh_reviews, chunk_size)
    new = ProductRows(products.take(fresh), name_vectors, info_vectors, fresh_reviews, *embedded)
    first = len(vectorbase.keys)
    moved = np.arange(first)
    moved[replaced] = first + np.flatnonzero(changes.changed[fresh])
    kept_graph = moved_to(vectorbase.product_graph, moved, first + len(fresh))
    updated = without_rows(vectorbase, np.concatenate([changes.gone, replaced]))
    updated = with_rows(updated, new, chunk_size)
    # Who is how popular may have changed for all.
    updated = with_table(updated, products, updated.rows_of(graph.product_ids))
    updated = replace(updated, product_graph=kept_graph)
    return without_unused(updated, chunk_size) if updated.index.is_exact else updated


def _show_summary(vectorbase: Vectorbase, changes: ProductChanges, newly_encoded: int) -> None:
    unused = int(vectorbase.index.removed.sum())
    rows = [
        ["added", int(changes.new.sum())],
        ["removed", len(changes.gone)],
        ["updated: name, description, style, brand", int(changes.retold.sum())],
        ["updated: reviews about them", int(changes.reviewed.sum())],
        ["unchanged", int((~changes.new & ~changes.changed).sum())],
        ["now", vectorbase.num_products],
        ["texts newly encoded", newly_encoded],
        ["unused rows of removed and changed ones", unused],
    ]
    show_table("products of the vectorbase", ["", "number"], rows)
    note(f"written: {vectorbase.folder}")
    note("next:    uv run -m rec_sys.inference.infer")


@command("update_config")
def main(config: DictConfig) -> None:
    """The command line."""
    update_vectorbase(config)


if __name__ == "__main__":
    main()

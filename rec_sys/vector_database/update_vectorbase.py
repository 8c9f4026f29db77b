"""Brings the product index up to date: ``uv run -m rec_sys.vector_database.update_vectorbase``.

For the checkpoint that it was built from, the result says of each product what `create_vectorbase`
would say of it for the same data: text vectors, reviews, embedding, key, statistics and edges. Only
texts that are new are encoded, and only products that are new or about which something else is
known now are embedded. What differs is how the rows lie:

* New and changed products stand at the end.
* An index that is not exact is the one that is there, filled further and measured again. The rows
  of removed and changed products stay behind in it, unused, until the next `create_vectorbase`.

The product graph is solved for anew: a new product changes the weights between the others. With
``solve_product_graph=false`` the edges are kept instead, which saves time that grows with the third
power of the number of products; new ones have none and are ranked by their keys alone.

After a further training all embeddings are other ones: then use `create_vectorbase`.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from rec_sys.foundation.cli import command
from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.settings import PositiveCount, settings_of
from rec_sys.graph.ego_batch import ProductReviews, ReviewSummary
from rec_sys.graph.review_graph import PreparedReviews, prepare_reviews
from rec_sys.modules import checkpoint
from rec_sys.modules.evidences import product_words
from rec_sys.modules.features import liked_above, moved_features, told_features
from rec_sys.modules.full_catalogue import embed_products
from rec_sys.modules.inference_backends import exported_or_torch
from rec_sys.reviews.cleaning import show_report
from rec_sys.reviews.schema import PRODUCT_SCHEMA
from rec_sys.vector_database import create_vectorbase
from rec_sys.vector_database import vectorbase as vectorbases
from rec_sys.vector_database.index import IndexSettings, ProductIndex, require_recall
from rec_sys.vector_database.vectorbase import Vectorbase

_TEXTS = [name for name in PRODUCT_SCHEMA.names if name != "product_id"]
# Means of the same reviews, added up in another order, differ by no more.
_ROUNDING = 1e-5


@settings_of("")
class UpdateSettings:
    """``config/update_config.yaml``. `solve_product_graph`: solves for the edges, or keeps them."""

    solve_product_graph: bool
    chunk_size: PositiveCount


@dataclass(frozen=True)
class ProductChanges:
    """P products of a data set beside the rows of a vectorbase: `rows`, int64 [P], -1 for a new
    one. bool [P], there, but `retold` with another name, description, style or brand, or else
    `reviewed` otherwise. `gone`: int64 [n], rows whose products the data set does not have."""

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
    """Compares a vectorbase with products, columns of `VECTORBASE_SCHEMA`, and known reviews."""
    rows = vectorbase.rows_of(products["product_id"].to_numpy(dtype=object))
    there = np.flatnonzero(rows >= 0)
    old_rows = rows[there]
    tables = vectorbase.products.iloc[old_rows], products.iloc[there]

    def differ(names: list[str]) -> np.ndarray:
        then, now = (table[names].to_numpy(dtype=object, na_value=None) for table in tables)
        return (then != now).any(axis=1)

    retold, reviewed = (np.zeros(len(rows), dtype=bool) for _ in range(2))
    retold[there], reviewed[there] = differ(_TEXTS), differ(["num_reviews"])
    for before, after in zip(vectorbase.reviews, reviews, strict=True):
        same = np.isclose(before[old_rows], after[there], rtol=0, atol=_ROUNDING)
        reviewed[there] |= ~same.all(axis=1)
    gone = np.setdiff1d(np.flatnonzero(~vectorbase.index.removed), old_rows)
    return ProductChanges(rows, retold, reviewed & ~retold, gone)


def update_vectorbase(config: DictConfig) -> Vectorbase:
    """Makes the index in ``paths.vectorbase_dir`` say what a data set says; returns it, untouched
    if nothing changed. InputError if anything cannot be used, or the index would miss too much."""
    settings = UpdateSettings(config.solve_product_graph, config.chunk_size)
    vectorbase, trained, encoder = create_vectorbase.open_vectorbase(config)
    data = checkpoint.load_data(trained, config)
    show_report(data)
    prepared = prepare_reviews(data, encoder, config.paths.cache_dir)

    edges = create_vectorbase.known_edges(trained, prepared, config)
    reviews = ProductReviews.of(prepared.graph, prepared.vectors, edges).summary
    products = create_vectorbase.with_statistics(data.products, prepared.graph, edges)
    changes = find_changes(vectorbase, products, reviews)
    if not changes.any and vectorbase.manifest["data_fingerprint"] == data.fingerprint:
        note(f"nothing changed: {vectorbase.folder} says what the data says; left as it is")
        return vectorbase
    known = products, reviews, edges, trained, prepared, settings.chunk_size
    updated, place = _with_changes(vectorbase, changes, *known)
    if settings.solve_product_graph:
        solved = create_vectorbase.build_evidences(trained, prepared, edges, config)
        updated = replace(updated, features=moved_features(solved, place, len(updated.keys)))
    least = updated.manifest["min_recall"]
    facts = {
        "data_fingerprint": data.fingerprint,
        "recall_at_10": require_recall(updated.index, updated.keys, updated.queries, least),
        "updated": datetime.now(UTC).isoformat(timespec="seconds"),  # missing if that was never
    }
    updated = vectorbases.write_vectorbase(replace(updated, manifest=updated.manifest | facts))
    _show_summary(updated, changes, prepared.newly_encoded)
    return updated


def _with_changes(
    vectorbase: Vectorbase,
    changes: ProductChanges,
    products: pd.DataFrame,
    reviews: ReviewSummary,
    edges: np.ndarray,
    trained: checkpoint.TrainedModel,
    prepared: PreparedReviews,
    chunk_size: int,
) -> tuple[Vectorbase, np.ndarray]:
    """The vectorbase, its index changed in place, with the products of the data set, columns of
    `VECTORBASE_SCHEMA`, and the row of each, int64 [P]. `edges`: int64, what may be known."""
    graph, vectors = prepared.graph, prepared.vectors
    fresh = np.flatnonzero(changes.new | changes.changed)
    name_vectors = vectors[graph.product_name_text[fresh]]
    info_vectors = vectors[graph.product_info_text[fresh]]
    fresh_reviews = ReviewSummary(*(each[fresh] for each in reviews))
    network = exported_or_torch(trained)
    embedded = embed_products(network, name_vectors, info_vectors, fresh_reviews, chunk_size)

    index, first = vectorbase.index, len(vectorbase.keys)
    replaced = changes.rows[changes.changed]
    unused = index.removed.copy()
    unused[changes.gone] = unused[replaced] = True
    # A new exact index is no more than a copy of the keys: there the others move up.
    kept = np.flatnonzero(~unused) if index.is_exact else np.arange(first)
    moved = np.full(first, -1)
    moved[kept] = np.arange(len(kept))
    place = moved[changes.rows]
    place[fresh] = len(kept) + np.arange(len(fresh))
    moved[unused] = -1
    moved[replaced] = place[changes.changed]

    def joined(old: np.ndarray, new: np.ndarray) -> np.ndarray:
        return np.concatenate([old[kept], new])

    keys = joined(vectorbase.keys, embedded.keys)
    if index.is_exact:
        index = ProductIndex.build(keys, IndexSettings(chunk_size=chunk_size))
    else:
        index.leave_out(unused)
        index.add(embedded.keys, chunk_size)
    # Who is how popular may have changed for all: every product has its line from the data set.
    lines = pd.concat([vectorbase.products, products], ignore_index=True)
    line = np.append(kept, fresh)
    line[place] = first + np.arange(len(place))
    features = moved_features(vectorbase.features, moved, len(keys))
    words = [each[fresh] for each in product_words(graph, prepared.words, edges)]
    sources = name_vectors, info_vectors, fresh_reviews.texts
    features = told_features(features, place[fresh], sources, words)
    most = vectorbase.manifest["max_quotes"]
    quotes = create_vectorbase.build_quotes(prepared, edges, liked_above(features), most)
    updated = replace(
        vectorbase,
        products=lines.take(line).reset_index(drop=True),
        name_vectors=joined(vectorbase.name_vectors, name_vectors),
        info_vectors=joined(vectorbase.info_vectors, info_vectors),
        reviews=ReviewSummary(*map(joined, vectorbase.reviews, fresh_reviews)),
        embeddings=joined(vectorbase.embeddings, embedded.embeddings),
        keys=keys,
        index=index,
        features=features,
        quotes=quotes.moved(place, len(keys)),
    )
    return updated, place


def _show_summary(vectorbase: Vectorbase, changes: ProductChanges, newly_encoded: int) -> None:
    rows = [
        ["added", int(changes.new.sum())],
        ["removed", len(changes.gone)],
        ["updated: name, description, style, brand", int(changes.retold.sum())],
        ["updated: reviews about them", int(changes.reviewed.sum())],
        ["unchanged", int((~changes.new & ~changes.changed).sum())],
        ["now", vectorbase.num_products],
        ["texts newly encoded", newly_encoded],
        ["unused rows of removed and changed ones", int(vectorbase.index.removed.sum())],
    ]
    show_table("products of the vectorbase", ["", "number"], rows)
    note(f"written: {vectorbase.folder}")
    note("next:    uv run -m rec_sys.inference.infer")


if __name__ == "__main__":
    command("update_config")(update_vectorbase)()

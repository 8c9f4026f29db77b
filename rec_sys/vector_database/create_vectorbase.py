"""Builds the product index: ``uv run -m rec_sys.vector_database.create_vectorbase``.

The whole story is `create_vectorbase`: checkpoint, data, text vectors, product embeddings,
product graph, index, folder. Slow libraries are imported when their turn comes.
"""

from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from omegaconf import DictConfig

from rec_sys.foundation.cli import command
from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.settings import build
from rec_sys.graph.ego_batch import ProductReviews
from rec_sys.graph.review_graph import PreparedReviews, prepare_reviews
from rec_sys.modules.checkpoint import (
    find_checkpoint,
    is_training_data,
    load_data,
    load_encoder,
    split_as_trained,
)
from rec_sys.modules.product_graph import ProductGraph
from rec_sys.vector_database.product_index import IndexSettings
from rec_sys.vector_database.recall import MEASURED_QUERIES, RECALL_AT, build_measured
from rec_sys.vector_database.vectorbase import (
    Origin,
    Vectorbase,
    check_replaceable,
    with_statistics,
    write_vectorbase,
)

if TYPE_CHECKING:
    from rec_sys.modules.checkpoint import TrainedModel

# The people by whose queries an index is measured are drawn with this seed.
_SEED = 0


def create_vectorbase(config: DictConfig) -> Vectorbase:
    """Embeds the products of a data set and makes them searchable.

    Args:
        config: Composed from ``config/vectorbase_config.yaml``.

    Returns:
        The vectorbase, as it stands in ``paths.vectorbase_dir``.

    Raises:
        InputError: Something in the settings, the checkpoint or the data cannot be used.
    """
    settings = IndexSettings.of(config.vector_db)
    folder = Path(config.paths.vectorbase_dir)
    check_replaceable(folder)
    path = find_checkpoint(config.checkpoint, config.paths.checkpoint_dir)

    from rec_sys.modules.checkpoint import load_trained
    from rec_sys.modules.full_catalogue import FullCatalogue, embed_products

    trained = load_trained(path)
    encoder = load_encoder(trained, config)
    data = load_data(trained, config)
    prepared = prepare_reviews(data, encoder, config.paths.cache_dir)
    graph, vectors = prepared.graph, prepared.vectors

    edges = known_edges(trained, prepared, config)
    name_vectors = vectors[graph.product_name_text]
    info_vectors = vectors[graph.product_info_text]
    reviews = ProductReviews.of(graph, vectors, edges).summary()
    embedded = embed_products(
        trained.model, name_vectors, info_vectors, reviews, settings.chunk_size, show_progress=True
    )
    product_graph = build_product_graph(trained, prepared, edges, config)
    catalogue = FullCatalogue(trained.model, vectors, reviews, product_graph, embedded)
    measured = build_measured(
        embedded.keys, settings, lambda: catalogue.queries(graph, _some_users(graph.num_users))
    )
    origin = Origin(
        model_fingerprint=trained.fingerprint,
        checkpoint=trained.path.name,
        encoder_model_fingerprint=encoder.model_fingerprint,
        data_fingerprint=data.fingerprint,
    )
    vectorbase = write_vectorbase(
        Vectorbase(
            folder=folder,
            manifest=asdict(origin) | measured.facts,
            products=with_statistics(data.products, graph, edges),
            name_vectors=name_vectors,
            info_vectors=info_vectors,
            reviews=reviews,
            embeddings=embedded.embeddings,
            keys=embedded.keys,
            index=measured.index,
            product_graph=product_graph,
            queries=measured.queries,
        )
    )
    _show_summary(vectorbase, len(edges))
    return vectorbase


def known_edges(
    trained: "TrainedModel", prepared: PreparedReviews, config: DictConfig
) -> np.ndarray:
    """The reviews that may tell what a product is: those that trained the model.

    Args:
        trained: Its record tells how they were split.
        prepared: The data set; if it is not the training's, all its reviews may be known.
        config: May have an axis ``split``, see `split_as_trained`.

    Returns:
        int64, edges of the graph, ascending.

    Raises:
        InputError: The split of the training cannot be made again.
    """
    if not is_training_data(trained, prepared.data):
        return np.arange(prepared.graph.num_edges)
    return np.flatnonzero(split_as_trained(trained, prepared.graph, config).train)


def build_product_graph(
    trained: "TrainedModel", prepared: PreparedReviews, edges: np.ndarray, config: DictConfig
) -> ProductGraph:
    """Solves for the product graph with the settings of the training.

    Args:
        trained: Its record has the settings.
        prepared: The data set.
        edges: int64, the reviews that may be known, ascending.
        config: May have an axis ``product_graph``, which then counts instead.
    """
    started = perf_counter()
    product_graph = build(trained.settings(config, "product_graph")).build(
        prepared.graph, prepared.vectors, edges
    )
    note(
        f"product graph: {len(product_graph.weights)} edges, solved for in"
        f" {perf_counter() - started:.1f} s"
    )
    return product_graph


def _some_users(num_users: int) -> np.ndarray:
    rng = np.random.default_rng(_SEED)
    return np.sort(rng.permutation(num_users)[:MEASURED_QUERIES])


def _show_summary(vectorbase: Vectorbase, num_edges: int) -> None:
    manifest = vectorbase.manifest
    rows = [
        ["products", len(vectorbase.products)],
        [
            "without a review that may be known",
            int((vectorbase.products["num_reviews"] == 0).sum()),
        ],
        ["reviews that describe them", num_edges],
        ["edges between them", len(vectorbase.product_graph.weights)],
        ["index", manifest["factory"]],
        *([f"its {name}", value] for name, value in manifest["search"].items()),
        [f"its recall@{RECALL_AT}", _as_share(vectorbase)],
        ["embedding", f"{manifest['embedding_dim']} dimensions"],
        ["checkpoint", manifest["checkpoint"]],
    ]
    show_table("vectorbase", ["", "value"], rows)
    note(f"written: {vectorbase.folder}")
    note("next:    uv run -m rec_sys.inference.infer")


def _as_share(vectorbase: Vectorbase) -> str:
    if vectorbase.index.is_exact:
        return "1, exact"
    recall, people = vectorbase.manifest["recall_at_10"], len(vectorbase.queries)
    return f"{recall:.4f}, by the queries of {people} people"


@command("vectorbase_config")
def main(config: DictConfig) -> None:
    """The command line."""
    create_vectorbase(config)


if __name__ == "__main__":
    main()

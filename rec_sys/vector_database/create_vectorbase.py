"""Builds the product index: ``uv run -m rec_sys.vector_database.create_vectorbase``. PyTorch is not
needed where training has exported the network and stored the texts."""

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from rec_sys.foundation.cli import command
from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import require_replaceable
from rec_sys.foundation.settings import build, read_settings
from rec_sys.graph.ego_batch import ProductReviews
from rec_sys.graph.review_graph import PreparedReviews, ReviewGraph, prepare_reviews
from rec_sys.modules import checkpoint
from rec_sys.modules.evidences import KnownReviews
from rec_sys.modules.features import Feature, WalkFeature, liked_above
from rec_sys.modules.full_catalogue import DEFAULT_CHUNK_SIZE, FullCatalogue
from rec_sys.modules.inference_backends import OnnxBackend, exported_or_torch
from rec_sys.reviews.schema import to_frame, to_table
from rec_sys.text.encoder import TextEncoder
from rec_sys.vector_database import index as indexes
from rec_sys.vector_database import vectorbase as vectorbases
from rec_sys.vector_database.quotes import Quotes
from rec_sys.vector_database.vectorbase import VECTORBASE_SCHEMA, Vectorbase, built_from

if TYPE_CHECKING:
    from rec_sys.modules.graph_model import GraphModel
    from rec_sys.modules.inference_backends import GraphBackend

# The people by whose queries an index is measured are drawn with this seed.
_SEED = 0


def create_vectorbase(config: DictConfig) -> Vectorbase:
    """Makes the index in ``paths.vectorbase_dir``; InputError for unusable settings or files."""
    settings = read_settings(indexes.IndexSettings, config.vector_db)
    folder = Path(config.paths.vectorbase_dir)
    require_replaceable(folder, indexes.INDEX_FILE, "paths.vectorbase_dir")
    path = checkpoint.find_checkpoint(config.checkpoint, config.paths.checkpoint_dir)
    if (older := built_from(folder)) not in (None, path.name):
        note(f"{folder}: replaces the index of {older}")

    trained = checkpoint.load_trained(path)
    network = exported_or_torch(trained)
    combiner = trained.combiner  # an unfinished training is told of before anything takes long
    encoder = checkpoint.load_encoder(trained, config)
    data = checkpoint.load_data(trained, config)
    prepared = prepare_reviews(data, encoder, config.paths.cache_dir)
    graph, vectors = prepared.graph, prepared.vectors

    edges = known_edges(trained, prepared, config)
    catalogue = build_catalogue(trained, network, prepared, edges, config, settings.chunk_size)
    keys, own = catalogue.products.keys, trained.settings(config, "encoder")
    index, queries = indexes.ProductIndex.build(keys, settings), keys[:0]
    if not index.is_exact:
        drawn = np.random.default_rng(_SEED).permutation(graph.num_users)
        queries = catalogue.queries(graph.histories(np.sort(drawn[: indexes.MEASURED_QUERIES])))
    vectorbase = vectorbases.write_vectorbase(
        Vectorbase(
            folder=folder,
            manifest={
                "model_fingerprint": trained.fingerprint,
                "checkpoint": trained.path.name,
                "encoder_model_fingerprint": encoder.model_fingerprint,
                "encoder": {name: own.get(name) for name in ("model", "max_length")},
                "data_fingerprint": data.fingerprint,
                "recall_at_10": indexes.require_recall(index, keys, queries, settings.min_recall),
                "min_recall": settings.min_recall,
                "max_quotes": settings.quotes,
            },
            products=with_statistics(data.products, graph, edges),
            name_vectors=vectors[graph.product_name_text],
            info_vectors=vectors[graph.product_info_text],
            reviews=catalogue.reviews,
            embeddings=catalogue.products.embeddings,
            keys=keys,
            index=index,
            features=catalogue.features,
            combiner=combiner,
            queries=queries,
            quotes=build_quotes(prepared, edges, liked_above(catalogue.features), settings.quotes),
            graph_model=trained.exported if isinstance(network, OnnxBackend) else None,
        )
    )
    _show_summary(vectorbase, len(edges))
    return vectorbase


def open_vectorbase(config: DictConfig) -> tuple[Vectorbase, checkpoint.TrainedModel, TextEncoder]:
    """The index with its model and text encoder; InputError if one is missing or of another."""
    paths = config.paths
    own = built_from(paths.vectorbase_dir)
    path = checkpoint.find_checkpoint(config.checkpoint, paths.checkpoint_dir, own)
    vectorbase = vectorbases.read_vectorbase(paths.vectorbase_dir)
    trained = checkpoint.load_trained(path)
    vectorbase.require_model(trained.fingerprint, path.name)
    encoder = checkpoint.load_encoder(trained, config)
    vectorbase.require_encoder(encoder.model_fingerprint)
    return vectorbase, trained, encoder


def known_edges(
    trained: checkpoint.TrainedModel, prepared: PreparedReviews, config: DictConfig
) -> np.ndarray:
    """The reviews that may be known, int64, ascending: of the training's data all but its test, see
    `split_as_trained`, of other data all."""
    if not checkpoint.is_training_data(trained, prepared.data):
        return np.arange(prepared.graph.num_edges)
    return np.flatnonzero(checkpoint.split_as_trained(trained, prepared.graph, config).known)


def build_catalogue(
    trained: checkpoint.TrainedModel,
    network: "GraphBackend | GraphModel",
    prepared: PreparedReviews,
    edges: np.ndarray,
    config: DictConfig,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
) -> FullCatalogue:
    """The products as the `network` of a trained model and the evidences tell them by the reviews
    that may be known, `edges` int64 [n], ascending; see `build_evidences`."""
    graph, vectors = prepared.graph, prepared.vectors
    reviews = ProductReviews.of(graph, vectors, edges).summary
    features = build_evidences(trained, prepared, edges, config)
    known = graph, vectors, prepared.words, reviews, features, trained.combiner
    return FullCatalogue.of(network, *known, chunk_size=chunk_size, show_progress=True)


def build_evidences(
    model: checkpoint.TrainedModel, prepared: PreparedReviews, edges: np.ndarray, config: DictConfig
) -> list[Feature]:
    """The features of the evidences, fitted to the reviews that may be known, with the settings of
    the training, unless the config has an axis ``product_graph``. InputError without weights."""
    started = perf_counter()
    graph, vectors = prepared.graph, prepared.vectors
    product_graph = build(model.settings(config, "product_graph")).build(graph, vectors, edges)
    known = KnownReviews(graph, edges, product_graph, vectors, prepared.words, model.towers)
    features = checkpoint.fit_evidences(model.settings(config, "evidence"), known)
    if model.combiner.features != tuple(each.name for each in features):
        raise InputError(f"{model.path}: has no weights for these evidences; train again")
    edges_told = f"{len(product_graph.weights)} edges of the product graph"
    took = f"{perf_counter() - started:.1f} s"
    note(f"evidences: {len(features)} features, {edges_told}, solved for in {took}")
    return features


def build_quotes(
    prepared: PreparedReviews, edges: np.ndarray, liked_above: float, most: int
) -> Quotes:
    """Quotes of the newest of the `edges`, int64 [n], without disliked ones; `most` a product."""
    graph = prepared.graph
    edges = edges[~(graph.edge_rating[edges] <= liked_above)]
    edges = edges[np.argsort(-graph.edge_time[edges], kind="stable")]
    reviews = prepared.edge_texts[edges], graph.edge_product[edges], graph.edge_rating[edges]
    return Quotes.of(*reviews, graph.num_products, most)


def with_statistics(products: pd.DataFrame, graph: ReviewGraph, edges: np.ndarray) -> pd.DataFrame:
    """Adds to P products, columns of `PRODUCT_SCHEMA`, numbers of the known reviews, `edges` int64
    [n]: `VECTORBASE_SCHEMA`. Equally popular ones are ranked by mean rating, then by row."""
    ratings = pd.Series(graph.edge_rating[edges], dtype=np.float64)
    told = ratings.groupby(graph.edge_product[edges]).agg(["size", "mean"])
    told = told.reindex(range(graph.num_products))
    counts, means = told["size"].fillna(0).to_numpy(np.int64), told["mean"].to_numpy()
    ranks = np.empty(graph.num_products, dtype=np.int64)
    ranks[np.lexsort((-np.nan_to_num(means), -counts))] = np.arange(1, graph.num_products + 1)
    table = products.assign(num_reviews=counts, mean_rating=means, popularity_rank=ranks)
    return to_frame(to_table(table, VECTORBASE_SCHEMA), VECTORBASE_SCHEMA)


def _show_summary(vectorbase: Vectorbase, num_edges: int) -> None:
    manifest, unknown = vectorbase.manifest, vectorbase.products["num_reviews"] == 0
    walks = [each for each in vectorbase.features if isinstance(each, WalkFeature)]
    graphs = {id(each.graph.weights): each.graph.weights for each in walks}
    recall = f"{manifest['recall_at_10']:.4f}, by the queries of {len(vectorbase.queries)} people"
    rows = [
        ["products", len(vectorbase.products)],
        ["of these without a known review", int(unknown.sum())],
        ["reviews that describe them", num_edges],
        ["edges of all product graphs", sum(map(len, graphs.values()))],
        ["index", manifest["factory"]],
        *([f"its {name}", value] for name, value in manifest["search"].items()),
        [f"its recall@{indexes.RECALL_AT}", "1, exact" if vectorbase.index.is_exact else recall],
        ["embedding", f"{manifest['embedding_dim']} dimensions"],
        ["checkpoint", manifest["checkpoint"]],
    ]
    show_table("vectorbase", ["", "value"], rows)
    note(f"written: {vectorbase.folder}")
    note("next:    uv run -m rec_sys.inference.infer")


if __name__ == "__main__":
    command("vectorbase_config")(create_vectorbase)()

"""Builds the product index: ``uv run -m rec_sys.vector_database.create_vectorbase``.

The whole story is `create_vectorbase`: checkpoint, data, text vectors, product embeddings,
folder. Slow libraries are imported when their turn comes.
"""

from typing import TYPE_CHECKING

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from rec_sys.foundation.cli import command
from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.errors import InputError
from rec_sys.graph.prepare import PreparedReviews, prepare_reviews
from rec_sys.graph.product_reviews import ProductReviews, ReviewSummary
from rec_sys.graph.rating_features import NUM_RATING_FEATURES
from rec_sys.modules.as_trained import is_training_data, load_data, load_encoder, split_as_trained
from rec_sys.modules.checkpoint_files import find_checkpoint
from rec_sys.vector_database.product_statistics import with_statistics
from rec_sys.vector_database.vectorbase import Vectorbase
from rec_sys.vector_database.vectorbase_folder import Origin, write_vectorbase

if TYPE_CHECKING:
    from rec_sys.modules.checkpoint import TrainedModel
    from rec_sys.modules.graph_model import GraphModel


def create_vectorbase(config: DictConfig) -> Vectorbase:
    """Embeds the products of a data set and makes them searchable.

    Args:
        config: Composed from ``config/vectorbase_config.yaml``.

    Returns:
        The vectorbase, as it stands in ``paths.vectorbase_dir``.

    Raises:
        InputError: Something in the settings, the checkpoint or the data cannot be used.
    """
    chunk_size = config.vector_db.chunk_size
    if not isinstance(chunk_size, int) or chunk_size < 1:
        raise InputError(f"vector_db.chunk_size={chunk_size}: must be a whole number from 1 up")
    path = find_checkpoint(config.checkpoint, config.paths.checkpoint_dir)

    from rec_sys.modules.checkpoint import load_trained

    trained = load_trained(path)
    encoder = load_encoder(trained, config)
    data = load_data(trained, config)
    prepared = prepare_reviews(data, encoder, config.paths.cache_dir)
    graph, vectors = prepared.graph, prepared.vectors

    edges = known_edges(trained, prepared, config)
    name_vectors = vectors[graph.product_name_text]
    info_vectors = vectors[graph.product_info_text]
    reviews = ProductReviews.of(graph, vectors, edges).summary()
    embeddings = embed_products(trained.model, name_vectors, info_vectors, reviews, chunk_size)
    vectorbase = write_vectorbase(
        config.paths.vectorbase_dir,
        Origin(
            model_fingerprint=trained.fingerprint,
            checkpoint=trained.path.name,
            encoder_model_fingerprint=encoder.model_fingerprint,
            data_fingerprint=data.fingerprint,
        ),
        with_statistics(data.products, graph, edges),
        name_vectors,
        info_vectors,
        reviews,
        embeddings,
        config.vector_db.factory,
        chunk_size,
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


def embed_products(
    model: "GraphModel",
    name_vectors: np.ndarray,
    info_vectors: np.ndarray,
    reviews: ReviewSummary,
    chunk_size: int,
) -> np.ndarray:
    """Runs the product side of a model, chunk by chunk.

    Args:
        model: In evaluation mode.
        name_vectors: float [P, D].
        info_vectors: float [P, D].
        reviews: Of the same P products.
        chunk_size: Products at once.

    Returns:
        float32 [P, d], unit length.
    """
    import torch

    sources = (name_vectors, info_vectors, *reviews)
    num_products, vector_dim = name_vectors.shape
    embeddings = np.empty((num_products, model.embedding_dim), dtype=np.float32)
    # Products do not depend on users: a graph without any user or review will do.
    no_users = torch.zeros(0, vector_dim), torch.zeros(0, NUM_RATING_FEATURES)
    no_edges = (
        torch.zeros(2, 0, dtype=torch.int64),
        *(torch.zeros(0, vector_dim), torch.zeros(0), torch.zeros(0)),
    )
    with (
        torch.inference_mode(),
        tqdm(total=num_products, desc="embedding products", unit="product") as progress,
    ):
        for start in range(0, num_products, chunk_size):
            chunk = slice(start, start + chunk_size)
            features = [torch.from_numpy(each[chunk].astype(np.float32)) for each in sources]
            output = model(*no_users, *features, *no_edges)
            embeddings[chunk] = output.product_embeddings.numpy()
            progress.update(len(features[0]))
    return embeddings


def _show_summary(vectorbase: Vectorbase, num_edges: int) -> None:
    manifest = vectorbase.manifest
    rows = [
        ["products", len(vectorbase.products)],
        [
            "without a review that may be known",
            int((vectorbase.products["num_reviews"] == 0).sum()),
        ],
        ["reviews that describe them", num_edges],
        ["index", manifest["factory"]],
        ["embedding", f"{manifest['embedding_dim']} dimensions"],
        ["checkpoint", manifest["checkpoint"]],
    ]
    show_table("vectorbase", ["", "value"], rows)
    note(f"written: {vectorbase.folder}")
    note("next:    uv run -m rec_sys.inference.infer")


@command("vectorbase_config")
def main(config: DictConfig) -> None:
    """The command line."""
    create_vectorbase(config)


if __name__ == "__main__":
    main()

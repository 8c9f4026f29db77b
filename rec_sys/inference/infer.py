"""Recommends products to people: ``uv run -m rec_sys.inference.infer``. PyTorch comes last."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from rec_sys.foundation.cli import command
from rec_sys.foundation.console import note
from rec_sys.foundation.settings import Count, PositiveCount, read_settings, settings_of
from rec_sys.inference.histories import Author, Encode, read_histories
from rec_sys.inference.recommender import Recommender
from rec_sys.inference.results import UserRecommendations, show_results, write_results
from rec_sys.modules import checkpoint, inference_backends
from rec_sys.reviews.cleaning import OWN_COLUMNS
from rec_sys.reviews.field_names import NoSuchField
from rec_sys.reviews.reading import ReviewFile
from rec_sys.reviews.schema import ReviewData
from rec_sys.text.encoder import TextEncoder
from rec_sys.text.store import distinct_texts, encode_texts, open_store
from rec_sys.vector_database.create_vectorbase import open_vectorbase
from rec_sys.vector_database.vectorbase import Vectorbase

# Encoded in ONNX Runtime while PyTorch would still be imported.
_FEW_TEXTS = 300


@settings_of("infer")
class InferSettings:
    """``config/infer``, which says what each of them means."""

    reviews: str | Path | None
    wish: str | None
    k: PositiveCount
    batch_size: PositiveCount
    show_users: Count
    backend: Literal["torch", "onnx"]
    onnx_path: str | Path | None
    threads: Count


def infer(config: DictConfig) -> list[UserRecommendations]:
    """Recommends to the people of a file; without one, to the users that training held out, or to
    all if it held out none or the data are others. Returns what ``recommendations.jsonl`` holds.
    InputError if settings, reviews, checkpoint or vectorbase cannot be used."""
    settings = read_settings(InferSettings, config.infer)
    vectorbase, trained, encoder = open_vectorbase(config)
    reviews = None if settings.reviews is None else read_people(settings.reviews, config, trained)
    backend = choose_backend(settings, trained, vectorbase)
    if reviews is None and settings.wish:
        reviews = [Author("you", [])]
    elif reviews is None:
        data = checkpoint.load_data(trained, config)
        reviews = _people_of(data, checkpoint.held_out_user_ids(trained, data))

    histories = read_histories(reviews, vectorbase, settings.wish)
    encode = encode_once(encoder, config.paths.cache_dir, histories.all_texts)
    results = Recommender(backend, vectorbase, encode).recommend(
        histories, k=settings.k, batch_size=settings.batch_size, show_progress=True
    )
    show_results(results, settings.show_users)
    for path in write_results(config.paths.output_dir, results, vectorbase):
        note(f"written: {path}")
    return results


def read_people(
    path: str | Path, config: DictConfig, trained: checkpoint.TrainedModel
) -> pd.DataFrame:
    """Reads ``infer.reviews``, without users or products, too. Of the settings of the axis ``data``
    those of `ReviewFile` count; if none is given, and the training was told the names of fields
    that this file has, too, it is written as the training's. InputError if it cannot be read."""
    settings = OmegaConf.to_container(config.data, resolve=True), trained.record["config"]["data"]
    own, of_training = map(_notation, settings)
    file = of_training if own == ReviewFile() and of_training.columns else own
    try:
        reviews, report = file.read(Path(path), anonymous=True)
    except NoSuchField:  # it is written in another way, or as nobody has said
        reviews, report = own.read(Path(path), anonymous=True)
    for step in report.as_steps("reviews"):
        rows = "" if step["step"] == "warning" else f"{step['rows']} "
        note(f"{rows}{step['step']}: {step['note']}")
    return reviews


def _notation(told: dict[str, Any]) -> ReviewFile:
    names = {each.name for each in fields(ReviewFile)} & told.keys()
    file = ReviewFile(**{name: told[name] for name in names})
    return replace(file, columns={name: each for name, each in file.columns.items() if each})


def _people_of(data: ReviewData, user_ids: list[str] | None) -> pd.DataFrame:
    """The reviews of some users, or of all, with what the data set knows of their products."""
    reviews = data.reviews
    if user_ids is None:
        note("other data than the training's: recommending to all its users")
    elif not user_ids:
        note("training held out no users: recommending to all users of its data")
    else:
        reviews = reviews[reviews["user_id"].isin(user_ids)].reset_index(drop=True)
        note(f"recommending to the {len(user_ids)} held-out users of the training's data")
    return with_products(reviews, data.products)


def with_products(reviews: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    """Reviews of a data set with what its product table knows of their products."""
    products = products.take(pd.Index(products["product_id"]).get_indexer(reviews["product_id"]))
    return reviews.assign(**{own: products[name].to_numpy() for name, own in OWN_COLUMNS.items()})


def choose_backend(
    settings: InferSettings, trained: checkpoint.TrainedModel, vectorbase: Vectorbase
) -> inference_backends.GraphBackend:
    """What runs the graph model; InputError if an export is unusable or of another checkpoint."""
    if settings.backend == "torch":
        return inference_backends.TorchBackend(trained)
    if settings.onnx_path is None:
        return inference_backends.exported_or_torch(trained, settings.threads)
    backend = inference_backends.OnnxBackend(settings.onnx_path, settings.threads)
    vectorbase.require_model(backend.model_fingerprint, str(settings.onnx_path))
    return backend


def encode_once(encoder: TextEncoder, cache_dir: str, texts: list[str]) -> Encode:
    """Encodes everything first, with one progress bar; later calls find it in the store."""
    if not any(texts):
        note("nobody says anything: no text to encode")
        return encoder.encode  # never called; its store would have its precision measured
    store = open_store(cache_dir, encoder)
    distinct = distinct_texts(texts)[0]
    new = [distinct[row] for row in np.flatnonzero(store.rows_of(distinct) < 0)]
    found: dict[str, np.ndarray] = {}
    if len(new) > _FEW_TEXTS or not encoder.is_embedded:
        encode_texts(texts, encoder, store)
    elif new:
        from rec_sys.text.encoder_export import run_embedded

        # In single precision, and not stored: the store may be of another one.
        found = dict(zip(new, run_embedded(encoder).encode(new), strict=True))
    note(f"{len(new)} texts newly encoded, {len(distinct) - len(new)} were stored")

    def encode(texts: Sequence[str]) -> np.ndarray:
        vectors, rows = store.vectors, store.rows_of(texts).tolist()
        pairs = zip(texts, rows, strict=True)
        return np.stack([found[text] if row < 0 else vectors[row] for text, row in pairs])

    return encode


if __name__ == "__main__":
    command("infer_config")(infer)()

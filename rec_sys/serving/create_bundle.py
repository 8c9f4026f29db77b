"""Makes the bundle of a checkpoint: ``uv run -m rec_sys.serving.create_bundle``. It needs PyTorch
only for what training has not exported."""

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from rec_sys.foundation import files
from rec_sys.foundation.cli import command
from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError, told_as_unfit
from rec_sys.foundation.onnx import MODEL_FILE
from rec_sys.foundation.settings import Count, build, read_settings, settings_of
from rec_sys.inference import bundle as bundles
from rec_sys.modules import checkpoint
from rec_sys.modules.inference_backends import OnnxBackend, exported_or_torch
from rec_sys.reviews.schema import ReviewData
from rec_sys.text.encoder import TextEncoder
from rec_sys.text.encoder_export import export_encoder, write_embedded
from rec_sys.vector_database.create_vectorbase import create_vectorbase
from rec_sys.vector_database.index import IndexSettings
from rec_sys.vector_database.vectorbase import Vectorbase, built_from, facts_in, read_vectorbase

# Enough reviews for a taste to show, few enough to be read.
_FEWEST_REVIEWS, _MOST_REVIEWS = 3, 6
# The end of a nickname that stands for one that was taken out.
_HASH = re.compile(r"(?=[0-9a-f]*\d)[0-9a-f]{8,}$", re.IGNORECASE)
# Column -> field of the service's API.
_FIELDS = {
    "review_id": "reviewID",
    "product_id": "asin",
    "text": "TextReview",
    "rating": "rating",
    "timestamp": "time",
    "product_name": "ProductName",
    "product_style": "Style",
}


@settings_of("bundle")
class BundleSettings:
    """``config/bundle``."""

    demo_people: Count
    triton_repository: str | None
    registered_model: Annotated[str, Field(pattern="^[^/:]+$")] | None  # as MLflow has it
    tracking_uri: str
    publish: dict[str, Any]


def create_bundle(config: DictConfig) -> bundles.Bundle:
    """Exports a checkpoint with everything that serving it needs. The vectorbase in
    ``paths.vectorbase_dir`` is taken if it is of this checkpoint and these settings, and built
    otherwise. Raises InputError if settings, checkpoint or data cannot be used, RuntimeError if an
    exported model computes something else than PyTorch."""
    settings = read_settings(BundleSettings, config.bundle)
    folder = Path(config.paths.bundle_dir)
    files.require_replaceable(folder, bundles.PEOPLE, "paths.bundle_dir")
    index = built_from(config.paths.vectorbase_dir)
    path = checkpoint.find_checkpoint(config.checkpoint, config.paths.checkpoint_dir, index)
    config = OmegaConf.merge(config, {"checkpoint": str(path)})  # of an index, too
    trained = checkpoint.load_trained(path)
    vectorbase = _vectorbase_of(trained, config)
    # A training that still runs may have written the checkpoint anew.
    vectorbase.require_model(trained.fingerprint, path.name)
    with files.replacing(folder) as draft:
        note("putting the graph model and the text encoder into the bundle")
        _write_models(trained, checkpoint.load_encoder(trained, config), draft)
        files.copy_sealed(vectorbase.folder, draft / bundles.VECTORBASE)
        number = settings.demo_people
        people = demo_people(checkpoint.load_data(trained, config), number) if number else []
        files.write_json(draft / bundles.PEOPLE, people)
        files.require_regular(trained.card)
        if trained.card.is_file():
            shutil.copyfile(trained.card, draft / bundles.MODEL_CARD)
        else:
            note(f"{trained.card}: no model card, so the bundle has none")
        bundles.seal_bundle(draft, vectorbase)
        bundles.read_bundle(draft)  # what cannot be read must not replace what can
    bundle = bundles.read_bundle(folder)
    if settings.triton_repository is not None:
        told = {"graph_model": bundle.graph_model, "text_encoder": bundle.text_encoder / MODEL_FILE}
        build(config.bundle.publish, **told)
    if settings.registered_model is not None:
        from rec_sys.inference.registered_model import register  # imports MLflow

        name, uri = settings.registered_model, settings.tracking_uri
        with told_as_unfit(path, "train again"):
            run_id = str(trained.record["mlflow"]["run_id"])
        remedy = "start it, or name the MLflow that the training logged to"
        with told_as_unfit(f"bundle.tracking_uri={uri}", remedy):
            version = register(folder, name, uri, run_id)
        note(f"MLflow: models:/{name}/{version} in {uri}")
    note(f"bundle: {bundle.description}")
    return bundle


def _vectorbase_of(trained: checkpoint.TrainedModel, config: DictConfig) -> Vectorbase:
    folder = Path(config.paths.vectorbase_dir)
    as_trained = config.data.get("from_checkpoint") and config.encoder.get("from_checkpoint")
    if as_trained and (manifest := facts_in(folder)):
        is_data = manifest.get("data_fingerprint") == trained.record["data"]["fingerprint"]
        # What somebody has updated would be lost in a new one from the training's data.
        is_wanted = is_data or bool(manifest.get("updated"))
        if is_wanted and manifest.get("model_fingerprint") == trained.fingerprint:
            vectorbase = read_vectorbase(folder)
            index, settings = vectorbase.index, read_settings(IndexSettings, config.vector_db)
            if settings.fits(index):
                return vectorbase
            if manifest.get("updated"):
                why = f"{folder} has another index ({index.factory}), and products were added or"
                why += " removed there, which a new one would lose"
                remedy = f"use vector_db.factory={index.factory} with its vector_db.search"
                remedy += ", or run create_vectorbase"
                raise InputError(f"vector_db.factory={settings.factory}: {why}; {remedy}")
    return create_vectorbase(config)


def _write_models(trained: checkpoint.TrainedModel, encoder: TextEncoder, folder: Path) -> None:
    """What training has exported is taken, and what is installed; all else is exported now."""
    graph_model, text_encoder = folder / bundles.GRAPH_MODEL, folder / bundles.TEXT_ENCODER
    if isinstance(exported_or_torch(trained), OnnxBackend):
        graph_model.parent.mkdir(parents=True)
        shutil.copyfile(trained.exported, graph_model)
    else:
        from rec_sys.modules.model_export import export_checked

        export_checked(trained, graph_model)
    if encoder.is_embedded:
        write_embedded(encoder, text_encoder)
    else:
        export_encoder(encoder, text_encoder)


def demo_people(data: ReviewData, number: int) -> list[dict[str, Any]]:
    """Chooses people who differ: each next one mostly reviewed another style than those before.
    They have ``nickname`` and ``reviews``, with the fields of the service's API."""
    products = data.products.set_index("product_id")
    reviews = data.reviews[data.reviews["text"] != ""]
    reviews = reviews.assign(
        product_name=products["name"].reindex(reviews["product_id"]).to_numpy(),
        product_style=products["style"].reindex(reviews["product_id"]).to_numpy(),
    )
    counts = reviews.groupby("user_id").size()
    counts = counts[counts >= _FEWEST_REVIEWS]
    # Where too few have as few as a page shows well, the nearest to that.
    beyond = (counts - _MOST_REVIEWS).clip(lower=0)
    counts = counts[beyond <= beyond.nsmallest(number).max()]
    own = reviews[reviews["user_id"].isin(counts.index)]
    # A person's style is the one that they reviewed most, and how clearly they did.
    styles = own.groupby(["user_id", "product_style"]).size().rename("reviews").reset_index()
    styles["share"] = styles["reviews"] / counts.reindex(styles["user_id"]).to_numpy()
    styles = styles.sort_values(["share", "user_id"], ascending=[False, True], kind="stable")
    styles = styles.drop_duplicates("user_id")
    # Round after round, one person of each style.
    turn = styles.groupby("product_style").cumcount().to_numpy()
    chosen = styles.iloc[np.argsort(turn, kind="stable")]["user_id"].head(number)
    people: dict[str, dict[str, Any]] = {}
    for user in chosen:
        reviews = own[own["user_id"] == user]
        names = reviews["nickname"].dropna()
        told = [name for name in names if name != user and not _HASH.search(name)]
        name = first = told[-1] if told else _tastes(reviews)
        same = 1
        while name in people:
            name = f"{first} ({(same := same + 1)})"
        said = [_review(row) for row in reviews.to_dict("records")]
        people[name] = {"nickname": name, "reviews": said}
    return list(people.values())


def _tastes(reviews: pd.DataFrame) -> str:
    """A name for somebody without one: the kinds of products that they reviewed most."""
    kinds = Counter(
        kind.partition(" & ")[0].strip().lower()
        for style in reviews["product_style"].fillna("")
        for kind in style.rpartition(">")[2].split(",")
        if kind.strip()
    )
    return " and ".join(kind for kind, _ in kinds.most_common(2)) or "all kinds of things"


def _review(row: dict[str, Any]) -> dict[str, Any]:
    told = {field: row[name] for name, field in _FIELDS.items()}
    told = {field: value for field, value in told.items() if pd.notna(value) and value != ""}
    if "time" in told:
        told["time"] = int(told["time"].timestamp())
    return told


@command("bundle_config")
def main(config: DictConfig) -> None:
    """The command line."""
    create_bundle(config)
    note("next:   uv run -m rec_sys.serving.app")


if __name__ == "__main__":
    main()

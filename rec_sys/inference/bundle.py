"""The bundle: a folder with everything that the service needs, and nothing else.

- ``manifest.json``: what belongs together: fingerprints of model, text encoder and data, sizes,
  versions, and the SHA-256 of each other file.
- ``graph_model/model.onnx``: the graph model.
- ``text_encoder/``: ``model.onnx``, ``tokenizer.json`` and ``encoder.json``.
- ``vectorbase/``: the products, as create_vectorbase writes them.
- ``people.json``: a few people with their reviews, to try the page with.
- ``model_card.md``: what the model was trained on, how well it does, what it is for and what not.

The service that opens it needs neither PyTorch nor the training's files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rec_sys.foundation import files
from rec_sys.foundation.errors import InputError, told_as_unfit
from rec_sys.foundation.files import MANIFEST, read_json, read_manifest, versions_of, write_manifest
from rec_sys.foundation.onnx import MODEL_FILE
from rec_sys.vector_database.vectorbase import Vectorbase, read_vectorbase

FORMAT = 3
CREATE_COMMAND = "uv run -m rec_sys.serving.create_bundle"
_REMEDY = f"run `{CREATE_COMMAND}` again"

GRAPH_MODEL = "graph_model/model.onnx"
TEXT_ENCODER = "text_encoder"
VECTORBASE = "vectorbase"
PEOPLE = "people.json"
MODEL_CARD = "model_card.md"

_SHOWN_FINGERPRINT = 12
_FINGERPRINTS = ("model_fingerprint", "encoder_fingerprint", "data_fingerprint")
# Files of the vectorbase are asked for where it is read.
_FILES = (GRAPH_MODEL, PEOPLE, f"{TEXT_ENCODER}/{MODEL_FILE}")
_PACKAGES = ("numpy", "faiss-cpu", "onnxruntime", "tokenizers", "torch", "torch-geometric")


@dataclass(frozen=True)
class Bundle:
    """An opened bundle; `people` have ``nickname`` and ``reviews``, with the fields of the API."""

    folder: Path
    manifest: dict[str, Any]
    vectorbase: Vectorbase
    people: Sequence[dict[str, Any]]

    @property
    def model_fingerprint(self) -> str:
        return self.manifest["model_fingerprint"]

    @property
    def model_label(self) -> str:
        """As much of the fingerprint as tells two models apart, for people."""
        return self.model_fingerprint[:_SHOWN_FINGERPRINT]

    @property
    def description(self) -> str:
        """Where it is and what of, for people."""
        products, checkpoint = self.vectorbase.num_products, self.manifest.get("checkpoint")
        return f"{self.folder} ({products} products, {checkpoint})"

    @property
    def encoder_fingerprint(self) -> str:
        return self.manifest["encoder_fingerprint"]

    @property
    def graph_model(self) -> Path:
        return self.folder / GRAPH_MODEL

    @property
    def text_encoder(self) -> Path:
        return self.folder / TEXT_ENCODER


def seal_bundle(folder: Path, vectorbase: Vectorbase) -> None:
    """Writes the manifest of a bundle whose other files are in place."""
    own = vectorbase.manifest
    told = ("model_fingerprint", "data_fingerprint", "checkpoint", "num_products")
    facts = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "encoder_fingerprint": own["encoder_model_fingerprint"],
        **{name: own[name] for name in (*told, "vector_dim", "embedding_dim")},
        "versions": versions_of(_PACKAGES),
    }
    write_manifest(folder, facts)


def _is_person(told: Any) -> bool:
    """Whether it is somebody with reviews, all else of them without parts: it is sent as it is."""
    reviews = told.get("reviews") if isinstance(told, dict) else None
    parts = [told | {"reviews": None}, *reviews] if isinstance(reviews, list) else [None]
    return all(
        isinstance(each, dict) and not any(isinstance(x, dict | list) for x in each.values())
        for each in parts
    )


def read_bundle(folder: str | Path) -> Bundle:
    """Opens a bundle; InputError if anything is missing, damaged, or products of another model."""
    folder = Path(folder)
    with told_as_unfit(folder, _REMEDY):
        if not (folder / MANIFEST).is_file():
            raise InputError(f"{folder}: holds no bundle; make one with `{CREATE_COMMAND}`")
        return files.read_whole(folder, _read)


def _read(folder: Path) -> Bundle:
    facts = dict.fromkeys(("created", *_FINGERPRINTS), str)
    manifest = read_manifest(folder, FORMAT, facts, _FILES, _REMEDY)
    vectorbase = read_vectorbase(folder / VECTORBASE)
    vectorbase.require_model(manifest["model_fingerprint"])
    vectorbase.require_encoder(manifest["encoder_fingerprint"])
    people = read_json(folder / PEOPLE)
    if not isinstance(people, list) or not all(map(_is_person, people)):
        raise InputError(f"{folder / PEOPLE}: must be a list of people; {_REMEDY}")
    return Bundle(folder, manifest, vectorbase, people)

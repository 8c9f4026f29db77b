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

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, sha256_of, versions_of, write_json
from rec_sys.foundation.onnx import MODEL_FILE
from rec_sys.vector_database.vectorbase import Vectorbase, read_vectorbase

log = logging.getLogger(__name__)

FORMAT = 2
CREATE_COMMAND = "uv run -m rec_sys.serving.create_bundle"

MANIFEST = "manifest.json"
GRAPH_MODEL = "graph_model/model.onnx"
TEXT_ENCODER = "text_encoder"
VECTORBASE = "vectorbase"
PEOPLE = "people.json"
MODEL_CARD = "model_card.md"

_SHOWN_FINGERPRINT = 12
_FINGERPRINTS = ("model_fingerprint", "encoder_fingerprint", "data_fingerprint")
_REQUIRED = {"sha256": dict, "created": str, **dict.fromkeys(_FINGERPRINTS, str)}
# Those of the vectorbase are checked where it is read.
_REQUIRED_FILES = (GRAPH_MODEL, PEOPLE, f"{TEXT_ENCODER}/{MODEL_FILE}")
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
        """The ONNX file of the graph model."""
        return self.folder / GRAPH_MODEL

    @property
    def text_encoder(self) -> Path:
        """The folder of the text encoder."""
        return self.folder / TEXT_ENCODER


def write_manifest(folder: Path, vectorbase: Vectorbase) -> None:
    """Writes the manifest, with checksums, of a bundle whose other files are in place."""
    own = vectorbase.manifest
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model_fingerprint": own["model_fingerprint"],
        "encoder_fingerprint": own["encoder_model_fingerprint"],
        "data_fingerprint": own["data_fingerprint"],
        "checkpoint": own["checkpoint"],
        "num_products": own["num_products"],
        "vector_dim": own["vector_dim"],
        "embedding_dim": own["embedding_dim"],
        "versions": versions_of(_PACKAGES),
        "sha256": {path.relative_to(folder).as_posix(): sha256_of(path) for path in files},
    }
    write_json(folder / MANIFEST, manifest)


def read_bundle(folder: str | Path) -> Bundle:
    """Opens a bundle. Raises InputError if anything is missing or does not fit its checksum, or the
    products are of another model."""
    with told_as_unfit(folder):
        return _read_fit_bundle(Path(folder))


@contextmanager
def told_as_unfit(folder: str | Path, *others: type[Exception]) -> Iterator[None]:
    """Makes whatever goes wrong with a bundle an `InputError`, but for `others`: it may have been
    made by anybody."""
    try:
        yield
    except (InputError, *others):
        raise
    except Exception as error:
        log.debug("%s", folder, exc_info=True)
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise InputError(
            f"{folder}: cannot be used ({type(error).__name__}: {reason}); run `{CREATE_COMMAND}`"
            " again"
        ) from None


def _read_fit_bundle(folder: Path) -> Bundle:
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder}: holds no bundle; make one with `{CREATE_COMMAND}`")
    manifest = read_json(folder / MANIFEST)
    if (
        not isinstance(manifest, dict)
        or manifest.get("format") != FORMAT
        or any(not isinstance(manifest.get(key), kind) for key, kind in _REQUIRED.items())
    ):
        raise InputError(
            f"{folder / MANIFEST}: damaged, or of another version of rec_sys; make the bundle"
            f" again with `{CREATE_COMMAND}`"
        )
    checksums = manifest["sha256"]
    for name in (*_REQUIRED_FILES, *checksums):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: is missing; run `{CREATE_COMMAND}` again")
        if sha256_of(folder / name) != checksums.get(name):
            raise InputError(
                f"{folder / name}: damaged, its checksum is not the manifest's; run"
                f" `{CREATE_COMMAND}` again"
            )
    vectorbase = read_vectorbase(
        folder / VECTORBASE, manifest["model_fingerprint"], manifest["encoder_fingerprint"]
    )
    people = read_json(folder / PEOPLE)
    if not isinstance(people, list) or not all(isinstance(each, dict) for each in people):
        raise InputError(
            f"{folder / PEOPLE}: must be a list of people; run `{CREATE_COMMAND}` again"
        )
    return Bundle(folder, manifest, vectorbase, people)

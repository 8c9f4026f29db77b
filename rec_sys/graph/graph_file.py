"""A review graph as one safetensors file that knows whether it is whole."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import replacing
from rec_sys.graph.review_graph import ReviewGraph

_FORMAT = "2"
_IDS = ("user_ids", "product_ids")


def save_graph(graph: ReviewGraph, path: str | Path, encoder_fingerprint: str) -> None:
    """Writes a graph, whole or not at all.

    Args:
        graph: The graph.
        path: The file.
        encoder_fingerprint: `TextEncoder.fingerprint`: whose vector store the rows of the texts
            belong to.
    """
    arrays = {
        field.name: _packed(getattr(graph, field.name))
        if field.name in _IDS
        else np.ascontiguousarray(getattr(graph, field.name))
        for field in fields(ReviewGraph)
    }
    metadata = {
        "format": _FORMAT,
        "encoder_fingerprint": encoder_fingerprint,
        "sha256": _checksum(arrays),
    }
    with replacing(path) as draft:
        save_file(arrays, draft, metadata)


def load_graph(path: str | Path, encoder_fingerprint: str) -> ReviewGraph:
    """Reads a graph.

    Args:
        path: The file.
        encoder_fingerprint: Of the encoder in whose vector store the texts will be looked up.

    Raises:
        InputError: No such file, not a graph, damaged, or its texts are in another store.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{path}: not a readable graph file ({error}); build it again") from None
    wanted = {field.name for field in fields(ReviewGraph)}
    if metadata.get("format") != _FORMAT or set(arrays) != wanted:
        raise InputError(f"{path}: not a graph file of this version; build it again")
    if metadata["sha256"] != _checksum(arrays):
        raise InputError(f"{path}: damaged, its checksum differs; build it again")
    if metadata["encoder_fingerprint"] != encoder_fingerprint:
        raise InputError(f"{path}: its texts were encoded by another text encoder; build it again")
    return ReviewGraph(**arrays | {name: _unpacked(arrays[name]) for name in _IDS})


def _packed(ids: np.ndarray) -> np.ndarray:
    # As JSON, not joined by a separator: an id may contain any character.
    return np.frombuffer(json.dumps(ids.tolist()).encode(), dtype=np.uint8)


def _unpacked(content: np.ndarray) -> np.ndarray:
    return np.asarray(json.loads(content.tobytes()), dtype=object)


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name}:{arrays[name].dtype}:{arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()

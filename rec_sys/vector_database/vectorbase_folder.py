"""The vectorbase as a folder: written beside and renamed, read only if it is whole.

``manifest.json``
    What belongs together: fingerprints of model, text encoder and data, sizes, and the SHA-256
    of each other file; how the index searches and what share of the best products it finds; and
    the settings of the product graph.
``index.faiss`` and ``index_rows.safetensors``
    The product index (`ProductIndex`), and which of its rows are removed.
``products.parquet``
    The product table (`VECTORBASE_SCHEMA`); row i is row i of the index.
``product_vectors.safetensors``
    ``name`` and ``info`` float16 [P, D]; of the training users' reviews ``review_texts`` float32
    [P, D] and ``review_ratings`` float32 [P, 3] (`ReviewSummary`); ``embeddings`` float32 [P, d],
    ``keys`` float32 [P, d + 1] and ``queries`` float32 [n, d + 1] (`Vectorbase`).
``product_graph.safetensors``
    ``pointers`` int64 [P + 1], ``neighbours`` int32 [n] and ``weights`` float32 [n]
    (`ProductGraph`).
"""

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import (
    read_json,
    replacing,
    require_replaceable,
    sha256_of,
    write_json,
)
from rec_sys.graph.product_graph import ProductGraph
from rec_sys.graph.product_reviews import ReviewSummary
from rec_sys.vector_database.index_settings import FLAT
from rec_sys.vector_database.product_index import INDEX_FILE, ROWS_FILE, ProductIndex
from rec_sys.vector_database.product_statistics import VECTORBASE_SCHEMA
from rec_sys.vector_database.vectorbase import BUILD_COMMAND, Vectorbase

FORMAT = 4
#: Of the manifest: share of the best products that the index finds, and the least that will do.
RECALL_KEYS = ("recall_at_10", "min_recall")
#: Of the manifest: when products were last added or removed; missing if that was never.
UPDATED = "updated"

# Older formats are still read. 3: products have no brand. 2, moreover: no removed rows, no queries,
# keys in the index as they are.
_WITHOUT_BRANDS, _WITHOUT_ROWS = 3, 2

_MANIFEST = "manifest.json"
_PRODUCTS = "products.parquet"
_VECTORS = "product_vectors.safetensors"
_GRAPH = "product_graph.safetensors"
_FILES = (INDEX_FILE, ROWS_FILE, _PRODUCTS, _VECTORS, _GRAPH)
_BRAND = "brand"
_GRAPH_KEY = "product_graph"
_GRAPH_ARRAYS = {"pointers": np.int64, "neighbours": np.int32, "weights": np.float32}
_GRAPH_SETTINGS = ("history_decay", "disliked_weight", "liked_above")


@dataclass(frozen=True)
class Origin:
    """Where a vectorbase comes from; all of it stands in the manifest.

    Attributes:
        model_fingerprint: `TrainedModel.fingerprint`.
        checkpoint: Name of the checkpoint's file, for messages.
        encoder_model_fingerprint: `TextEncoder.model_fingerprint`.
        data_fingerprint: `ReviewData.fingerprint`.
    """

    model_fingerprint: str
    checkpoint: str
    encoder_model_fingerprint: str
    data_fingerprint: str


def check_replaceable(folder: str | Path) -> None:
    """Makes sure that a folder may be written: it is empty, not there, or a vectorbase.

    Raises:
        InputError: It holds something else.
    """
    require_replaceable(folder, _MANIFEST, "paths.vectorbase_dir")


def write_vectorbase(vectorbase: Vectorbase) -> Vectorbase:
    """Writes a vectorbase to its folder; a folder that is there is replaced as a whole.

    Args:
        vectorbase: Of its manifest the origin (`Origin`) and what was measured (`RECALL_KEYS`)
            are kept; everything else is told by its other parts.

    Returns:
        What `read_vectorbase` reads from the folder.

    Raises:
        InputError: The folder holds something else.
    """
    check_replaceable(vectorbase.folder)
    graph = vectorbase.product_graph
    table = pa.Table.from_pandas(
        vectorbase.products, schema=VECTORBASE_SCHEMA, preserve_index=False
    )
    with replacing(vectorbase.folder) as draft:
        draft.mkdir()
        vectorbase.index.write(draft)
        pq.write_table(table, draft / _PRODUCTS)
        tensors = {
            "name": (vectorbase.name_vectors, np.float16),
            "info": (vectorbase.info_vectors, np.float16),
            "review_texts": (vectorbase.reviews.texts, np.float32),
            "review_ratings": (vectorbase.reviews.ratings, np.float32),
            "embeddings": (vectorbase.embeddings, np.float32),
            "keys": (vectorbase.keys, np.float32),
            "queries": (vectorbase.queries, np.float32),
        }
        _save_arrays(draft / _VECTORS, tensors)
        _save_arrays(
            draft / _GRAPH,
            {name: (getattr(graph, name), kind) for name, kind in _GRAPH_ARRAYS.items()},
        )
        for name in (ROWS_FILE, _VECTORS, _GRAPH):
            # safetensors writes for the owner only; a server may run as somebody else.
            (draft / name).chmod((draft / INDEX_FILE).stat().st_mode)
        sha256 = {name: sha256_of(draft / name) for name in _FILES}
        write_json(draft / _MANIFEST, _manifest_of(vectorbase) | {"sha256": sha256})
    return read_vectorbase(vectorbase.folder)


def read_vectorbase(
    folder: str | Path,
    expected_model_fingerprint: str | None = None,
    expected_encoder: str | None = None,
) -> Vectorbase:
    """Opens a vectorbase after checking that it is whole and fits.

    Args:
        folder: The folder.
        expected_model_fingerprint: Fingerprint of the model whose embeddings are to be searched.
        expected_encoder: Model fingerprint of the text encoder in use.

    Raises:
        InputError: No such folder, a file that does not fit the manifest, another model, or
            another text encoder.
    """
    folder = Path(folder)
    if not (folder / _MANIFEST).is_file():
        raise InputError(f"{folder}: holds no product index; build it with `{BUILD_COMMAND}`")
    manifest = read_json(folder / _MANIFEST)
    _check_manifest(folder / _MANIFEST, manifest)
    without_rows = manifest["format"] == _WITHOUT_ROWS
    for name in _FILES:
        if not (without_rows and name == ROWS_FILE):
            _check_file(folder / name, manifest["sha256"].get(name))
    vectors = load_file(folder / _VECTORS)
    keys = vectors["keys"]
    vectorbase = Vectorbase(
        folder=folder,
        manifest=manifest,
        products=_read_products(folder / _PRODUCTS),
        name_vectors=vectors["name"],
        info_vectors=vectors["info"],
        reviews=ReviewSummary(vectors["review_texts"], vectors["review_ratings"]),
        embeddings=vectors["embeddings"],
        keys=keys,
        index=ProductIndex.read(folder, manifest.get("factory", FLAT), manifest.get("search")),
        product_graph=ProductGraph(**load_file(folder / _GRAPH), **manifest[_GRAPH_KEY]),
        queries=vectors.get("queries", keys[:0]),
    )
    if expected_model_fingerprint is not None:
        vectorbase.require_model(expected_model_fingerprint)
    if expected_encoder is not None:
        vectorbase.require_encoder(expected_encoder)
    return vectorbase


def _read_products(path: Path) -> pd.DataFrame:
    table = pq.read_table(path)
    if _BRAND not in table.schema.names:
        unknown = pa.array([""] * len(table), pa.string())
        place = VECTORBASE_SCHEMA.get_field_index(_BRAND)
        table = table.add_column(place, VECTORBASE_SCHEMA.field(_BRAND), unknown)
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def _manifest_of(vectorbase: Vectorbase) -> dict[str, Any]:
    index, known = vectorbase.index, vectorbase.manifest
    kept = (*(each.name for each in fields(Origin)), *RECALL_KEYS, UPDATED)
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **{name: known[name] for name in kept if name in known},
        "num_products": index.num_products,
        "num_removed": len(index) - index.num_products,
        "vector_dim": vectorbase.name_vectors.shape[1],
        "embedding_dim": vectorbase.embeddings.shape[1],
        "factory": index.factory,
        "search": index.search_parameters,
        _GRAPH_KEY: {name: getattr(vectorbase.product_graph, name) for name in _GRAPH_SETTINGS},
    }


def _save_arrays(path: Path, arrays: dict[str, tuple[np.ndarray, type]]) -> None:
    save_file(
        {name: np.ascontiguousarray(array, kind) for name, (array, kind) in arrays.items()}, path
    )


def _check_manifest(path: Path, manifest: Any) -> None:
    needed = {"sha256", "created", _GRAPH_KEY, *(each.name for each in fields(Origin))}
    if (
        not isinstance(manifest, dict)
        or manifest.get("format") not in (FORMAT, _WITHOUT_BRANDS, _WITHOUT_ROWS)
        or not needed <= set(manifest)
        or not isinstance(manifest[_GRAPH_KEY], dict)
        or set(manifest[_GRAPH_KEY]) != set(_GRAPH_SETTINGS)
    ):
        raise InputError(
            f"{path}: damaged, or of another version of rec_sys; rebuild it with `{BUILD_COMMAND}`"
        )


def _check_file(path: Path, sha256: str | None) -> None:
    if not path.is_file():
        raise InputError(f"{path}: the file is missing; rebuild it with `{BUILD_COMMAND}`")
    if sha256_of(path) != sha256:
        raise InputError(
            f"{path}: damaged, its checksum is not the manifest's; rebuild it with"
            f" `{BUILD_COMMAND}`"
        )

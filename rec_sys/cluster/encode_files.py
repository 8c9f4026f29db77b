"""Encodes the texts of many files on many machines: ``uv run -m rec_sys.cluster.encode_files``. The
others read and encode; this one alone writes the store, batch by batch, and can be interrupted."""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig, OmegaConf

from rec_sys.cluster.workers import ClusterSettings, connected, work_on
from rec_sys.foundation.cli import command
from rec_sys.foundation.console import note, progress, show_table
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import build, read_settings
from rec_sys.graph.review_graph import product_texts
from rec_sys.reviews.records import require_readable
from rec_sys.text.store import open_store

_TEXT, _VECTOR = "text", "vector"


def encode_files(config: DictConfig) -> tuple[list[Path], int, int]:
    """Stores vectors of all texts of all files of a folder, read as ``data=local
    data.reviews_path=FILE`` reads each. InputError for unusable settings, files or cluster. Returns
    the files, how many distinct texts they have, empty ones aside, and how many were new."""
    cluster = read_settings(ClusterSettings, config.cluster)
    files = review_files(config.data)
    encoder = build(config.encoder)
    data = OmegaConf.to_container(config.data, resolve=True)
    for key in ("metadata_path", "cache_dir"):
        # A worker's working directory may be another.
        if data[key]:
            data[key] = str(Path(data[key]).expanduser().absolute())
    texts: dict[str, None] = {}
    with connected(cluster):
        with progress(len(files), "reading files", "file") as bar:
            for table in work_on(list(map(str, files)), 1, partial, (texts_of, data), cluster):
                texts |= dict.fromkeys(table[_TEXT].to_pylist())
                bar.advance()
        if not texts:
            note("nobody says anything: no text to encode")
            return files, 0, 0
        store = open_store(config.paths.cache_dir, encoder)
        new = [text for text, row in zip(texts, store.rows_of(texts), strict=True) if row < 0]
        # What this machine found to be the fastest faithful precision counts for all.
        settings = OmegaConf.to_container(config.encoder, resolve=True)
        settings["precision"] = encoder.precision
        if "model" in settings and Path(settings["model"]).is_dir():
            settings["model"] = str(Path(settings["model"]).absolute())
        arguments = (settings, encoder.fingerprint)
        found = 1 - len(new) / len(texts)
        with progress(len(new), f"encoding texts ({found:.0%} found in the store)", "text") as bar:
            size, gpus = cluster.texts_per_task, cluster.gpus_per_actor
            for table in work_on(new, size, EncodingWorker, arguments, cluster, gpus=gpus):
                flat = table[_VECTOR].combine_chunks().flatten().to_numpy()
                store.append(table[_TEXT].to_pylist(), flat.reshape(len(table), -1))
                bar.advance(len(table))
    rows = [["files", len(files)], ["distinct texts", len(texts)]]
    rows += [["found in the store", f"{found:.0%}"], ["newly encoded", len(new)]]
    show_table("texts", ["", "value"], rows)
    note(f"written: {store.folder}")
    return files, len(texts), len(new)


def review_files(data: DictConfig) -> list[Path]:
    """The files of reviews that ``config/data`` names: one, or all of a folder, but for hidden
    files and that of products. Raises InputError for none, or one of no known kind."""
    if "reviews_path" not in data:
        settings = "data=local data.reviews_path=FOLDER"
        raise InputError(f"encode_files reads files of your own: {settings}")
    source = build(data)
    if source.reviews_path is None:
        raise InputError("data.reviews_path is missing: name a folder with files of reviews")
    path = source.reviews_path.absolute()
    products = source.metadata_path and source.metadata_path.absolute()
    files = [path]
    if path.is_dir():
        there = (each for each in path.iterdir() if each.is_file() and each != products)
        files = sorted(each for each in there if not each.name.startswith("."))
    if not files:
        raise InputError(f"data.reviews_path={path}: there is no file in this folder")
    for each in files if products is None else [*files, products]:
        require_readable(each)
    return files


def texts_of(settings: dict, files: list[str]) -> pa.Table:
    """From the name of one file to its distinct texts, empty ones aside, by ``config/data``."""
    data = build(OmegaConf.create(settings), reviews_path=files[0]).load()
    names, infos = product_texts(data.products)
    texts = dict.fromkeys([*data.reviews["text"], *names, *infos])
    texts.pop("", None)
    return pa.table({_TEXT: pa.array(texts, pa.string())})


class EncodingWorker:
    """Encodes texts with ``config/encoder``, if it is the encoder of the `fingerprint` here."""

    def __init__(self, settings: dict, fingerprint: str) -> None:
        self._encoder = build(OmegaConf.create(settings))
        if self._encoder.fingerprint != fingerprint:
            where = f"encoder.model={settings.get('model')}"
            remedy = "install the same version of rec_sys and its packages everywhere"
            raise InputError(f"{where}: is another one on a machine of the cluster; {remedy}")

    def __call__(self, texts: list[str]) -> pa.Table:
        vectors = self._encoder.encode(texts).astype(np.float16)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        return pa.table({_TEXT: texts, _VECTOR: column})


if __name__ == "__main__":
    command("encode_files_config")(encode_files)()

"""Recommends to all people of a data set: ``uv run -m rec_sys.cluster.recommend_all``. Every
machine needs checkpoint and vectorbase; this one sends workers the rest, and alone writes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig

from rec_sys.cluster.workers import ClusterSettings, connected, work_on
from rec_sys.foundation.cli import command
from rec_sys.foundation.console import note, progress
from rec_sys.foundation.files import replacing, require_replaceable, write_json
from rec_sys.foundation.settings import read_settings
from rec_sys.inference import infer
from rec_sys.inference.histories import Encode, Histories, read_histories
from rec_sys.inference.recommender import Recommender
from rec_sys.inference.results import RECOMMENDATION_SCHEMA, as_table
from rec_sys.modules.checkpoint import load_data, load_trained
from rec_sys.vector_database.create_vectorbase import open_vectorbase
from rec_sys.vector_database.vectorbase import read_vectorbase

ABOUT_FILE = "_about.json"  # readers of a folder of Parquet files skip names like this


class Part(NamedTuple):
    """Some people, their `texts`, str [n], distinct, not empty, and `vectors`, float16 [n, D]."""

    histories: Histories
    texts: list[str]
    vectors: np.ndarray

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        row_of = {text: row for row, text in enumerate(self.texts)}
        return self.vectors[[row_of[text] for text in texts]]


def recommend_all(config: DictConfig) -> Path:
    """Recommends to everybody, as `infer` does, in the users' order; who has reviewed every product
    is in no row. Returns the folder: ``part-*.parquet``, columns `RECOMMENDATION_SCHEMA`, and
    ``_about.json``. InputError if settings, reviews, model, vectorbase or cluster are unusable."""
    settings = read_settings(infer.InferSettings, config.infer)
    cluster = read_settings(ClusterSettings, config.cluster)
    folder = Path(config.folder)
    require_replaceable(folder, ABOUT_FILE, "folder")
    vectorbase, trained, encoder = open_vectorbase(config)
    if settings.reviews is not None:
        reviews = infer.read_people(settings.reviews, config, trained)
    else:
        data = load_data(trained, config)
        reviews = infer.with_products(data.reviews, data.products)
    histories = read_histories(reviews, vectorbase)
    encode = infer.encode_once(encoder, config.paths.cache_dir, histories.all_texts)

    with connected(cluster):
        import ray

        parts = [ray.put(part) for part in _parts(histories, cluster.people_per_task, encode)]
        # A worker's working directory may be another.
        own = settings.onnx_path
        there = replace(settings, onnx_path=None if own is None else Path(own).absolute())
        folders = vectorbase.folder.absolute(), trained.path.absolute()
        arguments = (*folders, there, trained.fingerprint, parts)
        numbers = range(len(parts))
        results = work_on(numbers, 1, RecommendingWorker, arguments, cluster, in_order=True)
        about = {"checkpoint": trained.path.name, "model_fingerprint": trained.fingerprint}
        about |= {"people": len(histories), "k": settings.k, "rows": 0}
        with replacing(folder) as draft, progress(len(parts), "recommending", "part") as bar:
            draft.mkdir()
            for number, table in enumerate(results):
                about["rows"] += len(table)
                path = draft / f"part-{number:05d}.parquet"
                pq.write_table(table.cast(RECOMMENDATION_SCHEMA), path, compression="zstd")
                bar.advance()
            write_json(draft / ABOUT_FILE, about)
    note(f"written: {folder}, {about['rows']} recommendations to {len(histories)} people")
    return folder


class RecommendingWorker:
    """Recommends to people, if this machine's checkpoint is the model of the `fingerprint`."""

    def __init__(
        self,
        vectorbase: Path,
        checkpoint: Path,
        settings: infer.InferSettings,
        fingerprint: str,
        parts: Sequence[Any],  # Ray's references to a `Part` each
    ) -> None:
        self._settings, self._parts = settings, parts
        self._vectorbase = read_vectorbase(vectorbase)
        self._vectorbase.require_model(fingerprint)
        self._backend = infer.choose_backend(settings, load_trained(checkpoint), self._vectorbase)

    def __call__(self, numbers: list[int]) -> pa.Table:
        """From the number of one part to the recommendations for the people in it."""
        import ray

        (number,) = numbers
        part = ray.get(self._parts[number])
        recommender = Recommender(self._backend, self._vectorbase, part.encode)
        how = {"k": self._settings.k, "batch_size": self._settings.batch_size}
        return as_table(recommender.recommend(part.histories, **how))


def _parts(histories: Histories, people: int, encode: Encode) -> Iterator[Part]:
    for first in range(0, len(histories), people):
        part = histories.part(first, min(first + people, len(histories)))
        texts = [text for text in dict.fromkeys(part.all_texts) if text]
        yield Part(part, texts, encode(texts) if texts else np.empty((0, 0), np.float16))


if __name__ == "__main__":
    command("recommend_all_config")(recommend_all)()

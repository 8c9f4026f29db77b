"""Every stage from raw file to recommendations, each measured in a process of its own.

What a stage leaves (cleaned tables, vectors, checkpoint, vectorbase) is found by the next ones in
a folder per size of the full-size set, and so are the finished measurements: an interrupted run
goes on where it was. A change of the program or of its settings makes everything anew.

Vectors of texts are stand-ins (`stand_in_vectors.py`); what encoding costs is a stage of its own.
"""

import argparse
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from full_size_set import FOLDER, FullSizeSet, full_size_set
from own_process import Measurement, answer_option, in_own_process

from rec_sys.foundation.console import note
from rec_sys.foundation.files import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig

    from rec_sys.graph.review_graph import PreparedReviews
    from rec_sys.inference.recommender import Recommender, UserRecommendations

K = 10
#: People recommended to at once: what bounds the memory of recommending to all.
USERS_AT_ONCE = 4096
_CACHE = Path("cache")
_STAND_IN = {"_target_": "stand_in_vectors.StandInEncoder"}
_ROOT = Path(__file__).resolve().parents[1]
_PROGRAM = ("rec_sys", "config", "benchmarks/stages.py")


@dataclass(frozen=True)
class Workplace:
    """One size of the full-size set, and all that stages make of it.

    Attributes:
        files: The raw files, as absolute paths.
        folder: Everything else.
    """

    files: FullSizeSet
    folder: Path

    @classmethod
    def of(cls, share: float, folder: Path = FOLDER) -> "Workplace":
        """The workplace of a share of the users; see `full_size_set`."""
        files = FullSizeSet(full_size_set(share, folder=folder).folder.resolve())
        places, program = folder.resolve() / "work", _program_fingerprint()
        for old in places.glob("*"):
            if old.name != program:
                note(f"removing {old}: made by another version of the program")
                shutil.rmtree(old)
        return cls(files, places / program / files.folder.name)

    def measure(self, stage: str, **numbers: float) -> dict[str, Any]:
        """The measurement of a stage, made now unless it was made before.

        The stages before it must have been measured.

        Args:
            stage: A key of `STAGES`.
            **numbers: What else the stage wants to know.
        """
        label = "_".join([stage, *(f"{value:g}" for value in numbers.values())])
        path = self.folder / "measurements" / f"{label}.json"
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            arguments = ["--stage", stage, "--files", str(self.files.folder)]
            arguments += [f"--{name}={value}" for name, value in numbers.items()]
            write_json(path, in_own_process(__file__, arguments, self.folder))
        return read_json(path)


def read_and_clean(files: FullSizeSet, measurement: Measurement) -> None:
    """Raw files to clean tables, written to the cache."""
    import rec_sys.reviews.sources as sources

    shutil.rmtree(_CACHE / "review_tables", ignore_errors=True)
    source = sources.LocalReviews(
        reviews_path=files.reviews, metadata_path=files.products, cache_dir=_CACHE
    )
    with measurement.timed():
        source.load()


def stand_in_vectors(files: FullSizeSet, measurement: Measurement) -> None:
    """Fills the vector store; no stage of the project."""
    with measurement.timed():
        prepare(files)


def graph(files: FullSizeSet, measurement: Measurement) -> None:
    """Clean tables to the graph; every text is found in the vector store."""
    from stand_in_vectors import StandInEncoder

    from rec_sys.graph.review_graph import prepare_reviews

    data = load(files)
    with measurement.timed():
        prepare_reviews(data, StandInEncoder(), _CACHE)


def product_graph(files: FullSizeSet, measurement: Measurement) -> None:
    """The equations that say which products go with which."""
    import numpy as np

    from rec_sys.foundation.settings import build

    config, prepared = compose("train_config", files), prepare(files)
    split = build(config.split).split(prepared.graph)
    builder = build(config.product_graph)
    with measurement.timed():
        builder.build(prepared.graph, prepared.vectors, np.flatnonzero(split.train))


def training(files: FullSizeSet, measurement: Measurement) -> None:
    """One epoch; leaves a checkpoint. ``validation_seconds`` are not part of ``seconds``."""
    from rec_sys.train.train import train

    config = compose("train_config", files, "train.max_epochs=1", "train.run_name=benchmark")
    config.trainer._target_ = "clocked_trainer.ClockedTrainer"
    prepared = prepare(files)
    with measurement.timed():
        _, objects = train(config, prepared)
    clock = objects["trainer"].clock
    measurement.values |= {"whole_seconds": measurement.values["seconds"]} | clock.values


def evidences(files: FullSizeSet, measurement: Measurement) -> None:
    """Features of the evidences and their weights; the product graph is a stage of its own."""
    import numpy as np

    from rec_sys.foundation.settings import build
    from rec_sys.graph.ego_batch import ProductReviews
    from rec_sys.modules.checkpoint import find_checkpoint, fit_evidences, load_trained
    from rec_sys.modules.evidences import KnownReviews
    from rec_sys.modules.full_catalogue import FullCatalogue

    config, prepared = compose("train_config", files), prepare(files)
    graph, vectors = prepared.graph, prepared.vectors
    split = build(config.split).split(graph)
    edges = np.flatnonzero(split.train)
    product_graph = build(config.product_graph).build(graph, vectors, edges)
    trained = load_trained(find_checkpoint(None, "checkpoints"))
    words, reviews = prepared.words, ProductReviews.of(graph, vectors, edges).summary
    known = KnownReviews(graph, edges, product_graph, vectors, words, trained.towers)
    with measurement.timed():
        features = fit_evidences(config.evidence, known)
        catalogue = FullCatalogue.of(trained.model, graph, vectors, words, reviews, features)
        fit, liked_above = build(config.combiner), config.train.liked_above
        catalogue.fitted(fit, graph, split.validation, liked_above)


def vectorbase(files: FullSizeSet, measurement: Measurement) -> None:
    """All that `create_vectorbase` does, from the cached tables to the written folder."""
    from rec_sys.vector_database.create_vectorbase import create_vectorbase

    config = compose("vectorbase_config", files)
    with measurement.timed():
        create_vectorbase(config)


def recommendations(files: FullSizeSet, measurement: Measurement, users: float = 0) -> None:
    """The best products for so many users, or for all (0)."""
    recommender, reviews = recommending(files)
    reviews = first_users(reviews, int(users))
    count = 0
    with measurement.timed():
        for each in recommend_all(recommender, reviews):
            count += len(each)
    measurement.values["users"] = count


def encoding(files: FullSizeSet, measurement: Measurement, texts: float) -> None:
    """So many texts of the set into an empty vector store, by the real text encoder."""
    from rec_sys.text.encoder import TextEncoder
    from rec_sys.text.store import encode_texts, open_store

    encoder = TextEncoder("embedded", "auto", 256, "auto", _CACHE)
    given = load(files).reviews["text"].drop_duplicates().tolist()[: int(texts)]
    encoder.encode(given[:1])  # loads the model, and measures the precision if nobody has yet
    with tempfile.TemporaryDirectory(dir=".") as folder:
        store = open_store(folder, encoder)
        with measurement.timed():
            encode_texts(given, encoder, store)
    measurement.values["texts"] = len(given)


STAGES = {
    each.__name__: each
    for each in (
        *(read_and_clean, stand_in_vectors, graph, product_graph),
        *(training, evidences, vectorbase, recommendations, encoding),
    )
}


def load(files: FullSizeSet) -> Any:
    """The clean tables, from the cache."""
    from rec_sys.reviews.sources import LocalReviews

    return LocalReviews(files.reviews, files.products, cache_dir=_CACHE).load()


def prepare(files: FullSizeSet) -> "PreparedReviews":
    """The clean tables, their graph and the vectors."""
    from stand_in_vectors import StandInEncoder

    from rec_sys.graph.review_graph import prepare_reviews

    return prepare_reviews(load(files), StandInEncoder(), _CACHE)


def compose(name: str, files: FullSizeSet, *overrides: str) -> "DictConfig":
    """The default settings of a command, for these files and with vectors that stand in."""
    import hydra
    from omegaconf import OmegaConf

    from rec_sys.foundation.cli import CONFIG_DIR

    data = [f"data.reviews_path={files.reviews}", f"data.metadata_path={files.products}"]
    with hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = hydra.compose(name, ["data=local", *data, *overrides])
    config.encoder = OmegaConf.create(_STAND_IN)
    return config


def recommending(files: FullSizeSet) -> tuple["Recommender", "pd.DataFrame"]:
    """A recommender with stored vectors, and the reviews of everybody."""
    import numpy as np

    from rec_sys.inference.recommender import Recommender
    from rec_sys.modules.checkpoint import find_checkpoint, load_trained
    from rec_sys.modules.inference_backends import TorchBackend
    from rec_sys.vector_database.vectorbase import read_vectorbase

    prepared = prepare(files)
    store, vectors = prepared.store, prepared.vectors

    def stored(texts: list[str]) -> np.ndarray:
        return vectors[store.rows_of(texts)]

    backend = TorchBackend(load_trained(find_checkpoint(None, "checkpoints")))
    return Recommender(backend, read_vectorbase("vectorbase"), stored), prepared.data.reviews


def recommend_all(
    recommender: "Recommender", reviews: "pd.DataFrame"
) -> Iterator[list["UserRecommendations"]]:
    """Recommends to everybody, so many at once that memory does not grow with their number.

    Args:
        recommender: Recommends.
        reviews: A clean table: all reviews of a user stand together.
    """
    users = reviews["user_id"].drop_duplicates()
    starts = [*users.index[::USERS_AT_ONCE], len(reviews)]
    for first, last in zip(starts[:-1], starts[1:], strict=True):
        own = reviews.iloc[first:last].reset_index(drop=True)
        yield recommender.recommend(own, k=K)


def first_users(reviews: "pd.DataFrame", count: int) -> "pd.DataFrame":
    """The reviews of the first users of a clean table; of all for 0."""
    users = reviews["user_id"].drop_duplicates()
    return reviews.iloc[: users.index[count]] if 0 < count < len(users) else reviews


def _program_fingerprint() -> str:
    digest = hashlib.sha256()
    for part in _PROGRAM:
        path = _ROOT / part
        files = [path] if path.is_file() else [*path.rglob("*.py"), *path.rglob("*.yaml")]
        for file in sorted(files):
            digest.update(file.relative_to(_ROOT).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description="One stage, for `Workplace.measure`.")
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--files", type=Path, required=True)
    for number in ("users", "texts"):
        parser.add_argument(f"--{number}", type=float)
    answer_option(parser)
    given = parser.parse_args()
    numbers = {name: getattr(given, name) for name in ("users", "texts")}
    measurement = Measurement()
    STAGES[given.stage](
        FullSizeSet(given.files),
        measurement,
        **{name: value for name, value in numbers.items() if value is not None},
    )
    measurement.write(given.answer)


if __name__ == "__main__":
    main()

import gzip
import json
from functools import partial

import pandas as pd
import pyarrow as pa
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rec_sys.cluster.encode_files import EncodingWorker, encode_files, review_files, texts_of
from rec_sys.cluster.workers import Worker
from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import prepare_reviews
from rec_sys.reviews.demo import write_demo
from rec_sys.reviews.sources import LocalReviews
from rec_sys.text.store import open_store
from tests.helpers.machines import killing_one, needs_ray
from tests.helpers.mortal_encoder import DIMENSION, MortalEncoder

pytestmark = needs_ray

ENCODER = {"_target_": "tests.helpers.mortal_encoder.MortalEncoder", "precision": "fp32"}


def config_of(folder, *overrides, encoder=ENCODER):
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose(
            "encode_files_config",
            [
                f"data.reviews_path={folder / 'files'}",
                f"data.metadata_path={folder / 'files' / 'products.jsonl'}",
                f"paths.cache_dir={folder / 'cache'}",
                "cluster.texts_per_task=20",
                "~encoder",
                *(f"+encoder.{key}={value}" for key, value in encoder.items()),
                *overrides,
            ],
        )
    return config


@pytest.fixture
def folder(tmp_path):
    """The demo's reviews in a file of JSON lines, one of them gzipped and one of Parquet."""
    reviews, products = write_demo(tmp_path / "demo", num_users=30, num_products=12)
    files = tmp_path / "files"
    files.mkdir()
    products.rename(files / "products.jsonl")
    lines = reviews.read_text().splitlines(keepends=True)
    third = len(lines) // 3
    (files / "a.jsonl").write_text("".join(lines[:third]))
    with gzip.open(files / "b.jsonl.gz", "wt") as file:
        file.writelines(lines[third : 2 * third])
    pd.DataFrame(map(json.loads, lines[2 * third :])).to_parquet(files / "c.parquet")
    return tmp_path


def prepared(folder, name, encoder, cache_dir):
    """What training does with one file before it trains."""
    source = LocalReviews(folder / "files" / name, folder / "files" / "products.jsonl")
    return prepare_reviews(source.load(), encoder, cache_dir)


def test_a_killed_worker_changes_nothing(cluster, folder):
    pid_file = folder / "pid"

    def waiting():
        pid = pid_file.read_text() if pid_file.exists() else None
        return [each for each in cluster.workers() if str(each) == pid]

    address = f"cluster.address={cluster.address}"
    mortal = ENCODER | {"pid_file": pid_file}
    with killing_one(waiting) as killed:
        files, distinct, newly = encode_files(config_of(folder, address, encoder=mortal))
    assert killed
    assert [path.name for path in files] == ["a.jsonl", "b.jsonl.gz", "c.parquet"]
    assert newly == distinct > 3 * 20

    alone = MortalEncoder()
    stored = open_store(folder / "cache", MortalEncoder())
    assert len(stored) == 1 + distinct  # the empty text
    for name in ("a.jsonl", "b.jsonl.gz", "c.parquet"):
        here = prepared(folder, name, alone, folder / "alone")
        there = prepared(folder, name, idle := MortalEncoder(), folder / "cache")
        assert there.newly_encoded == 0 and not idle.encoded
        for rows in ("edge_text", "product_name_text", "product_info_text"):
            one, other = (each.vectors[getattr(each.graph, rows)] for each in (here, there))
            assert (one == other).all()
            assert one.shape[1] == DIMENSION and one.any()
    assert distinct == len(alone.encoded) == len({*alone.encoded})


def test_bad_input_comes_back_as_a_value(folder):
    """Ray would make one long text of the exception and its traceback."""
    (folder / "d.json").write_text('{"nickname": "eve"')
    settings = OmegaConf.to_container(config_of(folder).data, resolve=True)
    worker = Worker(partial, (texts_of, settings))
    (problem,) = worker(pa.table({"value": [str(folder / "d.json")]}))["problem"].to_pylist()
    assert "d.json, line 1: not JSON" in problem


def test_an_encoder_of_another_version(folder):
    worker = Worker(EncodingWorker, (ENCODER, "fingerprint of another one"))
    (problem,) = worker(pa.table({"value": ["fine"]}))["problem"].to_pylist()
    assert "is another one on a machine of the cluster" in problem


def test_one_file_or_all_of_a_folder(folder):
    config = config_of(folder)
    names = [path.name for path in review_files(config.data)]
    assert names == ["a.jsonl", "b.jsonl.gz", "c.parquet"]
    config.data.reviews_path = str(folder / "files" / "a.jsonl")
    assert [path.name for path in review_files(config.data)] == ["a.jsonl"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.reviews_path=null", "data.reviews_path is missing"),
        ("data.reviews_path=nowhere", "nowhere: no such file"),
        ("cluster.actors=0", "cluster.actors=0"),
        ("cluster.cpus=two", "cluster.cpus=two"),
        ("cluster.texts_per_task=0", "cluster.texts_per_task=0"),
        ("cluster.gpus_per_actor=-1", "cluster.gpus_per_actor=-1"),
        ("cluster.object_store_mb=1", "cluster.object_store_mb=1: must be at least 75"),
    ],
)
def test_settings_that_cannot_be_used(folder, override, message):
    with pytest.raises(InputError, match=message):
        encode_files(config_of(folder, override))


def test_only_files_of_ones_own(folder):
    config = config_of(folder)
    config.data = {"_target_": "rec_sys.reviews.sources.DemoReviews"}
    with pytest.raises(InputError, match="data=local data.reviews_path=FOLDER"):
        encode_files(config)


def test_an_empty_folder(tmp_path):
    (tmp_path / "files").mkdir()
    with pytest.raises(InputError, match="no file in this folder"):
        encode_files(config_of(tmp_path))

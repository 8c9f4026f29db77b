"""The whole path on the demo, with the default settings."""

import json
import math
import re
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from rec_sys.foundation.files import read_json
from rec_sys.modules.checkpoint import load_trained
from rec_sys.modules.inference_backends import OnnxBackend
from rec_sys.train.report import MAJORITY
from tests.helpers.commands import MODEL_CONFIG, Shell

ONNX = "triton_utils/model_repository/graph_model/1/model.onnx"


@pytest.fixture(scope="module")
def shop(trained_demo) -> Shell:
    return trained_demo[0]


@pytest.fixture(scope="module")
def printed(shop, trained_demo) -> dict[str, str]:
    """Train, index, recommend and export, as the README says."""
    printed = {"train": trained_demo[1]}
    printed["index"] = shop.ok("vector_database.create_vectorbase")
    printed["infer"] = shop.ok("inference.infer")
    (checkpoint,) = (
        p for p in (shop.folder / "checkpoints").glob("*.ckpt") if ".last" not in p.name
    )
    printed["checkpoint"] = str(checkpoint)
    printed["export"] = shop.ok(
        "modules.model_export", str(checkpoint), MODEL_CONFIG, f"--output_path=./{ONNX}"
    )
    return printed


def row_of(table: str, start: str) -> list[float]:
    line, *_ = (line for line in table.splitlines() if line.startswith(f"│ {start}"))
    cells = (cell.strip() for cell in line.split("│")[2:-1])
    return [math.nan if c == "–" else float(c) for c in cells if re.fullmatch(r"–|[\d.]+", c)]


def test_the_model_learns_what_a_constant_cannot(printed):
    loss, f1, accuracy, macro_f1, auc, _, mse = row_of(printed["train"], "model, validation")
    majority = row_of(printed["train"], MAJORITY[:8])
    bias = row_of(printed["train"], "user + product bias")
    assert loss < 0.8 * majority[0] and mse < 0.8 * bias[6]
    assert f1 > majority[1] and accuracy > majority[2] and macro_f1 > majority[3]
    assert auc > 0.8 > bias[4]


def test_the_model_ranks_better_than_what_needs_no_network(printed):
    ndcg, liked, disliked = row_of(printed["train"], "model ")
    assert 0 < ndcg <= 1 and 0 < liked <= 1
    rows = {n: row_of(printed["train"], n) for n in ("popularity", "Markov chain", "EASE")}
    assert ndcg > max(rows["popularity"][0], rows["Markov chain"][0])
    assert liked > max(row[1] for row in rows.values()) and disliked <= rows["popularity"][2]
    assert "verdict:    rec_sys " in printed["train"]


def test_training_says_where_things_are_and_what_is_next(printed, shop):
    assert "checkpoint: checkpoints/demo-" in printed["train"]
    assert "sqlite:///mlflow.db" in printed["train"]
    assert "rec_sys.vector_database.create_vectorbase" in printed["train"]
    left = {path.name for path in shop.folder.iterdir()}
    assert left == {
        *("cache", "checkpoints", "mlflow.db", ".mlflow.db.lock", "mlruns", "outputs"),
        *("recommendations", "triton_utils", "vectorbase"),
    }


def test_held_out_users_get_products_they_do_not_know(printed, shop):
    record = load_trained(printed["checkpoint"]).record
    lines = (shop.folder / "recommendations" / "recommendations.jsonl").read_text().splitlines()
    people = {each["user_id"]: each for each in map(json.loads, lines)}
    assert set(people) == set(record["split"]["validation_user_ids"])
    reviews = (shop.folder / "cache/data/demo/reviews.jsonl").read_text().splitlines()
    reviewed = {(r["userID"], r["asin"]) for r in map(json.loads, reviews)}
    for user, person in people.items():
        assert len(person["recommendations"]) == 10
        for each in person["recommendations"]:
            assert (user, each["product_id"]) not in reviewed
            assert 0 <= each["predicted_rating"] <= 5
    shown = {r["product_id"] for p in people.values() for r in p["recommendations"]}
    assert len(shown) > 30  # not the same ten for everybody


def test_embeddings_are_written(printed, shop):
    folder = shop.folder / "recommendations"
    users, products = (
        pq.read_table(folder / f"{kind}_embeddings.parquet") for kind in ("user", "product")
    )
    assert (users.num_rows, products.num_rows) == (80, 240)
    assert users.schema.field("embedding").type.list_size == 64


def test_the_export_agrees_and_is_the_indexed_model(printed, shop):
    assert "maximum difference" in printed["export"] and "people of the data" in printed["export"]
    backend = OnnxBackend(shop.folder / ONNX)
    manifest = read_json(shop.folder / "vectorbase" / "manifest.json")
    assert backend.model_fingerprint == manifest["model_fingerprint"]
    assert (shop.folder / "triton_utils/model_repository/graph_model/config.pbtxt").is_file()


def test_ten_lines_of_python_recommend_without_pytorch(printed, shop):
    program = """
import sys
for name in ("torch", "pytorch_lightning", "sentence_transformers", "mlflow"):
    sys.modules[name] = None  # whoever imports it fails
from rec_sys import Recommender
found = Recommender.load("vectorbase").recommend("something quiet to practise at night", k=5)
print(found.to_pandas()[["rank", "name"]])
print(found[0].recommendations[0].match.words)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=shop.folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shown, words = done.stdout.rsplit("\n", 2)[:2]
    assert len(shown.splitlines()) == 6 and "quiet" in words


def test_tastes_of_strangers_decide(printed, shop):
    """Two people never seen, who review products never seen, differ in taste alone."""
    tastes = {
        "quiet": "My flat has thin walls and everything must be quiet. I love how it spares my"
        " neighbours.",
        "retro": "I adore anything with a vintage look. The old-time charm makes me smile, how"
        " beautifully retro it looks.",
    }
    words = {"quiet": ("neighbours", "soft voice"), "retro": ("vintage", "nostalgic")}
    reviews = [
        {"nickname": name, "ProductName": f"Nobody's {kind}", "TextReview": text, "rating": 5}
        for name, text in tastes.items()
        for kind in ("Ukulele", "Cajon", "Guitar Amplifier")
    ]
    path = shop.folder / "strangers.json"
    path.write_text(json.dumps(reviews))
    shop.ok("inference.infer", f"infer.reviews={path}", "paths.output_dir=strangers")
    products = (shop.folder / "cache/data/demo/products.jsonl").read_text().splitlines()
    info = {each["asin"]: each["ProductInfo"] for each in map(json.loads, products)}
    lines = (shop.folder / "strangers" / "recommendations.jsonl").read_text().splitlines()
    leaning = {}
    for person in map(json.loads, lines):
        offered = {
            taste: sum(
                any(word in info[each["product_id"]] for word in words[taste])
                for each in person["recommendations"]
            )
            for taste in words
        }
        leaning[person["nickname"] or person["user_id"]] = offered["quiet"] - offered["retro"]
    # How many of ten lean which way is chance; that the two lists lean apart is not.
    assert leaning["quiet"] > leaning["retro"] + 4

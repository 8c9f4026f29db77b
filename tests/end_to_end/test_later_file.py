"""A shop that goes on: train and index on the first reviews, then a file with all of them."""

import json
import re

import pytest

from rec_sys.foundation.files import read_json
from rec_sys.modules.checkpoint import load_trained
from rec_sys.reviews.demo import write_demo
from tests.helpers.commands import Shell

QUICK = ("debug=quick", "data=local", "encoder.precision=fp32", "train.export=false")


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shell:
    """A folder with two files of reviews; the newest product of all is only in the later one."""
    shell = Shell(tmp_path_factory.mktemp("later"))
    reviews, products = write_demo(shell.folder, num_users=60, num_products=40)
    lines = reviews.read_text().splitlines(keepends=True)
    first = lines[: len(lines) * 4 // 5]
    new = json.loads(lines[-1])["asin"]
    (shell.folder / "first.jsonl").write_text(
        "".join(line for line in first if json.loads(line)["asin"] != new)
    )
    (shell.folder / "new").write_text(new)
    return shell


def files(name):
    return f"data.reviews_path={name}.jsonl", "data.metadata_path=products.jsonl"


def recommended(shell):
    lines = (shell.folder / "recommendations" / "recommendations.jsonl").read_text().splitlines()
    return [[r["product_id"] for r in json.loads(line)["recommendations"]] for line in lines]


def test_a_later_file(shop):
    shop.train(*QUICK, *files("first"), "train.run_name=first", here=True)
    shop.ok("vector_database.create_vectorbase", here=True)
    before = read_json(shop.folder / "vectorbase" / "manifest.json")

    # The index first: it stays with the model that it was built from.
    printed = shop.ok("vector_database.update_vectorbase", "data=local", *files("reviews"))
    assert "added" in printed and "written: vectorbase" in printed
    now = read_json(shop.folder / "vectorbase" / "manifest.json")
    assert now["num_products"] > before["num_products"]
    assert now["model_fingerprint"] == before["model_fingerprint"]
    new = (shop.folder / "new").read_text()
    shop.ok("inference.infer", "data=local", *files("reviews"), "infer.k=39", here=True)
    assert any(new in products for products in recommended(shop))

    # Then the model, from the weights that it has.
    printed = shop.train(
        *(*QUICK, *files("reviews"), "train.run_name=second", "train.warm_start=true"),
        here=True,
    )
    assert "starting from the weights of checkpoints/first.ckpt" in printed
    assert "since first.ckpt" in printed
    assert re.search(r"; 0 of \d+ texts newly encoded", printed)
    trained = load_trained(shop.folder / "checkpoints" / "second.ckpt")
    assert trained.record["warm_start"]["fingerprint"] == before["model_fingerprint"]


def test_bad_input_is_one_line(shop):
    done = shop.run_here("train.train", "train.warm_start=nowhere.ckpt")
    assert done.returncode == 2
    assert done.stderr.startswith("error: nowhere.ckpt: no such checkpoint")
    done = shop.run("vector_database.update_vectorbase", "paths.vectorbase_dir=nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("error: nowhere: holds no product index")

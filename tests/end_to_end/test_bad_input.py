"""What a person may get wrong: one line, exit code 2, no traceback."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from rec_sys.foundation.cli import CONFIG_DIR, EXIT_BAD_INPUT
from rec_sys.foundation.files import read_json
from tests.helpers.commands import MODEL_CONFIG

GOOD = {"reviewID": "r", "nickname": "n", "ProductName": "p", "TextReview": "t", "rating": 5}


def refused(done, *fragments):
    assert done.returncode == EXIT_BAD_INPUT, f"{done.stdout}\n{done.stderr}"
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    for fragment in fragments:
        assert fragment in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "fragments"),
    [
        ("empty.jsonl", "", ["empty.jsonl", "empty"]),
        ("names.csv", "who,what\na,b\n", ["names.csv", "found who, what", "data.columns.", "asin"]),
        ("stars.jsonl", json.dumps(GOOD | {"rating": 7}), ["stars.jsonl, line 1", "1…5"]),
        ("one.jsonl", json.dumps(GOOD), ["all reviews are by one person"]),
        ("half.jsonl", json.dumps(GOOD) + "\n{broken\n", ["half.jsonl, line 2", "not JSON"]),
        (
            "cut.json.gz",
            gzip.compress(bytes(99), mtime=0)[:20],
            ["cut.json.gz", "cut off or damaged"],
        ),
    ],
)
def test_unusable_files(small_shop, name, content, fragments):
    path = small_shop.folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = small_shop.run_here("train.train", "data=local", f"data.reviews_path={path}")
    refused(done, *fragments)


def test_an_array_is_accepted(small_shop):
    reviews = [
        GOOD | {"nickname": f"n{u}", "ProductName": f"p{p}", "rating": 1 + p, "TextReview": "fine"}
        for u in range(5)
        for p in range(4)
    ]
    (small_shop.folder / "array.json").write_text(json.dumps(reviews, indent=1))
    options = ["data.reviews_path=array.json", "paths.checkpoint_dir=array", "train.max_epochs=1"]
    told = small_shop.train("data=local", *options, "train.export=false", here=True)
    assert "clean reviews" in told
    # Its index, from the data that the checkpoint names.
    options = ["paths.checkpoint_dir=array", "paths.vectorbase_dir=array_index"]
    small_shop.ok("vector_database.create_vectorbase", *options, here=True)
    assert read_json(small_shop.folder / "array_index" / "manifest.json")["num_products"] == 4
    printed = small_shop.ok("inference.infer", *options, "paths.output_dir=array_out", here=True)
    assert "has reviewed every product" in printed


def changed_checkpoint(shell, path, change):
    """A copy of the small shop's checkpoint with something changed in it."""
    content = torch.load(shell.folder / "checkpoints" / "small.ckpt", weights_only=True)
    change(content)
    torch.save(content, path)
    return f"checkpoint={path}"


def test_an_index_of_another_model(small_shop, tmp_path):
    other = changed_checkpoint(
        small_shop,
        tmp_path / "other.ckpt",
        lambda content: content["state_dict"]["model.product_head.bias"].add_(1),
    )
    refused(small_shop.run_here("inference.infer", other), "built from another model", "rebuild")


def test_a_checkpoint_of_other_dimensions(small_shop, tmp_path):
    checkpoint = str(small_shop.folder / "checkpoints" / "small.ckpt")
    text = (CONFIG_DIR / "model" / "model_config.yaml").read_text()
    (tmp_path / "wide.yaml").write_text(text.replace("hidden_dim: 64", "hidden_dim: 32"))
    done = small_shop.run_here("modules.model_export", checkpoint, str(tmp_path / "wide.yaml"))
    refused(done, "small.ckpt", "do not fit the model's settings", "current model")
    other = changed_checkpoint(
        small_shop, tmp_path / "768.ckpt", lambda content: content["rec_sys"].update(vector_dim=768)
    )
    done = small_shop.run_here("vector_database.create_vectorbase", other)
    refused(done, "768.ckpt", "do not fit")


def test_the_data_of_the_training_has_gone(small_shop, tmp_path):
    path = str(tmp_path / "gone.jsonl")
    data = {"_target_": "rec_sys.reviews.sources.LocalReviews", "reviews_path": path}
    moved = changed_checkpoint(
        small_shop,
        tmp_path / "moved.ckpt",
        lambda content: content["rec_sys"]["config"].update(data=data),
    )
    done = small_shop.run_here("vector_database.create_vectorbase", moved)
    refused(done, "gone.jsonl: no such file")


def test_what_is_not_there(small_shop):
    """Each command in a process of its own: nothing else is said there."""
    commands = (
        ("train.train", "data=local", "data.reviews_path=missing.jsonl"),
        ("inference.infer", "checkpoint=no.ckpt"),
        ("vector_database.create_vectorbase", "paths.checkpoint_dir=nowhere"),
        ("modules.model_export", "no.ckpt", MODEL_CONFIG),
    )
    told = (
        "missing.jsonl: no such file",
        "no.ckpt: no such checkpoint",
        "nowhere: holds no checkpoint; train first",
        "no.ckpt: no such checkpoint",
    )
    with ThreadPoolExecutor(2) as two:
        for done, message in zip(
            two.map(lambda each: small_shop.run(*each), commands), told, strict=True
        ):
            refused(done, message)
    done = small_shop.run_here("inference.infer", "paths.vectorbase_dir=nowhere")
    refused(done, "nowhere", "create_vectorbase")
    done = small_shop.run_here("inference.infer", "infer.reviews=nobody.json")
    refused(done, "nobody.json: no such file")


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("train.max_epoch=3", "train.max_epoch: no such setting; did you mean train.max_epochs?"),
        ("zebra=1", "zebra: no such setting; `--help all` lists all that there are"),
        (
            "data=locale",
            "data=locale: there is no such choice; there are demo, from_checkpoint, local",
        ),
        ("train.seed", "settings are given as key=value"),
        ("paths=null", "paths=null: is needed; leave it out, or choose paths=NAME"),
        ("hydra.run.dir=${nope}", "hydra.run.dir: Interpolation key 'nope' not found"),
        ("~encoder", "~encoder: is needed; leave it out, or choose encoder=NAME"),
    ],
)
def test_settings_that_do_not_exist(small_shop, override, answer):
    refused(small_shop.run_here("train.train", override), answer)


def test_a_person_without_any_text_gets_the_popular_products(small_shop):
    path = small_shop.folder / "silent.json"
    path.write_text(json.dumps({"nickname": "eve", "TextReview": ""}))
    options = (f"infer.reviews={path}", "paths.output_dir=silent")
    printed = small_shop.ok("inference.infer", *options, here=True)
    assert "the order is the same for everybody: by popularity" in printed
    line = (small_shop.folder / "silent" / "recommendations.jsonl").read_text()
    assert json.loads(line)["fallback"] == "popular"


def test_help_needs_no_heavy_library(small_shop):
    done = small_shop.run("train.train", "--help")
    assert done.returncode == 0 and "max_epochs" in done.stdout

"""Starting from an earlier training's weights, with more reviews than it had."""

import json

import mlflow
import numpy as np
import pytest
import torch

from rec_sys.foundation.errors import InputError
from rec_sys.modules.checkpoint import (
    SEEN_KEY,
    held_out_user_ids,
    load_trained,
    split_as_trained,
)
from rec_sys.modules.recommender_module import RecommenderModule
from rec_sys.reviews.demo import write_demo
from rec_sys.train.tracking import Tracking
from rec_sys.train.train import train
from tests.helpers.configs import small_config


@pytest.fixture(scope="module")
def files(folder):
    """The reviews of the small shop: the older half, and all of them."""
    reviews, products = write_demo(folder / "later", num_users=60, num_products=40)
    lines = reviews.read_text().splitlines(keepends=True)
    first = reviews.with_name("first.jsonl")
    first.write_text("".join(lines[: len(lines) // 2]))
    return {"first": first, "all": reviews, "products": products}


@pytest.fixture(scope="module")
def later_config(folder, files):
    """Makes the config of a training with one of the files."""

    def make(which, name, *overrides, split="users"):
        return small_config(
            folder,
            "data=local",
            f"data.reviews_path={files[which]}",
            f"data.metadata_path={files['products']}",
            f"split={split}",
            f"train.run_name={name}",
            "train.max_epochs=1",
            *overrides,
        )

    return make


@pytest.fixture(scope="module", autouse=True)
def without_export():
    """What MLflow gets of the network is tested elsewhere and takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tracking, "log_model", lambda self, trained: None)
        yield


@pytest.fixture(scope="module")
def first(later_config):
    """For each split, the objects of a training with the first reviews; trained once."""
    done = {}

    def get(split):
        if split not in done:
            done[split] = train(later_config("first", f"first-{split}", split=split))[1]
        return done[split]

    return get


def start_from(trained):
    return f"train.warm_start={trained.path}"


def learnt_pairs(objects):
    graph, split = objects["prepared"].graph, objects["split"]
    return pairs_of(graph, split.train)


def pairs_of(graph, edges):
    users, products = graph.edge_user[edges], graph.edge_product[edges]
    return set(zip(graph.user_ids[users], graph.product_ids[products], strict=True))


@pytest.mark.parametrize("name", ["users", "leave_one_out"])  # all: tests/graph/test_every_split
def test_nothing_is_measured_that_was_learnt_from(first, later_config, name):
    earlier = first(name)
    config = later_config("all", f"later-{name}", start_from(earlier["trained"]), split=name)
    _, later = train(config)
    graph, split = later["prepared"].graph, later["split"]
    assert graph.num_edges > earlier["prepared"].graph.num_edges
    learnt = learnt_pairs(earlier)
    for task in filter(None, (split.validation, split.test)):
        assert task.target.any() and not pairs_of(graph, task.target) & learnt
    if name == "users":
        learnt_users = {user for user, _ in learnt}
        told = later["trained"].record["split"]
        assert not set(told["validation_user_ids"]) & learnt_users
        before = earlier["trained"].record["split"]["validation_user_ids"]
        assert set(before) < set(told["validation_user_ids"])  # and new ones
    # Later commands split the same data in the same way, without the earlier checkpoint.
    nothing_said = small_config(config.paths.cache_dir)
    del nothing_said.split
    again = split_as_trained(later["trained"], graph, nothing_said)
    np.testing.assert_array_equal(again.train, split.train)
    assert held_out_user_ids(later["trained"], later["prepared"].data) is not None


def test_a_cold_start_would_have_measured_what_was_learnt_from(first, later_config):
    """That the test above can fail: the same split, drawn without knowing."""
    _, cold = train(later_config("all", "cold"))
    graph = cold["prepared"].graph
    assert pairs_of(graph, cold["split"].validation.target) & learnt_pairs(first("users"))


@pytest.fixture
def first_weights(monkeypatch):
    """The weights with which the next training takes its first step."""
    found = {}
    step = RecommenderModule.training_step

    def remember(self, batch, batch_index):
        if not found:
            found.update({k: v.clone() for k, v in self.model.state_dict().items()})
        return step(self, batch, batch_index)

    monkeypatch.setattr(RecommenderModule, "training_step", remember)
    return found


def test_training_starts_from_the_weights_alone(first, later_config, first_weights):
    trained = first("users")["trained"]
    _, later = train(later_config("all", "started", start_from(trained)))
    weights = trained.model.state_dict()
    assert first_weights.keys() == weights.keys()
    for name, weight in weights.items():
        assert torch.equal(first_weights[name], weight), name
    assert [row["epoch"] for row in later["module"].history] == [0]


def test_the_record_and_mlflow_tell_where_it_started_and_what_changed(first, later_config, capsys):
    earlier = first("users")
    config = later_config("all", "told", start_from(earlier["trained"]))
    capsys.readouterr()
    _, later = train(config)
    printed = capsys.readouterr().out
    before, now = earlier["prepared"].graph, later["prepared"].graph
    origin = later["trained"].record["warm_start"]
    assert origin["checkpoint"] == "first-users.ckpt" and origin["run_name"] == "first-users"
    assert origin["fingerprint"] == earlier["trained"].fingerprint
    assert earlier["trained"].record["warm_start"] is None
    mlflow.set_tracking_uri(config.logger.tracking_uri)
    run = mlflow.MlflowClient().get_run(later["trained"].record["mlflow"]["run_id"])
    assert run.data.params["warm_start/checkpoint"] == "first-users.ckpt"
    assert run.data.params["warm_start/fingerprint"] == origin["fingerprint"]
    changes = json.loads(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/changes.json"))
    assert changes["reviews"] == {
        "then": before.num_edges,
        "now": now.num_edges,
        "new": now.num_edges - before.num_edges,
        "gone": 0,
    }
    new_users = set(now.user_ids) - set(before.user_ids)
    assert changes["users"]["new"] == len(new_users) > 0
    assert changes["newly_encoded_texts"] == later["prepared"].newly_encoded
    assert "since first-users.ckpt" in printed


def test_what_a_chain_of_trainings_has_learnt_from_is_kept(first, later_config):
    """The first reviews, then a file that lacks them, then all: its users still train."""
    earlier = first("users")
    _, later = train(later_config("all", "second", start_from(earlier["trained"])))
    _, back = train(later_config("first", "third", start_from(later["trained"])))
    learnt = load_trained(back["trained"].path).seen.learned
    for mine, before in zip(learnt, later["trained"].seen.learned, strict=True):
        assert set(before) <= set(mine)
    assert len(learnt.reviews) > back["split"].train.sum()


def test_an_interrupted_warm_start_goes_on(first, later_config, monkeypatch):
    options = (start_from(first("users")["trained"]), "train.max_epochs=2")
    _, whole = train(later_config("all", "whole", *options))
    step = RecommenderModule.training_step

    def stop_in_epoch_1(self, batch, batch_index):
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return step(self, batch, batch_index)

    monkeypatch.setattr(RecommenderModule, "training_step", stop_in_epoch_1)
    with pytest.raises(KeyboardInterrupt):
        train(later_config("all", "stopped", *options))
    monkeypatch.undo()
    path = whole["trained"].path.with_name("stopped.last.ckpt")
    resume = f"train.resume={path}"
    with pytest.raises(InputError, match="started from train.warm_start=.*first-users.ckpt, not"):
        train(later_config("all", "x", resume, "train.warm_start=true", "train.max_epochs=2"))
    # The start may be left out; what was asked at first stays in the record.
    _, resumed = train(later_config("all", "x", resume, "train.max_epochs=2"))
    for name, weight in whole["module"].state_dict().items():
        assert torch.equal(weight, resumed["module"].state_dict()[name]), name
    assert resumed["trained"].record["warm_start"] == whole["trained"].record["warm_start"]
    assert resumed["trained"].record["split"] == whole["trained"].record["split"]
    with pytest.raises(InputError, match="this training is complete"):  # not: another start
        train(later_config("all", "x", resume, *options))
    path.unlink()


def test_a_training_from_random_weights_is_not_resumed_as_a_warm_start(first, later_config, folder):
    trained = first("users")["trained"]
    content = torch.load(trained.path, weights_only=True)
    content["rec_sys"]["config"]["train"]["max_epochs"] = 5
    content["rec_sys"]["run_name"] = "unfinished"
    path = folder / "unfinished.last.ckpt"
    torch.save(content, path)
    with pytest.raises(InputError, match="started from random weights, not from"):
        train(later_config("first", "x", f"train.resume={path}", start_from(trained)))


def test_true_is_the_newest_checkpoint(first, later_config, folder):
    first("users")
    _, newest = train(later_config("first", "newest"))
    _, later = train(later_config("all", "from-newest", "train.warm_start=true"))
    origin = later["trained"].record["warm_start"]
    assert (origin["checkpoint"], origin["asked"]) == ("newest.ckpt", True)
    assert origin["fingerprint"] == newest["trained"].fingerprint


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.hidden_dim=32", r"other settings \(.*model.hidden_dim=64, now 32"),
        ("model=gat", "first-users.ckpt: its network has other settings"),
        ("encoder.max_length=32", "first-users.ckpt: was trained with another text encoder"),
        ("train.warm_start=nowhere.ckpt", "nowhere.ckpt: no such checkpoint; .* first-users.ckpt"),
        ("train.warm_start=3", "train.warm_start=3: must be null, true"),
    ],
)
def test_what_cannot_be_started_from_is_one_line(first, later_config, override, message):
    with pytest.raises(InputError, match=message) as caught:
        train(later_config("all", "x", start_from(first("users")["trained"]), override))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_does_not_tell_what_it_learnt_from(first, later_config, folder):
    content = torch.load(first("users")["trained"].path, weights_only=True)
    del content[SEEN_KEY]
    torch.save(content, folder / "old.ckpt")
    with pytest.raises(InputError, match="old.ckpt: .*rec_sys_seen"):
        train(later_config("all", "x", f"train.warm_start={folder / 'old.ckpt'}"))


def test_a_validation_that_was_set_into_the_learnt_past_is_refused(first, later_config):
    start = start_from(first("users")["trained"])
    day = "split.validation_from=2021-01-01"
    with pytest.raises(InputError, match="has learned from .* that split=time measures"):
        train(later_config("all", "x", start, day, split="time"))

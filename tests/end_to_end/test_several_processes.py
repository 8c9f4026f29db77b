"""``trainer=ddp``: several processes train what one would."""

import json

import pytest

from tests.helpers.commands import Shell

#: Nothing random but what all processes share: targets, order of the users, sample of products.
EQUAL = (
    *("data.num_users=80", "data.num_products=60", "train.max_epochs=3", "train.batch_size=16"),
    *("model.dropout=0", "model.modality_dropout=0", "model.conv.dropout=0"),
    *("split.validation_share=0.3", "trainer.accelerator=cpu"),
    *("train.export=false", "encoder.precision=fp32"),
)
RATING = {"loss", "f1", "accuracy", "macro_f1", "auc", "mae", "mse"}
METRICS = {*RATING, "ranking_loss"}


def history_of(folder, name):
    from rec_sys.modules.checkpoint import read_checkpoint

    return read_checkpoint(folder / "checkpoints" / f"{name}.last.ckpt")["rec_sys_history"]


@pytest.fixture(scope="module")
def shell(tmp_path_factory) -> Shell:
    shell = Shell(tmp_path_factory.mktemp("processes"))
    shell.train(*EQUAL, "train.run_name=one", here=True)
    return shell


def test_two_processes_train_what_one_trains(shell):
    said = shell.train(*EQUAL, "train.run_name=two", "trainer=ddp")
    one, two = (history_of(shell.folder, name) for name in ("one", "two"))
    assert len(one) == len(two) == 3
    for alone, together in zip(one, two, strict=True):
        # The AUC of few predictions that hardly differ is chance; that it is measured alike is
        # seen below.
        for name in METRICS - {"auc"}:
            expected = pytest.approx(alone[f"val/{name}"], abs=0.02, rel=0.02)
            assert together[f"val/{name}"] == expected, name
    # The first process alone speaks and saves.
    assert said.count("best epoch") == said.count("checkpoint:") == 1
    assert sorted(path.name for path in (shell.folder / "checkpoints").iterdir()) == [
        *("one.ckpt", "one.last.ckpt", "one.md"),
        *("two.ckpt", "two.last.ckpt", "two.md"),
    ]


def test_two_processes_measure_what_one_measures(shell):
    """The same weights, which a step of no length leaves as they are."""
    still = ("train.warm_start=checkpoints/one.ckpt", "train.lr=1e-12", "train.max_epochs=1")
    shell.train(*EQUAL, *still, "train.run_name=alone", here=True)
    shell.train(*EQUAL, *still, "train.run_name=together", "trainer=ddp")
    (alone,), (together,) = (history_of(shell.folder, name) for name in ("alone", "together"))
    for name in {*RATING, "network_ndcg10"}:
        expected = pytest.approx(alone[f"val/{name}"], abs=1e-5, rel=1e-5)
        assert together[f"val/{name}"] == expected, name


def test_what_they_trained_recommends(shell):
    checkpoint = "checkpoint=checkpoints/two.ckpt"
    shell.ok("vector_database.create_vectorbase", checkpoint, here=True)
    shell.ok("inference.infer", checkpoint, "infer.k=3", here=True)
    files = list((shell.folder / "recommendations").rglob("*.json*"))
    assert files and all(json.loads(line) for line in files[0].read_text().splitlines()[:1])

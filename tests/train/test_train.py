import json
import math

import mlflow
import numpy as np
import pytest
import torch

from rec_sys.foundation.errors import InputError
from rec_sys.graph.ego_batch import MODEL_INPUTS
from rec_sys.modules.checkpoint import load_trained
from rec_sys.modules.features import MatchFeature
from rec_sys.modules.match import Towers
from rec_sys.modules.metrics import rating_metrics
from rec_sys.modules.model_export import random_inputs
from rec_sys.train.train import train
from tests.helpers.configs import small_config


def weights_of(folder, name):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def test_the_best_checkpoint_scores_what_training_reported(trained_once):
    """Evaluated anew, outside Lightning, the saved model gives the reported metrics."""
    config, best, objects = trained_once
    datamodule, trained = objects["datamodule"], objects["trained"]
    predicted, true = [], []
    with torch.inference_mode():
        for batch in datamodule.val_dataloader():
            users, products, *_ = trained.model(*(batch[name] for name in MODEL_INPUTS))
            cosine = (users[batch["target_user"]] * products[batch["target_product"]]).sum(dim=1)
            predicted.append(2.5 * (cosine + 1))
            true.append(batch["target_rating"])
    predicted, true = torch.cat(predicted), torch.cat(true)
    found = rating_metrics(predicted, true, config.train.liked_above)
    assert config.objective.loss == "mse"
    found["loss"] = found["mse"]
    for name, value in found.items():
        assert best[f"val/{name}"] == pytest.approx(value, abs=1e-5), name


def naive_ndcg(scores, history, target, counts=None):
    """NDCG@10 of each user with a target, by sorting; no two scores are equal."""
    found = []
    for user in range(len(scores)):
        own = scores[user].astype(np.float64)
        own[[p for u, p in history if u == user]] = -np.inf
        targets = [
            p
            for (u, p), kept in zip(target, counts or [True] * len(target), strict=True)
            if u == user and kept
        ]
        if targets:
            place = {p: i for i, p in enumerate(np.argsort(-own, kind="stable").tolist())}
            gain = sum(1 / math.log2(place[p] + 2) for p in targets if place[p] < 10)
            ideal = sum(1 / math.log2(i + 2) for i in range(min(10, len(targets))))
            found.append(gain / ideal)
    return np.mean(found)


def test_the_rankings_that_training_reported(trained_once):
    """Counted anew from the scores of the catalogue, and from the network alone."""
    config, best, objects = trained_once
    graph, task, catalogue = (
        objects["prepared"].graph,
        objects["split"].validation,
        objects["catalogue"],
    )
    users = task.users(graph)
    row = {user: number for number, user in enumerate(users)}

    def pairs(mask):
        return [
            (row[graph.edge_user[e]], graph.edge_product[e])
            for e in np.flatnonzero(mask)
            if graph.edge_user[e] in row
        ]

    shown, target = pairs(task.history), pairs(task.target)
    liked = (~(graph.edge_rating[task.target] <= config.train.liked_above)).tolist()
    history = graph.histories(users, task.history)
    asked = task.asked(graph, users)
    scores = catalogue.score(history, asked)
    assert best["val/ndcg10"] == pytest.approx(naive_ndcg(scores, shown, target))
    assert best["val/ndcg10_liked"] == pytest.approx(naive_ndcg(scores, shown, target, liked))
    scores[tuple(np.transpose(shown))] = -np.inf
    tops = [set(np.argsort(-each)[:10]) for each in scores]
    disliked = [t for t, kept in zip(target, liked, strict=True) if not kept]
    assert best["val/disliked_at_10"] == sum(p in tops[u] for u, p in disliked)
    assert disliked
    network = catalogue.situation(history, asked).network
    assert best["val/network_ndcg10"] == pytest.approx(naive_ndcg(network, shown, target), abs=1e-4)


def test_the_checkpoint_holds_the_weights_that_rank(trained_once):
    config, _, objects = trained_once
    combiner, catalogue = objects["trained"].combiner, objects["catalogue"]
    np.testing.assert_array_equal(combiner.weights, catalogue.combiner.weights)
    assert combiner.features == tuple(each.name for each in catalogue.features)
    assert len(dict.fromkeys(combiner.evidences)) == len(config.evidence)
    (match,) = (each for each in catalogue.features if isinstance(each, MatchFeature))
    untrained = Towers.untrained(384, config.match.scale)
    for name, tower in vars(objects["trained"].towers).items():
        np.testing.assert_array_equal(tower, getattr(match.towers, name))
        assert (tower != getattr(untrained, name)).any(), name
    mlflow.set_tracking_uri(config.logger.tracking_uri)
    run = mlflow.MlflowClient().get_run(objects["trained"].record["mlflow"]["run_id"])
    decides = combiner.decides(2)
    told = {name: run.data.metrics[f"weight/{name}"] for name in decides}
    assert told == pytest.approx(decides) and sum(told.values()) == pytest.approx(1, abs=1e-3)


def test_the_record_tells_what_later_commands_need(trained_once):
    _, _, objects = trained_once
    record, graph = objects["trained"].record, objects["prepared"].graph
    assert record["config"]["data"]["num_users"] == 60
    split, told = objects["datamodule"].split, record["split"]
    held_out = np.unique(graph.edge_user[~split.train])
    assert len(held_out) == 0.2 * graph.num_users
    assert told["validation_user_ids"] == graph.user_ids[held_out].tolist()
    assert (told["name"], told["test_user_ids"], told["test_edges"]) == ("users", [], 0)
    assert told["settings"]["seed"] == 0 and told["settings"]["validation_share"] == 0.2
    assert told["train_edges"] == split.train.sum()
    assert told["validation_edges"] == split.validation.target.sum()
    assert record["data"]["fingerprint"] == objects["prepared"].data.fingerprint
    assert record["encoder"]["dimension"] == record["vector_dim"] == 384
    assert record["tuned"] == objects["tuned"].values == {}  # too few targets
    assert not list(objects["trained"].path.parent.glob("*.tuning*"))


def test_mlflow_holds_everything(trained_once):
    config, best, objects = trained_once
    mlflow.set_tracking_uri(config.logger.tracking_uri)
    client = mlflow.MlflowClient()
    run = client.get_run(objects["trained"].record["mlflow"]["run_id"])
    assert run.info.status == "FINISHED" and run.info.run_name == "once"
    for name in ("popularity", "recent_popularity", "Markov_chain", "EASE"):
        assert 0 < run.data.metrics[f"versus/{name}/ndcg10"] < 1
    assert run.data.params["train/batch_size"] == str(config.train.batch_size)
    assert run.data.params["model/conv/heads"] == "8"
    for name in ("loss", "f1", "accuracy", "auc", "mae", "mse"):
        history = client.get_metric_history(run.info.run_id, f"val/{name}")
        assert [each.step for each in history] == sorted(each.step for each in history)
        assert len(history) == config.train.max_epochs
        value = run.data.metrics[f"best/val/{name}"]
        assert value == pytest.approx(best[f"val/{name}"]) or math.isnan(value)
    for name in ("ndcg10", "ndcg10_liked", "disliked_at_10", "network_ndcg10"):
        assert run.data.metrics[f"best/val/{name}"] == pytest.approx(best[f"val/{name}"])
    assert "versus/majority/accuracy" in run.data.metrics
    names = {each.path for each in client.list_artifacts(run.info.run_id)}
    expected = {"config.yaml", "split.json", "cleaning_report.json", "learning_curves.png"}
    assert expected | {"checkpoint"} <= names
    assert run.data.metrics["best/epoch"] == best["epoch"] + 1
    (given,) = run.inputs.dataset_inputs
    assert given.dataset.name == "demo"
    assert objects["prepared"].data.fingerprint.startswith(given.dataset.digest)
    card = objects["trained"].card.read_text()
    assert run.data.tags["mlflow.note.content"] == card
    mse = run.data.metrics["versus/majority/mse"]
    assert f"| majority | {run.data.metrics['versus/majority/loss']:.4g} |" in card
    assert f"{mse:.4g}" in card and "Apache-2.0" in card
    split = json.loads(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/split.json"))
    assert split == objects["trained"].record["split"]


def test_the_model_in_mlflow_computes_the_same(trained_once):
    config, _, objects = trained_once
    trained = objects["trained"]
    mlflow.set_tracking_uri(config.logger.tracking_uri)
    run_id = trained.record["mlflow"]["run_id"]
    loaded = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    inputs = random_inputs(384, users=3, products=4, edges=5, seed=1)
    assert loaded.metadata.signature.inputs.input_names() == list(MODEL_INPUTS)
    found = loaded.predict(inputs)
    with torch.inference_mode():
        expected = trained.model(*(torch.from_numpy(inputs[name]) for name in MODEL_INPUTS))
    for name, tensor in zip(expected._fields, expected, strict=True):
        np.testing.assert_allclose(found[name], tensor.numpy(), atol=1e-5)


def test_the_same_seed_gives_the_same_model(trained_once, folder):
    train(small_config(folder, "train.run_name=again"))
    one, two = weights_of(folder, "once"), weights_of(folder, "again")
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    one, two = (load_trained(folder / "checkpoints" / f"{name}.ckpt") for name in ("once", "again"))
    assert one.combiner.plain() == two.combiner.plain()
    for name, tower in vars(one.towers).items():
        np.testing.assert_array_equal(tower, getattr(two.towers, name))


def test_another_seed_gives_another_model(trained_once, folder):
    train(small_config(folder, "train.run_name=other", "train.seed=1", "train.max_epochs=1"))
    one, two = weights_of(folder, "once"), weights_of(folder, "other")
    assert any(not torch.equal(one[name], two[name]) for name in one)


def test_nothing_is_encoded_twice(trained_once, folder):
    objects = train(small_config(folder, "train.run_name=second", "train.max_epochs=1"))[1]
    assert trained_once[2]["prepared"].newly_encoded > 0
    assert objects["prepared"].newly_encoded == 0


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=gat"],
        ["objective.loss=l1"],
        ["objective=rating"],
        ["objective=ranking"],
        ["product_graph=none"],
        ["~evidence.neighbours", "~evidence.order", "~evidence.trend", "~evidence.liking"],
        ["train.negatives=5"],
    ],
)
def test_other_choices_train_too(folder, overrides):
    best, objects = train(
        small_config(folder, "train.run_name=choice", "train.max_epochs=1", *overrides)
    )
    assert math.isfinite(best["val/loss"])
    load_trained(objects["trained"].path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("split.validation_share=1.5", "split.validation_share=1.5: must be below 1"),
        ("train.batch_size=0", "train.batch_size=0: must be at least 1"),
        ("train.lr=0", "train.lr=0"),
        ("train.max_epochs=abc", "train.max_epochs=abc: must be a whole number"),
        ("train.max_epochs=true", "train.max_epochs=True: must be a whole number"),
        ("train.train_target_share=1", "train.train_target_share=1: must be below 1"),
        ("combiner.strengths=[1,-1]", "combiner.strengths.1=-1: must be above 0"),
        ("combiner.folds=0", "combiner.folds=0: must be at least 1"),
        ("evidence.order.smoothing=0", "evidence.order.smoothing=0: must be above 0"),
        ("match.lr=0", "match.lr=0: must be above 0"),
        ("match.products=none", "match.products=none: must be a whole number"),
        ("evidence.match.b=2", "evidence.match.b=2: must be at most 1"),
        ("~evidence.match", "evidence: match is needed"),
        ("evidence.network=null", "evidence.network: is nothing; ~evidence.network does without"),
        ("~evidence.popularity", "evidence: popularity is needed"),
        ("~evidence.co_reviewing", "evidence: co-reviewing is needed"),
        ("train.resume=3", "train.resume=3: must be null, true .* or the path of a checkpoint"),
        ("callbacks.best.monitor=val/lost", "could not find the monitored key"),
        ("+trainer.limit_val_batches=0", "trainer: no validation has run"),
        ("callbacks.stop.patience=x", r"EarlyStopping: patience=x: must be int"),
        ("callbacks.best.monitor=[]", r"ModelCheckpoint: monitor=\[\]: must be str or NoneType"),
        ("train.run_name=a/b", "train.run_name=a/b"),
        ("model.dropout=2", "dropout"),
        ("train.liked_above=9", "train.liked_above=9"),
        ("objective.loss=l3", "objective.loss=l3: must be"),
        ("encoder.precision=fp7", "encoder.precision=fp7: must be"),
        ("data=local", "data.reviews_path is missing"),
        ("train.resume=none.last.ckpt", "none.last.ckpt: no such checkpoint"),
        ("data.cleaning.min_reviews_per_user=999", "min_reviews_per_user"),
        ("logger.tracking_uri=http://127.0.0.1:9", "logger.tracking_uri=http://127.0.0.1:9"),
    ],
)
def test_unusable_settings_are_one_line(folder, override, message, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # each waits for seconds
    with pytest.raises(InputError, match=message) as caught:
        train(small_config(folder, override))
    assert "\n" not in str(caught.value)


def test_mixed_precision_comes_close(folder, trained_once):
    """``trainer=gpu``, on the CPU: bf16 in the layers, float32 where digits count."""
    _, best, _ = trained_once
    config = small_config(folder, "trainer=gpu", "trainer.accelerator=cpu", "train.run_name=mixed")
    assert config.trainer.precision == "bf16-mixed"
    mixed, objects = train(config)
    for name in ("loss", "ranking_loss"):
        assert mixed[f"val/{name}"] == pytest.approx(best[f"val/{name}"], rel=0.05)
    assert all(weight.dtype == torch.float32 for weight in objects["module"].parameters())

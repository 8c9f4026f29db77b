import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import build
from rec_sys.modules.checkpoint import load_trained, read_checkpoint
from tests.helpers.machines import killing_one, needs_ray

pytestmark = needs_ray

EPOCHS = 8
#: Nothing random but what all processes share.
EQUAL = (
    *("data.num_users=60", "data.num_products=40", "train.batch_size=16"),
    *("model.dropout=0", "model.modality_dropout=0", "model.conv.dropout=0"),
    *("split.validation_share=0.3", "trainer.accelerator=cpu", "encoder.precision=fp32"),
    *("trainer.enable_progress_bar=false", f"train.max_epochs={EPOCHS}"),
    "train.export=false",
)


def config_of(folder, name, *overrides):
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return compose(
            "train_config",
            [
                *EQUAL,
                f"train.run_name={name}",
                f"logger.tracking_uri=sqlite:///{folder}/mlflow.db",
                f"logger.artifact_location={folder}/mlruns",
                f"paths.cache_dir={folder}/cache",
                f"paths.checkpoint_dir={folder}/checkpoints",
                *overrides,
            ],
        )


def launch(config):
    return build(config.launcher)(config)


def history_of(folder, name):
    return read_checkpoint(folder / "checkpoints" / f"{name}.last.ckpt")["rec_sys_history"]


def test_two_machines_train_what_one_process_trains_though_one_is_killed(cluster, tmp_path, capsys):
    launch(config_of(tmp_path, "alone"))
    one = history_of(tmp_path, "alone")
    last = tmp_path / "checkpoints" / "together.last.ckpt"

    def training():
        return cluster.working("RayTrainWorker") if last.exists() else []

    overrides = ("launcher=ray", "launcher.workers=2", f"cluster.address={cluster.address}")
    with killing_one(training) as killed:
        best = launch(config_of(tmp_path, "together", *overrides))
    assert killed
    two = history_of(tmp_path, "together")
    assert len(one) == len(two) == EPOCHS
    for alone, together in zip(one, two, strict=True):
        for name in ("val/loss", "val/ranking_loss", "val/mae"):
            assert together[name] == pytest.approx(alone[name], abs=0.02, rel=0.02), name
    assert best["val/objective"] == min(epoch["val/objective"] for epoch in two)
    assert "together.ckpt" in capsys.readouterr().out
    # Products change places in the lists of so few users for as little as rounding: lists are
    # compared for the same weights, which a step of no length leaves as they are. The first
    # process fitted those of the evidences, after the last epoch.
    still = (f"train.warm_start={tmp_path}/checkpoints/together.ckpt", "train.lr=1e-12")
    again, _ = launch(config_of(tmp_path, "still", *still, "train.max_epochs=1"))
    for name in ("val/loss", "val/mae", "val/network_ndcg10", "val/ndcg10"):
        assert best[name] == pytest.approx(again[name], abs=1e-4), name
    weights = [
        load_trained(tmp_path / "checkpoints" / f"{name}.ckpt").combiner.weights
        for name in ("together", "still")
    ]
    np.testing.assert_allclose(*weights, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("override", ["launcher.workers=0", "launcher.max_failures=-1"])
def test_settings_that_cannot_be_used(tmp_path, override):
    with pytest.raises(InputError, match=override):
        launch(config_of(tmp_path, "never", "launcher=ray", override))

import shutil

import numpy as np
import pytest
import torch

from rec_sys.foundation.errors import InputError
from rec_sys.modules.checkpoint import load_trained, read_checkpoint
from rec_sys.modules.recommender_module import RecommenderModule
from rec_sys.train.train import train
from tests.helpers.configs import small_config


@pytest.fixture
def interrupted(trained_once, folder, monkeypatch):
    """A training like `trained_once` that Ctrl-C ends in its last epoch."""
    step = RecommenderModule.training_step

    def stop_in_epoch_2(self, batch, batch_index):
        if self.current_epoch == 2:
            raise KeyboardInterrupt
        return step(self, batch, batch_index)

    monkeypatch.setattr(RecommenderModule, "training_step", stop_in_epoch_2)
    with pytest.raises(KeyboardInterrupt):
        train(small_config(folder, "train.run_name=cut"))
    monkeypatch.undo()
    path = folder / "checkpoints" / "cut.last.ckpt"
    assert read_checkpoint(path)["epoch"] == 1
    yield path
    path.unlink()


def test_a_resumed_training_equals_an_uninterrupted_one(interrupted, trained_once, folder):
    _, best, whole = trained_once
    found, resumed = train(small_config(folder, f"train.resume={interrupted}"))
    assert found == pytest.approx(best)
    for one, two in zip(whole["module"].history, resumed["module"].history, strict=True):
        assert one == pytest.approx(two, nan_ok=True)
    for one, two in zip(
        whole["module"].state_dict().values(), resumed["module"].state_dict().values(), strict=True
    ):
        assert torch.equal(one, two)
    run_id = read_checkpoint(interrupted)["rec_sys"]["mlflow"]["run_id"]
    assert resumed["trained"].record["mlflow"]["run_id"] == run_id
    with pytest.raises(InputError, match="is complete"):
        train(small_config(folder, f"train.resume={interrupted}"))


@pytest.mark.parametrize(
    "stage", ["rec_sys.train.report.rank_baselines", "rec_sys.train.tracking.Tracking.log_stages"]
)
def test_a_training_that_broke_off_near_its_end_goes_on(stage, trained_once, folder, monkeypatch):
    """The checkpoint is whole; what is written about it, and MLflow's run, are not."""
    _, best, whole = trained_once

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, stop)
    with pytest.raises(KeyboardInterrupt):
        train(small_config(folder, f"train.run_name=end{len(stage)}"))
    monkeypatch.undo()
    path = folder / "checkpoints" / f"end{len(stage)}.last.ckpt"
    found, resumed = train(small_config(folder, f"train.resume={path}"))
    assert found == pytest.approx(best)
    for name, weights in whole["trained"].weights.items():
        np.testing.assert_array_equal(weights, resumed["trained"].weights[name])
    assert (resumed["trained"].combiner.weights == whole["trained"].combiner.weights).all()
    assert resumed["trained"].card.is_file()
    with pytest.raises(InputError, match="is complete"):
        train(small_config(folder, f"train.resume={path}"))


def test_a_training_that_broke_off_after_its_last_epoch_goes_on(trained_once, folder, monkeypatch):
    """The network is done, the weights of the evidences are not."""
    _, best, _ = trained_once

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("rec_sys.modules.checkpoint.fit_evidences", stop)
    with pytest.raises(KeyboardInterrupt):
        train(small_config(folder, "train.run_name=late"))
    monkeypatch.undo()
    path = folder / "checkpoints" / "late.last.ckpt"
    with pytest.raises(InputError, match="late.ckpt: its training has not ended.*train.resume"):
        _ = load_trained(path.with_name("late.ckpt")).combiner
    found, resumed = train(small_config(folder, f"train.resume={path}"))
    assert found == pytest.approx(best)
    weights = trained_once[2]["trained"].combiner.weights
    assert (resumed["trained"].combiner.weights == weights).all()
    with pytest.raises(InputError, match="is complete"):
        train(small_config(folder, f"train.resume={path}"))


def test_resume_finds_the_newest(interrupted, folder):
    _, objects = train(small_config(folder, "train.resume=true"))
    assert objects["trained"].record["run_name"] == "cut"


def test_other_settings_or_data_cannot_be_resumed(interrupted, folder):
    lr = small_config(folder).train.lr
    with pytest.raises(InputError, match=rf"other settings \(train.lr={lr}, now 0.1\)"):
        train(small_config(folder, f"train.resume={interrupted}", "train.lr=0.1"))
    with pytest.raises(InputError, match="data.seed=0, now 5"):
        train(small_config(folder, f"train.resume={interrupted}", "data.seed=5"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loops", {}),
        ("callbacks", 5),
        ("lr_schedulers", [5]),
        ("epoch", 10**12),
        ("rec_sys_history", 5),
        ("rec_sys_history", [[1], [2]]),
        ("rec_sys_history", [{"epoch": "first"}]),
        ("rec_sys_history", []),
        ("rec_sys_history", [{"epoch": 0}, {"epoch": 1, "b c/..//": 2}]),
        ("optimizer_states", [{"state": {0: 5}, "param_groups": "x"}]),
        ("optimizer", lambda state, group: group.update(amsgrad=True)),
        ("optimizer", lambda state, group: group.update(lr=(1,))),
        ("optimizer", lambda state, group: state.update(step=torch.zeros(0))),
        ("optimizer", lambda state, group: state.update(exp_avg=torch.zeros(2, 2))),
        ("schedule", {"_milestones": [3], "_schedulers": [{}, {"base_lrs": []}]}),
        ("warm_start", lambda content: content.pop("rec_sys_seen")),
        ("warm_start", lambda content: content["rec_sys_seen"]["roles"].fill_(255)),
        ("best", {"kth_best_model_path": "nowhere"}),
    ],
)
def test_a_state_of_somebody_else_is_refused_in_one_line(interrupted, folder, name, value):
    content = torch.load(interrupted, weights_only=True)
    if name == "optimizer":
        (optimizer,) = content["optimizer_states"]
        value(optimizer["state"][1], optimizer["param_groups"][0])
    elif name == "schedule":
        (schedule,) = content["lr_schedulers"]
        schedule["_milestones"] = value["_milestones"]
        for own, other in zip(schedule["_schedulers"], value["_schedulers"], strict=True):
            own |= other
    elif name == "warm_start":
        content["rec_sys"][name] = {"asked": True, "checkpoint": "", "run_name": ""}
        value(content)
    elif name == "best":
        content["callbacks"][_best(content)] |= value
    else:
        content[name] = dict.fromkeys(content[name], 5) if name == "callbacks" else value
    torch.save(content, interrupted)
    with pytest.raises(InputError, match=r"cut.last.ckpt: ((its state )?cannot be|its record or)"):
        train(small_config(folder, f"train.resume={interrupted}"))


def test_a_state_replaces_the_files_of_no_other_run(interrupted, folder):
    other = interrupted.rename(folder / "foreign.last.ckpt")
    with pytest.raises(InputError, match=r"foreign.last.ckpt: .* name it cut.last.ckpt"):
        train(small_config(folder, f"train.resume={other}"))
    other.rename(interrupted)


def _best(content) -> str:
    (best,) = (key for key in content["callbacks"] if "val/objective" in key and "Model" in key)
    return best


def test_a_training_whose_folder_was_moved_keeps_its_best_epoch(interrupted, folder):
    content = torch.load(interrupted, weights_only=True)
    unbeaten = torch.tensor(-1e9)
    state = content["callbacks"][_best(content)]
    state |= {"best_model_score": unbeaten, "kth_value": unbeaten}
    state["best_k_models"] = dict.fromkeys(state["best_k_models"], unbeaten)
    moved = folder / "moved" / "here"
    moved.mkdir(parents=True)
    torch.save(content, moved / interrupted.name)
    config = small_config(folder, "train.resume=true", f"paths.checkpoint_dir={moved}")
    with pytest.raises(InputError, match=r"here/cut.ckpt: is missing, the best epoch so far"):
        train(config)
    shutil.copy(interrupted.with_name("cut.ckpt"), moved)
    train(config)
    assert read_checkpoint(moved / "cut.last.ckpt")["epoch"] == 2
    assert read_checkpoint(moved / "cut.ckpt")["epoch"] < 2


def test_what_a_state_of_somebody_else_names_is_not_removed(interrupted, folder):
    """As its worst of the best checkpoints, which Lightning replaces by a better one."""
    content = torch.load(interrupted, weights_only=True)
    precious = folder / "checkpoints" / ".." / "precious"
    precious.mkdir()
    worst = torch.tensor(1e9)
    content["callbacks"][_best(content)] |= {
        "best_model_score": worst,
        "kth_value": worst,
        "kth_best_model_path": str(precious),
        "best_k_models": {str(precious): worst},
    }
    torch.save(content, interrupted)
    train(small_config(folder, f"train.resume={interrupted}"))
    assert precious.is_dir()

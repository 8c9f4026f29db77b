"""What training writes: whole or not at all, and tried before hours are spent on it."""

import os
import signal
import sqlite3
import tempfile
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from rec_sys.foundation.cli import load_choice
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import require_writable
from rec_sys.train.tracking import Tracking, name_of_run, sole_writer
from rec_sys.train.train import train
from rec_sys.train.trainer import WholeCheckpoints
from tests.helpers.configs import small_config
from tests.helpers.threads import at_once


class Unwritable:
    def __reduce__(self):
        raise OSError("No space left on device")


def test_a_checkpoint_is_written_beside_its_place_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/no/such/folder")
    path, files = tmp_path / "run.last.ckpt", WholeCheckpoints(tmp_path)
    files.save_checkpoint({"epoch": 1}, path)
    with pytest.raises(OSError, match="No space left"):
        files.save_checkpoint({"epoch": 2, "x": torch.zeros(9), "y": Unwritable()}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]
    files.save_checkpoint({"epoch": 3}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 3}


def test_a_folder_that_cannot_be_written_to_is_told_first(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", "/proc/here"):
        with pytest.raises(InputError, match=f"paths.x={folder}: cannot be written to"):
            require_writable(folder, "paths.x")
    require_writable(tmp_path / "new" / "deep", "paths.x")
    assert not list((tmp_path / "new" / "deep").iterdir())


def test_two_first_trainings_share_one_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_choice("logger", "mlflow")
    config = OmegaConf.merge(config, {"tracking_uri": "sqlite:///runs/mlflow.db"})
    runs = at_once(
        lambda _: Tracking.start(config, "demo", name_of_run(None, "demo")).run_id, range(3)
    )
    assert len(set(runs)) == 3


def test_a_database_that_goes_bad_is_told_in_one_line(folder):
    config = small_config(folder).logger
    config.tracking_uri = f"sqlite:///{folder / 'bad.db'}"
    tracking = Tracking.start(config, "shop", "run")
    with sqlite3.connect(folder / "bad.db") as connection:
        connection.execute("DROP TABLE metrics")
    told = r"bad.db: stopped working \(no such table: metrics\).*train.resume=true"
    with pytest.raises(InputError, match=told), tracking.marks_run_failed():
        tracking.logger.log_metrics({"loss": 1.5}, step=1)


def test_what_is_no_database_is_told_at_once(folder):
    config = small_config(folder).logger
    (folder / "dir.db").mkdir()
    os.mkfifo(folder / "pipe.db")
    for name, why in (("dir.db", "is a folder"), ("pipe.db", "is no regular file")):
        config.tracking_uri = f"sqlite:///{folder / name}"
        with pytest.raises(InputError, match=f"{name}: {why}"):
            Tracking.start(config, "shop", "run")


def test_a_run_that_is_not_known_any_more_is_begun_anew(folder, capsys):
    tracking = Tracking.start(small_config(folder).logger, "shop", "run", "0" * 32)
    assert tracking.run_id != "0" * 32 and tracking.run_name == "run"
    assert "does not know the run 000" in capsys.readouterr().out


def test_two_trainings_of_one_name_do_not_write_at_once(trained_once, folder, monkeypatch):
    monkeypatch.setattr("rec_sys.train.tracking._PATIENCE_SECONDS", 0.1)
    config = small_config(folder, "train.run_name=mine")
    checkpoints = Path(config.paths.checkpoint_dir)
    with sole_writer(checkpoints, "mine"):
        with pytest.raises(InputError, match="mine: another training writes it to"):
            train(config)
        assert not list(checkpoints.glob("mine*"))
        with sole_writer(checkpoints, "other"):
            pass
        monkeypatch.setenv("RANK", "1")  # of those that train together only one writes
        with sole_writer(checkpoints, "mine"):
            pass
    monkeypatch.delenv("RANK")
    with sole_writer(checkpoints, "mine"):
        pass
    assert not list(checkpoints.glob(".*"))


@pytest.mark.parametrize("name", ["../mine", "a b", "/", "a/b"])
def test_a_name_that_is_no_files_is_refused(name):
    with pytest.raises(InputError, match="names a file"):
        name_of_run(name, "shop")


def test_ctrl_c_waits_until_metrics_are_written(folder, monkeypatch):
    """Amid a transaction it would leave MLflow's database locked."""
    tracking = Tracking.start(small_config(folder).logger, "shop", "run")
    client = tracking.logger.experiment
    write = client.log_batch

    def interrupted(*arguments, **named):
        signal.raise_signal(signal.SIGINT)
        write(*arguments, **named)

    monkeypatch.setattr(client, "log_batch", interrupted)
    # Where tests run in the background, Ctrl-C is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), tracking.marks_run_failed():
            tracking.logger.log_metrics({"loss": 1.5}, step=1)
    finally:
        signal.signal(signal.SIGINT, before)
    run = client.get_run(tracking.run_id)
    assert run.data.metrics == {"loss": 1.5} and run.info.status == "FAILED"

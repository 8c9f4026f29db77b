"""The names of settings that stand in the code are names of settings."""

import sqlite3

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import flat
from rec_sys.train.tracking import AXES, DECIDING_KEYS, FREE_KEYS, Tracking, deciding_settings


def composed(*overrides):
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return OmegaConf.to_container(compose("train_config", list(overrides)), resolve=False)


@pytest.fixture(scope="module")
def keys():
    """All that a training can be given with any of its data."""
    return {
        key for data in ("demo", "musical_instruments") for key, _ in flat(composed(f"data={data}"))
    }


def test_every_named_setting_exists(keys):
    assert not (FREE_KEYS | DECIDING_KEYS) - keys
    assert not set(AXES) - {key.partition(".")[0] for key in keys}


def test_every_free_key_belongs_to_an_axis_and_every_deciding_one_to_none():
    assert {key.partition(".")[0] for key in FREE_KEYS} <= set(AXES)
    assert not {key.partition(".")[0] for key in DECIDING_KEYS} & set(AXES)


@pytest.mark.parametrize(
    ("override", "decides"),
    [
        ("train.lr=0.1", True),
        ("model=gat", True),
        ("match.dropout=0.4", True),
        ("evidence.match.k1=2", True),
        ("trainer.precision=bf16-mixed", True),
        ("callbacks.best.monitor=val/loss", True),
        ("train.run_name=other", False),
        ("encoder.batch_tokens=100", False),
        ("trainer.enable_progress_bar=false", False),
        ("paths.cache_dir=elsewhere", False),
    ],
)
def test_what_decides_the_result(override, decides):
    differs = deciding_settings(composed()) != deciding_settings(composed(override))
    assert differs == decides


def test_a_database_that_was_cut_off_while_it_was_made_is_told(tmp_path):
    path = tmp_path / "m.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER)")
    config = OmegaConf.create(composed(f"logger.tracking_uri=sqlite:///{path}")["logger"])
    with pytest.raises(InputError, match=r"m.db: cannot be used .* cut off while it was made"):
        Tracking.start(config, "shop", "run")

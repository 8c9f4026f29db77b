"""The real config files, made small."""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from rec_sys.foundation.cli import CONFIG_DIR


def composed(
    name: str, *overrides: str, places: Mapping[str, object] = {}, axis: str = ""
) -> DictConfig:
    """A config of its own for who asks. Hydra, which takes tenths of a second, is asked once for
    the same overrides; paths, which are others in each test, are set in what it gave."""
    config = deepcopy(_composed(name, overrides, axis))
    for key, value in places.items():
        if not any(each.startswith(f"{key}=") for each in overrides):
            OmegaConf.update(config, key, str(value))
    return config


@cache
def _composed(name: str, overrides: tuple[str, ...], axis: str) -> DictConfig:
    with initialize_config_dir(str(CONFIG_DIR / axis), version_base="1.3"):
        return compose(name, list(overrides))


def model_settings(name: str) -> dict:
    return OmegaConf.to_container(composed(name, axis="model"))


def config_of(name: str, folder: Path, *overrides: str) -> DictConfig:
    """The real config files, with everything kept below a folder."""
    keys = ("cache_dir", "checkpoint_dir", "vectorbase_dir", "output_dir")
    places = {f"paths.{key}": folder / key for key in keys}
    return composed(name, *overrides, places=places)


def small_config(folder: str | Path, *overrides: str) -> DictConfig:
    """A training on a shop of 60 users, a few epochs, everything below a folder."""
    other_split = any(each.startswith("split=") for each in overrides)
    small_shop = ["data.num_users=60", "data.num_products=40"]
    places = {
        "logger.tracking_uri": f"sqlite:///{folder}/mlflow.db",
        "logger.artifact_location": f"{folder}/mlruns",
        "paths.cache_dir": f"{folder}/cache",
        "paths.checkpoint_dir": f"{folder}/checkpoints",
    }
    return composed(
        "train_config",
        *([] if "data=local" in overrides else small_shop),
        "train.max_epochs=3",
        "train.export=false",
        "encoder.precision=fp32",  # which one is fastest takes seconds to find out
        "train.tune=true",  # of so few people none is tuned by
        "match.max_epochs=2",
        "match.batch_size=16",  # of few reviews few may be left out at once
        *([] if other_split else ["split.validation_share=0.2"]),
        "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false",
        *overrides,
        places=places,
    )

"""Small trainings: a shop of 60 users, a few epochs, everything below a temporary folder."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from rec_sys.foundation.cli import CONFIG_DIR


def small_config(folder: Path, *overrides: str) -> DictConfig:
    other_split = any(each.startswith("split=") for each in overrides)
    small_shop = ["data.num_users=60", "data.num_products=40"]
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return compose(
            "train_config",
            [
                *([] if "data=local" in overrides else small_shop),
                "train.max_epochs=3",
                *([] if other_split else ["split.validation_share=0.2"]),
                "trainer.accelerator=cpu",
                "trainer.enable_progress_bar=false",
                f"logger.tracking_uri=sqlite:///{folder}/mlflow.db",
                f"logger.artifact_location={folder}/mlruns",
                f"paths.cache_dir={folder}/cache",
                f"paths.checkpoint_dir={folder}/checkpoints",
                *overrides,
            ],
        )


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Shared by all trainings of the session: texts are encoded once."""
    return tmp_path_factory.mktemp("train")


@pytest.fixture(scope="session")
def trained_once(folder):
    """A finished training: (config, metrics, objects)."""
    from rec_sys.train.train import train

    config = small_config(folder, "train.run_name=once")
    return config, *train(config)

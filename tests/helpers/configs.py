"""The real config files, made small."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from rec_sys.foundation.cli import CONFIG_DIR


def model_settings(name: str) -> dict:
    with initialize_config_dir(str(CONFIG_DIR / "model"), version_base="1.3"):
        return OmegaConf.to_container(compose(name))


def small_config(folder: Path, *overrides: str) -> DictConfig:
    """A training on a shop of 60 users, a few epochs, everything below a folder."""
    other_split = any(each.startswith("split=") for each in overrides)
    small_shop = ["data.num_users=60", "data.num_products=40"]
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return compose(
            "train_config",
            [
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
                f"logger.tracking_uri=sqlite:///{folder}/mlflow.db",
                f"logger.artifact_location={folder}/mlruns",
                f"paths.cache_dir={folder}/cache",
                f"paths.checkpoint_dir={folder}/checkpoints",
                *overrides,
            ],
        )

"""The Lightning trainer with its checkpoints, and an interruption that loses one epoch at most."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar

from rec_sys.foundation.console import note
from rec_sys.foundation.settings import build
from rec_sys.modules.checkpoint import BEST_SUFFIX, LAST_SUFFIX
from rec_sys.modules.recommender_module import RecommenderModule
from rec_sys.train.continuation import InterruptedTraining
from rec_sys.train.datamodule import ReviewDataModule
from rec_sys.train.tracking import Tracking


class EpochProgress(RichProgressBar):
    """Lightning's bar with the epochs counted from 1, as in the summary, and results alone."""

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What stands beside the bar; not the last letters of the MLflow run's id."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch + 1}/{self.trainer.max_epochs}"


MONITOR = "val/objective"


@dataclass(frozen=True)
class Checkpoints:
    """Where a training leaves its state.

    Attributes:
        best: The epoch with the lowest objective in validation.
        last: The newest epoch.
    """

    best: Path
    last: Path


def build_trainer(config: DictConfig, tracking: Tracking) -> tuple[pl.Trainer, Checkpoints]:
    """Builds the trainer from ``config/trainer``."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    folder = Path(config.paths.checkpoint_dir)
    checkpoints = Checkpoints(
        folder / f"{tracking.run_name}{BEST_SUFFIX}", folder / f"{tracking.run_name}{LAST_SUFFIX}"
    )
    trainer = build(
        config.trainer,
        max_epochs=config.train.max_epochs,
        logger=tracking.logger,
        callbacks=[
            _checkpoint(checkpoints.best, monitor=MONITOR),
            _checkpoint(checkpoints.last, monitor=None),
            *([EpochProgress()] if config.trainer.get("enable_progress_bar", True) else []),
        ],
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        use_distributed_sampler=False,  # the batches of several processes are our own
        # The targets of the training users are drawn anew for each epoch.
        reload_dataloaders_every_n_epochs=1,
    )
    return trainer, checkpoints


def fit(
    trainer: pl.Trainer,
    module: RecommenderModule,
    datamodule: ReviewDataModule,
    interrupted: InterruptedTraining | None,
) -> None:
    """Trains to the end, from the beginning or from an interrupted training's newest epoch.

    Raises:
        KeyboardInterrupt: Somebody pressed Ctrl-C; finished epochs are saved.
    """
    try:
        trainer.fit(
            module,
            datamodule=datamodule,
            ckpt_path=interrupted.path if interrupted else None,
            weights_only=True,
        )
    except SystemExit:
        # Lightning turns Ctrl-C into an exit code of its own.
        if not trainer.interrupted:
            raise
        if module.history:
            note("go on with the same command and train.resume=true")
        raise KeyboardInterrupt from None


def _checkpoint(path: Path, monitor: str | None) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=path.parent,
        filename=path.name.removesuffix(ModelCheckpoint.FILE_EXTENSION),
        monitor=monitor,
        save_on_train_epoch_end=True,  # with the epoch's training metrics in it
        enable_version_counter=False,  # overwrite, do not add -v1
    )

"""The Lightning trainer with its checkpoints, and an interruption that loses one epoch at most."""

import logging
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint

from rec_sys.foundation.build import build
from rec_sys.foundation.console import note
from rec_sys.graph.datamodule import ReviewDataModule
from rec_sys.modules.checkpoint_files import BEST_SUFFIX, LAST_SUFFIX
from rec_sys.modules.recommender_module import RecommenderModule
from rec_sys.train.interrupted import InterruptedTraining
from rec_sys.train.progress import EpochProgress
from rec_sys.train.tracking import Tracking

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

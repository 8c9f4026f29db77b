"""The Lightning trainer with its callbacks, and an interruption that loses one epoch at most."""

import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from rich.console import Console

from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import replacing
from rec_sys.foundation.settings import build
from rec_sys.modules.checkpoint import BEST_SUFFIX, LAST_SUFFIX
from rec_sys.modules.recommender_module import RecommenderModule
from rec_sys.train.datamodule import ReviewDataModule


class EpochProgress(RichProgressBar):
    """Lightning's bar with the epochs counted from 1, as in the summary, and results alone. A log,
    where a bar would never show, gets a line for each epoch."""

    _finished = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if not Console(**self._console_kwargs).is_terminal:
            self.disable()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        self._finished = trainer.current_epoch + 1

    # Modules log what an epoch of training came to after the callbacks have heard of its end.
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_start(trainer, pl_module)
        self._tell(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        self._tell(trainer, pl_module)

    def _tell(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.is_disabled and self._finished:
            results = self.get_metrics(trainer, pl_module).items()
            told = "".join(f", {name} {value:.4f}" for name, value in results)
            note(f"epoch {self._finished} of {trainer.max_epochs}{told}")

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What stands beside the bar; not the last letters of the MLflow run's id."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch + 1}/{self.trainer.max_epochs}"


class WholeCheckpoints(TorchCheckpointIO):
    """Saves a checkpoint whole or not at all, on the file system that it belongs to. Lightning's
    own way over a temporary folder copies where that is another file system. Removes only what it
    has saved: the state that a training goes on from may name any folder as one to be replaced."""

    def __init__(self) -> None:
        super().__init__()
        self._saved: set[str] = set()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        with replacing(path) as draft, draft.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        self._saved.add(str(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        if str(path) in self._saved:
            super().remove_checkpoint(path)


def checkpoint_files(folder: str | Path, run_name: str) -> dict[str, Path]:
    """The checkpoints of a run, by the names of the callbacks that save them."""
    suffixes = {"best": BEST_SUFFIX, "last": LAST_SUFFIX}
    return {name: Path(folder) / f"{run_name}{suffix}" for name, suffix in suffixes.items()}


def best_epoch(history: Sequence[Mapping[str, float]], settings: DictConfig) -> dict[str, float]:
    """The epoch that ``callbacks.best`` has saved, of `RecommenderModule.history`."""
    choose, worst = (max, -math.inf) if settings.mode == "max" else (min, math.inf)
    return dict(choose(history, key=lambda epoch: epoch.get(settings.monitor, worst)))


def build_trainer(config: DictConfig, logger: Logger, files: Mapping[str, Path]) -> pl.Trainer:
    """Builds ``config/trainer`` with ``config/callbacks``; they save to `checkpoint_files`."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    callbacks = []
    for name, settings in config.callbacks.items():
        if name == "progress" and not config.trainer.get("enable_progress_bar", True):
            continue
        file = files.get(name)
        place = {"dirpath": file.parent, "filename": file.stem} if file else {}
        callbacks.append(build(settings, **place))
    trainer = build(
        config.trainer,
        max_epochs=config.train.max_epochs,
        logger=logger,
        callbacks=callbacks,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        use_distributed_sampler=False,  # the batches of several processes are our own
        # The targets of the training users are drawn anew for each epoch.
        reload_dataloaders_every_n_epochs=1,
    )
    trainer.strategy.checkpoint_io = WholeCheckpoints()
    return trainer


def fit(
    trainer: pl.Trainer, module: RecommenderModule, datamodule: ReviewDataModule, state: Path | None
) -> None:
    """Trains to the end, from the beginning or the checkpoint `state`. KeyboardInterrupt for Ctrl-C
    (finished epochs are saved), InputError if a callback monitors what is not measured, or `state`
    is of no use."""
    try:
        trainer.fit(module, datamodule=datamodule, ckpt_path=state, weights_only=True)
    except SystemExit:
        # Lightning turns Ctrl-C into an exit code of its own.
        if not trainer.interrupted:
            raise
        if module.history:
            note("go on with the same command and train.resume=true")
        raise KeyboardInterrupt from None
    except MisconfigurationException as error:
        reason = " ".join(str(error).split())
        raise InputError(f"trainer, callbacks: {reason}; change their settings") from None
    except Exception as error:
        # What is wrong with a state may show as late as when the last epoch ends.
        if state is None or isinstance(error, OSError | MemoryError | InputError):
            raise
        why = f"its state cannot be gone on with ({type(error).__name__}: {error})"
        raise InputError(f"{state}: {' '.join(why.split())}; train without train.resume") from None

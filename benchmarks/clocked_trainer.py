"""A Lightning trainer that tells how long the epochs took."""

from time import perf_counter
from typing import Any

import pytorch_lightning as pl


class EpochClock(pl.Callback):
    """Seconds of the last epoch, its validation apart."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self.values: dict[str, float] = {}

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Training begins."""
        self._started["seconds"] = perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
        """Training may have ended."""
        self._stop("seconds")

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Validation begins."""
        self._started["validation_seconds"] = perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Validation has ended."""
        self._stop("validation_seconds")

    def _stop(self, what: str) -> None:
        self.values[what] = perf_counter() - self._started[what]


class ClockedTrainer(pl.Trainer):
    """A `Trainer` with an `EpochClock` as ``clock``."""

    def __init__(self, callbacks: list[pl.Callback], **arguments: Any) -> None:
        self.clock = EpochClock()
        super().__init__(callbacks=[*callbacks, self.clock], **arguments)

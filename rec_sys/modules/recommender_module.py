"""The Lightning module: model, objective and metrics, and how they are trained."""

import math
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from rec_sys.graph.ego_batch import MODEL_INPUTS
from rec_sys.modules.checkpoint import RECORD_KEY
from rec_sys.modules.rating_metrics import RatingMetrics

TensorBatch = dict[str, Tensor]
_HISTORY_KEY = "rec_sys_history"
TRAIN, VALIDATION = "train", "val"


class RecommenderModule(pl.LightningModule):
    """Trains a `GraphModel`.

    Args:
        model: The network.
        objective: See `rec_sys.modules.objectives`.
        lr: Learning rate of AdamW at its highest.
        weight_decay: Of AdamW.
        warmup_epochs: The learning rate grows linearly and is at its highest in this epoch, counted
            from 1.
        max_epochs: The learning rate falls to zero along a cosine until then.
        liked_above: Ratings above count as liked, in stars.
        seed: With the epoch it seeds dropout, so that a resumed training repeats it.
        record: What a checkpoint tells about its origin; plain values only.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: nn.Module,
        lr: float,
        weight_decay: float,
        warmup_epochs: int,
        max_epochs: int,
        liked_above: float,
        seed: int,
        record: dict[str, Any],
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.lr = lr
        self.weight_decay = weight_decay
        self.warmup_epochs = warmup_epochs
        self.max_epochs = max_epochs
        self.seed = seed
        self.record = record
        #: One row per finished epoch: ``epoch`` and every metric of both stages.
        self.history: list[dict[str, float]] = []
        self.metrics = nn.ModuleDict(
            {_metrics(stage): RatingMetrics(liked_above) for stage in (TRAIN, VALIDATION)}
        )
        self.losses = nn.ModuleDict(
            {_metrics(stage): MeanMetric() for stage in (TRAIN, VALIDATION)}
        )

    def forward(self, batch: TensorBatch) -> Any:
        """Embeddings of a batch, see `GraphModel`."""
        return self.model(*(batch[name] for name in MODEL_INPUTS))

    def training_step(self, batch: TensorBatch, batch_index: int) -> Tensor:
        """One step on the targets of a batch of training users."""
        return self._step(batch, TRAIN)

    def validation_step(self, batch: TensorBatch, batch_index: int) -> None:
        """Measures the targets of a batch of held-out users."""
        self._step(batch, VALIDATION)

    def on_train_batch_start(self, batch: TensorBatch, batch_index: int) -> None:
        """Makes dropout a function of seed, epoch and batch, whatever ran before."""
        state = np.random.SeedSequence((self.seed, self.current_epoch, batch_index))
        torch.manual_seed(int(state.generate_state(1)[0]))

    def on_validation_epoch_end(self) -> None:
        """Reports the epoch's validation metrics."""
        self.validation_values = self._report(VALIDATION)

    def on_train_epoch_end(self) -> None:
        """Reports the epoch's training metrics; validation has run before."""
        training_values = self._report(TRAIN)
        self.history.append(
            {"epoch": self.current_epoch, **training_values, **self.validation_values}
        )

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW; the learning rate warms up and then falls along a cosine."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        warmup = max(1, self.warmup_epochs)
        schedule = torch.optim.lr_scheduler.SequentialLR(
            optimizer,
            [
                torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warmup, total_iters=warmup - 1),
                torch.optim.lr_scheduler.CosineAnnealingLR(
                    optimizer, max(1, self.max_epochs - warmup)
                ),
            ],
            milestones=[warmup],
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the record, so that a checkpoint is all that the other commands need."""
        checkpoint[RECORD_KEY] = self.record
        checkpoint[_HISTORY_KEY] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on with the history of the interrupted training."""
        self.history = checkpoint[_HISTORY_KEY]

    def _step(self, batch: TensorBatch, stage: str) -> Tensor:
        embeddings = self(batch)
        true = batch["target_rating"]
        judgement = self.objective(
            embeddings.user_embeddings,
            embeddings.product_embeddings,
            batch["target_user"],
            batch["target_product"],
            true,
            progress=self.current_epoch / self.max_epochs,
        )
        judged = len(true) if judgement.judged is None else judgement.judged
        if judged:
            # Weighted by targets, so that the epoch's loss is the mean over all targets.
            self.losses[_metrics(stage)].update(judgement.loss.detach(), weight=judged)
        self.metrics[_metrics(stage)].update(judgement.rating.detach(), true)
        return judgement.objective

    def _report(self, stage: str) -> dict[str, float]:
        metrics, loss = self.metrics[_metrics(stage)], self.losses[_metrics(stage)]
        # Without a judged target (ratings are asked for and there are none) no loss is known.
        values = {f"{stage}/loss": loss.compute().item() if loss.update_called else math.nan}
        values |= {f"{stage}/{name}": value for name, value in metrics.compute().items()}
        self.log(f"{stage}/loss", values[f"{stage}/loss"], prog_bar=True)
        self.log_dict({name: value for name, value in values.items() if not name.endswith("/loss")})
        metrics.reset()
        loss.reset()
        return values


def _metrics(stage: str) -> str:
    # Not the stage alone: a module cannot have a child called "train".
    return f"{stage}_metrics"

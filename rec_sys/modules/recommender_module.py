"""The Lightning module: model, objective and metrics, and how they are trained."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from rec_sys.graph.ego_batch import MODEL_INPUTS
from rec_sys.graph.provenance import Provenance
from rec_sys.modules.checkpoint import RECORD_KEY, SEEN_KEY, plain_provenance
from rec_sys.modules.full_catalogue import embed_products
from rec_sys.modules.graph_model import Embeddings, TensorBatch, full_precision
from rec_sys.modules.metrics import RatingMetrics
from rec_sys.modules.objectives import ObjectiveOutput
from rec_sys.modules.ranking_share import K, ShareSearch

_HISTORY_KEY = "rec_sys_history"
_SHARE = "model.ranking_share"
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
        ranking_shares: See `ShareSearch`; the share of the newest epoch is saved with the model.
        seed: With the epoch it seeds dropout, so that a resumed training repeats it.
        record: What a checkpoint tells about its origin; plain values only.
        seen: Which reviews the training sees, for one that starts from its checkpoint.
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
        ranking_shares: Sequence[float],
        seed: int,
        record: dict[str, Any],
        seen: Provenance,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.lr = lr
        self.weight_decay = weight_decay
        self.warmup_epochs = warmup_epochs
        self.max_epochs = max_epochs
        self.ranking_share = 1.0
        self.share_search = ShareSearch(ranking_shares)
        self.seed = seed
        self.record = record
        self.seen = seen
        #: One row per finished epoch: ``epoch`` and every metric of both stages.
        self.history: list[dict[str, float]] = []
        self.metrics = nn.ModuleDict(
            {_metrics(stage): RatingMetrics(liked_above) for stage in (TRAIN, VALIDATION)}
        )
        self.means = nn.ModuleDict(
            {
                _metrics(stage): nn.ModuleDict(
                    {"loss": MeanMetric(), "ranking_loss": MeanMetric(), "objective": MeanMetric()}
                )
                for stage in (TRAIN, VALIDATION)
            }
        )

    def forward(self, batch: TensorBatch) -> Any:
        """Embeddings of a batch, see `GraphModel`."""
        return self.model(*(batch[name] for name in MODEL_INPUTS))

    def training_step(self, batch: TensorBatch, batch_index: int) -> Tensor:
        """One step on the targets of a batch of training users."""
        embeddings = self(batch)
        with full_precision(self.device):
            return self._judge(embeddings, batch, TRAIN).objective

    def on_validation_epoch_start(self) -> None:
        """Embeds all products: people are ranked against the whole catalogue."""
        data = self.trainer.datamodule
        graph, vectors = data.graph, data.builder.vectors
        self.keys = torch.from_numpy(
            embed_products(
                self.model,
                vectors[graph.product_name_text],
                vectors[graph.product_info_text],
                data.product_reviews.summary(),
            ).keys
        ).to(self.device)
        self.share_search.reset()

    def validation_step(self, batch: TensorBatch, batch_index: int) -> None:
        """Measures the validation targets of a batch of users."""
        embeddings = self(batch)
        with full_precision(self.device):
            self._judge(embeddings, batch, VALIDATION)
            network = embeddings.user_queries @ self.keys.T
        products = batch["products"]
        seen = torch.stack([batch["edge_index"][1], products[batch["edge_index"][0]]])
        target = torch.stack([batch["target_user"], products[batch["target_product"]]])
        self.share_search.update(network, batch["propagated"], seen, target)

    def on_train_batch_start(self, batch: TensorBatch, batch_index: int) -> None:
        """Makes dropout a function of seed, epoch, batch and process, whatever ran before."""
        place = (self.seed, self.current_epoch, batch_index, self.global_rank)
        state = np.random.SeedSequence(place)
        torch.manual_seed(int(state.generate_state(1)[0]))

    def on_validation_epoch_end(self) -> None:
        """Reports the epoch's validation metrics."""
        self.validation_values = self._report(VALIDATION)
        self.ranking_share, ndcg = self.share_search.compute()
        ranking = {f"{VALIDATION}/ndcg{K}": ndcg, "ranking_share": self.ranking_share}
        self.log_dict(ranking, sync_dist=True)
        self.validation_values |= ranking

    def on_train_epoch_end(self) -> None:
        """Reports the epoch's training metrics; validation has run before."""
        training_values = self._report(TRAIN)
        self.history.append(
            {"epoch": self.current_epoch, **training_values, **self.validation_values}
        )

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW; the learning rate warms up and then falls along a cosine."""
        optimizer = torch.optim.AdamW(
            self.parameters(),
            lr=self.lr,
            weight_decay=self.weight_decay,
            # One pass over all weights; Lightning cannot clip gradients for it in mixed precision.
            fused=self.trainer.precision == "32-true",
        )
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
        checkpoint[SEEN_KEY] = plain_provenance(self.seen)
        checkpoint[_HISTORY_KEY] = self.history
        # Training goes on with a share of one; whoever loads the model gets the chosen one.
        share = checkpoint["state_dict"][_SHARE]
        checkpoint["state_dict"][_SHARE] = torch.full_like(share, self.ranking_share)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on with the history of the interrupted training."""
        self.history = checkpoint[_HISTORY_KEY]
        checkpoint["state_dict"][_SHARE] = torch.ones_like(checkpoint["state_dict"][_SHARE])

    def _judge(self, embeddings: Embeddings, batch: TensorBatch, stage: str) -> ObjectiveOutput:
        progress = self.current_epoch / self.max_epochs
        judgement: ObjectiveOutput = self.objective(embeddings, batch, progress)
        targets = len(batch["target_user"])
        # Weighted by targets, so that the epoch's value is the mean over all targets.
        means = self.means[_metrics(stage)]
        means["loss"].update(judgement.loss.detach(), weight=judgement.num_rated)
        means["objective"].update(judgement.validation_loss.detach(), weight=targets)
        if judgement.ranking is not None:
            means["ranking_loss"].update(judgement.ranking.detach(), weight=targets)
        true = batch["target_rating"]
        self.metrics[_metrics(stage)].update(judgement.rating.detach(), true)
        return judgement

    def _report(self, stage: str) -> dict[str, float]:
        metrics, means = self.metrics[_metrics(stage)], self.means[_metrics(stage)]
        # What was never judged (ratings are asked for and there are none) is not known.
        values = {
            f"{stage}/{name}": mean.compute().item() if mean.update_called else math.nan
            for name, mean in means.items()
        }
        values |= {f"{stage}/{name}": value for name, value in metrics.compute().items()}
        for each in (metrics, *means.values()):
            each.reset()
        self.log(f"{stage}/loss", values[f"{stage}/loss"], prog_bar=True, sync_dist=True)
        others = {name: value for name, value in values.items() if not name.endswith("/loss")}
        self.log_dict(others, sync_dist=True)
        return values


def _metrics(stage: str) -> str:
    # Not the stage alone: a module cannot have a child called "train".
    return f"{stage}_metrics"

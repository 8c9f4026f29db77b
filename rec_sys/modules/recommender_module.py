"""The Lightning module: model, objective and metrics, and how they are trained."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torchmetrics import MeanMetric, MetricCollection

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import is_number
from rec_sys.graph.ego_batch import MODEL_INPUTS, EgoBatchBuilder, GraphOutputs
from rec_sys.graph.task import Provenance
from rec_sys.modules.checkpoint import RECORD_KEY, SEEN_KEY, plain_provenance
from rec_sys.modules.full_catalogue import embed_products
from rec_sys.modules.graph_model import TensorBatch, full_precision
from rec_sys.modules.metrics import RatingMetrics, TargetPositions, ndcg
from rec_sys.modules.objectives import ObjectiveOutput

_HISTORY_KEY = "rec_sys_history"
_METRIC = re.compile(r"\w+(/\w+)?", re.ASCII)
#: Length of the lists of NDCG.
K = 10


class RecommenderModule(pl.LightningModule):
    """Trains a `GraphModel`; `history` has a row per finished epoch, ``epoch`` and every metric.
    Validation ranks all products. By `settings`, ``config/train``, AdamW's learning rate grows
    linearly to `lr` in the epoch `warmup_epochs`, counted from 1, and falls along a cosine to zero
    in `max_epochs`; dropout follows from `seed` and epoch, so that a resumed training repeats it. A
    checkpoint tells the `record`, plain values on its origin, and what training has `seen`."""

    def __init__(
        self,
        model: nn.Module,
        objective: Callable[[GraphOutputs, TensorBatch], ObjectiveOutput],
        builder: EgoBatchBuilder,
        settings: Any,
        record: dict[str, Any],
        seen: Provenance,
    ) -> None:
        super().__init__()
        self.model, self.objective, self.builder = model, objective, builder
        self.settings, self.record, self.seen = settings, record, seen
        self.history: list[dict[str, float]] = []
        self.validation_values: dict[str, float] = {}
        means = {name: MeanMetric() for name in ("loss", "ranking_loss", "objective")}
        each = means | {"rating": RatingMetrics(settings.liked_above)}
        metrics = MetricCollection(each, compute_groups=False)  # each is given something else
        self.val_ndcg = MeanMetric()
        self.train_metrics = metrics.clone(prefix="train/")
        self.val_metrics = metrics.clone(prefix="val/")

    def forward(self, batch: TensorBatch) -> GraphOutputs:
        return self.model(*(batch[name] for name in MODEL_INPUTS))

    def on_train_start(self) -> None:
        """ValueError if the resumed state has not one number for each weight: the optimizer writes
        to their memory without a look at its size."""
        for weight, state in self.optimizers(use_pl_optimizer=False).state.items():
            for name, value in state.items():
                like = torch.empty(()) if name == "step" else weight
                expected = like.shape, like.dtype, like.stride()
                if (value.shape, value.dtype, value.stride()) != expected:
                    raise ValueError("its optimizer does not fit the weights")

    def on_train_batch_start(self, batch: TensorBatch, batch_index: int) -> None:
        """Makes dropout a function of seed, epoch, batch and process, whatever ran before."""
        place = (self.settings.seed, self.current_epoch, batch_index, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))

    def training_step(self, batch: TensorBatch, batch_index: int) -> Tensor:
        embeddings = self(batch)
        with full_precision(self.device):
            return self._evaluate(embeddings, batch, self.train_metrics).objective

    def on_validation_epoch_start(self) -> None:
        graph, vectors = self.builder.graph, self.builder.vectors
        names, infos = vectors[graph.product_name_text], vectors[graph.product_info_text]
        products = embed_products(self.model, names, infos, self.builder.product_reviews.summary)
        self.keys = torch.from_numpy(products.keys).to(self.device)
        self.val_ndcg.reset()

    def validation_step(self, batch: TensorBatch, batch_index: int) -> None:
        embeddings = self(batch)
        with full_precision(self.device):
            self._evaluate(embeddings, batch, self.val_metrics)
            network = embeddings.user_queries @ self.keys.T
        products, (known, user) = batch["products"], batch["edge_index"]
        network[user, products[known]] = -torch.inf
        target = products[batch["target_product"]]
        positions = TargetPositions.of(network, batch["target_user"], target)
        self.val_ndcg.update(torch.from_numpy(ndcg(positions, K)).float())

    def on_validation_epoch_end(self) -> None:
        ranking = {f"val/network_ndcg{K}": float(self.val_ndcg.compute())}
        self.log_dict(ranking, sync_dist=True)
        self.validation_values = self._log_metrics(self.val_metrics) | ranking

    def on_train_epoch_end(self) -> None:
        """Logs the epoch's training metrics; validation has run before, or an InputError."""
        if not self.validation_values:
            raise InputError("trainer: no validation has run; leave out what keeps it from that")
        values = self._log_metrics(self.train_metrics) | self.validation_values
        self.history.append({"epoch": self.current_epoch, **values})

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.AdamW(
            self.parameters(),
            lr=self.settings.lr,
            weight_decay=self.settings.weight_decay,
            # One pass over all weights; Lightning cannot clip gradients for it in mixed precision.
            fused=self.trainer.precision == "32-true",
        )
        warmup = max(1, self.settings.warmup_epochs)
        rising = LinearLR(optimizer, 1 / warmup, total_iters=warmup - 1)
        falling = CosineAnnealingLR(optimizer, max(1, self.settings.max_epochs - warmup))
        schedule = SequentialLR(optimizer, [rising, falling], milestones=[warmup])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[RECORD_KEY] = self.record
        checkpoint[SEEN_KEY] = plain_provenance(self.seen)
        checkpoint[_HISTORY_KEY] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = [dict(epoch) for epoch in checkpoint[_HISTORY_KEY]]
        known = [each["epoch"] for each in self.history]
        if not known or known != list(range(len(known))) or len(known) != checkpoint["epoch"] + 1:
            raise ValueError("its epochs are others than it has gone through")
        for name, value in (each for epoch in self.history for each in epoch.items()):
            if not (is_number(value) and _METRIC.fullmatch(name)):
                raise ValueError(f"its epochs hold {name!r}, which is no metric or no number")

    def _evaluate(
        self, outputs: GraphOutputs, batch: TensorBatch, metrics: MetricCollection
    ) -> ObjectiveOutput:
        output: ObjectiveOutput = self.objective(outputs, batch)
        targets = len(batch["target_user"])
        # Weighted, so that an epoch's value is the mean over all its targets; NaN without any.
        ranked = 0 if output.ranking is None else targets
        metrics["loss"].update(output.loss.detach(), weight=output.num_rated)
        metrics["objective"].update(output.objective.detach(), weight=targets)
        metrics["ranking_loss"].update(output.ranking.detach() if ranked else 0.0, weight=ranked)
        metrics["rating"].update(output.rating.detach(), batch["target_rating"])
        return output

    def _log_metrics(self, metrics: MetricCollection) -> dict[str, float]:
        values = {name: float(value) for name, value in metrics.compute().items()}
        metrics.reset()
        for name, value in values.items():
            is_shown = name.endswith(("/loss", "val/objective"))
            self.log(name, value, prog_bar=is_shown, sync_dist=True)
        return values

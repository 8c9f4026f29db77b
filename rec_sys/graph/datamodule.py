"""Batches for Lightning: fresh random targets every epoch, the newest reviews in validation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from rec_sys.graph.ego_batch import EgoBatchBuilder
from rec_sys.graph.product_reviews import ProductReviews
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.split import UserSplit, drawn_targets, newest_targets

TensorBatch = dict[str, torch.Tensor]


class ReviewDataModule(pl.LightningDataModule):
    """Ego batches of training and held-out users.

    What the model may know about a product are the reviews of the training users, without the
    targets of the batch at hand. Everything random follows from (seed, epoch), so that a resumed
    training sees what an uninterrupted one would have seen. Needs a `Trainer` with
    ``reload_dataloaders_every_n_epochs=1``.

    Args:
        graph: All reviews.
        vectors: The vector store's rows, float [N, D].
        split: Training and held-out users.
        batch_size: Users per batch.
        target_share: Share of the newest reviews of a held-out user that are predicted.
        train_target_share: Share of the reviews of a training user that are predicted in an
            epoch, drawn anew each time.
        seed: Seeds the order of the users and the draw of the targets.
    """

    def __init__(
        self,
        graph: ReviewGraph,
        vectors: np.ndarray,
        split: UserSplit,
        batch_size: int,
        target_share: float,
        train_target_share: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.graph = graph
        self.split = split
        self.batch_size = batch_size
        self.train_target_share = train_target_share
        self.seed = seed
        # A review without a rating cannot be a rating target; it still is history.
        self.rated = ~np.isnan(graph.edge_rating)
        newest = newest_targets(graph, split.validation, target_share)
        self.validation_target, self.validation_hidden = self._rated_and_hidden(newest)
        self.product_reviews = ProductReviews.of(graph, vectors, graph.edges_of(split.train))
        self.builder = EgoBatchBuilder(graph, vectors, self.product_reviews)

    def train_dataloader(self) -> DataLoader:
        """Training users in a new order, with newly drawn targets."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        rng = np.random.default_rng((self.seed, epoch))
        drawn = drawn_targets(self.graph, self.split.train, self.train_target_share, rng)
        users = rng.permutation(self.split.train)
        return self._loader(users, *self._rated_and_hidden(drawn))

    def val_dataloader(self) -> DataLoader:
        """Held-out users, their newest reviews as targets."""
        return self._loader(self.split.validation, self.validation_target, self.validation_hidden)

    def _rated_and_hidden(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # An unrated target is hidden rather than shown: it may be newer than the history.
        return chosen & self.rated, chosen & ~self.rated

    def _loader(self, users: np.ndarray, target: np.ndarray, hidden: np.ndarray) -> DataLoader:
        def collate(batch: Sequence[int]) -> TensorBatch:
            return as_tensors(self.builder.build(np.asarray(batch), target, hidden))

        return DataLoader(users, batch_size=self.batch_size, collate_fn=collate)


def as_tensors(batch: Any) -> TensorBatch:
    """The arrays of an `EgoBatch` as tensors, by name; nothing is copied."""
    return {name: torch.from_numpy(array) for name, array in vars(batch).items()}

"""Batches for Lightning: fresh random targets every epoch, those of the split in validation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from rec_sys.graph.ego_batch import EgoBatchBuilder
from rec_sys.graph.product_reviews import ProductReviews
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.targets import drawn_targets
from rec_sys.graph.task import Split, Task

TensorBatch = dict[str, torch.Tensor]


class ReviewDataModule(pl.LightningDataModule):
    """Ego batches of the users that train, and of those that are measured.

    What the model may know about a product are the training reviews, without the targets of the
    batch at hand. Everything random follows from (seed, epoch), so that a resumed training sees
    what an uninterrupted one would have seen. Needs a `Trainer` with
    ``reload_dataloaders_every_n_epochs=1``.

    A target without a rating has the rating NaN: that it exists can still be learned.

    Args:
        graph: All reviews.
        vectors: The vector store's rows, float [N, D].
        split: What trains and what is measured.
        batch_size: Users per batch.
        train_target_share: Share of the training reviews of a user that are predicted in an
            epoch, drawn anew each time.
        seed: Seeds the order of the users and the draw of the targets.

    Attributes:
        train_users: int64, index of the users that have a training edge, ascending.
    """

    def __init__(
        self,
        graph: ReviewGraph,
        vectors: np.ndarray,
        split: Split,
        batch_size: int,
        train_target_share: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.graph = graph
        self.split = split
        self.batch_size = batch_size
        self.train_target_share = train_target_share
        self.seed = seed
        self.train_users = np.unique(graph.edge_user[split.train])
        self.product_reviews = ProductReviews.of(graph, vectors, np.flatnonzero(split.train))
        self.builder = EgoBatchBuilder(graph, vectors, self.product_reviews)

    def train_dataloader(self) -> DataLoader:
        """Training users in a new order, with newly drawn targets among their training edges."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        rng = np.random.default_rng((self.seed, epoch))
        train = self.split.train
        drawn = drawn_targets(self.graph, self.train_users, self.train_target_share, rng, train)
        return self._loader(rng.permutation(self.train_users), drawn, hidden=~train)

    def val_dataloader(self) -> DataLoader:
        """Everybody with a validation target."""
        return self._task_loader(self.split.validation)

    def test_dataloader(self) -> DataLoader:
        """Everybody with a test target.

        Raises:
            ValueError: The split has no test.
        """
        if self.split.test is None:
            raise ValueError(f"split {self.split.name} puts nothing aside for a test")
        return self._task_loader(self.split.test)

    def _task_loader(self, task: Task) -> DataLoader:
        hidden = ~(task.target | task.history)
        return self._loader(task.users(self.graph), task.target, hidden)

    def _loader(self, users: np.ndarray, target: np.ndarray, hidden: np.ndarray) -> DataLoader:
        def collate(batch: Sequence[int]) -> TensorBatch:
            return as_tensors(self.builder.build(np.asarray(batch), target, hidden))

        return DataLoader(users, batch_size=self.batch_size, collate_fn=collate)


def as_tensors(batch: Any) -> TensorBatch:
    """The arrays of an `EgoBatch` as tensors, by name; nothing is copied."""
    return {name: torch.from_numpy(array) for name, array in vars(batch).items()}

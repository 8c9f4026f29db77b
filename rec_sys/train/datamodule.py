"""Batches for Lightning: fresh random targets every epoch, those of the split in validation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from rec_sys.foundation.distributed import threads_of
from rec_sys.foundation.errors import InputError
from rec_sys.graph.ego_batch import EgoBatchBuilder, ProductReviews
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Split, drawn_targets
from rec_sys.modules.graph_model import TensorBatch

# Between drawing all products alike (0) and by their reviews (1); Mikolov et al., NIPS 2013.
_POPULARITY_POWER = 0.75


@dataclass(frozen=True)
class ProductSample:
    """All products if there are few, otherwise a sample, of `size`, that prefers the popular ones.
    `counts`: int64 [P], training reviews of each product."""

    counts: np.ndarray
    size: int

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Distinct products, int64, ascending."""
        if len(self.counts) <= self.size:
            return np.arange(len(self.counts))
        # As `rng.choice` with these probabilities, which adds them up anew in every batch.
        drawn = self._cumulated.searchsorted(rng.random(self.size), side="right")
        return np.flatnonzero(np.bincount(drawn, minlength=len(self.counts)))

    def log_q(self, products: np.ndarray, shown: int) -> np.ndarray:
        """Logarithm of the probability that a batch holds each of its products, float32 [n]: it is
        drawn, or an edge shows it, by its popularity. Zeros if every batch holds all products."""
        if len(self.counts) <= self.size:
            return np.zeros(len(products), dtype=np.float32)
        popularity = (self.counts[products] + 1) / (self.counts.sum() + len(self.counts))
        left_out = self.size * np.log1p(-self._drawn[products]) + shown * np.log1p(-popularity)
        return np.log(-np.expm1(left_out)).astype(np.float32)

    @cached_property
    def _cumulated(self) -> np.ndarray:
        cumulated = self._drawn.cumsum()
        return cumulated / cumulated[-1]

    @cached_property
    def _drawn(self) -> np.ndarray:
        weights = (self.counts + 1.0) ** _POPULARITY_POWER
        return weights / weights.sum()


# Without gradients more users fit; every batch embeds the ranked products anew.
_USERS_MEASURED_AT_ONCE = 256


class LoaderAhead(DataLoader):
    """A `DataLoader` that cuts the next batch while this one is computed with, in a thread: a
    process would have to be sent what lies here in memory. For a GPU; where the cores compute, it
    takes from them what it saves (18,900 reviews/s on two cores without it, 17,800 with it)."""

    def __iter__(self) -> Iterator[TensorBatch]:
        batches = super().__iter__()
        with threads_of(1, 1) as thread:
            following = thread.submit(next, batches, None)
            while (batch := following.result()) is not None:
                following = thread.submit(next, batches, None)
                yield batch


class ReviewDataModule(pl.LightningDataModule):
    """Ego batches of the users that train, and of those that are measured: the arrays of an
    `EgoBatch` and ``log_q`` float32 [P], see `ProductSample.log_q`.

    What the model may know about a product are the training reviews, without the targets of the
    batch. A target without a rating, NaN, can still be ranked. Everything random follows from
    (seed, epoch), so that a resumed training sees what an uninterrupted one would have seen; needs
    ``reload_dataloaders_every_n_epochs=1``. Of several processes each takes its share of the
    `batch_size` users of a batch, with the same sample of products and those of its own users.

    `vectors`: the vector store's rows, float [N, D]; `train_target_share`: of a user's training
    reviews, predicted in an epoch, drawn anew each time; `negatives`: products that each batch
    ranks beside those it shows, all if there are not more.
    """

    def __init__(
        self,
        graph: ReviewGraph,
        vectors: np.ndarray,
        split: Split,
        *,
        batch_size: int,
        train_target_share: float,
        negatives: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.graph, self.split, self.seed = graph, split, seed
        self.batch_size, self.train_target_share = batch_size, train_target_share
        self.train_users = np.unique(graph.edge_user[split.train])
        self.product_reviews = ProductReviews.of(graph, vectors, np.flatnonzero(split.train))
        self.sample = ProductSample(self.product_reviews.counts, negatives)
        self.builder = EgoBatchBuilder(graph, vectors, self.product_reviews)

    def setup(self, stage: str) -> None:
        users, processes = len(self.split.validation.users(self.graph)), self.trainer.world_size
        if users < processes:
            why = f"{processes} processes, but only {users} people to measure; use fewer processes"
            raise InputError(f"trainer.devices: {why}")

    def train_dataloader(self) -> DataLoader:
        """Training users in a new order, with newly drawn targets among their training edges."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        rng = np.random.default_rng((self.seed, epoch))
        train = self.split.train
        drawn = drawn_targets(self.graph, self.train_users, self.train_target_share, rng, train)
        users = rng.permutation(self.train_users)
        # No copy of a target is shown beside it.
        copied = np.zeros_like(drawn)
        copied[self.graph.first_copy[drawn]] = True
        hidden = ~train | (copied[self.graph.first_copy] & ~drawn)
        return self._loader(users, drawn, hidden, rng, measured=False)

    def val_dataloader(self) -> DataLoader:
        task = self.split.validation
        rng = np.random.default_rng(self.seed)  # the same products in every epoch
        return self._loader(task.users(self.graph), task.target, task.hidden, rng, measured=True)

    def _loader(
        self,
        users: np.ndarray,
        target: np.ndarray,
        hidden: np.ndarray,
        rng: np.random.Generator,
        measured: bool,
    ) -> DataLoader:
        def collate(chosen: Sequence[int]) -> TensorBatch:
            batch = self.builder.build(np.asarray(chosen), target, hidden, self.sample.draw(rng))
            shown = batch.edge_index.shape[1] + len(batch.target_user)
            arrays = vars(batch) | {"log_q": self.sample.log_q(batch.products, shown)}
            return {name: torch.from_numpy(array) for name, array in arrays.items()}

        size = max(self.batch_size, _USERS_MEASURED_AT_ONCE) if measured else self.batch_size
        rank, processes, on_gpu = 0, 1, False
        if self.trainer:
            rank, processes = self.trainer.global_rank, self.trainer.world_size
            on_gpu = self.trainer.strategy.root_device.type != "cpu"
        if not measured:
            # Every process must make as many steps; a few users come twice.
            users = np.concatenate([users, users[: -len(users) % processes]])
        kind = LoaderAhead if on_gpu else DataLoader
        return kind(users[rank::processes], batch_size=-(-size // processes), collate_fn=collate)

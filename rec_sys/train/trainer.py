"""The Lightning trainer: its batches, its callbacks; an interruption loses one epoch at most."""

import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from rich.console import Console
from torch.utils.data import DataLoader

from rec_sys.foundation.console import note
from rec_sys.foundation.distributed import threads_of
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import replacing
from rec_sys.foundation.settings import build
from rec_sys.graph.ego_batch import EgoBatchBuilder, ProductReviews
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Split, Task, drawn_targets
from rec_sys.modules.checkpoint import BEST_SUFFIX, LAST_SUFFIX, as_tensors, read_checkpoint
from rec_sys.modules.graph_model import TensorBatch
from rec_sys.modules.recommender_module import RecommenderModule

# Between drawing all products alike (0) and by their reviews (1); Mikolov et al., NIPS 2013.
_POPULARITY_POWER = 0.75
# Without gradients more users fit; every batch embeds the ranked products anew.
_USERS_MEASURED_AT_ONCE = 256


@dataclass(frozen=True)
class ProductSample:
    """All products, or a sample of `size` by popularity. `counts`: int64 [P], training reviews."""

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
    (seed, epoch), so that a resumed training repeats an uninterrupted one; needs
    ``reload_dataloaders_every_n_epochs=1``. Each of several processes takes its share of the
    `batch_size` users, with the same sample of products and those of its own users.

    `vectors`: the vector store's rows, float [N, D]; `settings`: those of ``config/train``;
    `negatives`: products that each batch ranks beside those it shows, all if there are not more."""

    def __init__(
        self, graph: ReviewGraph, vectors: np.ndarray, split: Split, settings: Any, negatives: int
    ) -> None:
        super().__init__()
        self.graph, self.split, self.seed = graph, split, settings.seed
        self.batch_size, self.target_share = settings.batch_size, settings.train_target_share
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
        drawn = drawn_targets(self.graph, self.train_users, self.target_share, rng, train)
        users = rng.permutation(self.train_users)
        # No copy of a target is shown beside it.
        first = self.graph.first_copy
        shown = train & ~drawn & ~self.graph.edge_mask(first[drawn])[first]
        return self._loader(users, Task(drawn, shown), rng, measured=False)

    def val_dataloader(self) -> DataLoader:
        task = self.split.validation
        rng = np.random.default_rng(self.seed)  # the same products in every epoch
        return self._loader(task.users(self.graph), task, rng, measured=True)

    def _loader(
        self, users: np.ndarray, task: Task, rng: np.random.Generator, measured: bool
    ) -> DataLoader:
        target, hidden = task.target, task.hidden

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


class EpochProgress(RichProgressBar):
    """Lightning's bar, with epochs counted from 1; a log gets a line for each epoch instead."""

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
    """Saves a checkpoint whole or not at all, on its own file system, where Lightning would copy
    from a temporary folder. Removes only what it has saved, and looks for the best one in this
    `folder` alone: the state of a resumed training may name any, and was perhaps moved."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder, self._saved = folder.resolve(), set[str]()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        with replacing(path) as draft, draft.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        self._saved.add(str(path))

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        content = as_tensors(read_checkpoint(path))
        for state in content.get("callbacks", {}).values():
            if "dirpath" in state:
                state["dirpath"] = str(self._folder)
                for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
                    state[name] = self._here(state[name])
                best = state["best_k_models"].items()
                state["best_k_models"] = {self._here(old): score for old, score in best}
        return content

    def _here(self, path: str) -> str:
        return str(self._folder / Path(path).name) if path else ""

    def remove_checkpoint(self, path: str | Path) -> None:
        if str(path) in self._saved:
            super().remove_checkpoint(path)


def saved_files(folder: str | Path, run_name: str) -> dict[str, Path]:
    """The checkpoints of a run, by the names of the callbacks that save them."""
    suffixes = {"best": BEST_SUFFIX, "last": LAST_SUFFIX}
    return {name: Path(folder) / f"{run_name}{suffix}" for name, suffix in suffixes.items()}


def best_epoch(history: Sequence[Mapping[str, float]], settings: DictConfig) -> dict[str, float]:
    """The epoch that ``callbacks.best`` has saved, of `RecommenderModule.history`."""
    choose, worst = (max, -math.inf) if settings.mode == "max" else (min, math.inf)
    return dict(choose(history, key=lambda epoch: epoch.get(settings.monitor, worst)))


def build_trainer(config: DictConfig, logger: Logger, files: Mapping[str, Path]) -> pl.Trainer:
    """Builds ``config/trainer`` with ``config/callbacks``; they save to `saved_files`."""
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
    trainer.strategy.checkpoint_io = WholeCheckpoints(files["last"].parent)
    return trainer


def fit(
    trainer: pl.Trainer, module: RecommenderModule, datamodule: ReviewDataModule, state: Path | None
) -> None:
    """Trains from the beginning or the checkpoint `state`. KeyboardInterrupt for Ctrl-C (its epochs
    are saved), InputError if a callback monitors what is not measured, or `state` is of no use."""
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

"""An epoch of training beside the usual way: PyG's loader over one HeteroData per user.

    uv run python benchmarks/training.py [--share 1] [--steps 100] [--json PATH]

Both ways have the same model, objective, optimizer, users, targets and sample of products in the
same order, and the same Lightning trainer; only how a batch comes about differs. The usual way
keeps everything that a user's graph needs in an object of its own. Targets are drawn anew for each
epoch, so the objects are made anew as well; what it would take to keep them is told beside it, and
how high the ratio could be if batches came about for nothing: forward and backward are the same.
Once with the default objective, which ranks against a sample of the products, and once with the one
that only rates. Vectors of texts stand in (`stand_in_vectors.py`).
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from figures import Figure, json_path, write_figures
from full_size_set import FullSizeSet
from own_process import Measurement, answer_option, in_own_process
from stages import Workplace, compose, prepare
from torch.utils.data import DataLoader
from torch_geometric.data import Batch, HeteroData
from torch_geometric.loader import DataLoader as GraphLoader

from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.settings import build
from rec_sys.graph.ego_batch import EgoBatch
from rec_sys.graph.task import Provenance
from rec_sys.modules.graph_model import TensorBatch
from rec_sys.modules.recommender_module import RecommenderModule
from rec_sys.train.trainer import ReviewDataModule

STEPS = 100
OBJECTIVES = ("joint", "rating")
#: Not timed: the first steps find out about memory and threads.
WARM_UP = 5
MOST_OUTSIDE = 0.15
LEAST_RATIO = 5.0
# Dropout makes losses differ by a few percent; that the batches are the same, they must show.
MOST_DIFFERENT_LOSS = 0.05
REVIEWED, TARGET = ("product", "reviewed_by", "user"), ("product", "target_of", "user")


class PerUserDataModule(ReviewDataModule):
    """The same batches out of one HeteroData per user.

    Attributes:
        building_seconds: What it took to make the objects.
    """

    steps = STEPS
    building_seconds = 0.0

    def _loader(
        self,
        users: np.ndarray,
        target: np.ndarray,
        hidden: np.ndarray,
        rng: np.random.Generator,
        measured: bool,
    ) -> DataLoader:
        if measured:
            return super()._loader(users, target, hidden, rng, measured)
        started = time.perf_counter()
        users = users[: (self.steps + WARM_UP) * self.batch_size]
        graphs = [user_graph(self.builder.build(user[None], target, hidden)) for user in users]
        self.building_seconds = time.perf_counter() - started
        return _WithSample(GraphLoader(graphs, batch_size=self.batch_size), self, rng)


def user_graph(ego: EgoBatch) -> HeteroData:
    """One person's graph with all features in it."""
    tensors = {name: torch.from_numpy(array) for name, array in vars(ego).items()}
    data = HeteroData()
    user, product = data["user"], data["product"]
    user.num_nodes, product.num_nodes = 1, len(ego.products)
    user.x, user.rating_features = tensors["user_features"], tensors["user_rating_features"]
    user.user_id = tensors["users"]
    product.product_id = tensors["products"]
    for name in ("name", "info", "review", "rating"):
        product[name] = tensors[f"product_{name}_features"]
    reviewed, to_predict = data[REVIEWED], data[TARGET]
    reviewed.edge_index = tensors["edge_index"]
    for name in ("edge_attr", "edge_rating", "edge_age", "edge_step"):
        reviewed[name] = tensors[name]
    to_predict.edge_index = torch.stack([tensors["target_product"], tensors["target_user"]])
    to_predict.rating = tensors["target_rating"]
    return data


class _WithSample:
    """PyG's batches with each product once, and the sample that they are ranked against."""

    def __init__(
        self, loader: GraphLoader, datamodule: ReviewDataModule, rng: np.random.Generator
    ) -> None:
        self.loader, self.datamodule, self.rng = loader, datamodule, rng
        self.nothing = np.zeros(datamodule.graph.num_edges, dtype=bool)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Any:
        for batch in self.loader:
            yield self._complete(batch)

    def _complete(self, batch: Batch) -> TensorBatch:
        sample, builder = self.datamodule.sample, self.datamodule.builder
        nobody = np.empty(0, dtype=np.int64)
        drawn = builder.build(nobody, self.nothing, self.nothing, sample.draw(self.rng))
        own = batch["product"]
        every = torch.cat([own.product_id, torch.from_numpy(drawn.products)])
        products, place = torch.unique(every, return_inverse=True)
        first = torch.empty(len(products), dtype=torch.int64)
        # From the end, so that a person's own features of a product win.
        first[place.flip(0)] = torch.arange(len(every) - 1, -1, -1)

        def features(name: str) -> torch.Tensor:
            of_sample = torch.from_numpy(getattr(drawn, f"product_{name}_features"))
            return torch.cat([own[name], of_sample])[first]

        reviewed, target = batch[REVIEWED], batch[TARGET]
        shown = reviewed.edge_index.shape[1] + target.edge_index.shape[1]
        log_q = sample.log_q(products.numpy(), shown)
        return {
            "user_features": batch["user"].x,
            "user_rating_features": batch["user"].rating_features,
            **{f"product_{name}_features": features(name) for name in _SOURCES},
            "edge_index": torch.stack([place[reviewed.edge_index[0]], reviewed.edge_index[1]]),
            **{name: reviewed[name] for name in _EDGE},
            "target_user": target.edge_index[1],
            "target_product": place[target.edge_index[0]],
            "target_rating": target.rating,
            "users": batch["user"].user_id,
            "products": products,
            "log_q": torch.from_numpy(log_q),
        }


_SOURCES = ("name", "info", "review", "rating")
_EDGE = ("edge_attr", "edge_rating", "edge_age", "edge_step")


class Phases(pl.Callback):
    """Seconds inside and outside of forward and backward, after the warm-up."""

    def __init__(self) -> None:
        self.inside, self.edges, self.losses = 0.0, 0, []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: TensorBatch, i: int) -> None:
        """Forward begins as soon as this returns."""
        self._now = time.perf_counter()
        if i == WARM_UP:
            self._begin, self.inside, self.edges = self._now, 0.0, 0
        self.edges += batch["edge_index"].shape[1] + len(batch["target_user"])

    def on_after_backward(self, trainer: Any, module: Any) -> None:
        """Forward, loss and backward are one piece."""
        self.inside += time.perf_counter() - self._now

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: TensorBatch, i: int
    ) -> None:
        """Also the loader's work for the next batch comes after this; the last has no next."""
        self.whole = time.perf_counter() - getattr(self, "_begin", self._now)
        self.losses.append(float(outputs["loss"]))


def train_steps(
    kind: type[ReviewDataModule], files: FullSizeSet, steps: int, objective_name: str
) -> dict[str, Any]:
    """Trains for some steps with the default settings."""
    config = compose("train_config", files, f"objective={objective_name}")
    prepared, objective = prepare(files), build(config.objective)
    settings, graph = config.train, prepared.graph
    pl.seed_everything(settings.seed, verbose=False)
    split = build(config.split).split(graph)
    negatives = settings.negatives if objective.ranks else 0
    datamodule = kind(graph, prepared.vectors, split, settings, negatives)
    datamodule.steps = steps
    module = RecommenderModule(
        build(config.model, vector_dim=prepared.encoder.dimension),
        objective,
        datamodule.builder,
        settings,
        record={},
        seen=Provenance.of(split, graph),
    )
    phases = Phases()
    trainer = build(
        config.trainer,
        max_epochs=1,
        limit_train_batches=steps + WARM_UP,
        limit_val_batches=1,
        callbacks=[phases],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,
    )
    trainer.fit(module, datamodule=datamodule)
    return {
        "seconds": phases.whole,
        "inside": phases.inside,
        "edges": phases.edges,
        "losses": phases.losses,
        "building": getattr(datamodule, "building_seconds", 0.0) * steps / (steps + WARM_UP),
    }


WAYS: dict[str, type[ReviewDataModule]] = {
    "rec_sys": ReviewDataModule,
    "HeteroData per user": PerUserDataModule,
}


def report(objective: str, found: dict[str, dict[str, Any]]) -> list[Figure]:
    """Prints the figures of one objective."""
    (name, ours), (other, theirs) = found.items()
    spent = theirs["seconds"] + theirs["building"]
    rate = ours["edges"] / ours["seconds"]
    kept, anew = theirs["edges"] / theirs["seconds"], theirs["edges"] / spent
    outside = 1 - ours["inside"] / ours["seconds"]
    losses = np.array([ours["losses"], theirs["losses"]])
    difference = float(np.abs(losses[0] / losses[1] - 1).mean())
    if difference > MOST_DIFFERENT_LOSS:
        raise RuntimeError(f"the losses of both ways differ by {difference:.1%}")
    rows: Sequence[tuple] = [
        (name, rate, outside),
        (f"{other}, objects kept", kept, 1 - theirs["inside"] / theirs["seconds"]),
        (other, anew, 1 - theirs["inside"] / spent),
    ]
    show_table(f"objective={objective}", ("way", "edges/s", "outside forward and backward"), rows)
    note(f"{rate / anew:.2f} times the edges per second; losses differ by {difference:.2%}")
    what = f"training, objective={objective}"
    return [
        Figure(what, rate, "edges/s"),
        Figure(f"{what}, ratio", rate / anew, "×", other, at_least=LEAST_RATIO),
        Figure(f"{what}, ratio", rate / kept, "×", "objects kept, targets never drawn anew"),
        Figure(f"{what}, highest ratio", spent / ours["inside"], "×", "if batches cost nothing"),
        Figure(f"{what}, outside forward and backward", outside, "share", at_most=MOST_OUTSIDE),
        Figure(f"{what}, difference of the losses", difference, "mean share"),
    ]


def main() -> None:
    path = json_path()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--objective", choices=OBJECTIVES, help=argparse.SUPPRESS)
    parser.add_argument("--files", type=Path, help=argparse.SUPPRESS)
    answer_option(parser)
    given = parser.parse_args()
    if given.way:
        measurement = Measurement()
        files = FullSizeSet(given.files)
        measurement.values = train_steps(WAYS[given.way], files, given.steps, given.objective)
        measurement.write(given.answer)
        return
    place = Workplace.of(given.share)
    for stage in ("read_and_clean", "stand_in_vectors"):
        place.measure(stage)
    common = ["--files", str(place.files.folder), "--steps", str(given.steps)]
    figures = []
    for objective in OBJECTIVES:
        options = ["--objective", objective, *common]
        found = {
            way: in_own_process(__file__, ["--way", way, *options], place.folder) for way in WAYS
        }
        figures += report(objective, found)
    write_figures(path, figures)


if __name__ == "__main__":
    main()

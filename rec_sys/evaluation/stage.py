"""A split of the data with one seed: what every model of the evaluation learns and is asked."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from omegaconf import DictConfig, OmegaConf

from rec_sys.evaluation.interface import Catalogue, Reviews
from rec_sys.evaluation.overrides import load_choice, with_overrides
from rec_sys.evaluation.tie_order import shuffle_ties
from rec_sys.foundation.build import build
from rec_sys.foundation.errors import InputError
from rec_sys.graph.prepare import PreparedReviews
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.splits.checks import check_usable
from rec_sys.graph.splits.description import split_fingerprint
from rec_sys.graph.task import Split, Task

_NEW_USERS = "new_users"


@dataclass(frozen=True)
class Questions:
    """A task in the shape that models of the evaluation take.

    Attributes:
        users: int64 [U], in the graph, ascending: everyone who has a target.
        histories: What is known of them.
        targets: What is to be predicted of them.
    """

    users: np.ndarray
    histories: Reviews
    targets: Reviews

    @classmethod
    def of(cls, graph: ReviewGraph, task: Task) -> "Questions":
        """The questions of a task about the reviews of a graph."""
        users = task.users(graph)
        return cls(
            users,
            Reviews.of(graph, users, task.history),
            Reviews.of(graph, users, task.target),
        )


@dataclass(frozen=True)
class Stage:
    """A split with one seed.

    Attributes:
        config: As for `rec_sys.train.train.train`: makes this split with this seed.
        seed: Seeds the split, the order of ties and the training.
        graph: The reviews, ties in the order of the seed.
        split: What trains, what is measured.
        tests: Title to test task; several where one training can answer several questions.
    """

    config: DictConfig
    seed: int
    graph: ReviewGraph
    split: Split
    tests: Mapping[str, Task]

    @property
    def train(self) -> Reviews:
        """What everyone learns from: of all users of the graph, many of them perhaps empty."""
        return Reviews.of(self.graph, np.arange(self.graph.num_users), self.split.train)

    @property
    def popularity(self) -> np.ndarray:
        """Training reviews per product, float64 [P]."""
        learned = self.graph.edge_product[self.split.train]
        return np.bincount(learned, minlength=self.graph.num_products).astype(np.float64)

    @property
    def has_ratings(self) -> bool:
        """Whether stars can be learned, chosen by and tested."""
        parts = [self.split.train, self.split.validation.target]
        parts += [task.target for task in self.tests.values()]
        return all(np.isfinite(self.graph.edge_rating[edges]).any() for edges in parts)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the reviews in their order and of which edge is what."""
        graph, digest = self.graph, hashlib.sha256(split_fingerprint(self.split).encode())
        for array in (
            *(graph.user_ptr, graph.edge_product, graph.edge_text, graph.edge_rating),
            *(graph.edge_time, graph.product_name_text, graph.product_info_text),
            graph.product_brand,
        ):
            digest.update(np.ascontiguousarray(array).tobytes())
        for title, task in self.tests.items():
            digest.update(title.encode())
            digest.update(np.packbits(task.target).tobytes())
            digest.update(np.packbits(task.history).tobytes())
        return digest.hexdigest()


def catalogue_of(prepared: PreparedReviews, graph: ReviewGraph) -> Catalogue:
    """The products of a graph and their texts."""
    return Catalogue(
        graph.num_products, graph.product_name_text, graph.product_info_text, prepared.vectors
    )


def build_stage(config: DictConfig, graph: ReviewGraph, name: str, seed: int) -> Stage:
    """Splits the reviews.

    Args:
        config: Composed from ``config/evaluate_config.yaml``.
        graph: All reviews.
        name: A file in ``config/split``.
        seed: See `Stage`.

    Raises:
        InputError: There is no such split, it has no test, or the reviews cannot be split so.
    """
    graph = shuffle_ties(graph, seed)
    own = with_overrides(config, [f"split={name}", f"train.seed={seed}"])
    own.split.update(config.evaluation.split_settings.get(name) or {})
    lengths = list(config.evaluation.history_lengths)
    if name == _NEW_USERS:
        own.split.history_length = lengths[0]
    own.paths = OmegaConf.to_container(own.paths, resolve=True)
    del own.evaluation  # for the training it does not exist
    split = build(own.split).split(graph)
    check_usable(split, graph)
    if split.test is None or not split.test.target.any():
        raise InputError(f"split={name}: puts nothing aside for a test, so there is no result")
    tests = {name.replace("_", " "): split.test}
    if name == _NEW_USERS:
        # The same people train, whatever the others show: one training answers for all lengths.
        tests = {_title(length): _test_with(own, graph, length) for length in lengths}
    return Stage(own, seed, graph, split, tests)


def check_split_name(name: str) -> None:
    """Makes sure that a split exists, before data are read.

    Raises:
        InputError: There is no such split.
    """
    load_choice("split", name)


def _test_with(config: DictConfig, graph: ReviewGraph, length: int) -> Task:
    config = with_overrides(config, [f"split.history_length={length}"])
    test = build(config.split).split(graph).test
    if test is None or not test.target.any():
        raise InputError(
            f"evaluation.history_lengths: nobody among the new users has more than {length} reviews"
        )
    return test


def _title(length: int) -> str:
    return f"new users who show {length} review" + "s" * (length > 1)

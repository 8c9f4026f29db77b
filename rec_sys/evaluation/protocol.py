"""What every model of the evaluation learns from and is asked; nothing else leaks."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from omegaconf import DictConfig, OmegaConf

from rec_sys.foundation.cli import with_overrides
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import build
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.splits import NewUsers, split_fingerprint
from rec_sys.graph.task import Queries, Split, Task, check_usable
from rec_sys.reviews.schema import NO_TIME


class Model(Protocol):
    """What is fitted and compared; `name` is its row in the leaderboard."""

    name: str

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        """Learns from reviews of all products and users; some may have none. `vectors`: float16 [N,
        D], of texts, unit or zero, memory-mapped: gather rows. InputError for lack of ratings."""


class RankingModel(Model, Protocol):
    """Ranks all products for users given by their histories."""

    def score(self, histories: ReviewGraph, asked: np.ndarray) -> np.ndarray:
        """float32 [histories.num_users, P], finite, higher is better, history not masked; of any
        users, also without a history. `asked`: int64 [histories.num_users], see `Task.asked`."""


class WishModel(Model, Protocol):
    """Finds products by what users say that they want; fitted to reviews and `PreparedReviews`."""

    def find(self, histories: ReviewGraph, asked: np.ndarray, wish: np.ndarray) -> np.ndarray:
        """As `RankingModel.score`; `wish`: int64 [histories.num_users], rows of their texts."""


class RatingModel(Model, Protocol):
    """Predicts ratings, the review of the target not seen."""

    def rate(self, histories: ReviewGraph, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Of T pairs, float32, 1...5 (0...5 for cosine models); `user`: index in `histories`."""


class ReviewKnownModel(Model, Protocol):
    """Tells the rating of a review that it reads, which is far easier than to foresee it. It is no
    `RatingModel`, so that their numbers never stand in one table."""

    def rate_known(
        self, histories: ReviewGraph, user: np.ndarray, product: np.ndarray, text: np.ndarray
    ) -> np.ndarray:
        """As `RatingModel.rate`; `text`: int64 [T], row of the review itself in the vectors."""


@dataclass(frozen=True)
class Stage:
    """A split with one seed: of the split, the order of ties and the training. `config` makes
    `train` split so; `tests` has titles, several where one training answers several questions."""

    config: DictConfig
    seed: int
    graph: ReviewGraph
    split: Split
    tests: Mapping[str, Task]

    @property
    def train(self) -> ReviewGraph:
        return self.graph.histories(np.arange(self.graph.num_users), self.split.train)

    @property
    def known(self) -> ReviewGraph:
        """What models know that answer the tests, once settings are chosen on the validation."""
        return self.graph.histories(np.arange(self.graph.num_users), self.split.known)

    @property
    def validation(self) -> Queries:
        return Queries.of(self.graph, self.split.validation)

    @functools.cached_property
    def wishes(self) -> Mapping[str, tuple[Task, bool]]:
        """Title to test task whose words are wishes, and whether histories are shown with them."""
        return {
            f"{title}, {name}": (task, name == "personal wishes")
            for title, task in self.tests.items()
            for name in ("wishes", "personal wishes")
            if len(task.targets_with_text(self.graph))
        }

    def test(self, title: str) -> Queries:
        if title in self.wishes:
            return Queries.wishes(self.graph, *self.wishes[title])
        return Queries.of(self.graph, self.tests[title])

    @property
    def has_ratings(self) -> bool:
        """Whether ratings can be learned, chosen by and tested."""
        parts = [self.split.train, self.split.validation.target]
        parts += [task.target for task in self.tests.values()]
        return all(np.isfinite(self.graph.edge_rating[edges]).any() for edges in parts)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the reviews in their order and of which edge is what."""
        digest = hashlib.sha256(self.graph.fingerprint.encode())
        for title, test in self.tests.items():
            digest.update(f"{title}:{split_fingerprint(replace(self.split, test=test))}".encode())
        return digest.hexdigest()


def build_stage(config: DictConfig, graph: ReviewGraph, name: str, seed: int) -> Stage:
    """Splits reviews by ``config/split/NAME.yaml``; InputError if it fails or leaves no test."""
    graph = shuffle_ties(graph, seed)
    own = with_overrides(config, [f"split={name}", f"train.seed={seed}"])
    own.split.update(config.evaluation.split_settings.get(name) or {})
    lengths = list(config.evaluation.history_lengths)
    if name == NewUsers.name:
        own.split.history_length = lengths[0]
    own.paths = OmegaConf.to_container(own.paths, resolve=True)
    del own.evaluation  # for the training it does not exist
    split = build(own.split).split(graph)
    check_usable(split, graph)
    if split.test is None or not split.test.target.any():
        raise InputError(f"split={name}: puts nothing aside for a test, so there is no result")
    tests = {name.replace("_", " "): split.test}
    if name == NewUsers.name:
        # The same users train, whatever the others show: one training answers for all lengths.
        tests = {}
        for length in lengths:
            asked = with_overrides(own, [f"split.history_length={length}"])
            test = build(asked.split).split(graph).test
            if not test.target.any():
                why = f"nobody among the new users has more than {length} reviews"
                raise InputError(f"evaluation.history_lengths: {why}")
            tests[f"new users who show {length} review{'s' * (length > 1)}"] = test
    return Stage(own, seed, graph, split, tests)


def shuffle_ties(graph: ReviewGraph, seed: int) -> ReviewGraph:
    """Shuffles a user's reviews of equal time. Without times their order is all that is known."""
    drawn = np.random.default_rng(seed).permutation(graph.num_edges)
    within_tie = np.where(graph.edge_time == NO_TIME, np.arange(graph.num_edges), drawn)
    return graph.in_order(np.lexsort((within_tie, graph.edge_time, graph.edge_user)))


def tied_last_share(graph: ReviewGraph) -> float:
    """Share of the users with two reviews or more whose last two have the same time, 0...1."""
    last = graph.user_ptr[1:][graph.degrees > 1] - 1
    if not len(last):
        return 0.0
    time = graph.edge_time
    return float(((time[last] == time[last - 1]) & (time[last] != NO_TIME)).mean())

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
from rec_sys.graph.csr import members_of, rows_to_pointers
from rec_sys.graph.review_graph import NO_TIME, PreparedReviews, ReviewGraph
from rec_sys.graph.splits import split_fingerprint
from rec_sys.graph.task import Split, Task, check_usable

_NEW_USERS = "new_users"


@dataclass(frozen=True)
class Reviews:
    """n reviews, by user and, inside a user, from the oldest to the newest.

    Attributes:
        user: int64 [n], 0...num_users - 1, ascending.
        product: int64 [n], index of the product.
        rating: float32 [n], 1...5, NaN if missing.
        time: int64 [n], seconds since 1970, `rec_sys.graph.review_graph.NO_TIME` if missing.
        text: int64 [n], row of the review in the text vectors.
        num_users: Number of users, those without a review included.
        asked: int64 [num_users], the moment at which each user asks what comes next, see
            `Task.asked`; None where nothing is asked.
    """

    user: np.ndarray
    product: np.ndarray
    rating: np.ndarray
    time: np.ndarray
    text: np.ndarray
    num_users: int
    asked: np.ndarray | None = None

    @classmethod
    def of(cls, graph: ReviewGraph, users: np.ndarray, edges: np.ndarray) -> "Reviews":
        """The reviews of some users that may be seen.

        Args:
            graph: All reviews.
            users: int64 [U], ascending; counted anew from 0 in this order.
            edges: bool [E], the edges that may be seen.
        """
        kept = graph.edges_of(users)
        kept = kept[edges[kept]]
        return cls(
            user=np.searchsorted(users, graph.edge_user[kept]),
            product=graph.edge_product[kept],
            rating=graph.edge_rating[kept],
            time=graph.edge_time[kept],
            text=graph.edge_text[kept],
            num_users=len(users),
        )

    @property
    def user_ptr(self) -> np.ndarray:
        """int64 [num_users + 1], the reviews of user ``u`` are ``user_ptr[u]:user_ptr[u + 1]``."""
        return rows_to_pointers(self.user, self.num_users)

    @property
    def steps_back(self) -> np.ndarray:
        """int64 [n], how many reviews the same user wrote later; 0 is the newest."""
        return self.user_ptr[1:][self.user] - 1 - np.arange(len(self.user))

    @property
    def rated(self) -> "Reviews":
        """The reviews that have a rating; the number of users stays."""
        return self._rows(~np.isnan(self.rating))

    def of_users(self, users: np.ndarray) -> "Reviews":
        """The reviews of some users, int64 [U], ascending; counted anew from 0 in this order."""
        kept = self._rows(members_of(self.user_ptr, users))
        user = np.repeat(np.arange(len(users)), np.diff(self.user_ptr)[users])
        asked = None if self.asked is None else self.asked[users]
        return replace(kept, user=user, num_users=len(users), asked=asked)

    def _rows(self, rows: np.ndarray) -> "Reviews":
        return replace(
            self,
            user=self.user[rows],
            product=self.product[rows],
            rating=self.rating[rows],
            time=self.time[rows],
            text=self.text[rows],
        )


@dataclass(frozen=True)
class Catalogue:
    """P products and their texts.

    Attributes:
        num_products: P.
        name_text: int64 [P], row of the name in `vectors`; the zero vector if there is none.
        info_text: int64 [P], row of the description.
        vectors: float16 [N, D], text vectors of reviews, names and descriptions, unit length or
            zero; may be memory-mapped, so gather rows before computing.
    """

    num_products: int
    name_text: np.ndarray
    info_text: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, prepared: PreparedReviews) -> "Catalogue":
        """The products of a data set."""
        graph = prepared.graph
        return cls(
            graph.num_products, graph.product_name_text, graph.product_info_text, prepared.vectors
        )


class RankingModel(Protocol):
    """Ranks all products for users given by their histories.

    Attributes:
        name: Its row in the leaderboard.
    """

    name: str

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """Learns from the training reviews."""

    def score(self, histories: Reviews) -> np.ndarray:
        """float32 [histories.num_users, P], finite, higher is better; history not masked.

        The users need not be among the training users, and a history may be empty.
        """


class RatingModel(Protocol):
    """Predicts ratings, the review of the target not seen.

    Attributes:
        name: Its row in the leaderboard.
    """

    name: str

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """Learns from the training reviews.

        Raises:
            InputError: None of them has a rating.
        """

    def rate(self, histories: Reviews, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Ratings of pairs, float32 [T], 1...5 (0...5 for cosine models).

        Args:
            histories: Of the users.
            user: int64 [T], counted as in `histories`.
            product: int64 [T].
        """


class ReviewKnownModel(Protocol):
    """Tells the rating of a review that it reads. Not a `RatingModel`, on purpose.

    Reading the verdict is far easier than foreseeing it: the numbers of these models belong into a
    table of their own and must never stand beside those of a `RatingModel`.

    Attributes:
        name: Its row in the table "review known".
    """

    name: str

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `RatingModel`."""

    def rate_known(
        self, histories: Reviews, user: np.ndarray, product: np.ndarray, text: np.ndarray
    ) -> np.ndarray:
        """As `RatingModel.rate`; `text`: int64 [T], row of the review itself in the vectors."""


@dataclass(frozen=True)
class Queries:
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
    def of(cls, graph: ReviewGraph, task: Task) -> "Queries":
        """The queries of a task about the reviews of a graph."""
        users = task.users(graph)
        histories, targets = (Reviews.of(graph, users, e) for e in (task.history, task.target))
        return cls(users, replace(histories, asked=task.asked(graph, users)), targets)

    def of_users(self, chosen: slice) -> "Queries":
        """The queries of some of the users."""
        rows = np.arange(len(self.users))[chosen]
        return Queries(
            self.users[chosen], self.histories.of_users(rows), self.targets.of_users(rows)
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
    def validation(self) -> Queries:
        """What settings are chosen by."""
        return Queries.of(self.graph, self.split.validation)

    def test(self, title: str) -> Queries:
        """What is measured."""
        return Queries.of(self.graph, self.tests[title])

    @property
    def popularity(self) -> np.ndarray:
        """Training reviews per product, float64 [P]."""
        learned = self.graph.edge_product[self.split.train]
        return np.bincount(learned, minlength=self.graph.num_products).astype(np.float64)

    @property
    def has_ratings(self) -> bool:
        """Whether ratings can be learned, chosen by and tested."""
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


def build_stage(config: DictConfig, graph: ReviewGraph, name: str, seed: int) -> Stage:
    """Splits all reviews as the file `name` in ``config/split`` says.

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
        # The same users train, whatever the others show: one training answers for all lengths.
        title = "new users who show {} review{}"
        tests = {title.format(n, "s" * (n > 1)): _test_with(own, graph, n) for n in lengths}
    return Stage(own, seed, graph, split, tests)


def _test_with(config: DictConfig, graph: ReviewGraph, history_length: int) -> Task:
    config = with_overrides(config, [f"split.history_length={history_length}"])
    test = build(config.split).split(graph).test
    if test is None or not test.target.any():
        raise InputError(
            "evaluation.history_lengths: nobody among the new users has more than"
            f" {history_length} reviews"
        )
    return test


def shuffle_ties(graph: ReviewGraph, seed: int) -> ReviewGraph:
    """Draws a new order among the reviews of one user that have the same time.

    Returns:
        The graph with the edges of each user still from the oldest to the newest. Reviews without
        a time keep their order: it may be all that is known, as in a data set of sequences.
    """
    number = np.arange(graph.num_edges)
    drawn = np.random.default_rng(seed).permutation(graph.num_edges)
    within_tie = np.where(graph.edge_time == NO_TIME, number, drawn)
    order = np.lexsort((within_tie, graph.edge_time, graph.edge_user))
    return replace(
        graph,
        edge_product=graph.edge_product[order],
        edge_text=graph.edge_text[order],
        edge_rating=graph.edge_rating[order],
        edge_time=graph.edge_time[order],
        edge_copy=None if graph.edge_copy is None else graph.edge_copy[order],
    )


def tied_last_share(graph: ReviewGraph) -> float:
    """Share of the users with two reviews or more whose last two have the same time, 0...1."""
    last = graph.user_ptr[1:][graph.degrees > 1] - 1
    if not len(last):
        return 0.0
    time = graph.edge_time
    return float(((time[last] == time[last - 1]) & (time[last] != NO_TIME)).mean())

"""The trained recommender as one more model of the evaluation, whole or ablated."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from rec_sys.evaluation.audit import require_clean
from rec_sys.evaluation.audit_probes import Finding, check_batches, check_statistics
from rec_sys.evaluation.jobs import JobContext, code_fingerprint
from rec_sys.evaluation.measured import Measured, Measuring
from rec_sys.evaluation.protocol import Catalogue, Queries, Reviews, Stage
from rec_sys.evaluation.rating_scores import RatingScores, best_threshold
from rec_sys.evaluation.tuning import predict
from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.compose import with_overrides
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import build
from rec_sys.graph.ego_batch import EgoBatch, EgoBatchBuilder, ProductReviews
from rec_sys.graph.review_graph import NO_BRAND, NO_TIME, ReviewGraph
from rec_sys.graph.splits import GlobalTime, split_fingerprint
from rec_sys.text.store import EMPTY_TEXT_ROW
from rec_sys.train.record import AXES

if TYPE_CHECKING:
    from rec_sys.modules.full_catalogue import FullCatalogue


ABLATIONS_PATH = CONFIG_DIR / "evaluation" / "ablations.yaml"


def mask_reviews(graph: ReviewGraph, seed: int) -> ReviewGraph:
    """Nobody said anything: each review has the text "", whose vector is zero."""
    return replace(graph, edge_text=np.full_like(graph.edge_text, EMPTY_TEXT_ROW))


def shuffle_reviews(graph: ReviewGraph, seed: int) -> ReviewGraph:
    """Everybody said what somebody else said: real texts, no connection to the products."""
    return replace(graph, edge_text=np.random.default_rng(seed).permutation(graph.edge_text))


def mask_product_texts(graph: ReviewGraph, seed: int) -> ReviewGraph:
    """Products have neither a name nor a description."""
    nothing = np.full_like(graph.product_name_text, EMPTY_TEXT_ROW)
    return replace(graph, product_name_text=nothing, product_info_text=nothing)


def mask_brands(graph: ReviewGraph, seed: int) -> ReviewGraph:
    """No product has a brand, apart from what its name says."""
    return replace(graph, product_brand=np.full_like(graph.product_brand, NO_BRAND))


def mask_ratings(graph: ReviewGraph, seed: int) -> ReviewGraph:
    """Nobody gave stars."""
    return replace(graph, edge_rating=np.full_like(graph.edge_rating, np.nan))


def mask_times(graph: ReviewGraph, seed: int) -> ReviewGraph:
    """Only the order of each person's reviews is known."""
    return replace(graph, edge_time=np.full_like(graph.edge_time, NO_TIME))


#: Takes a graph and a seed.
Change = Callable[[ReviewGraph, int], ReviewGraph]
CHANGES: Mapping[str, Change] = {
    "mask_reviews": mask_reviews,
    "shuffle_reviews": shuffle_reviews,
    "mask_product_texts": mask_product_texts,
    "mask_brands": mask_brands,
    "mask_ratings": mask_ratings,
    "mask_times": mask_times,
}


@dataclass(frozen=True)
class Ablation:
    """The model without something.

    Attributes:
        name: Its row.
        change: What becomes of the reviews, a key of `CHANGES`; None leaves them alone.
        overrides: What becomes of the config, see `rec_sys.foundation.compose`.
    """

    name: str
    change: str | None = None
    overrides: Sequence[str] = ()

    def apply(self, graph: ReviewGraph, seed: int) -> ReviewGraph:
        """The graph that this model learns from and is asked with."""
        return CHANGES[self.change](graph, seed) if self.change else graph


def load_ablations(names: Sequence[str]) -> list[Ablation]:
    """The ablations of ``config/evaluation/ablations.yaml`` by their names.

    Raises:
        InputError: There is no ablation of a name, or it asks for an unknown change.
    """
    known = OmegaConf.load(ABLATIONS_PATH)
    assert isinstance(known, DictConfig)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"evaluation.ablations: no ablation {', '.join(unknown)}; there are {', '.join(known)}"
        )
    ablations = [
        Ablation(name, known[name].get("change"), list(known[name].get("overrides", [])))
        for name in names
    ]
    for ablation in ablations:
        if ablation.change and ablation.change not in CHANGES:
            raise InputError(
                f"{ABLATIONS_PATH}: {ablation.name}: no change {ablation.change}; there are"
                f" {', '.join(CHANGES)}"
            )
    return ablations


GRAPH_MODEL_NAME = "rec_sys"


class GraphModelRanker:
    """A `RankingModel` and a `RatingModel` around what `rec_sys.train.train` gives back.

    Args:
        catalogue: The trained model over all products.
        products: Any graph of these products; only they are read.
        name: See `RankingModel`.
    """

    def __init__(
        self, catalogue: "FullCatalogue", products: ReviewGraph, name: str = GRAPH_MODEL_NAME
    ) -> None:
        self.name = name
        self._catalogue = catalogue
        self._products = products

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """Does nothing: `rec_sys.train.train` has trained it, on the same training reviews."""

    def score(self, histories: Reviews) -> np.ndarray:
        """See `RankingModel`."""
        if not histories.num_users:
            return np.zeros((0, self._products.num_products), dtype=np.float32)
        return self._catalogue.score(history_graph(histories, self._products))

    def rate(self, histories: Reviews, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        """See `RatingModel`."""
        if not len(user):
            return np.zeros(0, dtype=np.float32)
        return self._catalogue.rate(history_graph(histories, self._products), user, product)


def history_graph(histories: Reviews, products: ReviewGraph) -> ReviewGraph:
    """Histories as the graph that the trained model takes: these reviews and nothing else.

    Args:
        histories: Of U people, who are called "0"..."U - 1".
        products: Any graph of the same products.
    """
    return ReviewGraph(
        user_ids=np.arange(histories.num_users).astype(str).astype(object),
        product_ids=products.product_ids,
        user_ptr=histories.user_ptr,
        edge_product=histories.product,
        edge_text=histories.text,
        edge_rating=histories.rating,
        edge_time=histories.time,
        product_name_text=products.product_name_text,
        product_info_text=products.product_info_text,
        product_brand=products.product_brand,
    )


def audit_graph_model(stage: Stage, vectors: np.ndarray, config: DictConfig) -> list[Finding]:
    """Builds both as training does, with true and with false targets; trains nothing.

    Args:
        stage: Its first test is the one that is changed.
        vectors: float [N, D], the text vectors.
        config: ``evaluation.audit``.
    """
    test = next(iter(stage.tests.values()))
    split = replace(stage.split, test=test)
    train = np.flatnonzero(split.train)
    users = test.users(stage.graph)
    blocks = np.array_split(users, max(1, len(users) // config.people))

    def batches(graph: ReviewGraph, vectors: np.ndarray) -> Sequence[EgoBatch]:
        builder = EgoBatchBuilder(graph, vectors, ProductReviews.of(graph, vectors, train))
        hidden = ~(test.target | test.history)
        return [builder.build(block, test.target, hidden) for block in blocks]

    some = users[:: max(1, len(users) // config.people)]
    asked = Reviews.of(stage.graph, some, test.history)
    builder = build(stage.config.product_graph)

    def weights(graph: ReviewGraph) -> np.ndarray:
        product_graph = builder.build(graph, vectors, train)
        # Asked with the true histories of some people, so that only what was learned can differ.
        return product_graph.score(asked.user_ptr, asked.product, asked.rating)

    findings = [
        check_statistics(weights, stage.graph, split).about(f"{GRAPH_MODEL_NAME}, product graph")
    ]
    if np.isfinite(stage.graph.edge_rating[test.target]).any() and len(vectors) > 1:
        found = check_batches(batches, stage.graph, vectors, test.target, config.tolerance)
        findings.append(found.about(GRAPH_MODEL_NAME))
    return findings


#: Keys of ``config/train`` that do not decide the result here.
_NO_MATTER = ("run_name", "resume", "warm_start")


@dataclass(frozen=True)
class GraphModelJob:
    """The model of `rec_sys.train.train`, whole or without something.

    Attributes:
        run_name: Starts the names of its runs in MLflow.
        ablation: What it goes without, or None.
    """

    run_name: str
    ablation: Ablation | None = None

    @property
    def label(self) -> str:
        """Its row."""
        return self.ablation.name if self.ablation else GRAPH_MODEL_NAME

    def config(self, stage: Stage) -> DictConfig:
        """The config to train with."""
        config = with_overrides(stage.config, self.ablation.overrides if self.ablation else [])
        parts = (self.run_name, stage.split.name, f"seed{stage.seed}", self.label)
        config.train.run_name = "-".join(parts)
        config.train.resume = False
        config.train.warm_start = None  # it would have learnt from more than it is said to have
        return config

    def identity(self, stage: Stage) -> Mapping[str, Any]:
        """See `Job`."""
        config = OmegaConf.to_container(self.config(stage), resolve=True)
        axes = {axis: config[axis] for axis in AXES}
        axes["train"] = {k: v for k, v in axes["train"].items() if k not in _NO_MATTER}
        trainer = {k: v for k, v in config["trainer"].items() if k != "enable_progress_bar"}
        return {
            "ours": axes,
            "trainer": trainer,
            "change": self.ablation.change if self.ablation else None,
            "code": code_fingerprint("ours"),
        }

    def can_run(self, stage: Stage) -> bool:
        """See `Job`: without times, training cannot split by time."""
        takes_times = self.ablation is not None and self.ablation.change == "mask_times"
        return not (takes_times and stage.split.name == GlobalTime.name)

    def run(self, stage: Stage, around: JobContext) -> Measured:
        """See `Job`."""
        from rec_sys.train.train import train

        how, start = around.measuring, time.perf_counter()
        graph = self.ablation.apply(stage.graph, stage.seed) if self.ablation else stage.graph
        prepared = replace(around.prepared, graph=graph)
        findings = (
            [] if self.ablation else audit_graph_model(stage, around.prepared.vectors, around.audit)
        )
        require_clean([f.about(f"seed {stage.seed}") for f in findings])
        around.log_path.parent.mkdir(parents=True, exist_ok=True)
        with open(around.log_path, "a") as log, contextlib.redirect_stdout(log):
            _, objects = train(self.config(stage), prepared)
        if split_fingerprint(objects["split"]) != split_fingerprint(stage.split):
            raise ValueError(f"{self.label}: training has split the data in another way")
        model = GraphModelRanker(objects["catalogue"], graph, self.label)
        return Measured(
            self.label,
            ranking=how.ranking(model, graph, stage.tests),
            rating=self._rating(model, stage, graph, how),
            findings=[*findings, *around.invariance(model, replace(stage, graph=graph))],
            seconds=time.perf_counter() - start,
        )

    def _rating(
        self, model: GraphModelRanker, stage: Stage, graph: ReviewGraph, how: Measuring
    ) -> dict[str, RatingScores]:
        if not stage.has_ratings:
            return {}
        chosen_by = Queries.of(graph, stage.split.validation)
        stars = predict(model, chosen_by.histories, chosen_by.targets)
        # The true stars come from the unchanged graph: without them nothing could be measured.
        true = Queries.of(stage.graph, stage.split.validation).targets.rating
        threshold = best_threshold(stars, true, how.liked_above)
        return how.rating(model, graph, stage.tests, threshold, true_graph=stage.graph)

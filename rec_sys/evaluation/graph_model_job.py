"""The trained recommender as one more model of the evaluation, whole or ablated."""

import contextlib
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from omegaconf import DictConfig, OmegaConf

from rec_sys.evaluation import audit
from rec_sys.evaluation.jobs import JobContext, Kind, Measured
from rec_sys.evaluation.leaderboard import GRAPH_MODEL_NAME
from rec_sys.evaluation.protocol import Stage
from rec_sys.foundation.cli import CONFIG_DIR, with_overrides
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import build, settings_of
from rec_sys.graph.ego_batch import EgoBatch, EgoBatchBuilder, ProductReviews
from rec_sys.graph.review_graph import NO_BRAND, PreparedReviews, ReviewGraph, read_vectors
from rec_sys.graph.splits import GlobalTime, split_fingerprint
from rec_sys.graph.task import Task
from rec_sys.modules.checkpoint import fit_evidences
from rec_sys.modules.combiner import MANY, dense_features
from rec_sys.modules.evidences import KnownReviews, Trend
from rec_sys.modules.features import Feature, Situation
from rec_sys.modules.match import Towers, Wishes, match_sources
from rec_sys.modules.product_graph import ProductGraph
from rec_sys.reviews.schema import NO_TIME
from rec_sys.text.store import EMPTY_TEXT_ROW
from rec_sys.train.tracking import deciding_settings, plain_config
from rec_sys.train.tuning import EvidenceTrial, Tuned
from rec_sys.vector_database.create_vectorbase import build_catalogue

if TYPE_CHECKING:
    from rec_sys.modules.calibration import Calibrated
    from rec_sys.modules.full_catalogue import FullCatalogue
    from rec_sys.modules.graph_model import GraphModel

_OfTexts = Literal["mask_reviews", "shuffle_reviews", "mask_product_texts"]
Change = Literal[_OfTexts, "mask_brands", "mask_ratings", "mask_times"]
# Which arrays of the graph a change overwrites, and with what; None leaves the reviews alone.
_MASKS: Mapping[Change | None, Mapping[str, Any]] = {
    None: {},
    "mask_reviews": {"edge_text": EMPTY_TEXT_ROW},
    "mask_product_texts": dict.fromkeys(["product_name_text", "product_info_text"], EMPTY_TEXT_ROW),
    "mask_brands": {"product_brand": NO_BRAND},
    "mask_ratings": {"edge_rating": np.nan},
    "mask_times": {"edge_time": NO_TIME},
}


@settings_of("ablation")
class Ablation:
    """The model without something: `change` of the reviews, `overrides` of the config."""

    name: str
    change: Change | None = None
    overrides: list[str] = field(default_factory=list)

    def apply(self, graph: ReviewGraph, seed: int) -> ReviewGraph:
        """The graph that this model learns from and is asked with."""
        if self.change == "shuffle_reviews":
            # Everybody said what somebody else said: real texts without a connection.
            texts = np.random.default_rng(seed).permutation(graph.edge_text)
            return replace(graph, edge_text=texts)
        masks = _MASKS[self.change].items()
        return replace(graph, **{n: np.full_like(getattr(graph, n), value) for n, value in masks})


def load_ablations(names: Sequence[str]) -> list[Ablation]:
    """The ablations of ``config/evaluation/ablations.yaml`` by their names; InputError for none."""
    known = OmegaConf.to_container(OmegaConf.load(CONFIG_DIR / "evaluation" / "ablations.yaml"))
    if unknown := [name for name in names if name not in known]:
        there = f"no ablation {', '.join(unknown)}; there are {', '.join(known)}"
        raise InputError(f"evaluation.ablations: {there}")
    return [Ablation(name, **known[name]) for name in names]


class GraphModelRanker:
    """A model of the evaluation around what `rec_sys.train.train` gives back, which is fitted."""

    def __init__(self, catalogue: "FullCatalogue", name: str = GRAPH_MODEL_NAME) -> None:
        self.name, self.rate = name, catalogue.rate
        self.score = self.find = catalogue.score


def audit_graph_model(
    stage: Stage, prepared: PreparedReviews, limits: audit.Limits
) -> list[audit.Finding]:
    """Builds weights and batches as training does, with true and with false targets of a test."""
    vectors, words = prepared.vectors, prepared.words
    towers = Towers.untrained(vectors.shape[1], scale=1.0)
    test = next(iter(stage.tests.values()))
    split = replace(stage.split, test=test)
    train, known_edges = np.flatnonzero(split.train), np.flatnonzero(split.known)
    users = test.users(stage.graph)
    blocks = np.array_split(users, max(1, len(users) // limits.people))

    def batches(graph: ReviewGraph, vectors: np.ndarray) -> Sequence[EgoBatch]:
        builder = EgoBatchBuilder(graph, vectors, ProductReviews.of(graph, vectors, known_edges))
        hidden = test.hidden
        return [builder.build(block, test.target, hidden) for block in blocks]

    some = users[:: max(1, len(users) // limits.people)]
    asked, num_products = test.asked(stage.graph, some), stage.graph.num_products
    wish = stage.graph.edge_text[stage.graph.user_ptr[some]]  # any text will do

    def ask(features: Sequence[Feature], rows: np.ndarray) -> np.ndarray:
        """Asks with the true histories of some users, so that only what was learned can differ."""
        known = stage.graph.histories(some[rows], test.history)
        nothing = np.zeros((len(rows), num_products), dtype=np.float32)
        wishes = Wishes.of(read_vectors(vectors, wish[rows]), words[wish[rows]])
        reviews = known.user_ptr, known.edge_product, known.edge_rating
        situation = Situation(*reviews, asked[rows], nothing, nothing, wishes)
        return dense_features(features, situation, num_products)

    def evidences(graph: ReviewGraph) -> np.ndarray:
        product_graph = build(stage.config.product_graph).build(graph, vectors, known_edges)
        known = KnownReviews(graph, known_edges, product_graph, vectors, words, towers)
        return ask(fit_evidences(stage.config.evidence, known), np.arange(len(some)))

    of_time = [e for e in map(build, stage.config.evidence.values()) if e.name == Trend.name]

    def trends(shown: np.ndarray, rows: np.ndarray) -> np.ndarray:
        no_graph = ProductGraph.without_edges(num_products)
        known = KnownReviews(stage.graph, known_edges[shown], no_graph, vectors, words, towers)
        return ask([feature for each in of_time for feature in each.fit(known)], rows)

    asked_for = train[:: max(1, len(train) // limits.people)]

    def sources(graph: ReviewGraph) -> np.ndarray:
        """What the match tells products by while it looks for those of some training reviews."""
        known = ProductReviews.of(graph, vectors, train)
        products = np.unique(stage.graph.edge_product[asked_for])
        return np.stack(match_sources(graph, vectors, known, products, asked_for))

    tolerance, name, graph = limits.tolerance, GRAPH_MODEL_NAME, stage.graph
    found = {
        f"{name}, evidences": audit.check_statistics(evidences, graph, split),
        f"{name}, match": audit.check_own_review(sources, graph, asked_for, tolerance),
    }
    if of_time:
        moments = audit.check_moments(trends, graph.edge_time[known_edges], asked, tolerance)
        found[f"{name}, {Trend.name}"] = moments
    if np.isfinite(graph.edge_rating[test.target]).any() and len(vectors) > 1:
        found[name] = audit.check_batches(batches, graph, vectors, test.target, tolerance)
    return [finding.about(which) for which, finding in found.items()]


def audit_combiner(stage: Stage, catalogue: "FullCatalogue", limits: audit.Limits) -> audit.Finding:
    """Fits the combiner of a trained model again, to the validation alone."""

    def refit(graph: ReviewGraph) -> np.ndarray:
        fit, liked_above = build(stage.config.combiner), stage.config.train.liked_above
        return catalogue.fitted(fit, graph, stage.split.validation, liked_above).combiner.weights

    found = audit.check_refit(catalogue.combiner.weights, refit, stage, limits)
    return found.about(f"{GRAPH_MODEL_NAME}, combiner")


def audit_calibration(
    stage: Stage, catalogue: "FullCatalogue", stars: "Calibrated", limits: audit.Limits
) -> audit.Finding:
    """Calibrates the stars of a trained model again, on the validation alone."""
    train, objective = np.flatnonzero(stage.split.train), build(stage.config.objective)

    def numbers(model: "GraphModel") -> np.ndarray:
        state = model.state_dict()
        return np.concatenate([state[name].numpy().ravel() for name in stars.before])

    def refit(graph: ReviewGraph) -> np.ndarray:
        model = copy.deepcopy(catalogue.model)
        model.load_state_dict(stars.before, strict=False)
        reviews = ProductReviews.of(graph, catalogue.vectors, train)
        builder = EgoBatchBuilder(graph, catalogue.vectors, reviews)
        fit, validation = build(stage.config.calibration), stage.split.validation
        fit.fit(model, builder, validation, objective.distance)
        return numbers(model)

    found = audit.check_refit(numbers(catalogue.model), refit, stage, limits)
    return found.about(f"{GRAPH_MODEL_NAME}, stars")


def evidence_trial(
    stage: Stage, catalogue: "FullCatalogue", towers: Towers, graph: ReviewGraph, task: Task
) -> EvidenceTrial:
    """What tuning judges settings by, of a trained model; `task` should be the validation."""
    edges, liked_above = np.flatnonzero(stage.split.train), stage.config.train.liked_above
    product_graph = build(stage.config.product_graph).build(graph, catalogue.vectors, edges)
    known = KnownReviews(graph, edges, product_graph, catalogue.vectors, catalogue.words, towers)
    questions = catalogue.questions(graph, task, liked_above)[MANY]
    return EvidenceTrial(stage.config, build(stage.config.combiner), known, questions)


def audit_tuning(
    stage: Stage, catalogue: "FullCatalogue", towers: Towers, tuned: Tuned, limits: audit.Limits
) -> audit.Finding:
    """Judges the settings that tuning was given and those that it kept again."""

    def judged(graph: ReviewGraph) -> np.ndarray:
        trial = evidence_trial(stage, catalogue, towers, graph, stage.split.validation)
        return np.stack([trial({}), trial(tuned.values)])

    found = audit.check_refit(tuned.gains, judged, stage, limits)
    return found.about(f"{GRAPH_MODEL_NAME}, tuning")


def as_served(objects: Mapping[str, Any], prepared: PreparedReviews) -> "FullCatalogue":
    """The model of `rec_sys.train.train` as served, with all reviews known before the test."""
    trained, edges = objects["trained"], np.flatnonzero(objects["split"].known)
    given = {axis: trained.record["config"][axis] for axis in ("product_graph", "evidence")}
    return build_catalogue(trained, trained.model, prepared, edges, OmegaConf.create(given))


@dataclass(frozen=True)
class GraphModelJob:
    """The model of `rec_sys.train.train`, or an ablation; `run_name` begins its names in MLflow."""

    run_name: str
    ablation: Ablation | None = None

    @property
    def kind(self) -> Kind:
        return "ablation" if self.ablation else "graph model"

    @property
    def label(self) -> str:
        return self.ablation.name if self.ablation else GRAPH_MODEL_NAME

    def config(self, stage: Stage) -> DictConfig:
        config = with_overrides(stage.config, self.ablation.overrides if self.ablation else [])
        parts = (self.run_name, stage.split.name, f"seed{stage.seed}", self.label)
        config.train.run_name = "-".join(parts)
        config.train.resume = config.train.export = False
        config.train.warm_start = None  # it would have learned from more than it is said to have
        return config

    def identity(self, stage: Stage) -> Mapping[str, Any]:
        plain = plain_config(self.config(stage))
        del plain["trainer"]["enable_progress_bar"]  # the only one there that decides nothing
        return {
            "deciding": deciding_settings(plain),
            "trainer": plain["trainer"],
            "callbacks": plain["callbacks"],
            "change": self.ablation.change if self.ablation else None,
        }

    def can_run(self, stage: Stage) -> bool:
        """Without times, training cannot split by time."""
        takes_times = self.ablation is not None and self.ablation.change == "mask_times"
        return not (takes_times and stage.split.name == GlobalTime.name)

    def run(self, stage: Stage, context: JobContext) -> Measured:
        from rec_sys.train.train import train

        how = context.measuring
        shown, findings = stage, []
        if self.ablation:
            shown = replace(stage, graph=self.ablation.apply(stage.graph, stage.seed))
        else:
            findings = audit_graph_model(stage, context.prepared, context.audit)
            audit.require_clean([finding.about(f"seed {stage.seed}") for finding in findings])
        context.log_path.parent.mkdir(parents=True, exist_ok=True)
        prepared = replace(context.prepared, graph=shown.graph)
        with open(context.log_path, "a") as log, contextlib.redirect_stdout(log):
            _, objects = train(self.config(stage), prepared)
            model = GraphModelRanker(as_served(objects, prepared), self.label)
        if split_fingerprint(objects["split"]) != split_fingerprint(stage.split):
            raise ValueError(f"{self.label}: training has split the data in another way")
        if not self.ablation:
            catalogue = objects["catalogue"]
            findings.append(audit_combiner(stage, catalogue, context.audit))
            if stars := objects.get("stars"):
                findings.append(audit_calibration(stage, catalogue, stars, context.audit))
            if tuned := objects.get("tuned"):
                towers = objects["trained"].towers
                findings.append(audit_tuning(stage, catalogue, towers, tuned, context.audit))
        # The true ratings come from the unchanged graph: without them nothing could be measured.
        rated = model, GraphModelRanker(objects["catalogue"]), shown, stage
        return Measured(
            self.label,
            ranking=how.ranking(model, shown, stage) | how.ranking(model, shown, wishes=True),
            rating=how.rating(*rated) if stage.has_ratings else {},
            findings=[*findings, *context.invariance(model, shown)],
        )

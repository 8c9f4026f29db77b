"""The models of an evaluation, each as a job: fit, ask, and let the audit have a look."""

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from omegaconf import DictConfig, OmegaConf

from rec_sys.evaluation.ablations import Ablation
from rec_sys.evaluation.audit_probes import check_invariance
from rec_sys.evaluation.finding import Finding
from rec_sys.evaluation.interface import RankingModel
from rec_sys.evaluation.measure import Measuring
from rec_sys.evaluation.measured import Measured
from rec_sys.evaluation.our_model import OUR_NAME, OurModel
from rec_sys.evaluation.overrides import with_overrides
from rec_sys.evaluation.rating_scores import best_threshold
from rec_sys.evaluation.rating_tuning import predict, tune_ratings
from rec_sys.evaluation.source_code import code_fingerprint
from rec_sys.evaluation.stage import Questions, Stage, catalogue_of
from rec_sys.evaluation.tuning import ModelGrid, tune
from rec_sys.graph.prepare import PreparedReviews
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.splits.description import split_fingerprint
from rec_sys.graph.splits.time import GlobalTime
from rec_sys.train.record import AXES

#: What decides the result of a training.
_TRAINER = "trainer"


@dataclass(frozen=True)
class Circumstances:
    """What all jobs share.

    Attributes:
        prepared: The data set.
        measuring: How models are measured.
        audit: ``evaluation.audit``.
        log_path: Takes what trainings print.
    """

    prepared: PreparedReviews
    measuring: Measuring
    audit: DictConfig
    log_path: Path

    def invariance(self, model: RankingModel, stage: Stage) -> list[Finding]:
        """Whether numbering or batch size change what a fitted model is worth."""
        task = next(iter(stage.tests.values()))
        probe = self.measuring.probe(model, stage.graph, task, self.audit.people)
        finding = check_invariance(
            probe,
            stage.graph.num_products,
            list(self.audit.block_sizes),
            self.audit.metric_tolerance,
            self.audit.seed,
        )
        return [finding.about(model.name)]


class Job(Protocol):
    """One model.

    Attributes:
        label: Names it while it runs.
    """

    label: str

    def identity(self, stage: Stage) -> Mapping[str, Any]:
        """All that decides the result beside data and stage, as values that JSON knows."""

    def can_run(self, stage: Stage) -> bool:
        """Whether there is something to learn and to ask."""

    def run(self, stage: Stage, around: Circumstances) -> Measured:
        """Fits and measures."""


@dataclass(frozen=True)
class RankingBaseline:
    """A model without a network that ranks, tuned on the validation task.

    Attributes:
        settings: An entry of ``config/evaluation/ranking_baselines.yaml``.
    """

    settings: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The class."""
        return self.settings["model"].rpartition(".")[2]

    def identity(self, stage: Stage) -> Mapping[str, Any]:
        """See `Job`; the seed is no part of it, as these models have none."""
        return {"baseline": dict(self.settings), "code": code_fingerprint("baselines")}

    def can_run(self, stage: Stage) -> bool:
        """See `Job`."""
        return True

    def run(self, stage: Stage, around: Circumstances) -> Measured:
        """See `Job`."""
        how, start = around.measuring, time.perf_counter()
        chosen_by = Questions.of(stage.graph, stage.split.validation)
        tuned = tune(
            ModelGrid.of(self.settings),
            stage.train,
            catalogue_of(around.prepared, stage.graph),
            chosen_by.histories,
            chosen_by.targets,
            how.k,
            how.mask_history[0],
            how.block_size,
        )
        return Measured(
            tuned.model.name,
            ranking=how.ranking(tuned.model, stage.graph, stage.tests),
            settings=tuned.settings,
            findings=around.invariance(tuned.model, stage),
            seconds=time.perf_counter() - start,
        )


@dataclass(frozen=True)
class RatingBaseline:
    """A model without a network that predicts stars, tuned on the validation task.

    Attributes:
        settings: An entry of ``config/evaluation/rating_baselines.yaml``.
        reads_the_review: Whether it is one of ``known_review_baselines.yaml`` instead.
    """

    settings: Mapping[str, Any]
    reads_the_review: bool = False

    @property
    def label(self) -> str:
        """The class."""
        return self.settings["model"].rpartition(".")[2]

    def identity(self, stage: Stage) -> Mapping[str, Any]:
        """See `Job`; the seed is no part of it: the models have a seed of their own."""
        return {"baseline": dict(self.settings), "code": code_fingerprint("baselines")}

    def can_run(self, stage: Stage) -> bool:
        """See `Job`."""
        return True

    def run(self, stage: Stage, around: Circumstances) -> Measured:
        """See `Job`."""
        how, start = around.measuring, time.perf_counter()
        chosen_by = Questions.of(stage.graph, stage.split.validation)
        tuned = tune_ratings(
            ModelGrid.of(self.settings),
            stage.train,
            catalogue_of(around.prepared, stage.graph),
            chosen_by.histories,
            chosen_by.targets,
            how.liked_above,
        )
        return Measured(
            tuned.model.name,
            rating=how.rating(tuned.model, stage.graph, stage.tests, tuned.threshold),
            settings=tuned.settings,
            seconds=time.perf_counter() - start,
        )


@dataclass(frozen=True)
class Ours:
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
        return self.ablation.name if self.ablation else OUR_NAME

    def config(self, stage: Stage) -> DictConfig:
        """The config to train with."""
        config = with_overrides(stage.config, self.ablation.overrides if self.ablation else [])
        parts = (self.run_name, stage.split.name, f"seed{stage.seed}", self.label)
        config.train.run_name = "-".join(parts)
        config.train.resume = False
        return config

    def identity(self, stage: Stage) -> Mapping[str, Any]:
        """See `Job`."""
        config = OmegaConf.to_container(self.config(stage), resolve=True)
        axes = {axis: config[axis] for axis in (*AXES, "product_graph") if axis in config}
        axes["train"] = {k: v for k, v in axes["train"].items() if k not in ("run_name", "resume")}
        trainer = {k: v for k, v in config[_TRAINER].items() if k != "enable_progress_bar"}
        return {
            "ours": axes,
            _TRAINER: trainer,
            "change": self.ablation.change if self.ablation else None,
            "code": code_fingerprint("ours"),
        }

    def can_run(self, stage: Stage) -> bool:
        """See `Job`: without times, training cannot split by time."""
        takes_times = self.ablation is not None and self.ablation.change == "mask_times"
        return not (takes_times and stage.split.name == GlobalTime.name)

    def run(self, stage: Stage, around: Circumstances) -> Measured:
        """See `Job`."""
        from rec_sys.train.train import train

        how, start = around.measuring, time.perf_counter()
        graph = self.ablation.apply(stage.graph, stage.seed) if self.ablation else stage.graph
        prepared = replace(around.prepared, graph=graph)
        with open(around.log_path, "a") as log, contextlib.redirect_stdout(log):
            _, objects = train(self.config(stage), prepared)
        if split_fingerprint(objects["split"]) != split_fingerprint(stage.split):
            raise ValueError(f"{self.label}: training has split the data in another way")
        model = OurModel(objects["catalogue"], graph, self.label)
        return Measured(
            self.label,
            ranking=how.ranking(model, graph, stage.tests),
            rating=self._rating(model, stage, graph, how),
            findings=around.invariance(model, replace(stage, graph=graph)),
            seconds=time.perf_counter() - start,
        )

    def _rating(
        self, model: OurModel, stage: Stage, graph: ReviewGraph, how: Measuring
    ) -> dict[str, Any]:
        if not stage.has_ratings:
            return {}
        chosen_by = Questions.of(graph, stage.split.validation)
        stars = predict(model, chosen_by.histories, chosen_by.targets)
        # The true stars come from the unchanged graph: without them nothing could be measured.
        true = Questions.of(stage.graph, stage.split.validation).targets.rating
        threshold = best_threshold(stars, true, how.liked_above)
        return how.rating(model, graph, stage.tests, threshold, true_graph=stage.graph)


def key_of(job: Job, stage: Stage, around: Circumstances) -> str:
    """Names the file that keeps the result of a job."""
    how = around.measuring
    identity = {
        "job": job.identity(stage),
        "data": around.prepared.data.fingerprint,
        "vectors": around.prepared.encoder.model_fingerprint,
        "stage": stage.fingerprint,
        "measuring": [list(how.ks), how.k, list(how.mask_history), how.liked_above],
        "audit": OmegaConf.to_container(around.audit, resolve=True),
    }
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()

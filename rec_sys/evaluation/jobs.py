"""Jobs of an evaluation: fit, answer, be audited; each result is kept."""

import functools
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from omegaconf import DictConfig, OmegaConf

from rec_sys.evaluation.audit_probes import Finding, check_invariance
from rec_sys.evaluation.measured import Measured, Measuring
from rec_sys.evaluation.protocol import Queries, RankingModel, Stage, catalogue_of
from rec_sys.evaluation.tuning import ModelGrid, tune, tune_ratings
from rec_sys.graph.review_graph import PreparedReviews

_PACKAGE = Path(__file__).resolve().parents[1]
_MEASURING = (
    *("evaluation/measure.py", "evaluation/stage.py", "evaluation/tie_order.py"),
    *("evaluation/interface.py", "evaluation/ranking_metrics.py", "evaluation/expected_gains.py"),
    *("evaluation/top_lists.py", "evaluation/rating_scores.py", "evaluation/measured.py"),
    *("evaluation/audit_probes.py", "modules/rating_metrics.py", "graph/splits"),
)
_PARTS = {
    "baselines": (
        *("evaluation/baselines", "evaluation/rating_baselines", "evaluation/tuning.py"),
        *("evaluation/rating_tuning.py", "graph/item_weights.py", "graph/rating_bias.py"),
        *_MEASURING,
    ),
    "ours": (
        *("evaluation/our_model.py", "evaluation/our_job.py", "evaluation/our_audit.py"),
        *("evaluation/ablations.py", "graph", "modules", "train"),
        *_MEASURING,
    ),
}


@functools.cache
def code_fingerprint(part: str) -> str:
    """SHA-256 of the source files that a result depends on.

    Args:
        part: ``baselines`` or ``ours``.
    """
    digest = hashlib.sha256()
    for name in _PARTS[part]:
        path = _PACKAGE / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.relative_to(_PACKAGE).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class JobContext:
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

    def run(self, stage: Stage, around: JobContext) -> Measured:
        """Fits and measures."""


def key_of(job: Job, stage: Stage, around: JobContext) -> str:
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


@dataclass(frozen=True)
class Baseline:
    """A model without a network, as a `Job`.

    Attributes:
        settings: An entry of a list of baselines in ``config/evaluation``.
    """

    settings: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The class."""
        return self.settings["model"].rpartition(".")[2]

    def identity(self, stage: Stage) -> Mapping[str, Any]:
        """See `Job`; the seed is no part of it, what is random in these models has its own."""
        return {"baseline": dict(self.settings), "code": code_fingerprint("baselines")}

    def can_run(self, stage: Stage) -> bool:
        """See `Job`."""
        return True


@dataclass(frozen=True)
class RankingBaseline(Baseline):
    """Ranks; of ``config/evaluation/ranking_baselines.yaml``, tuned on the validation task."""

    def run(self, stage: Stage, around: JobContext) -> Measured:
        """See `Job`."""
        how, start = around.measuring, time.perf_counter()
        chosen_by = Queries.of(stage.graph, stage.split.validation)
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
class RatingBaseline(Baseline):
    """Predicts stars; of ``config/evaluation/rating_baselines.yaml``, tuned on the validation task.

    Attributes:
        reads_the_review: Whether it is one of ``known_review_baselines.yaml`` instead.
    """

    reads_the_review: bool = False

    def run(self, stage: Stage, around: JobContext) -> Measured:
        """See `Job`."""
        how, start = around.measuring, time.perf_counter()
        chosen_by = Queries.of(stage.graph, stage.split.validation)
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

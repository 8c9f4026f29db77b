"""Jobs of an evaluation: fit, answer, be audited. The baselines' are here."""

import functools
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rec_sys.evaluation.audit import AuditSettings, Finding, check_invariance
from rec_sys.evaluation.measured import Measured, Measuring
from rec_sys.evaluation.protocol import Catalogue, RankingModel, RatingModel, Stage
from rec_sys.evaluation.rating_scores import best_threshold, predict
from rec_sys.evaluation.tuning import ModelGrid
from rec_sys.graph.review_graph import PreparedReviews

_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class JobContext:
    """What all jobs share.

    Attributes:
        log_path: Takes what trainings print.
    """

    prepared: PreparedReviews
    measuring: Measuring
    audit: AuditSettings
    log_path: Path

    def invariance(self, model: RankingModel, stage: Stage) -> list[Finding]:
        """Whether numbering or batch size change what a fitted model is worth."""
        queries = stage.test(next(iter(stage.tests)))
        finding = check_invariance(
            self.measuring.probe(model, queries, self.audit.people),
            stage.graph.num_products,
            block_sizes=self.audit.block_sizes,
            tolerance=self.audit.metric_tolerance,
            seed=self.audit.seed,
        )
        return [finding.about(model.name)]


class Job(Protocol):
    """One model.

    Attributes:
        label: Names it while it runs.
    """

    label: str

    def identity(self, stage: Stage) -> Mapping[str, Any]:
        """All that decides the result beside code, data and stage, as values that JSON knows."""

    def can_run(self, stage: Stage) -> bool:
        """Whether there is something to learn and to ask."""

    def run(self, stage: Stage, context: JobContext) -> Measured:
        """Fits and measures."""


def key_of(job: Job, stage: Stage, context: JobContext) -> str:
    """Names the file that keeps the result of a job."""
    how = context.measuring
    identity = {
        "job": job.identity(stage),
        "code": code_fingerprint(),
        "data": context.prepared.data.fingerprint,
        "vectors": context.prepared.encoder.model_fingerprint,
        "stage": stage.fingerprint,
        "measuring": [list(how.ks), how.k, list(how.mask_history), how.liked_above],
        "audit": asdict(context.audit),
    }
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def code_fingerprint() -> str:
    """SHA-256 of all source files of the package: any of them may decide a result."""
    digest = hashlib.sha256()
    for file in sorted(_PACKAGE.rglob("*.py")):
        digest.update(file.relative_to(_PACKAGE).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Baseline:
    """A model without a network, as a `Job`; tuned on the validation task.

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
        return {"baseline": dict(self.settings)}

    def can_run(self, stage: Stage) -> bool:
        """See `Job`."""
        return True


class RankingBaseline(Baseline):
    """Ranks; the best NDCG@k wins."""

    def run(self, stage: Stage, context: JobContext) -> Measured:
        """See `Job`."""
        how, start = context.measuring, time.perf_counter()
        queries, catalogue = stage.validation, Catalogue.of(context.prepared)
        tuned = ModelGrid.of(self.settings).tune(
            stage.train, catalogue, lambda model: how.ndcg(model, queries)
        )
        return Measured(
            tuned.model.name,
            ranking=how.ranking(tuned.model, stage),
            settings=tuned.settings,
            findings=context.invariance(tuned.model, stage),
            seconds=time.perf_counter() - start,
        )


@dataclass(frozen=True)
class RatingBaseline(Baseline):
    """Predicts ratings; the least squared error wins.

    Attributes:
        reads_the_review: Whether it reads the very review whose rating it tells.
    """

    reads_the_review: bool = False

    def run(self, stage: Stage, context: JobContext) -> Measured:
        """See `Job`."""
        how, start = context.measuring, time.perf_counter()
        queries, catalogue = stage.validation, Catalogue.of(context.prepared)
        true = queries.targets.rating
        rated = ~np.isnan(true)

        def negative_mse(model: RatingModel) -> float:
            errors = predict(model, queries)[rated].astype(np.float64) - true[rated]
            return -float(np.square(errors).mean())

        tuned = ModelGrid.of(self.settings).tune(stage.train, catalogue, negative_mse)
        threshold = best_threshold(predict(tuned.model, queries), true, how.liked_above)
        return Measured(
            tuned.model.name,
            rating=how.rating(tuned.model, stage, threshold),
            settings=tuned.settings,
            seconds=time.perf_counter() - start,
        )

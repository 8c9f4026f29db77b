"""Jobs of an evaluation: fit, answer, be audited; all of them are run, and what they found is kept.
The baselines' jobs are here, with the tuning of their settings."""

import functools
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from rec_sys.evaluation.audit import AuditSettings, Finding, check_invariance, require_clean
from rec_sys.evaluation.measured import Measured, Measuring, load_measured, save_measured
from rec_sys.evaluation.protocol import Queries, RankingModel, RatingModel, Stage
from rec_sys.evaluation.rating_scores import predict
from rec_sys.foundation.console import progress
from rec_sys.foundation.files import code_fingerprint
from rec_sys.graph.review_graph import PreparedReviews
from rec_sys.modules.baselines.grid_search import tune

#: A baseline that ranks, finds what is wished for, predicts ratings, or reads the very review whose
#: rating it tells; the graph model, and the graph model without something.
Kind = Literal["ranking", "wishes", "rating", "review known", "graph model", "ablation"]


@dataclass(frozen=True)
class JobContext:
    """What all jobs share; `log_path` takes what trainings print."""

    prepared: PreparedReviews
    measuring: Measuring
    audit: AuditSettings
    log_path: Path

    def invariance(self, model: RankingModel, stage: Stage) -> list[Finding]:
        """Whether numbering or batch size change what a fitted model is worth."""
        queries = stage.test(next(iter(stage.tests)))
        probe = self.measuring.probe(model, queries, self.audit.people)
        finding = check_invariance(probe, stage.graph.num_products, self.audit)
        return [finding.about(model.name)]


class Job(Protocol):
    """One model; `label` names it while it runs."""

    label: str
    kind: Kind

    def identity(self, stage: Stage) -> Mapping[str, Any]:
        """All that decides the result beside code, data and stage, as values that JSON knows."""

    def can_run(self, stage: Stage) -> bool:
        """Whether there is something to learn and to ask."""

    def run(self, stage: Stage, context: JobContext) -> Measured:
        """Fits and measures."""


@dataclass(frozen=True)
class Baseline:
    """A model without a network, tuned on the validation task: one that ranks or finds to NDCG@k,
    the others to the squared error. `settings` is an entry of a list in ``config/evaluation``."""

    kind: Kind
    settings: Mapping[str, Any]

    @property
    def label(self) -> str:
        return self.settings["model"].rpartition(".")[2]

    def identity(self, stage: Stage) -> Mapping[str, Any]:
        """The seed is no part of it, what is random in these models has its own."""
        return {"kind": self.kind, "baseline": dict(self.settings)}

    def can_run(self, stage: Stage) -> bool:
        return self.kind != "wishes" or bool(stage.wishes)

    def run(self, stage: Stage, context: JobContext) -> Measured:
        how, start = context.measuring, time.perf_counter()
        queries, texts = stage.validation, context.prepared.vectors
        rates, wishes = self.kind in ("rating", "review known"), self.kind == "wishes"
        if wishes:
            queries = Queries.wishes(stage.graph, stage.split.validation, with_history=False)
            texts = context.prepared
        true = queries.targets.edge_rating
        rated = ~np.isnan(true)

        def negative_mse(model: RatingModel) -> float:
            errors = predict(model, queries)[rated].astype(np.float64) - true[rated]
            return -float(np.square(errors).mean())

        score = negative_mse if rates else functools.partial(how.ndcg, queries=queries)
        model, chosen = tune(self.settings, stage.train, texts, score)
        return Measured(
            model.name,
            ranking={} if rates else how.ranking(model, stage, wishes=wishes),
            rating=how.rating(model, stage) if rates else {},
            settings=chosen,
            findings=[] if rates or wishes else context.invariance(model, stage),
            seconds=time.perf_counter() - start,
        )


@dataclass(frozen=True)
class Record:
    """A finished job; where two stages are alike, records share the key of their result."""

    stage: Stage
    job: Job
    measured: Measured
    key: str


def run_all(
    jobs: Sequence[tuple[Stage, Sequence[Job]]], context: JobContext, cache: Path
) -> list[Record]:
    """Every job on its stage, unless the folder `cache` keeps its result.

    A result belongs to the data, the settings, the stage and the source code that made it; where
    two seeds have the same stage, models without a seed of their own are run for one of them.
    LeakageError if the audit failed for a model, whose result is not kept.
    """
    records = []
    todo = [(stage, job) for stage, of_stage in jobs for job in of_stage if job.can_run(stage)]
    with progress(len(todo), "models", "model") as bar:
        for stage, job in todo:
            bar.describe(f"{stage.split.name}, seed {stage.seed}, {job.label}")
            key = _key_of(job, stage, context)
            path = cache / f"{key}.npz"
            if path.exists():
                measured = load_measured(path)
            else:
                measured = job.run(stage, context)
                require_clean([f.about(f"seed {stage.seed}") for f in measured.findings])
                save_measured(path, measured)
            records.append(Record(stage, job, measured, key))
            bar.advance()
    return records


def _key_of(job: Job, stage: Stage, context: JobContext) -> str:
    identity = {
        "job": job.identity(stage),
        "code": code_fingerprint(),
        "data": context.prepared.data.fingerprint,
        "vectors": context.prepared.encoder.model_fingerprint,
        "stage": stage.fingerprint,
        "measuring": asdict(replace(context.measuring, block_size=1)),  # which changes no result
        "audit": asdict(context.audit),
    }
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()

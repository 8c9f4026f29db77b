"""What a model of the evaluation is asked to do: fit, answer, and let the audit have a look."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from omegaconf import DictConfig, OmegaConf

from rec_sys.evaluation.audit_probes import check_invariance
from rec_sys.evaluation.finding import Finding
from rec_sys.evaluation.interface import RankingModel
from rec_sys.evaluation.measure import Measuring
from rec_sys.evaluation.measured import Measured
from rec_sys.evaluation.stage import Stage
from rec_sys.graph.prepare import PreparedReviews


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

"""All that was measured, sorted for tables, with what a reader must know about it."""

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from rec_sys.evaluation.audit import require_clean
from rec_sys.evaluation.audit_probes import Finding
from rec_sys.evaluation.graph_model_job import GraphModelJob
from rec_sys.evaluation.jobs import Job, JobContext, RankingBaseline, RatingBaseline, key_of
from rec_sys.evaluation.measured import Measured, load_measured, save_measured
from rec_sys.evaluation.protocol import Stage, tied_last_share
from rec_sys.evaluation.ranking import RankingResult
from rec_sys.evaluation.rating_scores import RatingScores
from rec_sys.evaluation.statistics import Comparison, average_over_seeds, paired_bootstrap
from rec_sys.foundation.console import progress
from rec_sys.foundation.files import versions_of
from rec_sys.graph.review_graph import PreparedReviews, ReviewGraph

_PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "torch-geometric", "torchmetrics")


@dataclass(frozen=True)
class RunFacts:
    """What an evaluation was run on, with and for how long.

    Attributes:
        data_name: Label of the data set.
        data_checksum: SHA-256 of the clean tables (`ReviewData.fingerprint`).
        seeds: Of all random choices.
        config: The resolved config, plain values.
        durations: Seconds of each step.
        versions: Of Python and the packages that compute.
        machine: Operating system and processor.
        cpu_count: Number of processors.
        date: Start or end of the run, UTC, ISO.
    """

    data_name: str
    data_checksum: str
    seeds: Sequence[int]
    config: Mapping[str, Any]
    durations: Mapping[str, float]
    versions: Mapping[str, str]
    machine: str
    cpu_count: int
    date: str

    @classmethod
    def collect(
        cls,
        data_name: str,
        data_checksum: str,
        seeds: Sequence[int],
        config: Mapping[str, Any],
        durations: Mapping[str, float],
        packages: Sequence[str] = _PACKAGES,
    ) -> "RunFacts":
        """Adds what this machine knows by itself; a package that is not installed is left out."""
        return cls(
            data_name=data_name,
            data_checksum=data_checksum,
            seeds=list(seeds),
            config=dict(config),
            durations=dict(durations),
            versions=versions_of(packages),
            machine=f"{platform.system()} {platform.machine()}",
            cpu_count=os.cpu_count() or 1,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )


#: One run of each seed.
Runs = Sequence[tuple[Stage, RankingResult]]


@dataclass(frozen=True)
class Bootstrap:
    """How often people are drawn; see `rec_sys.evaluation.statistics.paired_bootstrap`."""

    resamples: int
    confidence: float
    seed: int

    def compare(self, model: np.ndarray, baseline: np.ndarray) -> Comparison:
        """A paired comparison, float64 [n] each."""
        return paired_bootstrap(model, baseline, self.resamples, self.confidence, self.seed)


@dataclass(frozen=True)
class Record:
    """A finished job.

    Attributes:
        key: Of its result; where two stages are alike, records share one.
    """

    stage: Stage
    job: Job
    measured: Measured
    key: str


@dataclass(frozen=True)
class Results:
    """All finished jobs, by split, seed and model in the order of reading."""

    records: Sequence[Record]

    @property
    def titles(self) -> list[str]:
        """Of all tests."""
        return list(dict.fromkeys(t for r in self.records for t in r.stage.tests))

    def stages(self, title: str) -> list[Stage]:
        """Of each seed."""
        found = {id(r.stage): r.stage for r in self.records if title in r.stage.tests}
        return list(found.values())

    def masks(self, title: str) -> list[bool]:
        """Whether histories were masked: False, True, or both."""
        keys = (key for r in self.records for key in r.measured.ranking if key[0] == title)
        return list(dict.fromkeys(masked for _, masked in keys))

    def ranking(self, title: str, masked: bool) -> dict[str, Runs]:
        """Baselines, then ours, without ablations: model to the runs."""
        return self._ranking(title, masked, lambda job: not _is_ablation(job))

    def ablated(self, title: str, masked: bool) -> dict[str, Runs]:
        """GraphModelJob, then its ablations."""
        return self._ranking(title, masked, lambda job: isinstance(job, GraphModelJob))

    def rating(self, title: str, reads_the_review: bool = False) -> dict[str, list[RatingScores]]:
        """Baselines, then ours, without ablations: model to the scores of each seed."""

        def wanted(job: Job) -> bool:
            if isinstance(job, RatingBaseline):
                return job.reads_the_review == reads_the_review
            return not (reads_the_review or _is_ablation(job))

        return self._rating(title, wanted)

    def ablated_rating(self, title: str) -> dict[str, list[RatingScores]]:
        """GraphModelJob, then its ablations."""
        return self._rating(title, lambda job: isinstance(job, GraphModelJob))

    def settings(self) -> Iterable[tuple[str, str, int, Mapping]]:
        """Split, model, seed and what the validation chose."""
        for r in self.records:
            if isinstance(r.job, RankingBaseline | RatingBaseline) and r.measured.settings:
                yield r.stage.split.name, r.measured.model, r.stage.seed, r.measured.settings

    def findings(self) -> list[Finding]:
        """What the audit said of the models."""
        return [
            finding.about(r.stage.split.name.replace("_", " "))
            for r in self.records
            for finding in r.measured.findings
        ]

    def seconds(self) -> dict[str, float]:
        """What each job took when it was run, those that several seeds share once."""
        first = {r.key: r for r in reversed(self.records)}
        return {
            f"{r.stage.split.name}, seed {r.stage.seed}, {r.measured.model}": r.measured.seconds
            for r in self.records
            if first[r.key] is r
        }

    def _ranking(self, title: str, masked: bool, wanted: Callable[[Job], bool]) -> dict[str, Runs]:
        found: dict[str, list] = {}
        for r in self.records:
            if wanted(r.job) and (title, masked) in r.measured.ranking:
                runs = found.setdefault(r.measured.model, [])
                runs.append((r.stage, r.measured.ranking[title, masked]))
        return found

    def _rating(self, title: str, wanted: Callable[[Job], bool]) -> dict[str, list[RatingScores]]:
        found: dict[str, list] = {}
        for r in self.records:
            if wanted(r.job) and title in r.measured.rating:
                found.setdefault(r.measured.model, []).append(r.measured.rating[title])
        return found


def per_user(runs: Runs, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """A metric of each person, averaged over the seeds: users and float64 values."""
    return average_over_seeds(
        [result.users for _, result in runs], [result.per_user[metric] for _, result in runs]
    )


def _is_ablation(job: Job) -> bool:
    return isinstance(job, GraphModelJob) and job.ablation is not None


def not_measured(
    prepared: PreparedReviews, stages: Sequence[Stage], our_jobs: Sequence[Job]
) -> list[str]:
    """What is missing and why, a sentence each.

    Args:
        prepared: The data set.
        stages: All stages.
        our_jobs: Our models, of which some may not fit every split.
    """
    sentences = []
    without = {stage.split.name for stage in stages if not stage.has_ratings}
    if without:
        sentences.append(
            f"Ratings ({', '.join(sorted(without))}): training, validation or test has none, so"
            " there is no table of ratings."
        )
    if not prepared.has_texts:
        sentences.append("Models that read: no review and no product says anything.")
    sentences += dict.fromkeys(
        f"{job.label} ({stage.split.name}): this split needs what the ablation takes away."
        for stage in stages
        for job in our_jobs
        if not job.can_run(stage)
    )
    return sentences


def about_ties(graph: ReviewGraph) -> str:
    """How the order of simultaneous reviews was chosen, in one sentence."""
    return (
        f"{tied_last_share(graph):.0%} of the people with two reviews or more have their"
        " last two at the same moment; each seed draws a new order among such reviews, the same"
        " for all models."
    )


def run_all(
    jobs: Sequence[tuple[Stage, Sequence[Job]]], around: JobContext, cache: Path
) -> Results:
    """Every job on its stage; one whose result is kept is not run.

    Args:
        jobs: Stages with the models to fit on each.
        around: What all jobs share.
        cache: Folder of the kept results. A result belongs to the data, the settings, the stage
            and the source code that made it; where two seeds have the same stage, models without a
            seed of their own are run for one of them.

    Raises:
        LeakageError: The audit failed for a model. Its result is not kept.
    """
    records = []
    todo = [(stage, job) for stage, of_stage in jobs for job in of_stage if job.can_run(stage)]
    with progress(len(todo), "models", "model") as bar:
        for stage, job in todo:
            bar.describe(f"{stage.split.name}, seed {stage.seed}, {job.label}")
            key = key_of(job, stage, around)
            path = cache / f"{key}.npz"
            if path.exists():
                measured = load_measured(path)
            else:
                measured = job.run(stage, around)
                require_clean([f.about(f"seed {stage.seed}") for f in measured.findings])
                save_measured(path, measured)
            records.append(Record(stage, job, measured, key))
            bar.advance()
    return Results(records)

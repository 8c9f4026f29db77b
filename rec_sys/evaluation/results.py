"""Runs all jobs, and sorts what they measured for the tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rec_sys.evaluation.audit import Finding, require_clean
from rec_sys.evaluation.graph_model_job import GraphModelJob
from rec_sys.evaluation.jobs import Baseline, Job, JobContext, RatingBaseline, key_of
from rec_sys.evaluation.measured import Measured, load_measured, save_measured
from rec_sys.evaluation.protocol import Stage
from rec_sys.evaluation.ranking import RankingResult
from rec_sys.evaluation.rating_scores import RatingScores
from rec_sys.foundation.console import progress

#: A model's results, one for each seed.
Runs = Sequence[tuple[Stage, RankingResult]]
RatingRuns = Sequence[tuple[Stage, RatingScores]]


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

    @property
    def is_graph_model(self) -> bool:
        """Whether it is the trained recommender, whole or ablated."""
        return isinstance(self.job, GraphModelJob)

    @property
    def is_ablation(self) -> bool:
        """Whether it is the trained recommender without something."""
        return isinstance(self.job, GraphModelJob) and self.job.ablation is not None

    @property
    def reads_the_review(self) -> bool:
        """Whether it answers the question of the table "review known"."""
        return isinstance(self.job, RatingBaseline) and self.job.reads_the_review


@dataclass(frozen=True)
class Results:
    """All finished jobs, by split, seed and model in the order of reading."""

    records: Sequence[Record]

    @property
    def titles(self) -> list[str]:
        """Of all tests."""
        return list(dict.fromkeys(t for r in self.records for t in r.stage.tests))

    def masks(self, title: str) -> list[bool]:
        """Whether histories were masked: False, True, or both."""
        keys = (key for r in self.records for key in r.measured.ranking if key[0] == title)
        return list(dict.fromkeys(masked for _, masked in keys))

    def ranking(self, title: str, masked: bool) -> dict[str, Runs]:
        """Baselines, then the whole graph model."""
        return self._by_model(lambda r: not r.is_ablation, "ranking", (title, masked))

    def ablated(self, title: str, masked: bool) -> dict[str, Runs]:
        """The whole graph model, then its ablations."""
        return self._by_model(lambda r: r.is_graph_model, "ranking", (title, masked))

    def rating(self, title: str, reads_the_review: bool = False) -> dict[str, RatingRuns]:
        """Baselines, then the whole graph model; or those that read the review."""

        def wanted(r: Record) -> bool:
            return not r.is_ablation and r.reads_the_review == reads_the_review

        return self._by_model(wanted, "rating", title)

    def ablated_rating(self, title: str) -> dict[str, RatingRuns]:
        """The whole graph model, then its ablations."""
        return self._by_model(lambda r: r.is_graph_model, "rating", title)

    def settings(self) -> Iterator[tuple[str, str, int, Mapping[str, Any]]]:
        """Split, model, seed and what the validation chose."""
        for r in self.records:
            if isinstance(r.job, Baseline) and r.measured.settings:
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

    def _by_model(
        self, wanted: Callable[[Record], bool], kind: Literal["ranking", "rating"], key: Any
    ) -> dict[str, Any]:
        found: dict[str, list] = {}
        for r in filter(wanted, self.records):
            results = getattr(r.measured, kind)
            if key in results:
                found.setdefault(r.measured.model, []).append((r.stage, results[key]))
        return found


def run_all(
    jobs: Sequence[tuple[Stage, Sequence[Job]]], context: JobContext, cache: Path
) -> Results:
    """Every job on its stage; one whose result is kept is not run.

    Args:
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
            key = key_of(job, stage, context)
            path = cache / f"{key}.npz"
            if path.exists():
                measured = load_measured(path)
            else:
                measured = job.run(stage, context)
                require_clean([f.about(f"seed {stage.seed}") for f in measured.findings])
                save_measured(path, measured)
            records.append(Record(stage, job, measured, key))
            bar.advance()
    return Results(records)

"""All that was measured, sorted for tables."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rec_sys.evaluation.baseline_jobs import RankingBaseline, RatingBaseline
from rec_sys.evaluation.bootstrap import Comparison, average_over_seeds, paired_bootstrap
from rec_sys.evaluation.finding import Finding
from rec_sys.evaluation.jobs import Job
from rec_sys.evaluation.measured import Measured
from rec_sys.evaluation.our_job import Ours
from rec_sys.evaluation.ranking_metrics import RankingResult
from rec_sys.evaluation.rating_scores import RatingScores
from rec_sys.evaluation.stage import Stage

#: One run of each seed.
Runs = Sequence[tuple[Stage, RankingResult]]


@dataclass(frozen=True)
class Bootstrap:
    """How often people are drawn; see `rec_sys.evaluation.bootstrap.paired_bootstrap`."""

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
        """Ours, then its ablations."""
        return self._ranking(title, masked, lambda job: isinstance(job, Ours))

    def rating(self, title: str, reads_the_review: bool = False) -> dict[str, list[RatingScores]]:
        """Baselines, then ours, without ablations: model to the scores of each seed."""

        def wanted(job: Job) -> bool:
            if isinstance(job, RatingBaseline):
                return job.reads_the_review == reads_the_review
            return not (reads_the_review or _is_ablation(job))

        return self._rating(title, wanted)

    def ablated_rating(self, title: str) -> dict[str, list[RatingScores]]:
        """Ours, then its ablations."""
        return self._rating(title, lambda job: isinstance(job, Ours))

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
    return isinstance(job, Ours) and job.ablation is not None

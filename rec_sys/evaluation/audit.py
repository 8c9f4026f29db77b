"""The leakage audit: what would make every number of an evaluation worthless stops the run.

`rec_sys.evaluation.audit_checks` looks at masks and texts, `rec_sys.evaluation.audit_probes`
changes what must not be known and watches whether anything moves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rec_sys.evaluation import audit_checks as checks
from rec_sys.evaluation import audit_probes as probes
from rec_sys.evaluation.finding import Finding
from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Split


class LeakageError(InputError):
    """The audit failed; the numbers would mean nothing."""


@dataclass(frozen=True)
class AuditSettings:
    """How strict the audit is.

    Attributes:
        min_words: Texts of fewer words may be equal by chance ("great", "works as expected") and
            do not count as the same text on both sides.
        max_shared_texts: Share of the targets whose longer text may also be known.
        tolerance: Largest difference of a model input that is taken for rounding: sums of
            thousands of vectors from which the targets are subtracted leave dust.
        metric_tolerance: Likewise of a metric.
        block_sizes: Batch sizes that must give the same metric.
        seed: Seeds the shuffle of the product ids.
    """

    min_words: int = 10
    max_shared_texts: float = 0.01
    tolerance: float = 1e-5
    metric_tolerance: float = 1e-6
    block_sizes: Sequence[int] = (1_024, 7)
    seed: int = 0


@dataclass(frozen=True)
class Probes:
    """What the audit runs, all under the name of the model; what is not given is not checked.

    Attributes:
        build_batches: See `audit_probes.check_batches`; needs `vectors`.
        vectors: float [N, D], the text vectors.
        fit_and_score: See `audit_probes.check_statistics`.
        evaluate: See `audit_probes.check_invariance`.
        twins: Number of targets that have a twin in their history, and number of targets; see
            `audit_checks.report_twins`.
    """

    build_batches: Mapping[str, probes.BatchBuilder] = field(default_factory=dict)
    vectors: np.ndarray | None = None
    fit_and_score: Mapping[str, probes.FitAndScore] = field(default_factory=dict)
    evaluate: Mapping[str, probes.Evaluate] = field(default_factory=dict)
    twins: tuple[int, int] | None = None


def audit(
    graph: ReviewGraph,
    split: Split,
    words: np.ndarray,
    settings: AuditSettings,
    given: Probes | None = None,
) -> list[Finding]:
    """Runs all checks.

    Args:
        graph: The graph.
        split: What is known and what is predicted. Its times are checked if it is called "time".
        words: int64 [N], number of words of each row of the text vectors, see
            `audit_checks.words_by_row`.
        settings: How strict.
        given: Models to be probed.

    Returns:
        One finding per check, in a fixed order.
    """
    given = given or Probes()
    findings = [
        checks.check_edges(split),
        checks.check_shared_texts(
            graph, split, words, settings.min_words, settings.max_shared_texts
        ),
    ]
    if split.name == "time":
        findings.append(checks.check_times(graph, split))
    target = (split.test or split.validation).target
    for name, build in given.build_batches.items():
        found = probes.check_batches(build, graph, given.vectors, target, settings.tolerance)
        findings.append(found.about(name))
    for name, fit_and_score in given.fit_and_score.items():
        findings.append(probes.check_statistics(fit_and_score, graph, split).about(name))
    for name, evaluate in given.evaluate.items():
        found = probes.check_invariance(
            evaluate,
            graph.num_products,
            settings.block_sizes,
            settings.metric_tolerance,
            settings.seed,
        )
        findings.append(found.about(name))
    if given.twins is not None:
        findings.append(checks.report_twins(*given.twins))
    return findings


def require_clean(findings: Sequence[Finding]) -> None:
    """Stops the run if a check failed.

    Raises:
        LeakageError: Names each failed check and what it found.
    """
    failed = [f"{finding.check}: {finding.detail}" for finding in findings if not finding.passed]
    if failed:
        raise LeakageError("the leakage audit failed; " + "; ".join(failed))

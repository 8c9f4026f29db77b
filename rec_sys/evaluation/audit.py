"""The leakage audit: what would make every number of an evaluation worthless."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rec_sys.evaluation import audit_probes as probes
from rec_sys.evaluation.audit_probes import Finding
from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import NO_TIME, ReviewGraph
from rec_sys.graph.task import Split, Task


def _tasks(split: Split) -> dict[str, Task]:
    tasks = {"validation": split.validation, "test": split.test}
    return {name: task for name, task in tasks.items() if task is not None}


def check_edges(split: Split) -> Finding:
    """No target is shown: neither in training, nor in its own history, nor before its time.

    `Task` and `Split` refuse most of this themselves; here it is counted again on what is really
    used. A test target must not be in the history of the validation either: settings would be
    chosen on it.
    """
    leaks = []
    for name, task in _tasks(split).items():
        leaks.append((f"{name} targets in training", task.target & split.train))
        leaks.append((f"{name} targets in the history", task.target & task.history))
    if split.test is not None:
        test = split.test.target
        leaks.append(("test targets shown in validation", test & split.validation.history))
        leaks.append(("test targets that are validation targets", test & split.validation.target))
    found = [f"{int(edges.sum())} {what}" for what, edges in leaks if edges.any()]
    sizes = ", ".join(f"{int(t.target.sum())} {n} targets" for n, t in _tasks(split).items())
    return Finding("targets are not shown", not found, "; ".join(found) or f"{sizes}, none shown")


def check_times(graph: ReviewGraph, split: Split) -> Finding:
    """In a time split all that is known is older than all that is predicted.

    A known review without a time counts as old, as everywhere in the graph; their number is
    reported. A target without a time fails: nobody can say that it is not from the past.
    """
    time, found = graph.edge_time, []
    before, before_name = split.train, "training"
    for name, task in _tasks(split).items():
        untimed = int((time[task.target] == NO_TIME).sum())
        if untimed:
            found.append(f"{untimed} {name} targets have no time")
        known = {before_name: before, f"{name} history": task.history}
        for what, edges in known.items():
            newest, oldest = _extreme(time, edges, np.max), _extreme(time, task.target, np.min)
            if newest is not None and oldest is not None and newest >= oldest:
                late = int((time[edges] >= oldest).sum())
                found.append(f"{late} {what} reviews are not older than the first {name} target")
        before, before_name = task.target, name
    untimed = int((time[split.train] == NO_TIME).sum())
    return Finding(
        "known reviews are older than targets",
        not found,
        "; ".join(found) or f"all are; {untimed} training reviews without a time count as old",
    )


def _extreme(time: np.ndarray, edges: np.ndarray, pick: Callable) -> int | None:
    known = time[edges]
    known = known[known != NO_TIME]
    return int(pick(known)) if len(known) else None


def check_shared_texts(
    graph: ReviewGraph, split: Split, words: np.ndarray, min_words: int, max_share: float
) -> Finding:
    """Few targets have a text that is also known: a copied review gives itself away.

    The same text has the same row of the text vectors, so that rows are compared. Short texts are
    rightly equal ("great") and are only reported. A text counts as known in training or in any
    history of the task.

    Args:
        graph: The graph.
        split: What is known and what is predicted.
        words: int64 [N], words of each row of the text vectors.
        min_words: Texts with fewer words do not count.
        max_share: Share of the targets that may have a known text of `min_words` or more.
    """
    passed, details = True, []
    for name, task in _tasks(split).items():
        known = np.unique(graph.edge_text[split.train | task.history])
        text = graph.edge_text[task.target]
        shared = np.isin(text, known)
        long = shared & (words[text] >= min_words)
        short = shared & ~long & (words[text] > 0)
        share = long.sum() / max(len(text), 1)
        passed &= bool(share <= max_share)
        details.append(
            f"{int(long.sum())} of {len(text)} {name} targets ({share:.2%}) have a known text of"
            f" {min_words} or more words, {int(short.sum())} a shorter one"
        )
    limit = f"at most {max_share:.2%} allowed"
    return Finding("texts are not on both sides", passed, "; ".join([*details, limit]))


def words_by_row(texts: Sequence[str], rows: np.ndarray, num_rows: int) -> np.ndarray:
    """Words of each row of the text vectors.

    Args:
        texts: The reviews' texts.
        rows: int64 [n], the row of each, as the vector store says.
        num_rows: N.

    Returns:
        int64 [N]; 0 for a row of which no text is given.
    """
    words = np.zeros(num_rows, dtype=np.int64)
    words[rows] = [len(text.split()) for text in texts]
    return words


def report_twins(with_twin: int, targets: int) -> Finding:
    """How many targets have a twin in their history; never fails.

    Twins are variants of one product (colours, sizes) that share their reviews. Recommending the
    twin of what a person has is easy; that the tables can be read with this in mind, they say how
    often it happens.
    """
    share = with_twin / max(targets, 1)
    return Finding(
        "twins of the history among the targets (for information)",
        True,
        f"{with_twin} of {targets} targets ({share:.2%}) have a twin in the history",
    )


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
    """Runs all

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
        check_edges(split),
        check_shared_texts(graph, split, words, settings.min_words, settings.max_shared_texts),
    ]
    if split.name == "time":
        findings.append(check_times(graph, split))
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
        findings.append(report_twins(*given.twins))
    return findings


def require_clean(findings: Sequence[Finding]) -> None:
    """Stops the run if a check failed.

    Raises:
        LeakageError: Names each failed check and what it found.
    """
    failed = [f"{finding.check}: {finding.detail}" for finding in findings if not finding.passed]
    if failed:
        raise LeakageError("the leakage audit failed; " + "; ".join(failed))

"""The leakage audit as an evaluation runs it: on every split and seed, before any table."""

from collections.abc import Sequence
from dataclasses import astuple, replace

import numpy as np
from omegaconf import DictConfig

from rec_sys.evaluation.audit import AuditSettings, Probes, audit
from rec_sys.evaluation.audit_checks import words_by_row
from rec_sys.evaluation.audit_probes import FitAndScore
from rec_sys.evaluation.finding import Finding
from rec_sys.evaluation.interface import Reviews
from rec_sys.evaluation.slice_report import Slicing
from rec_sys.evaluation.stage import Questions, Stage
from rec_sys.graph.prepare import PreparedReviews
from rec_sys.graph.review_graph import ReviewGraph


def words_of(prepared: PreparedReviews) -> np.ndarray:
    """Words of each row of the text vectors, int64 [N]; 0 where the row is no review's text."""
    texts = prepared.data.reviews["text"].to_list()
    return words_by_row(texts, prepared.store.rows_of(texts), len(prepared.vectors))


def audit_stage(
    stage: Stage, words: np.ndarray, config: DictConfig, slicing: Slicing
) -> list[Finding]:
    """All checks that need no fitted model.

    The baselines see nothing but their training reviews and histories, so that what they could
    learn from targets would have to come in there: these arrays must not move with the targets.

    Args:
        stage: Each of its tests is checked.
        words: See `words_of`.
        config: ``evaluation.audit``.
        slicing: Tells twins.
    """
    settings = AuditSettings(
        min_words=config.min_words,
        max_shared_texts=config.max_shared_texts,
        tolerance=config.tolerance,
        metric_tolerance=config.metric_tolerance,
        block_sizes=list(config.block_sizes),
        seed=config.seed,
    )
    findings = []
    for title, test in stage.tests.items():
        twins = slicing.twins(stage, title)
        probes = Probes(
            fit_and_score={"what baselines are given": _given(stage, title)},
            twins=(int(twins.sum()), len(twins)),
        )
        found = audit(stage.graph, replace(stage.split, test=test), words, settings, probes)
        findings += [finding.about(title) for finding in found]
    return findings


def summarised(findings: Sequence[Finding]) -> list[Finding]:
    """One finding for each check, that of the first seed, with the number of seeds that passed."""
    by_check: dict[str, list[Finding]] = {}
    for finding in findings:
        by_check.setdefault(finding.check, []).append(finding)
    return [
        replace(alike[0], detail=f"{alike[0].detail} (the first of {len(alike)} seeds)")
        if len(alike) > 1
        else alike[0]
        for alike in by_check.values()
    ]


def _given(stage: Stage, title: str) -> FitAndScore:
    def arrays(graph: ReviewGraph) -> np.ndarray:
        changed = replace(stage, graph=graph)
        histories = Questions.of(graph, stage.tests[title]).histories
        return np.concatenate([_flat(changed.train), _flat(histories)])

    return arrays


def _flat(reviews: Reviews) -> np.ndarray:
    return np.concatenate([np.atleast_1d(part).astype(np.float64) for part in astuple(reviews)])

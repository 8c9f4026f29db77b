"""Each leak is planted, and the audit must see it; a clean evaluation must pass."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from rec_sys.evaluation.audit import (
    LeakageError,
    audit_split,
    check_batches,
    check_edges,
    check_invariance,
    check_shared_texts,
    check_statistics,
    check_times,
    report_twins,
    require_clean,
    word_counts,
)
from rec_sys.evaluation.rating_baselines import Bias, MatrixFactorisation
from rec_sys.foundation.errors import InputError
from rec_sys.graph.task import Split, Task
from rec_sys.reviews.schema import NO_TIME
from tests.helpers.planted import (
    PER_USER,
    PRODUCTS,
    SETTINGS,
    batches_of,
    fair_rank,
    ranks,
    stars_of,
)


def smuggle(owner, name, edges):
    """Past the guard of a frozen dataclass."""
    object.__setattr__(owner, name, edges)


def test_a_clean_evaluation_passes(graph, vectors, words, split):
    build = batches_of(split, split.train)
    findings = [
        *audit_split(graph, split, words, SETTINGS),
        check_batches(build, graph, vectors, split.test.target, 1e-5),
        check_invariance(ranks(graph, split, fair_rank), PRODUCTS, SETTINGS),
        report_twins(np.arange(12) < 3),
    ]
    for model in (Bias(), MatrixFactorisation(rank=2)):
        fit_and_score = stars_of(model, graph, split, vectors)
        findings.append(check_statistics(fit_and_score, graph, split).about(model.name))
    assert all(finding.passed for finding in findings), findings
    assert len(findings) == 8
    assert "3 of 12 targets (25.00%)" in findings[5].detail
    require_clean(findings)


def test_only_a_split_by_time_is_checked_for_times(graph, words, split):
    assert len(audit_split(graph, split, words, SETTINGS)) == 3
    by_users = replace(split, name="users", test=None)
    assert len(audit_split(graph, by_users, words, SETTINGS)) == 2


@pytest.mark.parametrize("part", ["train", "history"])
def test_a_shown_target_is_seen(split, part):
    owner = split if part == "train" else split.test
    smuggle(owner, part, getattr(owner, part) | split.test.target)
    finding = check_edges(split)
    assert not finding.passed
    assert "12 test targets" in finding.detail
    with pytest.raises(LeakageError, match="12 test targets") as raised:
        require_clean([finding, report_twins(np.array([True, False]))])
    assert isinstance(raised.value, InputError)
    assert "twins" not in str(raised.value)


@pytest.mark.parametrize("part", ["history", "target"])
def test_a_test_target_used_in_validation_is_seen(split, part):
    edges = getattr(split.validation, part) | split.test.target
    smuggle(split.validation, part, edges)
    assert "12 test targets" in check_edges(split).detail


def test_an_overlap_of_times_is_seen(graph, split):
    assert check_times(graph, split).passed
    day = graph.edge_time // 86_400
    late = graph.edge_user == 3  # its last day trains
    overlap = Split("time", split.train | (late & (day == 5)), split.validation, None)
    finding = check_times(graph, overlap)
    assert not finding.passed
    assert "1 training reviews are not older than the first validation target" in finding.detail
    same_day = Split(
        "time", (day < 4) | (late & (day == 4)), Task((day == 4) & ~late, day < 4), None
    )
    assert not check_times(graph, same_day).passed


def test_a_validation_that_is_not_before_the_test_is_seen(graph, split):
    day = graph.edge_time // 86_400
    late = graph.edge_user == 3
    validation = Task((day == 4) | (late & (day == 5)), day < 4)
    test = Task((day == 5) & ~late, day < 5)
    finding = check_times(graph, Split("time", day < 4, validation, test))
    assert "1 validation reviews are not older than the first test target" in finding.detail


def test_reviews_without_a_time_are_old_and_no_targets(graph, split):
    time = graph.edge_time.copy()
    time[0] = NO_TIME
    finding = check_times(replace(graph, edge_time=time), split)
    assert finding.passed and "1 training reviews without a time" in finding.detail
    time[5] = NO_TIME
    finding = check_times(replace(graph, edge_time=time), split)
    assert not finding.passed and "1 test targets have no time" in finding.detail


def test_a_copied_review_is_seen(graph, words, split):
    assert check_shared_texts(graph, split, words, SETTINGS).passed
    text = graph.edge_text.copy()
    text[5] = text[PER_USER]  # a test target copies the first review of somebody else
    copied = replace(graph, edge_text=text)
    finding = check_shared_texts(copied, split, words, SETTINGS)
    assert not finding.passed
    assert "1 of 12 test targets (8.33%) have a known text of 10 or more words" in finding.detail
    assert check_shared_texts(copied, split, words, replace(SETTINGS, max_shared_texts=0.1)).passed
    # A short text is rightly equal; an empty one says nothing at all.
    for number, counted in ((3, 1), (0, 0)):
        short = words.copy()
        short[text[5]] = number
        finding = check_shared_texts(copied, split, short, SETTINGS)
        assert finding.passed and f"{counted} a shorter one" in finding.detail.split(";")[1]


def test_words_are_counted_by_row_of_the_store():
    texts, rows = ["so  good", "", "so  good", "one two three"], np.array([4, 0, 4, 2])
    prepared = SimpleNamespace(
        vectors=np.zeros((5, 1)), graph=SimpleNamespace(edge_text=rows), edge_texts=texts
    )
    assert word_counts(prepared).tolist() == [0, 0, 3, 0, 2]

"""The leakage audit. Checks look at a split; probes change what must be unknown and compare."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, TypeAlias

import numpy as np
from numpy import ndarray
from pydantic import Field

from rec_sys.evaluation.protocol import Stage
from rec_sys.evaluation.scores import Slicing
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import Count, NotNegative, PositiveCount, Share, settings_of
from rec_sys.graph.ego_batch import MIDDLE_RATING, EgoBatch
from rec_sys.graph.review_graph import PreparedReviews, ReviewGraph
from rec_sys.graph.task import Split, Task
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING, NO_TIME


@settings_of("evaluation.audit")
class Limits:
    """How strict the audit is; ``config/evaluation/default.yaml`` tells what each means."""

    min_words: Count
    max_shared_texts: Share
    tolerance: NotNegative
    metric_tolerance: NotNegative
    block_sizes: Annotated[list[PositiveCount], Field(min_length=1)]
    people: PositiveCount
    seed: Count


@dataclass(frozen=True)
class Finding:
    """The outcome of a check: what was checked, and what was found, with counts, in one line."""

    check: str
    passed: bool
    detail: str

    def about(self, name: str) -> "Finding":
        return replace(self, check=f"{self.check} ({name})")


class LeakageError(InputError):
    """The audit failed; the numbers would mean nothing."""


def require_clean(findings: Sequence[Finding]) -> None:
    """Raises a `LeakageError` that names each failed check and what it found."""
    failed = [f"{finding.check}: {finding.detail}" for finding in findings if not finding.passed]
    if failed:
        raise LeakageError("the leakage audit failed; " + "; ".join(failed))


def summarised(findings: Sequence[Finding]) -> Iterator[Finding]:
    """One finding for each check, that of the first seed, with the number of seeds that passed."""
    by_check: dict[str, list[Finding]] = {}
    for finding in findings:
        by_check.setdefault(finding.check, []).append(finding)
    for first, *others in by_check.values():
        seeds = f" (the first of {1 + len(others)} seeds)" if others else ""
        yield replace(first, detail=f"{first.detail}{seeds}")


def audit_stage(stage: Stage, words: ndarray, limits: Limits, slicing: Slicing) -> list[Finding]:
    """All checks that need no fitted model, of each test; for `words` see `word_counts`. The
    baselines see nothing but the known reviews and histories, so that what they could learn
    from targets would have to come in there: these arrays must not move with the targets."""
    names = ("edge_user", "edge_product", "edge_text", "edge_rating", "edge_time")
    findings = []
    for title, test in stage.tests.items():
        split = replace(stage.split, test=test)

        def given(graph: ReviewGraph, title: str = title) -> ndarray:
            shown = replace(stage, graph=graph)
            queries = shown.test(title)
            parts = [getattr(of, name) for of in (shown.known, queries.histories) for name in names]
            return np.concatenate([*parts, queries.asked]).astype(np.float64)

        found = audit_split(stage.graph, split, words, limits)
        found.append(check_statistics(given, stage.graph, split).about("what baselines are given"))
        found.append(report_twins(slicing.twins(stage, title)))
        findings += [finding.about(title) for finding in found]
    return findings


def audit_split(graph: ReviewGraph, split: Split, words: ndarray, limits: Limits) -> list[Finding]:
    """What is known and what is predicted; times are checked if the split is called "time"."""
    findings = [check_edges(split), check_shared_texts(graph, split, words, limits)]
    return findings + ([check_times(graph, split)] if split.name == "time" else [])


def _tasks(split: Split) -> dict[str, Task]:
    return {"validation": split.validation} | ({"test": split.test} if split.test else {})


def check_edges(split: Split) -> Finding:
    """No target is in training, its history or, of the test, the validation. `Task` and `Split`
    refuse most of this; here it is counted on what is used."""
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
    """In a time split all that is known is older than all that is predicted. A known review without
    a time counts as old, as everywhere in the graph; a target without one fails."""
    time, found = graph.edge_time, []
    before, before_name = split.train, "training"
    for name, task in _tasks(split).items():
        of_targets = time[task.target]
        timed = of_targets[of_targets != NO_TIME]
        if untimed := len(of_targets) - len(timed):
            found.append(f"{untimed} {name} targets have no time")
        known = {before_name: before, f"{name} history": task.history}
        for what, edges in known.items() if len(timed) else ():
            if late := int((time[edges] >= timed.min()).sum()):
                found.append(f"{late} {what} reviews are not older than the first {name} target")
        before, before_name = task.target, name
    untimed = int((time[split.train] == NO_TIME).sum())
    passed = f"all are; {untimed} training reviews without a time count as old"
    return Finding("known reviews are older than targets", not found, "; ".join(found) or passed)


def check_shared_texts(graph: ReviewGraph, split: Split, words: ndarray, limits: Limits) -> Finding:
    """Few targets have a text that is also known: a copied review gives itself away. The same text
    has the same row of the vectors. Short texts are rightly equal ("great") and only reported. A
    text is known in training, of the test also in the validation, or in any history of the task."""
    passed, details = True, []
    min_words, max_share = limits.min_words, limits.max_shared_texts
    for name, task in _tasks(split).items():
        learned = split.known if task is split.test else split.train
        known = np.unique(graph.edge_text[learned | task.history])
        text = graph.edge_text[task.target]
        shared = np.isin(text, known)
        long = shared & (words[text] >= min_words)
        short = shared & ~long & (words[text] > 0)
        share = long.sum() / max(len(text), 1)
        passed &= bool(share <= max_share)
        known = f"have a known text of {min_words} or more words, {int(short.sum())} a shorter one"
        details.append(f"{int(long.sum())} of {len(text)} {name} targets ({share:.2%}) {known}")
    limit = f"at most {max_share:.2%} allowed"
    return Finding("texts are not on both sides", passed, "; ".join([*details, limit]))


def word_counts(prepared: PreparedReviews) -> ndarray:
    """Number of words of each row of the vector store, int64 [N]; 0 where it is of no review."""
    words = np.zeros(len(prepared.vectors), dtype=np.int64)
    words[prepared.graph.edge_text] = [len(text.split()) for text in prepared.edge_texts]
    return words


def report_twins(has_twin: ndarray) -> Finding:
    """How many targets, bool [T], have a twin in the history, an easy guess. Never fails."""
    number, targets = int(has_twin.sum()), len(has_twin)
    share = number / max(targets, 1)
    detail = f"{number} of {targets} targets ({share:.2%}) have a twin in the history"
    return Finding("twins of the history among the targets (for information)", True, detail)


#: Learns from a graph and tells numbers of the true one, which it remembers: scores, for one.
FitAndScore: TypeAlias = Callable[[ReviewGraph], ndarray]


def check_batches(
    build: Callable[[ReviewGraph, ndarray], Sequence[EgoBatch]],
    graph: ReviewGraph,
    vectors: ndarray,
    target: ndarray,
    tolerance: float,
) -> Finding:
    """The network is not shown what it predicts, `target`, bool [E]: no history edge is a target,
    and other stars and another text of all targets change no input. They must change the labels, or
    the given graph is not read and the check would pass for nothing. `build` derives the batches,
    and all that they need, from the graph and the `vectors`, float [N, D], at least two rows."""
    batches = build(graph, vectors)
    forbidden = (graph.edge_user * graph.num_products + graph.edge_product)[target]
    shown = 0
    for batch in batches:
        product, user = batch.edge_index
        pairs = batch.users[user] * graph.num_products + batch.products[product]
        shown += int(np.isin(pairs, forbidden).sum())
    changed = build(_with_other_words(graph, target, len(vectors)), vectors)
    moved = {
        name
        for before, after in zip(batches, changed, strict=True)
        for name, inputs in before.model_inputs().items()
        if not _close(inputs, after.model_inputs()[name], tolerance)
    }
    found = [f"{shown} targets are among the history edges"] if shown else []
    if moved:
        found.append(f"the targets' words and stars change {', '.join(sorted(moved))}")
    labels = [np.concatenate([b.target_rating for b in some]) for some in (batches, changed)]
    if not len(labels[0]) or np.isnan(labels[0]).all():
        found.append("the batches hold no rated target: nothing was tested")
    elif _close(*labels, tolerance):
        found.append("changed ratings change no label: the given graph is not what is read")
    passed = f"{len(batches)} batches, {len(labels[0])} targets: no input changes with them"
    return Finding("batches do not show their targets", not found, "; ".join(found) or passed)


def check_statistics(fit_and_score: FitAndScore, graph: ReviewGraph, split: Split) -> Finding:
    """Nothing is learned from the targets. Scores must be identical if those of the test, or else
    the validation, hold garbage. A third fit tells leakage from a fit that is not repeatable."""
    target = (split.test or split.validation).target
    true = fit_and_score(graph)
    garbage = fit_and_score(with_garbage(graph, target))
    if passed := _close(true, garbage, 0):
        detail = f"garbage in {int(target.sum())} targets changes no score"
    elif not _close(true, fit_and_score(graph), 0):
        detail = "two fits to the same graph differ: seed the model, then audit again"
    elif true.shape != garbage.shape:
        detail = "garbage in the targets changes the number of scores"
    else:
        changed = int((true != garbage).sum())
        detail = f"garbage in the targets changes {changed} of {true.size} scores"
    return Finding("nothing is learned from targets", passed, detail)


def check_own_review(
    sources: FitAndScore, graph: ReviewGraph, asked: ndarray, tolerance: float
) -> Finding:
    """What tells the products of reviews, `sources`, does not move with those `asked`, int64."""
    num_texts = int(graph.edge_text.max(initial=0)) + 1
    changed = _with_other_words(graph, graph.edge_mask(asked), num_texts)
    passed = _close(sources(graph), sources(changed), tolerance)
    said = "change no" if passed else "change the"
    detail = f"other words in {len(asked)} reviews {said} source of their products"
    return Finding("a review is not matched with itself", passed, detail)


def check_moments(
    fit_and_ask: Callable[[ndarray, ndarray], ndarray],
    time: ndarray,
    asked: ndarray,
    tolerance: float,
) -> Finding:
    """No user learns of reviews from after their moment of asking, `asked`, int64 [U]. Fits to some
    of the reviews, bool [n], and asks some users, int64: once with all reviews, and for each moment
    with the older ones alone. Answers must be equal. `time`: int64 [n]; `NO_TIME` counts as old."""
    told = fit_and_ask(np.ones(len(time), dtype=bool), np.arange(len(asked)))
    moments, left_out, misled = np.unique(asked), 0, 0
    for moment in moments:
        users, before = np.flatnonzero(asked == moment), time < moment
        if before.all() or not (time[before] != NO_TIME).any():
            continue
        left_out = max(left_out, int((~before).sum()))
        if not _close(told[users], fit_and_ask(before, users), tolerance):
            misled += len(users)
    detail = f"up to {left_out} later reviews change nothing"
    if misled:
        detail = f"later reviews change what {misled} of them are told"
    check = "nothing is known from after the moment of asking"
    return Finding(check, not misled, f"{len(asked)} users, {len(moments)} moments: {detail}")


def check_refit(learned: ndarray, refit: FitAndScore, stage: Stage, limits: Limits) -> Finding:
    """Training's weights come out again where the targets of all tests are garbage."""
    target = np.any([test.target for test in stage.tests.values()], axis=0)
    passed = _close(learned, refit(with_garbage(stage.graph, target)), limits.metric_tolerance)
    found = "are learned" if passed else "are not learned"
    detail = f"the same weights {found} again with garbage in {int(target.sum())} test targets"
    return Finding("weights are learned without the test", passed, detail)


def check_invariance(
    evaluate: Callable[[ndarray, int], float], num_products: int, limits: Limits
) -> Finding:
    """A metric depends neither on how products are numbered nor on the batch size, which `evaluate`
    is given: product ``p`` becomes ``numbers[p]``. It does if ties are broken by the product's
    number, as by ``argsort``: a model that says nothing then scores by how the file was sorted."""
    numbers, (first, *others) = np.arange(num_products), limits.block_sizes
    shuffled = np.random.default_rng(limits.seed).permutation(num_products)
    changes = {f"batches of {size}": (numbers, size) for size in others}
    # Turned around as well as shuffled: a shuffle of few products may leave ties as they were.
    changes["products turned around"] = (numbers[::-1].copy(), first)
    changes["products renumbered"] = (shuffled, first)
    expected, found = evaluate(numbers, first), []
    for change, arguments in changes.items():
        value = evaluate(*arguments)
        if not _close(expected, value, limits.metric_tolerance):
            found.append(f"{expected:.6g} becomes {value:.6g} with {change}")
    detail = "; ".join(found) or f"{expected:.6g} in any order and batch size"
    return Finding("metrics do not depend on order or batch size", not found, detail)


def with_garbage(graph: ReviewGraph, edges: ndarray) -> ReviewGraph:
    """Other stars, texts and products on some edges, bool [E]. All get the product that they name
    least often, so that popularity changes for certain; times stay, for they sort."""
    product = graph.edge_product.copy()
    product[edges] = np.bincount(product[edges], minlength=graph.num_products).argmin()
    num_texts = int(graph.edge_text.max()) + 1
    return replace(_with_other_words(graph, edges, num_texts), edge_product=product)


def _with_other_words(graph: ReviewGraph, edges: ndarray, num_texts: int) -> ReviewGraph:
    # The edge gets another row instead of the row another vector: others may have the same text.
    text, rating = graph.edge_text.copy(), graph.edge_rating.copy()
    text[edges] = (text[edges] + 1) % num_texts
    change = edges & ~np.isnan(rating)
    rating[change] = np.where(rating[change] > MIDDLE_RATING, MIN_RATING, MAX_RATING)
    return replace(graph, edge_text=text, edge_rating=rating)


def _close(before: ndarray | float, after: ndarray | float, tolerance: float) -> bool:
    same_shape = np.shape(before) == np.shape(after)
    return same_shape and np.allclose(before, after, rtol=0, atol=tolerance, equal_nan=True)

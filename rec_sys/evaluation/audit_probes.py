"""Leaks that show when one changes what must not be known, and something moves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from rec_sys.graph.ego_batch import MIDDLE_RATING, EgoBatch
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Split
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING


@dataclass(frozen=True)
class Finding:
    """The outcome of a check.

    Attributes:
        check: What was checked, in a few words.
        passed: Whether the numbers may be trusted as far as this goes.
        detail: What was found, with counts, in one line.
    """

    check: str
    passed: bool
    detail: str

    def about(self, name: str) -> "Finding":
        """The same, telling which model it is about."""
        return replace(self, check=f"{self.check} ({name})")


#: Builds some batches as they are fed to the network, from a graph and its text vectors. All that
#: is derived from the graph, such as `ProductReviews`, must be derived inside.
BatchBuilder: TypeAlias = Callable[[ReviewGraph, np.ndarray], Sequence[EgoBatch]]
#: Fits to a graph and scores the pairs or people of the true one, which it remembers.
FitAndScore: TypeAlias = Callable[[ReviewGraph], np.ndarray]
#: Takes new numbers of the products (or None) and a batch size, returns the metric.
Evaluate: TypeAlias = Callable[[np.ndarray | None, int], float]


def check_batches(
    build: BatchBuilder,
    graph: ReviewGraph,
    vectors: np.ndarray,
    target: np.ndarray,
    tolerance: float,
) -> Finding:
    """The network is not shown what it predicts.

    No history edge of a batch is a target, and other stars and another text of all targets change
    no input of the network. They must change the labels, or the builder does not read the graph
    that it is given and the check would pass for nothing.

    Args:
        build: See `BatchBuilder`.
        graph: The graph.
        vectors: float [N, D], at least two rows.
        target: bool [E], the targets of the batches.
        tolerance: Largest difference of an input that is rounding.
    """
    check = "batches do not show their targets"
    batches = build(graph, vectors)
    forbidden = (graph.edge_user * graph.num_products + graph.edge_product)[target]
    shown = sum(int(np.isin(_pairs(batch, graph), forbidden).sum()) for batch in batches)
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
    return Finding(check, not found, "; ".join(found) or passed)


def check_statistics(fit_and_score: FitAndScore, graph: ReviewGraph, split: Split) -> Finding:
    """Nothing is learned from the targets: no mean, no popularity, no bias, no weight.

    Fits once to the graph and once to one whose targets hold garbage: the opposite stars, other
    texts, and one and the same product. Scores must be identical, so the fit must be repeatable;
    one that is not is told apart by a third fit.

    Args:
        fit_and_score: See `FitAndScore`; scores the test task, or the validation task if there is
            no test.
        graph: The graph.
        split: What is known and what is predicted.
    """
    check = "nothing is learned from targets"
    target = (split.test or split.validation).target
    true = fit_and_score(graph)
    garbage = fit_and_score(with_garbage(graph, target))
    if _close(true, garbage, 0):
        return Finding(check, True, f"garbage in {int(target.sum())} targets changes no score")
    if not _close(true, fit_and_score(graph), 0):
        detail = "two fits to the same graph differ: seed the model, then audit again"
        return Finding(check, False, detail)
    if true.shape != garbage.shape:
        return Finding(check, False, "garbage in the targets changes the number of scores")
    changed = int((true != garbage).sum())
    detail = f"garbage in the targets changes {changed} of {true.size} scores"
    return Finding(check, False, detail)


def check_invariance(
    evaluate: Evaluate,
    num_products: int,
    block_sizes: Sequence[int],
    tolerance: float,
    seed: int,
) -> Finding:
    """A metric depends neither on how products are numbered nor on the batch size.

    It does if ties are broken by the number of the product, as by ``argsort`` of equal scores:
    a model that says nothing then scores by how the file was sorted.

    Args:
        evaluate: See `Evaluate`. Product ``p`` becomes ``permutation[p]``.
        num_products: P.
        block_sizes: At least one; the first is the one that the others are compared with.
        tolerance: Largest difference that is rounding.
        seed: Seeds the permutation.
    """
    expected, found = evaluate(None, block_sizes[0]), []
    for block_size in block_sizes[1:]:
        value = evaluate(None, block_size)
        if not _close(expected, value, tolerance):
            found.append(f"{expected:.6g} becomes {value:.6g} with batches of {block_size}")
    # Turned around as well as shuffled: a shuffle of few products may leave ties as they were.
    reverse = np.arange(num_products)[::-1].copy()
    for permutation in (reverse, np.random.default_rng(seed).permutation(num_products)):
        value = evaluate(permutation, block_sizes[0])
        if not _close(expected, value, tolerance):
            found.append(f"{expected:.6g} becomes {value:.6g} with products renumbered")
    detail = "; ".join(found) or f"{expected:.6g} in any order and batch size"
    return Finding("metrics do not depend on order or batch size", not found, detail)


def with_garbage(graph: ReviewGraph, edges: np.ndarray) -> ReviewGraph:
    """The graph with other stars, texts and products on some edges; times stay, they sort edges.

    All of these edges go to the product that they name least often, so that popularity changes
    for certain, which a shuffle among them would not do.

    Args:
        graph: The graph.
        edges: bool [E].
    """
    product = graph.edge_product.copy()
    product[edges] = np.bincount(product[edges], minlength=graph.num_products).argmin()
    num_texts = int(graph.edge_text.max()) + 1
    return replace(_with_other_words(graph, edges, num_texts), edge_product=product)


def _with_other_words(graph: ReviewGraph, edges: np.ndarray, num_texts: int) -> ReviewGraph:
    # The edge gets another row instead of the row another vector: others may have the same text.
    text, rating = graph.edge_text.copy(), graph.edge_rating.copy()
    text[edges] = (text[edges] + 1) % num_texts
    opposite = np.where(rating > MIDDLE_RATING, MIN_RATING, MAX_RATING)
    change = edges & ~np.isnan(rating)
    rating[change] = opposite[change]
    return replace(graph, edge_text=text, edge_rating=rating)


def _pairs(batch: EgoBatch, graph: ReviewGraph) -> np.ndarray:
    product, user = batch.edge_index
    return batch.users[user] * graph.num_products + batch.products[product]


def _close(before: np.ndarray | float, after: np.ndarray | float, tolerance: float) -> bool:
    if np.shape(before) != np.shape(after):
        return False
    return bool(np.allclose(before, after, rtol=0, atol=tolerance, equal_nan=True))

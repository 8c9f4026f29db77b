"""The leakage audit of our model: what its network is fed and what its product graph learns."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from omegaconf import DictConfig

from rec_sys.evaluation.audit_probes import check_batches, check_statistics
from rec_sys.evaluation.finding import Finding
from rec_sys.evaluation.interface import Reviews
from rec_sys.evaluation.our_model import OUR_NAME
from rec_sys.evaluation.stage import Stage
from rec_sys.foundation.build import build
from rec_sys.graph.ego_batch import EgoBatch, EgoBatchBuilder
from rec_sys.graph.product_reviews import ProductReviews
from rec_sys.graph.review_graph import ReviewGraph


def audit_ours(stage: Stage, vectors: np.ndarray, config: DictConfig) -> list[Finding]:
    """Builds both as training does, with true and with false targets; trains nothing.

    Args:
        stage: Its first test is the one that is changed.
        vectors: float [N, D], the text vectors.
        config: ``evaluation.audit``.
    """
    test = next(iter(stage.tests.values()))
    split = replace(stage.split, test=test)
    train = np.flatnonzero(split.train)
    users = test.users(stage.graph)
    blocks = np.array_split(users, max(1, len(users) // config.people))

    def batches(graph: ReviewGraph, vectors: np.ndarray) -> Sequence[EgoBatch]:
        builder = EgoBatchBuilder(graph, vectors, ProductReviews.of(graph, vectors, train))
        hidden = ~(test.target | test.history)
        return [builder.build(block, test.target, hidden) for block in blocks]

    some = users[:: max(1, len(users) // config.people)]
    asked = Reviews.of(stage.graph, some, test.history)
    builder = build(stage.config.product_graph)

    def weights(graph: ReviewGraph) -> np.ndarray:
        product_graph = builder.build(graph, vectors, train)
        # Asked with the true histories of some people, so that only what was learned can differ.
        return product_graph.score(asked.user_ptr, asked.product, asked.rating)

    findings = [check_statistics(weights, stage.graph, split).about(f"{OUR_NAME}, product graph")]
    if np.isfinite(stage.graph.edge_rating[test.target]).any() and len(vectors) > 1:
        found = check_batches(batches, stage.graph, vectors, test.target, config.tolerance)
        findings.append(found.about(OUR_NAME))
    return findings

"""What each evidence adds to the scores of all products, from the definitions, loop by loop."""

import math

import numpy as np

from rec_sys.inference.histories import UNKNOWN, build_history_batch, read_histories
from rec_sys.modules.features import LikingFeature, NetworkFeature, ProductFeature
from tests.helpers.tiny_models import WEIGHTS


def contributions_by_hand(recommender, table):
    """By user id: evidence -> float64 [P]. The weights are those of the tiny shop."""
    built = recommender.vectorbase
    histories = read_histories(table, built)
    batch = build_history_batch(histories, built, recommender.encode)
    outputs = recommender.backend.embed(batch.inputs)
    found = {}
    for user, user_id in enumerate(histories.user_ids):
        own = batch.review[batch.user == user]
        reviews = list(zip(histories.catalogue_row[own], histories.rating[own], strict=True))
        cosines = built.embeddings @ outputs.user_embeddings[user]
        sums = found[user_id] = {}
        for feature in built.features:
            if isinstance(feature, NetworkFeature):
                values = built.keys @ outputs.user_queries[user]
            elif isinstance(feature, LikingFeature):
                stars = 2.5 * (cosines + 1)
                values = [
                    -math.log1p(math.exp(feature.steepness * (feature.middle - each)))
                    for each in stars.tolist()
                ]
            elif isinstance(feature, ProductFeature):
                values = feature.product_values
            else:
                values = _walked(feature, reviews)
            weight = WEIGHTS[feature.name][min(len(reviews), 2)]
            before = sums.get(feature.evidence, np.zeros(len(built.keys)))
            sums[feature.evidence] = before + weight * np.array(values, dtype=np.float64)
    return found


def _walked(feature, reviews):
    """One step along the graph from each review, given as (row, rating), oldest first."""
    graph = feature.graph
    values = [0.0] * graph.num_products
    for step, (row, rating) in enumerate(reversed(reviews)):
        if row == UNKNOWN:
            continue
        weight = graph.history_decay**step
        if 0 < rating <= graph.liked_above:
            weight *= graph.disliked_weight
        for edge in range(graph.pointers[row], graph.pointers[row + 1]):
            values[graph.neighbours[edge]] += weight * float(graph.weights[edge])
    if not feature.scale:
        return values
    return [math.copysign(math.log1p(abs(each) / feature.scale), each) for each in values]

"""What each evidence adds to the scores of all products, from the definitions, loop by loop."""

import math
import re
import unicodedata
from collections import Counter

import numpy as np

from rec_sys.inference.histories import UNKNOWN, build_history_batch, read_histories
from rec_sys.modules.features import (
    LikingFeature,
    MatchFeature,
    NetworkFeature,
    ProductFeature,
    WordsFeature,
    liked_above,
)
from rec_sys.text.words import columns_of
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
        reviews = [
            (_led_to(recommender, histories, review), histories.rating[review]) for review in own
        ]
        wish = histories.wishes[user]
        liked = sum(not 0 < rating <= liked_above(built.features) for _, rating in reviews)
        group = 3 + min(liked, 1) if wish else min(liked, 2)
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
            elif isinstance(feature, MatchFeature):
                values = feature.products @ (_vector(recommender, wish) @ feature.towers.query)
            elif isinstance(feature, WordsFeature):
                values = _said(feature, wish)
            else:
                values = _walked(feature, reviews)
            weight = WEIGHTS[feature.name][group]
            before = sums.get(feature.evidence, np.zeros(len(built.keys)))
            sums[feature.evidence] = before + weight * np.array(values, dtype=np.float64)
    return found


def words_in(text):
    """How often each word is in a text: two letters or more, whatever their case and accents."""
    decomposed = unicodedata.normalize("NFKD", text.lower())
    letters = "".join(each for each in decomposed if not unicodedata.combining(each))
    return Counter(re.findall(r"\b\w\w+\b", letters))


def _said(feature, wish):
    """What the words of a wish add to each product, in standard deviations."""
    values = np.zeros(feature.weights.shape[1])
    columns = columns_of(wish)
    for word, times in words_in(wish).items():
        row = feature.weights[[columns[word]]].toarray()[0]
        values += (1 + math.log(times)) * row.astype(np.float64)
    deviation = math.sqrt(sum((each - values.mean()) ** 2 for each in values) / len(values))
    return values / deviation if deviation > 1e-9 else values


def _vector(recommender, text):
    """Of a text, as precise as the vector store."""
    if not text:
        return np.zeros(recommender.vectorbase.name_vectors.shape[1], dtype=np.float32)
    return recommender.encode([text])[0].astype(np.float16).astype(np.float32)


def _led_to(recommender, histories, review):
    """Where a review leads: {row of a product: share}, by its words if its product is unknown."""
    row = histories.catalogue_row[review]
    if row != UNKNOWN:
        return {int(row): 1.0}
    texts = histories.texts[review], histories.product_names[review]
    said = sum(_vector(recommender, text) for text in texts)
    if not said.any():
        return {}
    match = recommender.vectorbase.match
    logits = match.products @ (said / np.linalg.norm(said) @ match.towers.query)
    chances = [math.exp(each - logits.max()) for each in logits.tolist()]
    return {row: each / sum(chances) for row, each in enumerate(chances)}


def _walked(feature, reviews):
    """One step from each review, given as (where it leads, rating), oldest first."""
    graph = feature.graph
    values = [0.0] * graph.num_products
    for step, (led_to, rating) in enumerate(reversed(reviews)):
        weight = graph.history_decay**step
        if 0 < rating <= graph.liked_above:
            weight *= graph.disliked_weight
        for row, share in led_to.items():
            for edge in range(graph.pointers[row], graph.pointers[row + 1]):
                values[graph.neighbours[edge]] += weight * share * float(graph.weights[edge])
    if not feature.scale:
        return values
    return [math.copysign(math.log1p(abs(each) / feature.scale), each) for each in values]

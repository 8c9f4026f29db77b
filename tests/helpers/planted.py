"""What an audit is given: builders, models, evidences and evaluations, honest and leaking."""

from dataclasses import fields, replace

import numpy as np

from rec_sys.evaluation.audit import Limits
from rec_sys.graph.ego_batch import EgoBatchBuilder, ProductReviews
from rec_sys.graph.task import NOW
from rec_sys.modules.evidences import Popularity, Trend
from rec_sys.modules.features import TrendFeature

USERS, PRODUCTS, PER_USER, DIMENSION = 12, 9, 6, 4
EDGES = USERS * PER_USER
LONG = 20  # words of each text
SETTINGS = Limits(
    min_words=10,
    max_shared_texts=0.01,
    tolerance=1e-5,
    metric_tolerance=1e-6,
    block_sizes=[1_024, 7],
    people=200,
    seed=0,
)


def stars_of(model, graph, split, vectors):
    """A `FitAndScore`: fits to the training edges of what it is given."""
    users = np.arange(USERS)

    def fit_and_score(given):
        model.fit(given.histories(users, split.train), vectors)
        histories = given.histories(users, split.test.history)
        return model.rate(histories, graph.edge_user[split.test.target], pairs(graph, split))

    return fit_and_score


def pairs(graph, split):
    return graph.edge_product[split.test.target]


def batches_of(split, known):
    """A `BatchBuilder` of the real builder; `known`: the edges that product means are made of."""

    def build(graph, vectors):
        reviews = ProductReviews.of(graph, vectors, np.flatnonzero(known))
        builder = EgoBatchBuilder(graph, vectors, reviews)
        hidden = ~split.test.target & ~split.test.history
        blocks = np.array_split(np.arange(USERS), 3)
        return [builder.build(users, split.test.target, hidden) for users in blocks]

    return build


def fair_rank(scores, target):
    """Mean rank; of equal scores, half are better."""
    return (scores > scores[target]).sum() + (scores == scores[target]).sum() / 2


def rank_by_product_number(scores, target):
    return int(np.flatnonzero(np.argsort(-scores, kind="stable") == target)[0])


def ranks(graph, split, rank):
    """An `Evaluate` of popularity, whose scores are full of ties."""
    scores = np.bincount(graph.edge_product[split.train], minlength=PRODUCTS) // 3
    targets = pairs(graph, split)

    def evaluate(number, block_size):
        renumbered = np.empty_like(scores)
        renumbered[number] = scores
        return float(np.mean([rank(renumbered, number[target]) for target in targets]))

    return evaluate


class CountsTargets:
    """A popularity that counts all reviews, targets too."""

    name = Popularity.name

    def fit(self, known):
        return Popularity().fit(replace(known, edges=np.arange(known.graph.num_edges)))


class KnowsTheFuture(TrendFeature):
    """Whenever users ask, they are told what is of late now."""

    def values(self, situation):
        return super().values(replace(situation, asked=np.full_like(situation.asked, NOW)))


class KnowsHowMuchFollows(TrendFeature):
    """Counts what was written before, but as a share of all that is ever written."""

    def values(self, situation):
        return super().values(situation) - np.log(np.float32(len(self.time)))


class LeakingTrend:
    """The trend, but for one of the features above."""

    name = Trend.name

    def __init__(self, kind):
        self.kind = {each.__name__: each for each in (KnowsTheFuture, KnowsHowMuchFollows)}[kind]

    def fit(self, known):
        return [
            self.kind(**{field.name: getattr(each, field.name) for field in fields(each)})
            for each in Trend([30.0]).fit(known)
        ]

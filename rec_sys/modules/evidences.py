"""Evidences: how much speaks for a product. Each has features, which the combiner adds up. A new
one is one class here and one file in ``config/evidence``. Needs no PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Protocol

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.sparse import coo_array, csr_array, vstack

from rec_sys.foundation.settings import NotNegative, Positive, PositiveCount, Share, settings_of
from rec_sys.graph.ego_batch import ProductReviews
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.modules import features
from rec_sys.modules.match import Towers, word_weights
from rec_sys.modules.product_graph import ROWS_AT_ONCE, ProductGraph, co_occurrence, heaviest
from rec_sys.reviews.schema import NO_TIME, SECONDS_PER_DAY


@dataclass(frozen=True)
class KnownReviews:
    """What evidences are fitted to: reviews that may be known, and what was solved already.
    `edges`: int64 [n], ascending; `vectors`: float [N, D], the vector store's rows; `words`:
    float32 [N, W], of the same texts. Product graph and towers are of these edges."""

    graph: ReviewGraph
    edges: np.ndarray
    product_graph: ProductGraph
    vectors: np.ndarray
    words: csr_array
    towers: Towers

    @property
    def counts(self) -> np.ndarray:
        """Known reviews per product, float64 [P]."""
        product = self.graph.edge_product[self.edges]
        return np.bincount(product, minlength=self.graph.num_products).astype(np.float64)

    def item_graph(self, matrix: csr_array, history_decay: float) -> ProductGraph:
        """A graph between products along which likes and dislikes walk alike."""
        matrix.eliminate_zeros()
        return ProductGraph.of(matrix, history_decay, 1.0, self.product_graph.liked_above)

    @cached_property
    def products(self) -> np.ndarray:
        """What the towers make of the products, float32 [P, D]."""
        graph, vectors = self.graph, self.vectors
        reviews = ProductReviews.of(graph, vectors, self.edges).summary.texts
        names, infos = vectors[graph.product_name_text], vectors[graph.product_info_text]
        return self.towers.products(names, infos, reviews)

    def text_graph(self, neighbours: int, history_decay: float) -> ProductGraph:
        """A graph between products whose texts are alike, by cosine; none below 0."""
        products, parts = self.products, []
        for start in range(0, len(products), ROWS_AT_ONCE):
            cosine = products[start : start + ROWS_AT_ONCE] @ products.T
            np.fill_diagonal(cosine[:, start:], 0)
            parts.append(heaviest(np.maximum(cosine, 0), neighbours))
        return self.item_graph(vstack(parts, format="csr"), history_decay)


class Evidence(Protocol):
    """Learns features from known reviews; `name` is its row in tables and key in explanations."""

    name: str

    def fit(self, known: KnownReviews) -> list[features.Feature]:
        """Its features, the same number for all data."""


@settings_of("evidence.co_reviewing")
class CoReviewing:
    """The product graph: what reviewers of the history's products reviewed. Its first feature, the
    graph itself, is what the combiner starts from; others have `history_decays` and `scale`."""

    history_decays: list[Share]
    scale: Positive
    name: str = "co-reviewing"

    def fit(self, known: KnownReviews) -> list[features.Feature]:
        graph = known.product_graph
        whole = features.WalkFeature(self.name, self.name, graph, 0.0, "product_graph")
        return [whole, *_by_decay(replace(whole, scale=self.scale), self.history_decays)]


@settings_of("evidence.neighbours")
class Neighbours:
    """Products with the same reviewers, by cosine (Sarwar et al., WWW 2001)."""

    shrink: NotNegative
    neighbours: PositiveCount
    history_decay: Share
    scale: Positive
    name: str = "same reviewers"

    def fit(self, known: KnownReviews) -> list[features.Feature]:
        graph, edges = known.graph, known.edges
        pairs = graph.edge_user[edges], graph.edge_product[edges]
        together = co_occurrence(*pairs, graph.num_users, graph.num_products).tocoo()
        length = np.sqrt(np.maximum(together.diagonal(), 1))
        row, column = together.coords
        cosine = together.data / (length[row] * length[column] + self.shrink)
        apart = row != column
        cells = cosine[apart].astype(np.float32), (row[apart], column[apart])
        matrix = _most_similar(csr_array(cells, together.shape), self.neighbours)
        walk = known.item_graph(matrix, self.history_decay)
        return [features.WalkFeature(self.name, self.name, walk, self.scale, "neighbours")]


@settings_of("evidence.order")
class Order:
    """What others reviewed right after the products that the user reviewed last: ``log(1 + n_ij /
    (smoothing q_j))`` for n_ij users who went from product i straight to j, whose share in all
    reviews is q_j. With the logarithm of popularity it is a smoothed Markov chain."""

    smoothing: Positive
    history_decays: list[Share]
    neighbours: PositiveCount
    name: str = "order"

    def fit(self, known: KnownReviews) -> list[features.Feature]:
        graph, edges = known.graph, known.edges
        user, product = graph.edge_user[edges], graph.edge_product[edges]
        follows = user[1:] == user[:-1]
        size = graph.num_products
        cells = np.ones(follows.sum()), (product[:-1][follows], product[1:][follows])
        steps = coo_array(cells, (size, size)).tocsr()
        share = (known.counts + 1) / (known.counts.sum() + size)
        steps.data = np.log1p(steps.data / (self.smoothing * share[steps.indices]))
        chain = known.item_graph(_most_similar(steps.astype(np.float32), self.neighbours), 1.0)
        walk = features.WalkFeature(self.name, self.name, chain, 0.0, "order")
        return _by_decay(walk, self.history_decays)


@settings_of("evidence.popularity")
class Popularity:
    """Logarithm of the number of reviews."""

    name: str = "popularity"

    def fit(self, known: KnownReviews) -> list[features.Feature]:
        values = np.log1p(known.counts).astype(np.float32)
        return [features.ProductFeature(self.name, self.name, values)]


@settings_of("evidence.trend")
class Trend:
    """Popularity of late, a feature for each half-life; nothing where no review has a time."""

    half_lives_days: list[Positive]
    name: str = "trend"

    def fit(self, known: KnownReviews) -> list[features.Feature]:
        graph, size = known.graph, known.graph.num_products
        timed = graph.edge_time[known.edges] != NO_TIME
        edges = known.edges[timed]
        edges = edges[np.argsort(graph.edge_time[edges], kind="stable")]
        names = [f"{self.name}, {days:g} days" for days in self.half_lives_days]
        if not len(edges):
            nothing = np.zeros(size, dtype=np.float32)
            return [features.ProductFeature(name, self.name, nothing) for name in names]
        untimed = np.bincount(graph.edge_product[known.edges[~timed]], minlength=size)
        told = graph.edge_time[edges], graph.edge_product[edges], untimed.astype(np.float64)
        return [
            features.TrendFeature(name, self.name, *told, days * SECONDS_PER_DAY)
            for name, days in zip(names, self.half_lives_days, strict=True)
        ]


@settings_of("evidence.network")
class Network:
    """What the network reads from the words of the history."""

    name: str = "network"

    def fit(self, known: KnownReviews) -> list[features.Feature]:
        return [features.NetworkFeature(self.name, self.name)]


@settings_of("evidence.liking")
class Liking:
    """How the user would like the product, see `LikingFeature`; nothing where nobody has rated."""

    middle: Annotated[float, Field(ge=0, le=5)]
    steepness: Positive
    name: str = "liking"

    def fit(self, known: KnownReviews) -> list[features.Feature]:
        rated = np.isfinite(known.graph.edge_rating[known.edges]).any()
        steepness = self.steepness if rated else 0.0  # the same for all products
        return [features.LikingFeature(self.name, self.name, self.middle, steepness)]


@settings_of("evidence.match")
class Match:
    """How well the product fits what the user wants; nothing without a wish. Its text is its name,
    which counts `name_weight` times, description and reviews; for `k1` and `b` see `bm25`."""

    k1: Positive
    b: Share
    name_weight: NotNegative
    name: str = "match"

    def fit(self, known: KnownReviews) -> list[features.Feature]:
        names, others = product_words(known.graph, known.words, known.edges)
        weights = word_weights((self.name_weight * names + others).tocsr(), self.k1, self.b)
        settings = (self.k1, self.b, self.name_weight)
        return [
            features.MatchFeature(self.name, self.name, known.towers, known.products),
            features.WordsFeature(f"{self.name}, words", self.name, *weights, *settings),
        ]


@settings_of("evidence.texts")
class Texts:
    """Products whose texts are like those of the history, by the cosine of the match's towers."""

    history_decay: Share
    neighbours: PositiveCount
    scale: Positive
    name: str = "texts"

    def fit(self, known: KnownReviews) -> list[features.Feature]:
        liked = replace(known.text_graph(self.neighbours, self.history_decay), disliked_weight=0.0)
        return [features.WalkFeature(self.name, self.name, liked, self.scale, "texts")]


@settings_of("evidence.dislikes")
class Dislikes:
    """Products like those that the user disliked: by reviewers, and by texts (see `Texts`)."""

    neighbours: PositiveCount
    scale: Positive
    name: str = "dislikes"

    def fit(self, known: KnownReviews) -> list[features.Feature]:
        alone = {"liked_weight": 0.0, "disliked_weight": 1.0, "history_decay": 1.0}
        reviewers = replace(known.product_graph, **alone)
        texts = replace(known.text_graph(self.neighbours, 1.0), **alone)
        walks = ("reviewers", reviewers, "product_graph"), ("texts", texts, "disliked texts")
        return [
            features.WalkFeature(f"{self.name}, {of}", self.name, walk, self.scale, graph_name)
            for of, walk, graph_name in walks
        ]


def _by_decay(walk: features.WalkFeature, decays: Sequence[float]) -> list[features.Feature]:
    names = [f"{walk.name}, decay {decay:g}" for decay in decays]
    graphs = [replace(walk.graph, history_decay=decay) for decay in decays]
    return [replace(walk, name=n, graph=g) for n, g in zip(names, graphs, strict=True)]


def product_words(
    graph: ReviewGraph, words: csr_array, edges: np.ndarray
) -> tuple[csr_array, csr_array]:
    """The words of products, float32 [P, W]: of their names, and of descriptions and some reviews.
    `words`: float32 [N, W], of the texts; `edges`: int64 [n], the reviews that may be known."""
    about = (np.ones(len(edges), np.float32), (graph.edge_product[edges], np.arange(len(edges))))
    about = csr_array(about, (graph.num_products, len(edges)))
    reviews = about @ words[graph.edge_text[edges]]
    return words[graph.product_name_text], (words[graph.product_info_text] + reviews).tocsr()


def _most_similar(matrix: csr_array, most: int) -> csr_array:
    matrix.sort_indices()  # of equals the first product is kept
    row, column = matrix.tocoo().coords
    kept = pd.Series(-matrix.data).groupby(row).rank(method="first").to_numpy() <= most
    return csr_array((matrix.data[kept], (row[kept], column[kept])), matrix.shape)

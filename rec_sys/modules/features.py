"""Features: one number for each user and product, and how they are stored.
`rec_sys.modules.evidences` fits them, `rec_sys.modules.combiner` adds them up. Needs no PyTorch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_array, hstack

from rec_sys.graph.task import NOW
from rec_sys.modules.match import Towers, Wishes, bm25, unit
from rec_sys.modules.product_graph import ProductGraph, heaviest


@dataclass(frozen=True)
class Situation:
    """U users at the moment of asking, seen by P products.

    Attributes:
        user_ptr: int64 [U + 1], the reviews of user ``u`` are ``user_ptr[u]:user_ptr[u + 1]``,
            oldest first.
        product: int64 [n], below 0 where the product is not known.
        rating: float32 [n], stars, NaN or 0 if missing.
        asked: int64 [U], seconds since 1970, or `NOW`: later reviews of others are not known.
        network: float32 [U, P], inner products of the network's queries and keys.
        predicted_rating: float32 [U, P], stars.
        wishes: None if nobody says anything.
        links: float32 [n, P], what a review of an unknown product leads to instead, or None.
    """

    user_ptr: np.ndarray
    product: np.ndarray
    rating: np.ndarray
    asked: np.ndarray
    network: np.ndarray
    predicted_rating: np.ndarray
    wishes: Wishes | None = None
    links: csr_array | None = None

    @property
    def num_users(self) -> int:
        return len(self.user_ptr) - 1

    def of_user(self, user: int) -> "Situation":
        own = slice(self.user_ptr[user], self.user_ptr[user + 1])
        one = slice(user, user + 1)
        reviews = np.array([0, own.stop - own.start]), self.product[own], self.rating[own]
        told = self.asked[one], self.network[one], self.predicted_rating[one]
        links = None if self.links is None else self.links[own]
        return Situation(*reviews, *told, self.wishes and self.wishes.of_user(user), links)

    @property
    def wished(self) -> np.ndarray:
        """bool [U], who says what they want."""
        return np.zeros(self.num_users, dtype=bool) if self.wishes is None else self.wishes.said


@dataclass(frozen=True)
class Feature:
    """One number for each user and product; its name is unique, `evidence` says whose it is."""

    name: str
    evidence: str

    def values(self, situation: Situation) -> np.ndarray | csr_array:
        """float32 [U, P]; sparse where most of them are zero, [1, P] where users are alike."""
        raise NotImplementedError


Features = Sequence[Feature]


def compress(scores: Any, scale: float) -> Any:
    """``sign(s) log(1 + |s| / scale)``: scores that behave like log probabilities, which a logit
    adds up. Zero stays zero, so that sparse scores stay sparse; those far below `scale` are as good
    as zero. A `scale` of 0 leaves the scores as they are."""
    return np.sign(scores) * np.log1p(np.abs(scores) / scale) if scale else scores


@dataclass(frozen=True)
class WalkFeature(Feature):
    """A history walks one step along a graph between products; for `scale` see `compress`. Features
    of one `graph_name` share the edges of their graphs; they are stored once."""

    graph: ProductGraph
    scale: float
    graph_name: str

    def values(self, situation: Situation) -> csr_array:
        reviews = situation.user_ptr, situation.product, situation.rating
        scores = self.graph.walk(*reviews, situation.links)
        scores.data = compress(scores.data, self.scale).astype(np.float32)
        return scores

    def contributions(self, situation: Situation, targets: np.ndarray) -> np.ndarray:
        """The feature of one user, divided among the reviews that speak for the product: on a log
        scale no review has a part of its own, so each gets its share in the sum. `targets`:
        int64 [m], products. Returns float32 [n, m]; columns add up to the feature, if positive."""
        reviews = situation.product, situation.rating
        parts = self.graph.contributions(*reviews, targets, situation.links)
        if not self.scale:
            return parts
        speaking = np.maximum(parts, 0)
        total = speaking.sum(axis=0)
        value = np.maximum(compress(parts.sum(axis=0), self.scale), 0)
        return speaking * (value / np.where(total > 0, total, 1))


@dataclass(frozen=True)
class ProductFeature(Feature):
    """The same for all users; `product_values`: float32 [P]."""

    product_values: np.ndarray

    def values(self, situation: Situation) -> np.ndarray:
        return self.product_values[None]


@dataclass(frozen=True)
class TrendFeature(Feature):
    """Logarithm of the reviews of late, each counting half after every half-life, in seconds. Of
    each user only reviews before the moment of asking count. They age until the newest of them, and
    one imagined review is spread over the products by their shares in them. `time` and `product`:
    int64 [n > 0], of the known reviews, ascending in time; `untimed`: float64 [P], all others."""

    time: np.ndarray
    product: np.ndarray
    untimed: np.ndarray
    half_life: float

    def values(self, situation: Situation) -> np.ndarray:
        moments, user = np.unique(situation.asked, return_inverse=True)
        rows = np.stack([row.astype(np.float32) for row in self._at(moments)])
        return rows[user] if len(rows) > 1 else rows

    def as_of_now(self) -> ProductFeature:
        """Its values after the newest review, all that serving needs."""
        (values,) = self._at(np.array([NOW]))
        return ProductFeature(self.name, self.evidence, values.astype(np.float32))

    def _at(self, moments: np.ndarray) -> Iterator[np.ndarray]:
        """The values at ascending moments, float64 [P] each."""
        weights, counts = np.zeros_like(self.untimed), self.untimed.copy()
        begin, newest = 0, float(self.time[0])
        for moment in moments:
            end = int(np.searchsorted(self.time, moment))
            if end > begin:
                time, product = self.time[begin:end], self.product[begin:end]
                weights *= 0.5 ** ((time[-1] - newest) / self.half_life)
                begin, newest = end, float(time[-1])
                late = 0.5 ** ((newest - time) / self.half_life)
                weights += np.bincount(product, weights=late, minlength=len(weights))
                counts += np.bincount(product, minlength=len(counts))
            yield np.log(weights + counts / max(counts.sum(), 1) + _LEAST_WEIGHT)


# Of a product without any review; far below one imagined review.
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True)
class NetworkFeature(Feature):
    """What the network ranks by."""

    def values(self, situation: Situation) -> np.ndarray:
        return situation.network


@dataclass(frozen=True)
class LikingFeature(Feature):
    """Logarithm of the probability of being liked, ``log sigmoid(steepness (rating - middle))``. At
    `middle`, in stars, liking and disliking are equally likely; `steepness` is per star."""

    middle: float
    steepness: float

    def values(self, situation: Situation) -> np.ndarray:
        below = self.steepness * (self.middle - situation.predicted_rating)
        return -np.logaddexp(0, below, dtype=np.float32)


@dataclass(frozen=True)
class MatchFeature(Feature):
    """How well a product's meaning fits a wish: a logit of towers. `products`: float32 [P, D]."""

    towers: Towers
    products: np.ndarray

    def values(self, situation: Situation) -> np.ndarray:
        if situation.wishes is None:
            return np.zeros((1, len(self.products)), dtype=np.float32)
        return self.logits(situation.wishes.vectors)

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """How well each product fits some texts, float [n, D]: float32 [n, P]."""
        return self.towers.queries(vectors) @ self.products.T

    def links(self, vectors: np.ndarray, unknown: np.ndarray) -> csr_array | None:
        """The products that texts are likely about, for reviews of unknown products. `vectors`:
        float [n, D], of all reviews, zero vectors lead nowhere; `unknown`: bool [n], those of which
        something is to be told. Returns float32 [n, P], the chances of the softmax over all
        products, the likeliest of them; rows sum to at most 1. None if there are none."""
        rows = np.flatnonzero(unknown & vectors.any(axis=1))
        if not len(rows):
            return None
        logits = self.logits(unit(vectors[rows]))
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        likely = heaviest(chances, _LINKED)
        lengths = np.zeros(len(vectors), dtype=np.int64)
        lengths[rows] = np.diff(likely.indptr)
        cells = likely.data, likely.indices, np.append(0, np.cumsum(lengths))
        return csr_array(cells, (len(vectors), likely.shape[1]))


# So many products hold nearly all of the chances.
_LINKED = 20


@dataclass(frozen=True)
class WordsFeature(Feature):
    """How well a product's words fit a wish: BM25 over its standard deviation over the products, or
    it would grow with the length of the wish. A word that is said n times counts ``1 + log(n)``
    times. `weights`: float32 [W, P], what each word adds to each product; `idf`: float32 [W];
    `mean_length`: words of a product, on average; its name counts `name_weight` times."""

    weights: csr_array
    idf: np.ndarray
    mean_length: float
    k1: float
    b: float
    name_weight: float

    def values(self, situation: Situation) -> csr_array:
        if situation.wishes is None:
            return csr_array((situation.num_users, self.weights.shape[1]), dtype=np.float32)
        words = situation.wishes.words.copy()
        words.data = 1 + np.log(words.data)
        scores = words @ self.weights
        size = scores.shape[1]
        sums, squares = scores.sum(axis=1), scores.power(2).sum(axis=1)
        deviation = np.sqrt(np.maximum(squares / size - (sums / size) ** 2, 0))
        scale = np.repeat(np.where(deviation > 0, deviation, 1), np.diff(scores.indptr))
        scores.data = (scores.data / scale).astype(np.float32)
        return scores

    def words_for(self, words: csr_array, products: np.ndarray) -> np.ndarray:
        """What each word of one wish, float32 [1, W], adds to products: float32 [m, W']."""
        return self.weights[words.indices][:, products].toarray().T


def liked_above(features: Features) -> float:
    """Stars; a lower rating, or an equal one, is a dislike to the walks, if there are any."""
    walks = (each.graph.liked_above for each in features if isinstance(each, WalkFeature))
    return next(walks, -np.inf)


_GRAPH_ARRAYS = {"pointers": np.int64, "neighbours": np.int32, "weights": np.float32}
_TEXTS = ("kind", "name", "evidence", "graph_name")
_GRAPH_SETTINGS = ("history_decay", "disliked_weight", "liked_above", "liked_weight")
_KINDS: dict[str, type] = {
    "walk": WalkFeature,
    "product": ProductFeature,
    "network": NetworkFeature,
    "liking": LikingFeature,
    "match": MatchFeature,
    "words": WordsFeature,
}
_TOWERS = tuple(each.name for each in fields(Towers))


def plain_features(features: Features) -> tuple[list[dict], dict[str, np.ndarray]]:
    """JSON values and arrays for `read_features`; trends as of the newest review that is known."""
    kinds = {kind: name for name, kind in _KINDS.items()}
    told, arrays = [], {}
    for feature in features:
        if isinstance(feature, TrendFeature):
            feature = feature.as_of_now()
        values = vars(feature).items()
        plain = {"kind": kinds[type(feature)]}
        plain |= {name: value for name, value in values if isinstance(value, str | int | float)}
        if isinstance(feature, WalkFeature):
            plain |= {name: getattr(feature.graph, name) for name in _GRAPH_SETTINGS}
            for name, kind in _GRAPH_ARRAYS.items():
                array = np.ascontiguousarray(getattr(feature.graph, name), kind)
                arrays[f"{feature.graph_name}.{name}"] = array
        elif isinstance(feature, ProductFeature):
            arrays[f"values.{feature.name}"] = feature.product_values.astype(np.float32)
        elif isinstance(feature, MatchFeature):
            arrays |= {f"towers.{name}": getattr(feature.towers, name) for name in _TOWERS}
            arrays["towers.products"] = feature.products
        elif isinstance(feature, WordsFeature):
            told_of, weights = np.flatnonzero(feature.idf), feature.weights
            arrays |= {"words.column": told_of, "words.idf": feature.idf[told_of]}
            arrays |= {"words.length": np.diff(weights.indptr)[told_of].astype(np.int32)}
            arrays |= {"words.product": weights.indices.astype(np.int32)}
            arrays |= {"words.weight": weights.data, "words.size": np.array(weights.shape)}
        told.append(plain)
    return told, arrays


_SMALLEST = 1e-9


def read_features(told: list[dict], arrays: Mapping[str, np.ndarray]) -> list[Feature]:
    """Features of `plain_features`; KeyError or TypeError if one is not made of what it needs."""
    features: list[Feature] = []
    for each in told:
        values = dict(each)
        for name, value in values.items():
            is_text = isinstance(value, str)
            # So that sums and quotients stay numbers.
            is_bounded = is_text or value == 0 or _SMALLEST < abs(value) < 1 / _SMALLEST
            if is_text != (name in _TEXTS) or not is_bounded:
                raise TypeError(f"{name} of a feature")
        kind = _KINDS[values.pop("kind")]
        if kind is WalkFeature:
            settings = {name: values.pop(name) for name in _GRAPH_SETTINGS}
            name = values["graph_name"]
            edges = {array: arrays[f"{name}.{array}"] for array in _GRAPH_ARRAYS}
            values["graph"] = ProductGraph(**edges, **settings)
        elif kind is ProductFeature:
            values["product_values"] = arrays[f"values.{values['name']}"]
        elif kind is MatchFeature:
            values["towers"] = Towers(*(arrays[f"towers.{name}"] for name in _TOWERS))
            values["products"] = arrays["towers.products"]
        elif kind is WordsFeature:
            column, shape = arrays["words.column"], tuple(arrays["words.size"].tolist())
            idf, lengths = np.zeros(shape[0], np.float32), np.zeros(shape[0], np.int64)
            idf[column], lengths[column] = arrays["words.idf"], arrays["words.length"]
            pointers = np.append(0, np.cumsum(lengths))
            cells = arrays["words.weight"], arrays["words.product"], pointers
            values |= {"idf": idf, "weights": csr_array(cells, shape)}
        features.append(kind(**values))
    return features


def moved_features(features: Features, rows: np.ndarray, num_rows: int) -> list[Feature]:
    """The same features of products that stand in other rows. `rows`: int64 [P], distinct: where
    each product stands, below 0 if nowhere any more. Of the other `num_rows` no review is known."""
    there = rows >= 0
    cells = np.ones(there.sum(), dtype=np.float32), (np.flatnonzero(there), rows[there])
    # Multiplied by it from the right, columns move; by its transpose from the left, rows do.
    move = csr_array(cells, (len(rows), num_rows))
    moved: list[Feature] = []
    for feature in features:
        if isinstance(feature, TrendFeature):
            feature = feature.as_of_now()
        if isinstance(feature, WalkFeature):
            graph = feature.graph
            matrix = (move.T @ graph.matrix @ move).tocsr()
            decays = graph.history_decay, graph.disliked_weight, graph.liked_above
            graph = replace(ProductGraph.of(matrix, *decays), liked_weight=graph.liked_weight)
            feature = replace(feature, graph=graph)
        elif isinstance(feature, ProductFeature):
            values = np.full(num_rows, feature.product_values.min(), dtype=np.float32)
            values[rows[there]] = feature.product_values[there]
            feature = replace(feature, product_values=values)
        elif isinstance(feature, MatchFeature):
            feature = replace(feature, products=move.T @ feature.products)
        elif isinstance(feature, WordsFeature):
            weights = feature.weights @ move
            weights.sort_indices()
            feature = replace(feature, weights=weights)
        moved.append(feature)
    return moved


def told_features(
    features: Features,
    rows: np.ndarray,
    sources: Sequence[np.ndarray],
    documents: Sequence[csr_array],
) -> list[Feature]:
    """The same features where the texts of some products are others, or were not known before.
    `rows`: int64 [n], distinct; `sources`: float [n, D] each, see `Towers.products`; `documents`:
    float32 [n, W] each: the words of the products' names, and all others."""
    told: list[Feature] = []
    for feature in features:
        if isinstance(feature, MatchFeature):
            products = feature.products.copy()
            products[rows] = feature.towers.products(*sources)
            feature = replace(feature, products=products)
        elif isinstance(feature, WordsFeature):
            names, others = documents
            counts = (feature.name_weight * names + others).tocsr()
            weights = bm25(counts, feature.idf, feature.mean_length, feature.k1, feature.b)
            column = np.arange(feature.weights.shape[1])
            column[rows] = len(column) + np.arange(len(rows))
            joined = hstack([feature.weights, weights.T], format="csc")[:, column]
            joined = csr_array(joined, dtype=np.float32)
            joined.eliminate_zeros()
            feature = replace(feature, weights=joined)
        told.append(feature)
    return told

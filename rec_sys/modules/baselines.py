"""Baselines that rank, or find products by a wish, and the search for their settings."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from itertools import groupby, product
from typing import Any, Literal

import numpy as np
import pandas as pd
from hydra.utils import get_class
from scipy.sparse import coo_array, csr_array, sparray

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import NotNegative, Positive, PositiveCount, Share, settings_of
from rec_sys.graph.ego_batch import ProductReviews
from rec_sys.graph.review_graph import PreparedReviews, ReviewGraph, read_vectors
from rec_sys.modules.evidences import product_words
from rec_sys.modules.match import inner_products, unit, word_weights
from rec_sys.modules.product_graph import co_occurrence, ease_weights
from rec_sys.reviews.schema import NO_TIME, SECONDS_PER_DAY

# A name counts twice in BM25, as in `rec_sys.modules.evidences.Match`.
_NAME_WEIGHT = 2.0


def popularity(train: ReviewGraph) -> np.ndarray:
    """Number of reviews per product, float32 [P]."""
    return np.bincount(train.edge_product, minlength=train.num_products).astype(np.float32)


def history_matrix(histories: ReviewGraph, decay: float) -> csr_array:
    """Users as weighted sums of their products, float32 [U, P]: a review with n later ones of the
    same user counts ``decay ** n``."""
    weights = (decay**histories.steps_back).astype(np.float32)
    cells = weights, histories.edge_product, histories.user_ptr
    return csr_array(cells, (histories.num_users, histories.num_products))


def product_text_vectors(products: ReviewGraph, vectors: np.ndarray) -> np.ndarray:
    """Vectors of name and description, side by side, centred, as all names of a shop are alike:
    float32 [P, 2 D], unit length, zero without any text. Products without a description, a quarter
    of the 2014 Musical Instruments, so weigh as much (NDCG@10 of text EASE .078, not .070)."""
    halves = []
    for rows in (products.product_name_text, products.product_info_text):
        half = vectors[rows].astype(np.float32)
        known = half.any(axis=1)
        if known.any():
            half[known] -= half[known].mean(axis=0)
        halves.append(half)
    return unit(np.concatenate(halves, axis=1))


@settings_of("Popularity", frozen=False)
class Popularity:
    """Scores a product by its number of reviews."""

    name: str = "popularity"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        self._popularity = popularity(train)

    def score(self, histories: ReviewGraph, asked: np.ndarray) -> np.ndarray:
        return np.tile(self._popularity, (histories.num_users, 1))


@settings_of("RecentPopularity", frozen=False)
class RecentPopularity(Popularity):
    """Scores a product by its reviews, weighted by ``0.5 ** (age / half-life)``: in days before the
    newest one, without a time the oldest; without any time, in later reviews by the same user."""

    half_life_days: Positive = field(kw_only=True)
    half_life_steps: Positive = field(kw_only=True)
    name: str = "recent popularity"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        known = train.edge_time != NO_TIME
        half_lives = train.steps_back / self.half_life_steps  # that each review has lost
        if known.any():
            time = np.where(known, train.edge_time, train.edge_time[known].min())
            half_lives = (time.max() - time) / (self.half_life_days * SECONDS_PER_DAY)
        counts = np.bincount(train.edge_product, 0.5**half_lives, train.num_products)
        self._popularity = counts.astype(np.float32)


@settings_of("Markov", frozen=False)
class Markov:
    """A first-order Markov chain: with n_ij users going from product i straight to j, whose share
    in all reviews is q_j, (n_ij + smoothing * q_j) / (n_i. + smoothing); else popularity."""

    score_settings = ("smoothing",)

    smoothing: Positive
    name: str = "Markov chain"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        size = train.num_products
        same_user = train.edge_user[1:] == train.edge_user[:-1]
        pairs = (train.edge_product[:-1][same_user], train.edge_product[1:][same_user])
        ones = np.ones(len(pairs[0]), dtype=np.float32)
        self._transitions = coo_array((ones, pairs), shape=(size, size)).tocsr()
        self._share = popularity(train) / max(len(train.edge_product), 1)

    def score(self, histories: ReviewGraph, asked: np.ndarray) -> np.ndarray:
        known = histories.degrees > 0
        last = histories.edge_product[histories.user_ptr[1:][known] - 1]
        scores = np.tile(self._share * np.float32(self.smoothing), (histories.num_users, 1))
        scores[known] += self._transitions[last].toarray()
        # Each row is divided by its sum, n_i. + smoothing, as far as the shares sum up to one.
        seen = np.zeros(histories.num_users, dtype=np.float32)
        seen[known] = self._transitions.sum(axis=1)[last]
        return scores / (seen + np.float32(self.smoothing))[:, None]


class _FromHistory:
    """Scores by the weighted history, and by popularity for users without one, as a shop would: a
    linear model gives them 0 everywhere, a random order; beating that would prove nothing."""

    score_settings = ("history_decay",)

    def score(self, histories: ReviewGraph, asked: np.ndarray) -> np.ndarray:
        scores = self._scores(history_matrix(histories, self.history_decay))
        scores[histories.degrees == 0] = self._popularity
        return scores


@settings_of("ItemKNN", frozen=False)
class ItemKNN(_FromHistory):
    """Scores by the sum of the similarities to the history (see `history_matrix`): with c_ij common
    reviewers, c_ij / (sqrt(c_ii c_jj) + shrink), the shrunk cosine of Ferrari Dacrema, Cremonesi &
    Jannach, RecSys 2019. `shrink` is in reviewers; a product listens to so many most similar
    `neighbours`, and to those tied with the last."""

    shrink: NotNegative
    neighbours: PositiveCount
    history_decay: Share
    name: str = "ItemKNN"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        size = train.num_products
        self._popularity = popularity(train)
        common = co_occurrence(train.edge_user, train.edge_product, train.num_users, size).tocoo()
        row, column = common.coords
        norm = np.sqrt(common.diagonal())
        similarity = common.data / (norm[row] * norm[column] + np.float32(self.shrink))
        similarity[row == column] = 0  # a product does not recommend itself
        rank = pd.Series(-similarity).groupby(row).rank(method="min").to_numpy()
        kept = (rank <= self.neighbours) & (similarity > 0)
        # Row j lists whom product j listens to; users' rows are multiplied from the left.
        cells = similarity[kept], (column[kept], row[kept])
        self._similarity = coo_array(cells, (size, size)).tocsr()

    def _scores(self, history: csr_array) -> np.ndarray:
        return (history @ self._similarity).toarray()


@settings_of("TextKNN", frozen=False)
class TextKNN(_FromHistory):
    """Scores by the cosine between a product's text and the decayed mean text of the history."""

    history_decay: Share
    name: str = "text kNN"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        self._popularity = popularity(train)
        self._texts = product_text_vectors(train, vectors)

    def _scores(self, history: csr_array) -> np.ndarray:
        # A cosine does not ask for the length, so the sum does as well as the mean.
        return inner_products(unit(history @ self._texts), self._texts)


@settings_of("Ease", frozen=False)
class Ease(_FromHistory):
    """Scores by the history times the weights of `ease_weights` (Steck, WWW 2019). With a
    `history_decay` of 1 (see `history_matrix`) this is the published model."""

    l2: Positive
    history_decay: Share
    name: str = "EASE"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        self._popularity = popularity(train)
        self._weights = ease_weights(self._gram(train, vectors), self.l2)

    def _scores(self, history: csr_array) -> np.ndarray:
        return history @ self._weights

    def _gram(self, train: ReviewGraph, vectors: np.ndarray) -> np.ndarray | sparray:
        """What is inverted: float32 [P, P], symmetric."""
        size = train.num_products
        return co_occurrence(train.edge_user, train.edge_product, train.num_users, size)


@settings_of("TextEase", frozen=False)
class TextEase(Ease):
    """EASE with `text_weight` * V V^T added to its Gram matrix, V = `product_text_vectors`: each
    dimension is so many "users" (Jeunen, Van Balen & Goethals, "Closed-Form Models for
    Collaborative Filtering with Side-Information", RecSys 2020)."""

    text_weight: NotNegative = field(kw_only=True)
    name: str = "text EASE"

    def _gram(self, train: ReviewGraph, vectors: np.ndarray) -> np.ndarray:
        texts = product_text_vectors(train, vectors) * np.float32(np.sqrt(self.text_weight))
        return texts @ texts.T + super()._gram(train, vectors)


@settings_of("PopularWish", frozen=False)
class PopularWish(Popularity):
    """What has the most reviews, whatever is wished for."""

    def find(self, histories: ReviewGraph, asked: np.ndarray, wish: np.ndarray) -> np.ndarray:
        return self.score(histories, asked)


@settings_of("NearestTexts", frozen=False)
class NearestTexts:
    """MiniLM: cosine of the wish with name, description or mean review, or their z-scored sum."""

    source: Literal["names", "descriptions", "reviews", "all"]

    @property
    def name(self) -> str:
        return f"MiniLM, {self.source}"

    def fit(self, train: ReviewGraph, texts: PreparedReviews) -> None:
        vectors = texts.vectors
        means = ProductReviews.of(train, vectors, np.arange(train.num_edges)).summary.texts
        sources = {
            "names": read_vectors(vectors, train.product_name_text),
            "descriptions": read_vectors(vectors, train.product_info_text),
            "reviews": unit(means),
        }
        chosen = list(sources) if self.source == "all" else [self.source]
        self._vectors, self._products = vectors, [sources[name] for name in chosen]

    def find(self, histories: ReviewGraph, asked: np.ndarray, wish: np.ndarray) -> np.ndarray:
        queries = read_vectors(self._vectors, wish)
        cosines = [inner_products(queries, products) for products in self._products]
        if len(cosines) == 1:
            return cosines[0]
        import scipy.stats  # takes a moment

        scores = (scipy.stats.zscore(each, axis=1) for each in cosines)
        return sum(map(np.nan_to_num, scores))  # NaN where all are alike


@settings_of("WordSearch", frozen=False)
class WordSearch:
    """BM25 over name, description and reviews of each product; for the settings see `bm25`."""

    k1: Positive
    b: Share
    name: str = "BM25"

    def fit(self, train: ReviewGraph, texts: PreparedReviews) -> None:
        names, others = product_words(train, texts.words, np.arange(train.num_edges))
        self._weights, *_ = word_weights(csr_array(_NAME_WEIGHT * names + others), self.k1, self.b)
        self._words = texts.words

    def find(self, histories: ReviewGraph, asked: np.ndarray, wish: np.ndarray) -> np.ndarray:
        return (self._words[wish] @ self._weights).toarray().astype(np.float32)


@settings_of("FusedSearch", frozen=False)
class FusedSearch:
    """MiniLM and BM25 by reciprocal rank + `damping` (Cormack et al., SIGIR 2009)."""

    source: Literal["names", "descriptions", "reviews", "all"]
    k1: Positive
    b: Share
    damping: Positive
    name: str = "MiniLM + BM25, reciprocal ranks"

    def fit(self, train: ReviewGraph, texts: PreparedReviews) -> None:
        self._parts = (NearestTexts(source=self.source), WordSearch(k1=self.k1, b=self.b))
        for part in self._parts:
            part.fit(train, texts)

    def find(self, histories: ReviewGraph, asked: np.ndarray, wish: np.ndarray) -> np.ndarray:
        import scipy.stats  # takes a moment

        scores = (part.find(histories, asked, wish) for part in self._parts)
        # Equals in the order of the products.
        ranks = (scipy.stats.rankdata(-each, "ordinal", axis=1) for each in scores)
        gains = [1 / (self.damping + rank.astype(np.float32)) for rank in ranks]
        return np.sum(gains, axis=0, dtype=np.float32)


def combinations(entry: Mapping[str, Any]) -> list[list[tuple[dict[str, Any], Any]]]:
    """Each combination of an entry's ``grid``, setting to the values to try, with its unfitted
    ``model``, the dotted name of its class. Those that share what `fit` computes stand in one list:
    they differ in `score_settings` alone. InputError if class, setting or value does not fit."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("model"), str):
        raise InputError(f"{entry}: must be a baseline: its model, the name of a class, and a grid")
    try:
        model_class = get_class(entry["model"])
    except (ImportError, ValueError) as error:
        raise InputError(f"{entry['model']}: not a model class; {error}") from None
    grid = entry.get("grid") or {}
    lists = grid.values() if isinstance(grid, Mapping) else [None]
    if any(isinstance(each, str) or not isinstance(each, Sequence) or not each for each in lists):
        raise InputError(f"{entry['model']}: grid={grid}: must be settings with lists of values")
    of_score = getattr(model_class, "score_settings", ())
    names = sorted(grid, key=lambda name: (name in of_score, name))
    found = [dict(zip(names, values, strict=True)) for values in product(*map(grid.get, names))]
    # The settings of `fit` come first, so that those who share them are neighbours.
    fits = groupby(found, key=lambda each: [each[name] for name in names if name not in of_score])
    return [[(each, model_class(**each)) for each in group] for _, group in fits]


def search_grid(
    entry: Mapping[str, Any], train: ReviewGraph, texts: Any, score: Callable[[Any], float]
) -> tuple[Any, dict[str, Any]]:
    """The best of `combinations` by `score`, of equals the first, fitted, with its settings."""
    best, best_score = None, -np.inf
    for choices in combinations(entry):
        fitted = choices[0][1]
        fitted.fit(train, texts)
        for settings, model in choices:
            candidate = copy.copy(fitted)
            for name in getattr(candidate, "score_settings", ()):
                setattr(candidate, name, getattr(model, name))
            value = score(candidate)
            if best is None or value > best_score:
                chosen = {name: settings[name] for name in entry.get("grid") or {}}
                best, best_score = (candidate, chosen), value
    return best

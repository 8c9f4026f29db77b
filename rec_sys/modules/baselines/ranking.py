"""Baselines that rank: popularity, what follows what, item and text neighbours, EASE."""

from dataclasses import field

import numpy as np
import pandas as pd
from scipy.sparse import coo_array, csr_array, sparray

from rec_sys.foundation.settings import Decay, NotNegative, Positive, PositiveCount, settings_of
from rec_sys.graph.review_graph import NO_TIME, SECONDS_PER_DAY, ReviewGraph
from rec_sys.modules.ease import co_occurrence, ease_weights
from rec_sys.modules.match import unit


def popularity(train: ReviewGraph) -> np.ndarray:
    """Number of reviews per product, float32 [P]."""
    return np.bincount(train.edge_product, minlength=train.num_products).astype(np.float32)


def history_matrix(histories: ReviewGraph, decay: float) -> csr_array:
    """Users as weighted sums of their products, float32 [U, P]; a review counts `decay` to the
    power of the number of later ones of the same user, the newest 1."""
    weights = (decay**histories.steps_back).astype(np.float32)
    cells = weights, histories.edge_product, histories.user_ptr
    return csr_array(cells, (histories.num_users, histories.num_products))


def product_text_vectors(products: ReviewGraph, vectors: np.ndarray) -> np.ndarray:
    """The vectors of name and description, side by side, without their means (all names of a shop
    resemble each other): float32 [P, 2 D] of length one, zero without any text. So products without
    a description, a quarter of the 2014 Musical Instruments, weigh as much as the others (NDCG@10
    of text EASE there .078 instead of .070)."""
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
    """Scores a product by its number of training reviews."""

    name: str = "popularity"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        self._popularity = popularity(train)

    def score(self, histories: ReviewGraph, asked: np.ndarray) -> np.ndarray:
        return np.tile(self._popularity, (histories.num_users, 1))


@settings_of("RecentPopularity", frozen=False)
class RecentPopularity(Popularity):
    """Scores a product by its training reviews, each weighing 0.5 ** (age / half-life): in days
    from the newest one, where a review without a time is as old as the oldest with one; if none has
    a time, in steps, the number of later reviews by the same user."""

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
    in all training reviews is q_j, (n_ij + smoothing * q_j) / (n_i. + smoothing); by popularity
    after a product that nobody went on from, and for an empty history."""

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
    history_decay: Decay
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

    history_decay: Decay
    name: str = "text kNN"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        self._popularity = popularity(train)
        self._texts = product_text_vectors(train, vectors)

    def _scores(self, history: csr_array) -> np.ndarray:
        # A cosine does not ask for the length, so the sum does as well as the mean.
        return unit(history @ self._texts) @ self._texts.T


@settings_of("Ease", frozen=False)
class Ease(_FromHistory):
    """Scores by the history times the weights of `ease_weights` (Steck, WWW 2019). With a
    `history_decay` of 1 (see `history_matrix`) this is the published model."""

    l2: Positive
    history_decay: Decay
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

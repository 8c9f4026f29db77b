"""Preferences and traits from ratings alone."""

import numpy as np

from rec_sys.evaluation.rating_baselines.bias import as_stars, training_ratings, with_rating
from rec_sys.foundation.settings import Count, Positive, PositiveCount, settings_of
from rec_sys.graph.csr import rows_to_pointers, segment_sum
from rec_sys.graph.review_graph import ReviewGraph

# The squares of so many ratings are held at once (plus those of one user or product).
_RATINGS_AT_ONCE = 65_536


@settings_of("MatrixFactorisation", frozen=False)
class MatrixFactorisation:
    """Ratings as mean + user bias + product bias + the product of two short vectors.

    Minimises the squared error + ``factor_penalty`` times the squared factors + ``bias_penalty``
    times the squared biases by alternating ridge regressions: with the products fixed, each user's
    vector and bias are one small ridge regression, and the other way round, `sweeps` times. A user,
    known or new, is folded in by the same regression over the history that is shown.

    Source: Koren, Bell, Volinsky, "Matrix Factorization Techniques for Recommender Systems", 2009,
    equations 4 and 5 and the section on alternating least squares.
    """

    name = "matrix factorisation"

    rank: PositiveCount = 8
    factor_penalty: Positive = 5.0
    bias_penalty: Positive = 5.0
    sweeps: PositiveCount = 15
    seed: Count = 0

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        rated = training_ratings(train)
        num_products = train.num_products
        rating = rated.edge_rating.astype(np.float64)
        self._mean = rating.mean()
        by_product = np.argsort(rated.edge_product, kind="stable")
        rng = np.random.default_rng(self.seed)
        # Of length about 1, so that the first users' vectors are neither tiny nor huge.
        start = rng.normal(scale=self.rank**-0.5, size=(num_products, self.rank))
        self._products = np.hstack([start, np.zeros((num_products, 1))])
        for _ in range(self.sweeps):
            users = self._solve(
                rated.edge_user, rated.edge_product, rating, self._products, rated.num_users
            )
            # The products last: one without a rating ends as zero instead of as a random start.
            self._products = self._solve(
                rated.edge_product[by_product],
                rated.edge_user[by_product],
                rating[by_product],
                users,
                num_products,
            )

    def rate(self, histories: ReviewGraph, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        rated = with_rating(histories)
        rating = rated.edge_rating.astype(np.float64)
        users = self._solve(
            rated.edge_user, rated.edge_product, rating, self._products, rated.num_users
        )
        left, right = users[user], self._products[product]
        products = np.einsum("td,td->t", left[:, :-1], right[:, :-1])
        return as_stars(self._mean + left[:, -1] + right[:, -1] + products)

    def _solve(
        self,
        own: np.ndarray,
        other: np.ndarray,
        rating: np.ndarray,
        others: np.ndarray,
        num_own: int,
    ) -> np.ndarray:
        """A ridge regression for each row of one side, the other side fixed.

        `own`: int64 [n], ascending, whose regression the rating, float64 [n], belongs to; `other`:
        int64 [n], row of `others`, float64 [m, rank + 1], vectors, then the bias. Returns float64
        [num_own, rank + 1]; zero without a rating.
        """
        penalties = np.diag([self.factor_penalty] * self.rank + [self.bias_penalty])
        solved = np.zeros((num_own, self.rank + 1))
        pointers = rows_to_pointers(own, num_own)
        start = 0
        while start < num_own:
            limit = pointers[start] + _RATINGS_AT_ONCE
            end = max(start + 1, int(np.searchsorted(pointers, limit, side="right")) - 1)
            rows = slice(pointers[start], pointers[end])
            segment, known = own[rows] - start, others[other[rows]]
            rest = rating[rows] - self._mean - known[:, -1]
            inputs = np.hstack([known[:, :-1], np.ones((len(known), 1))])
            squares = segment_sum(inputs[:, :, None] * inputs[:, None, :], segment, end - start)
            sums = segment_sum(inputs * rest[:, None], segment, end - start)
            solved[start:end] = np.linalg.solve(squares + penalties, sums[:, :, None])[:, :, 0]
            start = end
        return solved

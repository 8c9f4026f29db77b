"""How good a model is on a test: its rankings (all products, several targets, ties exact, groups of
users), the ratings that it predicts, and whether it is better or only luckier with these users."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rec_sys.evaluation import protocol
from rec_sys.evaluation.protocol import RankingModel, RatingModel, Stage, WishModel
from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Queries
from rec_sys.modules.baselines import popularity
from rec_sys.reviews.cleaning import twin_groups

# Numbers drawn at once: some 50 MB with the values they pick, however many users there are.
_NUMBERS_AT_ONCE = 2_000_000
# So many draws are multiplied at once: a block of counts of 25,000 users takes 6 MB.
_DRAWS_AT_ONCE = 32


@dataclass(frozen=True)
class RankingResult:
    """One model's rankings of P products for the n `users`, int64, ascending, who have a target.
    `per_user`: "recall@k", "hr@k", "ndcg@k", "mrr" and "ndcg_liked@k" (were the liked targets the
    only ones, NaN without any) to float64 [n], see `rec_sys.modules.metrics`. `per_target`: the
    same to float64 [T], were each the only one, where recall is HR. `liked`: bool [T], whether the
    target was liked, or has no rating. `exposure`: k to float64 [P], see `exposure`."""

    users: np.ndarray
    per_user: dict[str, np.ndarray]
    per_target: dict[str, np.ndarray]
    liked: np.ndarray
    exposure: dict[int, np.ndarray]

    def means(self) -> dict[str, float]:
        found = {name: values[~np.isnan(values)] for name, values in self.per_user.items()}
        return {name: float(values.mean()) for name, values in found.items() if len(values)}

    def disliked(self, k: int) -> float:
        """How many disliked targets are among the first k products of their users."""
        return float(self.per_target[f"hr@{k}"][~self.liked].sum())


def evaluate_ranking(
    model: RankingModel | WishModel,
    queries: Queries,
    ks: Sequence[int],
    mask_history: bool,
    block_size: int,
    liked: np.ndarray | None = None,
) -> RankingResult:
    """Ranks all products for everyone who has a target, with a fitted model. `mask_history` leaves
    the history out, except targets; `block_size` users are scored at once, about 20 * P bytes each,
    which changes no result; `liked`: bool [T], by default all. InputError if nobody has a target;
    ValueError if a target is there twice, or the model breaks its contract."""
    import torch  # which takes seconds

    from rec_sys.modules import metrics

    users, ks = np.unique(queries.targets.edge_user), sorted(set(ks))
    if not len(users):
        raise InputError("nobody has a review to predict; there is nothing to measure")
    queries = queries.of_users(users)
    targets = queries.targets
    liked = np.ones(len(targets.edge_product), dtype=bool) if liked is None else liked
    places, shown = [], dict.fromkeys(ks, 0)
    for start in range(0, len(users), block_size):
        block = queries.of_users(np.arange(start, min(start + block_size, len(users))))
        scores = _scores(model, block, mask_history)
        kept = torch.from_numpy(np.ascontiguousarray(scores))
        user, product = block.targets.edge_user, block.targets.edge_product
        for first in range(0, len(user), block_size):
            part = slice(first, first + block_size)
            found = metrics.TargetPositions.of(kept, user[part], product[part])
            places.append((found.above, found.tied))
        longest = min(ks[-1], scores.shape[1])
        # NumPy's partition needs 30 times as long (1 ms a user) where most of 10,000 scores are 0.
        best = torch.topk(kept, longest, dim=1).values.numpy()
        for k in ks:
            shown[k] = shown[k] + exposure(scores, best[:, min(k, longest) - 1], k)
    above, tied = np.concatenate(places, axis=1)
    positions = metrics.TargetPositions(targets.edge_user, above, tied, len(users))
    per_user, per_target = {}, {}
    for k in ks:
        per_user[f"recall@{k}"] = metrics.recall(positions, k)
        per_user[f"hr@{k}"] = metrics.hit_rate(positions, k)
        per_user[f"ndcg@{k}"] = metrics.ndcg(positions, k)
        per_user[f"ndcg_liked@{k}"] = metrics.ndcg_of(positions, liked, k)
        per_target[f"hr@{k}"] = metrics.hit_chance(positions, k)
        per_target[f"ndcg@{k}"] = metrics.discounted_gain(positions, k)
    per_user["mrr"] = metrics.reciprocal_rank(positions)
    per_target["mrr"] = metrics.reciprocal_position(positions)
    return RankingResult(queries.users, per_user, per_target, liked, shown)


def _scores(model: Any, queries: Queries, mask_history: bool) -> np.ndarray:
    """The model's scores, float32 [B, P], -inf where a product takes no part."""
    history, target = queries.histories, queries.targets
    if queries.wish is None:
        scores = model.score(history, queries.asked)
    else:
        scores = model.find(history, queries.asked, queries.wish)
    if scores.ndim != 2 or len(scores) != history.num_users or scores.dtype != np.float32:
        raise ValueError(f"{model.name}: scores must be float32 [users, products]")
    if not np.isfinite(scores).all():
        raise ValueError(f"{model.name}: a score is not finite")
    targets = target.edge_user, target.edge_product
    if len(np.unique(targets[0] * scores.shape[1] + targets[1])) != target.num_edges:
        raise ValueError("a product is twice among the targets of a user")
    if mask_history:
        kept = scores[targets]
        scores = scores.copy()  # a model may hand out what it keeps
        scores[history.edge_user, history.edge_product] = -np.inf
        scores[targets] = kept
    return scores


def exposure(scores: np.ndarray, last: np.ndarray, k: int) -> np.ndarray:
    """How many users are shown each product among their first k, float64 [P], on average over the
    order of equal scores, float32 [n, P]; -inf is never shown. `last`: float32 [n], at place k."""
    edge = last[:, None]
    shown = (scores >= edge) & (scores > -np.inf)
    crowded = shown.sum(axis=1) > k
    above, tied = scores[crowded] > edge[crowded], scores[crowded] == edge[crowded]
    chance = (k - above.sum(axis=1)) / tied.sum(axis=1)
    return shown[~crowded].sum(axis=0) + above.sum(axis=0) + chance @ tied


def beyond_accuracy(exposure: np.ndarray, popularity: np.ndarray) -> dict[str, float]:
    """How lists spread: "coverage", the share of products that anyone is shown; "gini", 0 (all are
    shown alike) ... 1 - 1/P (always the same); "mean_popularity", known reviews of a shown one."""
    size, total = len(exposure), exposure.sum()
    # The Gini coefficient is the mean absolute difference over twice the mean.
    weights = 2 * np.arange(1, size + 1) - size - 1
    return {
        "coverage": float((exposure > 0).mean()),
        "gini": float(weights @ np.sort(exposure) / (size * total)),
        "mean_popularity": float(exposure @ popularity / total),
    }


@dataclass(frozen=True)
class Slicing:
    """Groups of users, `by_history_length`, and targets, `head_products`, `twins_in_history`."""

    history_starts: Sequence[int]
    head_share: float
    twin_jaccard: float

    def targets(self, stage: Stage, title: str) -> dict[str, np.ndarray]:
        """Groups of the targets of a test, bool [T] each."""
        product = stage.test(title).targets.edge_product
        is_head = head_products(popularity(stage.known), self.head_share)[product]
        has_twin = self.twins(stage, title)
        of_twins = {"twin in history": has_twin, "no twin in history": ~has_twin}
        return {"head": is_head, "tail": ~is_head} | of_twins

    def twins(self, stage: Stage, title: str) -> np.ndarray:
        """Which targets have a twin in their history, told from all reviews; bool [T]."""
        graph, queries = stage.graph, stage.test(title)
        return twins_in_history(graph, queries.histories, queries.targets, self.twin_jaccard)


def by_history_length(histories: ReviewGraph, starts: Sequence[int]) -> dict[str, np.ndarray]:
    """Groups users by length of history: `starts` 0, 1, 5 make "0", "1-4", "5+"; bool [U] each."""
    group = np.searchsorted(starts, np.diff(histories.user_ptr), side="right") - 1
    pairs = zip(starts, starts[1:], strict=False)
    names = [f"{start}" if stop == start + 1 else f"{start}-{stop - 1}" for start, stop in pairs]
    return {name: group == i for i, name in enumerate([*names, f"{starts[-1]}+"])}


def head_products(popularity: np.ndarray, share: float) -> np.ndarray:
    """The fewest most popular products with a share of known reviews, and ties: bool [P]."""
    falling = np.sort(popularity)[::-1].astype(np.float64)
    return popularity >= falling[np.searchsorted(np.cumsum(falling), share * falling.sum())]


def twins_in_history(
    reviews: ReviewGraph, histories: ReviewGraph, targets: ReviewGraph, min_jaccard: float
) -> np.ndarray:
    """Targets with a twin in their user's own history, bool [T], as all `reviews` tell; see
    `rec_sys.reviews.cleaning`. No model sees it."""
    size = reviews.num_products
    group = twin_groups(reviews.edge_user, reviews.edge_product, size, min_jaccard)
    user, product = targets.edge_user, targets.edge_product
    own, known_products = histories.edge_user, histories.edge_product
    related = np.isin(user * size + group[product], own * size + group[known_products])
    return related & ~np.isin(user * size + product, own * size + known_products)


@dataclass(frozen=True)
class RatingScores:
    """`rec_sys.modules.metrics` and ``macro_f1_tuned``, see `score_ratings`; for a bootstrap that
    draws users, of rated targets: `user` int64 [T], `squared_error` float64 [T]."""

    metrics: dict[str, float]
    user: np.ndarray
    squared_error: np.ndarray


def predict(model: RatingModel | protocol.ReviewKnownModel, queries: Queries) -> np.ndarray:
    """Ratings of the targets, float32 [T]; a model of known reviews reads the targets' texts."""
    histories, targets = queries.histories, queries.targets
    pairs = targets.edge_user, targets.edge_product
    if hasattr(model, "rate_known"):
        return model.rate_known(histories, *pairs, targets.edge_text)
    return model.rate(histories, *pairs)


def score_ratings(
    predicted: np.ndarray, true: np.ndarray, user: np.ndarray, liked_above: float, threshold: float
) -> RatingScores:
    """Compares predictions, float32 [T], 0...5, with true ratings, NaN does not count. Liked is a
    true rating above `liked_above`, a prediction above the `threshold` of `best_threshold`: careful
    models predict near the mean. InputError if nothing is rated, ValueError if not finite."""
    import torch

    from rec_sys.modules.metrics import rating_metrics

    rated = _rated(predicted, true)
    predicted, true, user = predicted[rated], true[rated], user[rated]
    both = (torch.from_numpy(each.astype(np.float32)) for each in (predicted, true))
    metrics = rating_metrics(*both, liked_above)
    metrics["macro_f1_tuned"] = macro_f1(predicted > threshold, true > liked_above)
    return RatingScores(metrics, user, (predicted.astype(np.float64) - true) ** 2)


def macro_f1(answer: np.ndarray, liked: np.ndarray) -> float:
    """Mean F1 of "liked" and "not liked", bool [T], without one that occurs nowhere."""
    return float(_macro_f1(answer.sum(), (answer & liked).sum(), len(liked), liked.sum()))


def best_threshold(predicted: np.ndarray, true: np.ndarray, liked_above: float) -> float:
    """The threshold on predicted ratings with the best macro-F1, chosen on the validation task.
    Tries one threshold between any two neighbouring predictions, one below all and one above all;
    of equally good ones, it takes the one nearest to `liked_above`. Raises as `score_ratings`."""
    rated = _rated(predicted, true)
    values, place = np.unique(predicted[rated].astype(np.float64), return_inverse=True)
    liked = true[rated] > liked_above
    # Those that a threshold after the k-th value calls not liked, for k = 0...number of values.
    below = np.r_[0, np.cumsum(np.bincount(place))]
    liked_below = np.r_[0, np.cumsum(np.bincount(place, weights=liked))]
    number, positives = len(liked), liked.sum()
    scores = _macro_f1(number - below, positives - liked_below, number, positives)
    thresholds = np.r_[values[0] - 1, (values[1:] + values[:-1]) / 2, values[-1]]
    best = np.flatnonzero(np.isclose(scores, scores.max(), rtol=0, atol=1e-12))
    return float(thresholds[best[np.abs(thresholds[best] - liked_above).argmin()]])


def _macro_f1(said: np.ndarray, right: np.ndarray, number: int, liked: np.ndarray) -> np.ndarray:
    """From counts: said "liked", of these right, all targets, liked ones. F1 = 2 TP / (n1 + n2)."""
    said, right = np.asarray(said, dtype=float), np.asarray(right, dtype=float)
    rejected, rejected_right = number - said, number - liked - (said - right)
    totals = np.stack([said + liked, rejected + number - liked])
    hits = np.stack([2 * right, 2 * rejected_right])
    exists = totals > 0
    f1 = np.where(exists, hits / np.where(exists, totals, 1), 0)
    return f1.sum(axis=0) / exists.sum(axis=0)


def _rated(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    if not np.isfinite(predicted).all():
        raise ValueError("a predicted rating is not finite")
    rated = ~np.isnan(true)
    if not rated.any():
        raise InputError("no target has a rating: nothing to compare predicted stars with")
    return rated


@dataclass(frozen=True)
class Interval:
    """What was measured, and where it may well be."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bootstrap:
    """Draws users with replacement (Efron, 1979), `resamples` times. Intervals are percentiles:
    over a thousand users a correction for bias or skewness would change nothing that is printed."""

    resamples: int
    confidence: float
    seed: int

    def compare(self, model: np.ndarray, baseline: np.ndarray) -> dict[str, Interval]:
        """Compares a metric of each user, float [n > 1], of two models, both values drawn together:
        "difference" of the means and "ratio", NaN or infinite if the baseline's is 0."""
        import scipy.stats

        if len(model) < 2:
            raise InputError("a comparison needs at least two users")
        values = (np.asarray(model, dtype=np.float64), np.asarray(baseline, dtype=np.float64))
        # A resample without any hit of the baseline has no ratio; then the interval says so.
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = scipy.stats.bootstrap(
                values,
                _difference_and_ratio,
                paired=True,
                vectorized=True,
                method="percentile",
                n_resamples=self.resamples,
                confidence_level=self.confidence,
                batch=max(1, _NUMBERS_AT_ONCE // len(model)),
                rng=np.random.default_rng(self.seed),
            ).confidence_interval
            found = np.stack([_difference_and_ratio(*values), low, high], axis=1)
        difference, ratio = (Interval(*each) for each in found.tolist())
        return {"difference": difference, "ratio": ratio}

    def means(self, values: np.ndarray) -> list[Interval]:
        """Means of the columns of a float64 [n, m], n users and m quantities."""
        number = len(values)
        rng = np.random.default_rng(self.seed)
        means = np.empty((self.resamples, values.shape[1]))
        for start in range(0, self.resamples, _DRAWS_AT_ONCE):
            block = range(start, min(start + _DRAWS_AT_ONCE, self.resamples))
            drawn = [rng.integers(number, size=number) for _ in block]
            counts = np.stack([np.bincount(users, minlength=number) for users in drawn])
            means[block.start : block.stop] = counts @ values / number
        outside = (1 - self.confidence) / 2
        ends = np.quantile(means, [outside, 1 - outside], axis=0)
        return [Interval(*each) for each in np.stack([values.mean(axis=0), *ends], axis=1).tolist()]


def _difference_and_ratio(model: np.ndarray, baseline: np.ndarray, axis: int = -1) -> np.ndarray:
    means = model.mean(axis=axis), baseline.mean(axis=axis)
    return np.stack([means[0] - means[1], means[0] / means[1]])


def average_over_seeds(users: Sequence[np.ndarray], values: Sequence[np.ndarray]) -> pd.Series:
    """The mean of each user over their runs, float64, by user, ascending: a bootstrap draws each
    user once. Each run has distinct users. NaN does not count, nor users without other values."""
    found = pd.Series(np.concatenate(values), dtype=float)
    return found.groupby(np.concatenate(users)).mean().dropna()

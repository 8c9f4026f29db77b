"""The combiner: features of the evidences added up, with weights learned on validation.

The order of products is that of ``sum_k w_k feature_k``, a conditional logit (McFadden, 1974) over
all products. The weights are fitted to the targets of the validation, one vector for each of
`GROUPS`, and shrunk towards one evidence alone: the product graph, for users without reviews
popularity, for those who say what they want the match. Few targets then do no harm."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy import ndarray

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import Count, NotNegative, Positive, PositiveCount, settings_of
from rec_sys.modules.features import Features, Situation, liked_above

#: Kinds of users with weights of their own: by their reviews, dislikes left out, and by a wish.
GROUPS = ("no review", "one review", "several reviews", "wish", "wish and reviews")
_ONE, MANY = GROUPS.index("one review"), GROUPS.index("several reviews")
_WISHING = GROUPS.index("wish")


class HeldOut(NamedTuple):
    """Weights for users of the validation that were learned without them. `fold`: int64 [5, U + 1],
    the part that each user belongs to, -1 if weights were not fitted to them, as to all that come
    after U; `weights`: float64 [folds + 1, 5, K], without a part; the last from all."""

    fold: ndarray
    weights: ndarray


@dataclass(frozen=True)
class Combiner:
    """Weights of K features, which belong to `evidences`. `weights`: float64 [5, K], a row for each
    of `GROUPS`; `shrinkage`: float64 [5], the strongest that went into each; `shares`: float64 [5,
    K], how far each feature moves scores: the standard deviation over a user's products, as a share
    of the sum; `held_out`: measures the weights on the validation; not stored."""

    features: tuple[str, ...]
    evidences: tuple[str, ...]
    weights: ndarray
    shrinkage: ndarray
    shares: ndarray
    held_out: HeldOut | None = None

    @classmethod
    def prior(cls, features: Features) -> "Combiner":
        """What the weights are shrunk towards: one feature alone for each group."""
        weights = np.zeros((len(GROUPS), len(features)))
        weights[np.arange(len(GROUPS)), _leading(features)] = 1.0
        shares = weights.copy()
        _break_ties(weights, features)
        names, evidences = zip(*((each.name, each.evidence) for each in features), strict=True)
        return cls(names, evidences, weights, np.full(len(GROUPS), np.inf), shares)

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> "Combiner":
        """From what `plain` gave; ValueError if it does not fit together."""
        features, evidences = tuple(plain["features"]), tuple(plain["evidences"])
        arrays = {name: np.array(plain[name], dtype=np.float64) for name in ("weights", "shares")}
        shapes = {each.shape for each in arrays.values()}
        fits = len(evidences) == len(features) and shapes == {(len(GROUPS), len(features))}
        fits &= bool((arrays["shares"] >= 0).all())
        fits &= all(isinstance(each, str) for each in (*features, *evidences))
        if not fits or not all((np.abs(each) < _MOST_WEIGHT).all() for each in arrays.values()):
            raise ValueError("the weights of the evidences do not fit together")
        shrinkage = [np.inf if each is None else each for each in plain["shrinkage"]]
        arrays["shrinkage"] = np.array(shrinkage, dtype=np.float64)
        if arrays["shrinkage"].shape != (len(GROUPS),):
            raise ValueError("a shrinkage for other groups")
        return cls(features, evidences, **arrays)

    def plain(self) -> dict[str, Any]:
        return {
            "features": list(self.features),
            "evidences": list(self.evidences),
            "weights": self.weights.tolist(),
            # JSON knows no infinity.
            "shrinkage": [None if np.isinf(each) else each for each in self.shrinkage.tolist()],
            "shares": self.shares.tolist(),
        }

    def weights_of(
        self, features: Features, situation: Situation, validated: ndarray | None = None
    ) -> ndarray:
        """float32 [U, K], the weights for each of the users, see `score`."""
        groups = groups_of(situation, liked_above(features))
        if validated is None or self.held_out is None:
            return self.weights[groups].astype(np.float32)
        fold = self.held_out.fold[groups, np.minimum(validated, self.held_out.fold.shape[1] - 1)]
        return self.held_out.weights[fold, groups].astype(np.float32)

    def score(
        self, features: Features, situation: Situation, validated: ndarray | None = None
    ) -> ndarray:
        """Scores by which products are ordered, float32 [U, P], the history included. `validated`:
        int64 [U], places of users of the validation, to be ranked with weights from others."""
        weights = self.weights_of(features, situation, validated)
        scores = np.zeros(situation.network.shape, dtype=np.float32)
        for column, feature in enumerate(features):
            weight = weights[:, column]
            if not weight.any():
                continue
            values = feature.values(situation)
            if scipy.sparse.issparse(values):
                user = np.repeat(np.arange(len(scores)), np.diff(values.indptr))
                # No pair stands twice in a row of a product of sparse matrices.
                scores[user, values.indices] += weight[user] * values.data
            else:
                scores += weight[:, None] * values
        return scores

    def contributions(self, features: Features, situation: Situation, rows: ndarray) -> ndarray:
        """What each feature adds to the scores of products, `rows` int64 [m], for one user. Returns
        float32 [K, m]; the sum of a column is the product's score."""
        (weights,) = self.weights_of(features, situation)
        found = np.zeros((len(features), len(rows)), dtype=np.float32)
        for row, weight, feature in zip(found, weights, features, strict=True):
            if weight:
                values = feature.values(situation)[:, rows]
                dense = values.toarray() if scipy.sparse.issparse(values) else values
                row[:] = weight * dense[0]
        return found

    def by_evidence(self, contributions: ndarray) -> dict[str, float]:
        """The contributions of features to one product, float [K], added up by evidence."""
        sums = dict.fromkeys(self.evidences, 0.0)
        for evidence, value in zip(self.evidences, contributions.tolist(), strict=True):
            sums[evidence] += value
        return sums

    def reversed_evidences(self, features: Features, situation: Situation) -> frozenset[str]:
        """Evidences with a negative weight for one user: less of them adds to the score."""
        (weights,) = self.weights_of(features, situation)
        return frozenset(e for e, each in zip(self.evidences, weights, strict=True) if each < 0)

    def decides(self, group: int) -> dict[str, float]:
        """How much each evidence decides for a group of users, the most first; adds up to 1."""
        return dict(sorted(self.by_evidence(self.shares[group]).items(), key=lambda item: -item[1]))


def groups_of(situation: Situation, liked_above: float) -> ndarray:
    """int64 [U], the place of each user in `GROUPS`. Reviews with `liked_above` stars or fewer do
    not count: who liked nothing so far is not answered by what others reviewed beside it."""
    disliked = (situation.rating > 0) & (situation.rating <= liked_above)
    liked = np.append(0, np.cumsum(~disliked))
    lengths = np.diff(liked[situation.user_ptr])
    return np.where(situation.wished, _WISHING + np.minimum(lengths, 1), np.minimum(lengths, MANY))


class Questions(NamedTuple):
    """T choices of products by users of one group. `situation` and `seen` give, for some of the
    users, int64 [n] ascending, their situation and what is not recommended to them, bool [n, P];
    `user`, `product`: int64 [T]; `liked`: bool [T], also without a rating."""

    situation: Callable[[ndarray], Situation]
    seen: Callable[[ndarray], ndarray]
    user: ndarray
    product: ndarray
    liked: ndarray


@settings_of("combiner")
class CombinerFit:
    """Fits the weights to the targets of the validation; ``config/combiner`` explains the settings.

    The path goes from the leading feature alone, through the network's beside it, to all features,
    scaled to a standard deviation of 1, at ever weaker shrinkage. What cross-validation over the
    users of the validation cannot tell from the best, because its mean NDCG@k is within
    `standard_errors` of the paired difference, is averaged: a choice among equals would be luck,
    and as far as the leading feature alone is among them the others count less. The network,
    learned from all training reviews, is no guess of a few targets. Last, liking counts for more:
    the mean of what puts fewer disliked targets into the lists of others and costs them, by one
    standard error, neither of all targets nor of those that are liked. Where users times products
    are too many, each user chooses among some: what any feature puts among the best."""

    liked_only: bool
    liking_factors: list[Positive]
    strengths: list[Positive]
    standard_errors: NotNegative
    folds: PositiveCount
    k: PositiveCount
    max_cells: PositiveCount
    candidates: PositiveCount
    batches: PositiveCount
    min_targets: PositiveCount
    seed: Count

    def draw_users(self, users: ndarray, most: int) -> ndarray:
        """Some of the users, int64, ascending, if they are too many."""
        if len(users) <= most:
            return users
        return np.sort(np.random.default_rng(self.seed).choice(users, most, replace=False))

    def fit(self, features: Features, groups: Sequence[Questions], num_products: int) -> Combiner:
        """Learns weights; features are of the training reviews, groups one for each of `GROUPS`."""
        prior = Combiner.prior(features)
        weights, shrinkage, shares = prior.weights, prior.shrinkage, prior.shares
        num_users = 1 + max(int(each.user.max(initial=-1)) for each in groups)
        fold = np.full((len(GROUPS), num_users + 1), -1)
        held_out = np.tile(prior.weights, (self.folds + 1, 1, 1))
        for group, questions in enumerate(groups):
            found = self._fit_group(features, questions, group, num_products)
            if found is None:
                continue
            weights[group], shrinkage[group] = found.weights, found.shrinkage
            shares[group], fold[group, found.users] = found.shares, found.fold
            held_out[:-1, group] = found.held_out
        held_out[-1] = weights
        for each in (weights, *held_out):
            _break_ties(each, features)
        return replace(prior, held_out=HeldOut(fold, held_out))

    def gains(self, features: Features, questions: Questions, num_products: int) -> ndarray:
        """How well weights that are fitted to some users with several reviews rank the choices of
        the others: NDCG@k of each choice, alone in its list, float64 [T]; nothing for too few."""
        found = self._fit_group(features, questions, MANY, num_products)
        return np.empty(0) if found is None else found.gains

    def _choices(
        self, features: Features, questions: Questions, num_products: int
    ) -> tuple[ndarray, ...] | None:
        """Who chooses what, and from what; None for too few. The users, int64 [U]; of each choice
        its user, counted in these, its place among W listed products, -1 for none, int64 [T], and
        whether weights are fitted to it, bool [T]; the features of the listed products, float32
        [U, K, W], and which of these are out of choice, bool [U, W]."""
        user, product, liked = questions.user, questions.product, questions.liked
        if not self.liked_only or not liked.any():
            liked = np.ones_like(liked)
        users, width = np.unique(user), num_products
        at_once = max(self.max_cells // num_products, 1)
        if len(users) > at_once:
            width = min(self.candidates, num_products)
            users = self.draw_users(users, min(self.max_cells // width, self.batches * at_once))
        some = np.isin(user, users)
        user, product, liked = np.searchsorted(users, user[some]), product[some], liked[some]
        if liked.sum() < self.min_targets:
            return None
        parts = []
        for start in range(0, len(users), at_once):
            asked = users[start : start + at_once]
            values = dense_features(features, questions.situation(asked), num_products)
            out = questions.seen(asked)
            mine = (user >= start) & (user < start + at_once)
            out[user[mine] - start, product[mine]] = False  # somebody may choose again
            listed = _best_of_any(values, out, width)
            values = np.take_along_axis(values, listed[:, None], axis=2)  # the others are too many
            parts.append((listed, values, np.take_along_axis(out, listed, axis=1)))
        listed, values, out = map(np.concatenate, zip(*parts, strict=True))
        found = listed[user] == product[:, None]
        place = np.where(found.any(axis=1), found.argmax(axis=1), -1)
        is_enough = (liked & (place >= 0)).sum() >= self.min_targets
        return (users, user, place, liked, values, out) if is_enough else None

    def _fit_group(
        self, features: Features, questions: Questions, group: int, num_products: int
    ) -> "_Group | None":
        if (choices := self._choices(features, questions, num_products)) is None:
            return None
        users, user, place, liked, values, out = choices
        del choices  # or the features would be in memory twice, as they are and scaled

        spread = values.std(axis=2).mean(axis=0)
        deviation = values.std(axis=(0, 2), dtype=np.float64)
        leading = _leading(features)[group]
        varying = np.flatnonzero((deviation > _TINY) | (np.arange(len(features)) == leading))
        scale = np.where(deviation > _TINY, deviation, 1.0)[varying]
        values = values[:, varying] / scale[:, None].astype(np.float32)
        choice = _Choice(values, out, user, place)

        fold = np.random.default_rng(self.seed).permutation(len(users)) % self.folds
        bounds, strengths = [varying == leading], sorted(self.strengths, reverse=True)
        network = np.array([features[number].evidence == "network" for number in varying])
        # To whoever has reviewed something the network has learned to answer, too.
        if group in (_ONE, MANY) and network.any():
            bounds.append(bounds[0] | network)
        shown = liked & (place >= 0)
        path = choice.path(bounds, strengths, shown)
        penalties = [np.inf] * len(bounds) + strengths
        gains = np.zeros((len(penalties), len(user)))
        held_out = np.zeros((len(penalties), self.folds, len(varying)))
        for number in range(self.folds):
            inside = fold[user] == number
            for step, weight in enumerate(choice.refits(path, shown & ~inside)):
                gains[step, inside] = choice.gains(weight, self.k)[inside]
                held_out[step, number] = weight
        weights, gains = np.array([found.numpy() for found, *_ in path]), gains[:, liked]
        behind = gains[gains.mean(axis=1).argmax()] - gains
        error = behind.std(axis=1) / np.sqrt(gains.shape[1])
        near = behind.mean(axis=1) <= self.standard_errors * error
        weights, held_out = weights[near].mean(axis=0), held_out[near].mean(axis=0)

        def judge(factor: float) -> ndarray:
            """Gains of all choices, by weights of others, if liking counts so many times."""
            more = [choice.gains(weight * factor**liking, self.k) for weight in held_out]
            return np.stack(more)[fold[user], np.arange(len(user))]

        liking = np.array([features[number].evidence == "liking" for number in varying])
        factor, gains = self._liking_factor(judge, liked)
        weights, held_out = weights * factor**liking, held_out * factor**liking

        def of_all(found: ndarray) -> ndarray:
            every = np.zeros((*found.shape[:-1], len(features)))
            every[..., varying] = found
            return every

        moved = np.abs(weights) * spread[varying] / scale
        shares = of_all(moved / max(moved.sum(), np.finfo(np.float64).tiny))
        learned = of_all(weights / scale), of_all(held_out / scale)
        return _Group(users, fold, *learned, penalties[int(near.argmax())], shares, gains[liked])

    def _liking_factor(self, judge: Callable, liked: ndarray) -> tuple[float, ndarray]:
        before, factors = judge(1.0), [1.0]
        for factor in self.liking_factors if not liked.all() else ():
            behind = before - judge(factor)
            parts = behind, behind[liked]
            is_harmless = all(each.mean() <= each.std() / np.sqrt(len(each)) for each in parts)
            if is_harmless and behind[~liked].sum() > 0:
                factors.append(factor)
        factor = float(np.mean(factors))
        return factor, judge(factor) if len(factors) > 1 else before


class _Group(NamedTuple):
    """What is found for a group of users: U of them, T choices; see `Combiner`, `HeldOut`."""

    users: ndarray
    fold: ndarray
    weights: ndarray
    held_out: ndarray
    shrinkage: float
    shares: ndarray
    gains: ndarray


class _Choice:
    """Likelihood and lists of the weights of features when users chose products. `values`: float32
    [U, K, P]; `out` of choice: bool [U, P]; `user`, `product`: int64 [T], -1: none of these."""

    def __init__(self, values: ndarray, out: ndarray, user: ndarray, product: ndarray) -> None:
        import torch  # here: what is fitted serves without it

        self._torch = torch
        self._values = torch.from_numpy(values)
        self._offset = torch.from_numpy(np.where(out, np.float32(-np.inf), np.float32(0)))
        self._user, self._product = torch.from_numpy(user), torch.from_numpy(product)
        self._is_listed = product >= 0
        self._chosen = torch.from_numpy(values[user, :, product]).double()  # [T, K]

    def path(
        self, bounds: Sequence[ndarray], strengths: Sequence[float], shown: ndarray
    ) -> list[tuple[Any, Any, Any]]:
        """Fits to some choices, bool [T], from few numbers to many: the features of each bound,
        bool [K], the leading one first and alone, then all at each strength of the ridge. Returns
        of each fit its weights, float64 [K], and with what they were found, see `_newton`."""
        torch = self._torch
        weights = torch.zeros(self._values.shape[1], dtype=torch.float64)
        alone, *others = map(torch.from_numpy, bounds)
        weights[alone] = 1.0
        every = torch.ones_like(alone)
        steps = [(bound, 0.0) for bound in (alone, *others)] + [(every, each) for each in strengths]
        those, path = torch.from_numpy(shown), []
        for free, strength in steps:
            ridge = torch.where(alone, _TINY, strength).double()
            weights = self._newton(those, weights, free, ridge, _MOST_STEPS)
            path.append((weights, free, ridge))
        return path

    def refits(self, path: Sequence[tuple], shown: ndarray) -> Iterator[ndarray]:
        """The weights of a path, float64 [K] each, if only some choices, bool [T], are known. One
        step of Newton's method from the fit to all choices is enough (Cook & Weisberg, "Residuals
        and Influence in Regression", 1982)."""
        for fitted in path:
            yield self._newton(self._torch.from_numpy(shown), *fitted, _STEPS_OF_REFIT).numpy()

    def gains(self, weights: ndarray, k: int) -> ndarray:
        """NDCG@k of each choice as the only one of its list, float64 [T]; equals by expectation."""
        from rec_sys.modules.metrics import TargetPositions, discounted_gain  # with PyTorch

        scores = self._scores(self._torch.from_numpy(weights))
        gains = discounted_gain(TargetPositions.of(scores, self._user, self._product), k)
        return np.where(self._is_listed, gains, 0.0)

    def _scores(self, weights: Any) -> Any:
        return self._torch.matmul(weights.float(), self._values) + self._offset

    def _newton(self, shown: Any, weights: Any, free: Any, ridge: Any, most_steps: int) -> Any:
        """Minimises the mean negative log-likelihood plus ``ridge / 2 weights ** 2``, from some
        `weights` on, of which those that are `free`, bool [K], may change: float64 tensors [K]."""
        torch = self._torch
        user = self._user[shown]
        count = torch.bincount(user, minlength=len(self._offset)).float() / len(user)
        wanted = self._chosen[shown].mean(0)

        def loss(weights: Any) -> tuple[float, Any, Any]:
            scores = self._scores(weights)
            partition = torch.logsumexp(scores, dim=1)
            value = (count * partition).sum().double() - weights @ wanted
            return float(value + (ridge * weights**2).sum() / 2), scores, partition

        value, scores, partition = loss(weights)
        for _ in range(most_steps):
            chance = torch.exp(scores - partition[:, None])
            mean = torch.bmm(self._values, chance[:, :, None])[:, :, 0]  # [U, K]
            gradient = (count @ mean).double() - wanted + ridge * weights
            spread = torch.bmm(
                self._values * (chance * count[:, None])[:, None], self._values.transpose(1, 2)
            ).sum(0)
            curvature = (spread - (mean * count[:, None]).T @ mean).double()
            curvature += torch.diag(ridge + _TINY)
            step = torch.zeros_like(weights)
            step[free] = torch.linalg.solve(curvature[free][:, free], gradient[free])
            slope, length = float(gradient @ step), 1.0
            while True:
                nearer = loss(weights - length * step)
                if nearer[0] <= value - _SUFFICIENT * length * slope or length < _SHORTEST_STEP:
                    break
                length /= 2
            gain = value - nearer[0]
            if gain > 0:
                weights = weights - length * step
                value, scores, partition = nearer
            if gain < _TOLERANCE:
                break
        return weights


_TINY = 1e-6
_MOST_WEIGHT = 1e6  # far above any that is learned; scores stay numbers
# What no review of the user leads to would come in the order of the rows otherwise.
_TIE_BREAK = 1e-4
_LEADING = ("popularity", "co-reviewing", "match")
_MOST_STEPS = 20
_STEPS_OF_REFIT = 1
_SHORTEST_STEP = 1e-4
_SUFFICIENT = 1e-4  # of the decrease that the slope promises (Armijo, 1966)
_TOLERANCE = 1e-5  # of the mean log-likelihood; NDCG does not see less


def _best_of_any(values: ndarray, out: ndarray, width: int) -> ndarray:
    """The products that any feature puts among the best of a user, int64 [U, width], ascending.
    `values`: float32 [U, K, P]; `out`, not among them: bool [U, P]. What is behind in all features
    is behind in their sum, so that nearly all places in its list are theirs. By the independence of
    irrelevant alternatives a logit has the same weights among them as among all products."""
    users, _, products = values.shape
    if width == products:
        return np.tile(np.arange(products), (users, 1))
    varying = np.flatnonzero(values.std(axis=2).any(axis=0))
    each = max(width // max(len(varying), 1), 1)
    is_best = np.zeros((users, products), dtype=bool)
    for column in varying:
        behind = np.where(out, np.inf, -values[:, column])
        np.put_along_axis(is_best, behind.argpartition(each, axis=1)[:, :each], True, axis=1)
    # What several put forward leaves room for others.
    return np.sort(np.argsort(~is_best, axis=1, kind="stable")[:, :width], axis=1)


def dense_features(features: Features, situation: Situation, num_products: int) -> ndarray:
    """All features, float32 [U, K, P]."""
    values = np.empty((situation.num_users, len(features), num_products), dtype=np.float32)
    for column, feature in enumerate(features):
        found = feature.values(situation)
        values[:, column] = found.toarray() if scipy.sparse.issparse(found) else found
    return values


def require_leading(evidences: Sequence[str]) -> None:
    """Raises InputError if an evidence is missing that the others are shrunk towards."""
    for name in _LEADING:
        if name not in evidences:
            raise InputError(f"evidence: {name} is needed, the others are shrunk towards it")


def _break_ties(weights: ndarray, features: Features) -> None:
    """Gives popularity, float64 [5, K], the last word where it would have none."""
    column = weights[:, _leading(features)[0]]
    column[column == 0] = _TIE_BREAK


def _leading(features: Features) -> list[int]:
    """For each group the feature that is not shrunk; raises as `require_leading`."""
    evidences = [each.evidence for each in features]
    require_leading(evidences)
    popular, reviewed, match = map(evidences.index, _LEADING)
    return [popular, reviewed, reviewed, match, match]

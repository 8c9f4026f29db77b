"""How well a model ranks: all products, several targets, ties exact, groups of people."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rec_sys.evaluation.protocol import RankingModel, Reviews, only_users
from rec_sys.foundation.errors import InputError
from rec_sys.modules import metrics as expected_gains
from rec_sys.modules.metrics import TargetPositions
from rec_sys.reviews.twins import twin_groups


def top_lists(scores: np.ndarray, k: int) -> np.ndarray:
    """The k best products of each person.

    Args:
        scores: float32 [n, P]; -inf is never shown.
        k: Length of the lists.

    Returns:
        int64 [n, k], best first; -1 where there are not so many. Of equal scores, the product with
        the lower index comes first: only for these lists does the numbering of products matter.
    """
    import torch

    length = min(k, scores.shape[1])
    # Only the value of the last place, because PyTorch takes any of equal scores. NumPy's partition
    # needs 30 times as long (1 ms a person) where most of 10,000 scores are 0.
    best = torch.topk(
        torch.from_numpy(np.ascontiguousarray(scores)), length, dim=1, sorted=False
    ).values
    edge = best.amin(dim=1, keepdim=True).numpy()
    shown = scores >= edge
    # Where the edge cuts through equal scores, those with a higher index do not fit in.
    crowded = np.flatnonzero(shown.sum(axis=1) > length)
    tied = scores[crowded] == edge[crowded]
    places = length - (shown[crowded].sum(axis=1) - tied.sum(axis=1))
    shown[crowded] &= ~tied | (np.cumsum(tied, axis=1, dtype=np.int32) <= places[:, None])

    candidates = np.nonzero(shown)[1].reshape(len(scores), length)
    values = np.take_along_axis(scores, candidates, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    best = np.take_along_axis(candidates, order, axis=1)
    best[np.isneginf(np.take_along_axis(values, order, axis=1))] = -1
    return np.pad(best, ((0, 0), (0, k - length)), constant_values=-1)


def exposure(scores: np.ndarray, lists: np.ndarray, k: int) -> np.ndarray:
    """How many people are shown each product, on average over the order of equal scores.

    Args:
        scores: float32 [n, P]; -inf is never shown.
        lists: int64 [n, k or more], of `top_lists`.
        k: Length of the lists that are shown.

    Returns:
        float64 [P]; sums up to n * min(k, P) if nothing is hidden.
    """
    length = min(k, scores.shape[1])
    last = lists[:, length - 1]
    edge = scores[np.arange(len(scores)), last][:, None]
    crowded = (last >= 0) & ((scores >= edge).sum(axis=1) > length)
    listed = lists[~crowded, :length]
    shown = np.bincount(listed[listed >= 0], minlength=scores.shape[1]).astype(np.float64)
    rest, edge = scores[crowded], edge[crowded]
    above, tied = rest > edge, rest == edge
    chance = (length - above.sum(axis=1)) / tied.sum(axis=1)
    return shown + above.sum(axis=0) + chance @ tied


def beyond_accuracy(exposure: np.ndarray, popularity: np.ndarray) -> dict[str, float]:
    """How recommendations spread over the products.

    Args:
        exposure: float64 [P], how many people are shown each product.
        popularity: float [P], training reviews per product.

    Returns:
        "coverage": share of the products that are shown to anyone, 0...1; "gini": inequality of the
        exposure, 0 (all alike) ... 1 - 1/P (always the same); "mean_popularity": training reviews
        of a recommended product, on average.
    """
    total = exposure.sum()
    return {
        "coverage": float((exposure > 0).mean()),
        "gini": _gini(exposure),
        "mean_popularity": float(exposure @ popularity / total),
    }


def _gini(values: np.ndarray) -> float:
    """Mean absolute difference over twice the mean, from the sorted values."""
    size = len(values)
    weights = 2 * np.arange(1, size + 1) - size - 1
    return float(weights @ np.sort(values) / (size * values.sum()))


def twins_in_history(
    reviews: Reviews, histories: Reviews, targets: Reviews, min_jaccard: float
) -> np.ndarray:
    """Marks the targets of which the person's own history has a twin.

    Args:
        reviews: What twins are told by. Take all reviews for this: twins are often the last two
            reviews of a person, which no training review shows. No model sees the result.
        histories: Of U people.
        targets: Of the same people.
        min_jaccard: See `rec_sys.reviews.twins.collapse_twins`.

    Returns:
        bool [T].

    Raises:
        InputError: `min_jaccard` is not above 0 and at most 1.
    """
    if not 0 < min_jaccard <= 1:
        raise InputError(f"min_jaccard={min_jaccard}: must be above 0 and at most 1")
    if not len(reviews.product):
        return np.zeros(len(targets.product), dtype=bool)
    known = twin_groups(reviews.user, reviews.product, min_jaccard)
    # Products without a review are nobody's twins.
    size = max(r.product.max(initial=-1) for r in (reviews, histories, targets)) + 1
    group = np.arange(len(known), len(known) + size)
    group[: len(known)] = known
    num_groups = len(known) + size
    seen = histories.user * num_groups + group[histories.product]
    related = np.isin(targets.user * num_groups + group[targets.product], seen)
    same = np.isin(targets.user * size + targets.product, histories.user * size + histories.product)
    return related & ~same


def by_history_length(histories: Reviews, starts: Sequence[int]) -> dict[str, np.ndarray]:
    """Groups people by how much is known of them.

    Args:
        histories: Of U people.
        starts: Shortest history of each group, ascending, the first one 0; [0, 1, 5] makes the
            groups "0", "1-4" and "5+".

    Returns:
        Group to bool [U]; everyone is in one group.

    Raises:
        InputError: `starts` does not begin with 0 or does not ascend.
    """
    if not len(starts) or starts[0] != 0 or (np.diff(starts) <= 0).any():
        raise InputError(f"history lengths {list(starts)}: must begin with 0 and ascend")
    group = np.searchsorted(starts, np.diff(histories.user_ptr), side="right") - 1
    names = [
        f"{start}" if stop == start + 1 else f"{start}-{stop - 1}"
        for start, stop in zip(starts, starts[1:], strict=False)
    ]
    return {name: group == i for i, name in enumerate([*names, f"{starts[-1]}+"])}


def head_products(popularity: np.ndarray, share: float) -> np.ndarray:
    """The most popular products that together have `share` of the training reviews.

    Args:
        popularity: float [P], training reviews per product.
        share: 0.5 for the fewest products that have half of the reviews. Products as popular as
            the least popular of these belong to them too, whatever their numbers.

    Returns:
        bool [P]; the others are the tail.

    Raises:
        InputError: The share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise InputError(f"head share {share}: must be between 0 and 1")
    falling = np.sort(popularity)[::-1].astype(np.float64)
    last = np.searchsorted(np.cumsum(falling), share * falling.sum())
    return popularity >= falling[last]


@dataclass(frozen=True)
class RankingResult:
    """One model's rankings of P products for the n people who have a target.

    Metrics are named "recall@k", "hr@k", "ndcg@k" for each k, and "mrr"; `expected_gains` defines
    them. Those of a single target are what they would be were it the person's only one, while the
    others stay in the ranking; there, recall is the same as HR and left out.

    Attributes:
        users: int64 [n], ascending, counted as in the histories.
        per_user: Metric to float64 [n].
        per_target: Metric to float64 [T], in the order of the targets.
        top: int64 [n, largest k], see `top_lists`.
        exposure: k to float64 [P], see `rec_sys.evaluation.ranking.exposure`.
    """

    users: np.ndarray
    per_user: dict[str, np.ndarray]
    per_target: dict[str, np.ndarray]
    top: np.ndarray
    exposure: dict[int, np.ndarray]

    def means(self) -> dict[str, float]:
        """Each metric's mean over the users."""
        return {name: float(values.mean()) for name, values in self.per_user.items()}


def evaluate_ranking(
    model: RankingModel,
    histories: Reviews,
    targets: Reviews,
    ks: Sequence[int],
    mask_history: bool,
    block_size: int,
) -> RankingResult:
    """Ranks all products for everyone who has a target.

    Args:
        model: A fitted model.
        histories: What the model sees of each person.
        targets: What comes next, of the same people; each product once per person.
        ks: Lengths of the lists that are looked at.
        mask_history: Leaves the products of a person's history out of the ranking, except targets.
        block_size: People scored at once; about 5 * 4 * P bytes each. It changes no result.

    Raises:
        InputError: A length or the block size is not positive, or nobody has a target.
        ValueError: The people do not match, a target is there twice, or the model breaks its
            contract.
    """
    ks = sorted(set(ks))
    if not ks or ks[0] < 1 or block_size < 1:
        raise InputError(f"ks={ks}, block_size={block_size}: must be positive")
    if histories.num_users != targets.num_users:
        raise ValueError("histories and targets are not of the same people")
    users = np.unique(targets.user)
    if not len(users):
        raise InputError("nobody has a review to predict; there is nothing to measure")
    histories, targets = only_users(histories, users), only_users(targets, users)
    above, tied, lists, shown = [], [], [], dict.fromkeys(ks, 0)
    for start in range(0, len(users), block_size):
        block = np.arange(start, min(start + block_size, len(users)))
        history, target = only_users(histories, block), only_users(targets, block)
        scores = _scores(model, history, target, mask_history)
        counts = _counts(scores, target, block_size)
        above.append(counts[0])
        tied.append(counts[1])
        lists.append(top_lists(scores, ks[-1]))
        for k in ks:
            shown[k] = shown[k] + exposure(scores, lists[-1], k)
    positions = TargetPositions(
        targets.user, np.concatenate(above), np.concatenate(tied), len(users)
    )
    return RankingResult(
        users=users,
        per_user=_per_user(positions, ks),
        per_target=_per_target(positions, ks),
        top=np.concatenate(lists),
        exposure=shown,
    )


def _scores(
    model: RankingModel, history: Reviews, target: Reviews, mask_history: bool
) -> np.ndarray:
    """The model's scores, float32 [B, P], -inf where a product takes no part."""
    scores = model.score(history)
    if scores.ndim != 2 or len(scores) != history.num_users or scores.dtype != np.float32:
        raise ValueError(f"{model.name}: scores must be float32 [users, products]")
    if not np.isfinite(scores).all():
        raise ValueError(f"{model.name}: a score is not finite")
    pairs = target.user * scores.shape[1] + target.product
    if len(np.unique(pairs)) != len(pairs):
        raise ValueError("a product is twice among the targets of a person")
    if mask_history:
        kept = scores[target.user, target.product]
        scores = scores.copy()  # a model may hand out what it keeps
        scores[history.user, history.product] = -np.inf
        scores[target.user, target.product] = kept
    return scores


def _counts(scores: np.ndarray, target: Reviews, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Products above and products tied with each target, int64 [T], `size` targets at once."""
    value = scores[target.user, target.product]
    above, tied = np.empty((2, len(value)), dtype=np.int64)
    for start in range(0, len(value), size):
        part = slice(start, start + size)
        others = scores[target.user[part]]
        above[part] = (others > value[part, None]).sum(axis=1)
        tied[part] = (others == value[part, None]).sum(axis=1)
    return above, tied


def _per_user(positions: TargetPositions, ks: Sequence[int]) -> dict[str, np.ndarray]:
    metrics = {}
    for k in ks:
        metrics[f"recall@{k}"] = expected_gains.recall(positions, k)
        metrics[f"hr@{k}"] = expected_gains.hit_rate(positions, k)
        metrics[f"ndcg@{k}"] = expected_gains.ndcg(positions, k)
    return {**metrics, "mrr": expected_gains.reciprocal_rank(positions)}


def _per_target(positions: TargetPositions, ks: Sequence[int]) -> dict[str, np.ndarray]:
    metrics = {}
    for k in ks:
        metrics[f"hr@{k}"] = expected_gains.hit_chance(positions, k)
        metrics[f"ndcg@{k}"] = expected_gains.discounted_gain(positions, k)
    return {**metrics, "mrr": expected_gains.reciprocal_position(positions)}

"""How well a model ranks: all products, several targets, equal scores counted fairly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rec_sys.evaluation import expected_gains
from rec_sys.evaluation.expected_gains import TargetPositions
from rec_sys.evaluation.interface import RankingModel, Reviews
from rec_sys.evaluation.top_lists import exposure, top_lists
from rec_sys.evaluation.user_blocks import only_users
from rec_sys.foundation.errors import InputError


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
        exposure: k to float64 [P], see `rec_sys.evaluation.top_lists.exposure`.
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

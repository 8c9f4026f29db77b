import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.modules.ranking_share import K, ShareSearch


def naive_ndcg(scores, seen, targets):
    """NDCG@K of one user: a score gains the mean over the ranks that its equals share."""
    scores = [-math.inf if row in seen else score for row, score in enumerate(scores)]
    gain = 0.0
    for target in targets:
        above = sum(other > scores[target] for other in scores)
        equal = sum(other == scores[target] for other in scores)
        ranks = range(above, above + equal)
        gain += sum(1 / math.log2(rank + 2) for rank in ranks if rank < K) / equal
    return gain / sum(1 / math.log2(rank + 2) for rank in range(min(K, len(targets))))


def one_hot(rows, width):
    """Scores that put one product first for each person, 0 for none."""
    scores = torch.zeros(len(rows), width)
    for user, row in enumerate(rows):
        if row is not None:
            scores[user, row] = 1.0
    return scores


NOTHING = torch.empty(2, 0, dtype=torch.int64)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 999), batches=st.integers(1, 3))
def test_ndcg_equals_a_naive_loop(seed, batches):
    """Small whole scores: many are equal. The single share is always the chosen one."""
    rng = np.random.default_rng(seed)
    search, naive = ShareSearch([0.5]), []
    for _ in range(batches):
        users, products = rng.integers(1, 6), rng.integers(1, 30)
        network, graph = (rng.integers(0, 4, (users, products)) for _ in range(2))
        kind = rng.integers(0, 3, (users, products))  # 0 seen, 1 target, 2 neither
        seen, target = np.argwhere(kind == 0), np.argwhere(kind == 1)
        search.update(
            torch.from_numpy(network).float(),
            torch.from_numpy(graph).float(),
            torch.from_numpy(seen.T),
            torch.from_numpy(target.T),
        )
        for user in range(users):
            targets = target[target[:, 0] == user, 1]
            if len(targets):
                scores = 0.5 * network[user] + graph[user]
                naive.append(naive_ndcg(scores, set(seen[seen[:, 0] == user, 1]), targets))
    share, ndcg = search.compute()
    assert share == 0.5
    assert ndcg == pytest.approx(np.mean(naive) if naive else math.nan, abs=1e-6, nan_ok=True)


def test_without_a_difference_the_smallest_share_is_taken():
    search = ShareSearch([0.4, 0.1, 0.2])
    target = torch.tensor([[0, 1], [0, 1]])
    search.update(one_hot([0, 1], 3), torch.zeros(2, 3), NOTHING, target)
    assert search.compute() == (0.1, pytest.approx(1.0))


def test_a_share_that_is_needed_is_taken():
    """The graph puts a wrong product first for everybody; only a large share outvotes it."""
    search = ShareSearch([0.5, 2.0, 4.0])
    target = torch.tensor([range(6), [1] * 6])
    search.update(one_hot([1] * 6, 3), one_hot([2] * 6, 3), NOTHING, target)
    share, ndcg = search.compute()
    assert (share, ndcg) == (2.0, pytest.approx(1.0))


@pytest.mark.parametrize(("helped", "hurt", "chosen"), [(3, 2, 0.5), (30, 2, 2.0)])
def test_what_luck_could_explain_is_no_reason(helped, hurt, chosen):
    """The larger share brings some of 100 people's product to the first place, others' away."""
    others = [1] * (100 - helped - hurt)
    network = one_hot([1] * helped + [2] * hurt + others, 3)
    graph = one_hot([2] * helped + [1] * hurt + others, 3)
    search = ShareSearch([0.5, 2.0])
    search.update(network, graph, NOTHING, torch.tensor([range(100), [1] * 100]))
    second_place = 1 - 1 / math.log2(3)
    gains = second_place * np.array([1] * helped + [-1] * hurt + [0] * len(others))
    assert (gains.mean() <= gains.std() / 10) == (chosen == 0.5)
    lost = second_place * (helped if chosen == 0.5 else hurt) / 100
    assert search.compute() == (chosen, pytest.approx(1 - lost))


def test_nobody_to_measure():
    search = ShareSearch([2.0, 1.0])
    search.update(torch.zeros(3, 4), torch.zeros(3, 4), NOTHING, NOTHING)
    share, ndcg = search.compute()
    assert share == 1.0 and math.isnan(ndcg)


@pytest.mark.parametrize("shares", [[], [0.0], [1.0, -1.0]])
def test_unusable_shares_are_named(shares):
    with pytest.raises(InputError, match="train.ranking_shares="):
        ShareSearch(shares)

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_sys.evaluation.scores import evaluate_ranking
from rec_sys.foundation.errors import InputError
from tests.helpers.reviews_of import queries_of, reviews_of


class Given:
    """Scores that were thought up, by the newest product of the history."""

    name = "given"

    def __init__(self, scores):
        self.scores = np.array(scores, dtype=np.float32)

    def score(self, histories, asked):
        return self.scores[histories.user_ids.astype(int)]


def run(scores, histories, targets, ks=(1, 2, 3), mask=True, block=2, liked=None):
    size = len(scores[0]) if len(scores) else 10
    parts = (reviews_of(each, num_products=size) for each in (histories, targets))
    return evaluate_ranking(Given(scores), queries_of(*parts), ks, mask, block, liked)


def naive(scores, hidden, targets, k):
    """All orders of equal scores, one after the other."""
    shown = [p for p in range(len(scores)) if p in targets or p not in hidden]
    groups = [
        [p for p in shown if scores[p] == value]
        for value in sorted({scores[p] for p in shown}, reverse=True)
    ]
    values, ideal = [], sum(1 / math.log2(i + 2) for i in range(min(k, len(targets))))
    for parts in itertools.product(*(itertools.permutations(group) for group in groups)):
        ranking = [p for part in parts for p in part]
        places = [ranking.index(t) for t in targets]
        hits = [place for place in places if place < k]
        gain = sum(1 / math.log2(place + 2) for place in hits)
        values.append(
            [len(hits) / len(targets), len(hits) > 0, gain / ideal, 1 / (min(places) + 1)]
        )
    return np.mean(values, axis=0)


PERSON = st.tuples(
    st.lists(st.integers(0, 2), min_size=5, max_size=5),
    st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True),
)


@settings(deadline=None)
@given(st.lists(PERSON, min_size=1, max_size=3), st.booleans(), st.integers(1, 6), st.data())
def test_liked_targets_are_told_from_disliked_ones(persons, mask, k, data):
    """The liked ones as if they were alone; the others stay where they are and are counted."""
    scores, histories, targets = zip(*persons, strict=True)
    number = sum(map(len, targets))
    liked = data.draw(st.lists(st.booleans(), min_size=number, max_size=number))
    result = run(scores, histories, targets, [k], mask, 2, np.array(liked))
    said, expected, disliked = iter(liked), [], 0.0
    for score, history, target in zip(scores, histories, targets, strict=True):
        kinds = [next(said) for _ in target]
        hidden = [p for p in history if mask and p not in target]
        good = [t for t, kind in zip(target, kinds, strict=True) if kind]
        expected.append(naive(score, hidden, good, k)[2] if good else np.nan)
        bad = [t for t, kind in zip(target, kinds, strict=True) if not kind]
        disliked += len(bad) * naive(score, hidden, bad, k)[0] if bad else 0
    name = f"ndcg_liked@{k}"
    np.testing.assert_allclose(result.per_user[name], expected, atol=1e-12)
    assert result.disliked(k) == pytest.approx(disliked)
    assert (name in result.means()) == any(liked)
    if any(liked):
        assert result.means()[name] == pytest.approx(np.nanmean(expected))
    assert result.liked.tolist() == liked


@settings(deadline=None)
@given(st.lists(PERSON, min_size=1, max_size=3), st.booleans(), st.integers(1, 6))
def test_metrics_are_means_over_all_orders_of_ties(persons, mask, k):
    scores, histories, targets = zip(*persons, strict=True)
    result = run(scores, histories, targets, [k], mask, block=2)
    expected = [
        naive(s, h if mask else [], t, k)
        for s, h, t in zip(scores, histories, targets, strict=True)
    ]
    names = (f"recall@{k}", f"hr@{k}", f"ndcg@{k}", "mrr")
    found = np.stack([result.per_user[name] for name in names], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_known_answers():
    """Targets at positions 2 and 3 of four products, one product masked."""
    result = run([[9, 4, 3, 2, 1]], [[0]], [[2, 3]], [1, 2, 10])
    values = {name: float(v[0]) for name, v in result.per_user.items()}
    liked = {
        name: values.pop(name.replace("@", "_liked@")) for name in list(values) if "ndcg@" in name
    }
    assert all(values[name] == value for name, value in liked.items())  # nobody said anything else
    gains = [1 / math.log2(3), 1 / math.log2(4)]
    ideal = 1 + 1 / math.log2(3)
    assert values == pytest.approx(
        {"recall@1": 0, "hr@1": 0, "ndcg@1": 0, "mrr": 1 / 2}
        | {"recall@2": 1 / 2, "hr@2": 1, "ndcg@2": gains[0] / ideal}
        | {"recall@10": 1, "hr@10": 1, "ndcg@10": sum(gains) / ideal}
    )
    assert result.per_target["ndcg@2"].tolist() == pytest.approx([gains[0], 0])
    assert result.per_target["mrr"].tolist() == pytest.approx([1 / 2, 1 / 3])


def test_equal_scores_give_what_chance_gives():
    size, k = 1000, 10
    result = run(np.zeros((2, size)), [[0], [1]], [[5], [6, 7, 8]], [k], mask=False)
    assert result.per_user["recall@10"] == pytest.approx([k / size] * 2)
    none = math.comb(size - 3, k) / math.comb(size, k)
    assert result.per_user["hr@10"] == pytest.approx([k / size, 1 - none])
    harmonic = sum(1 / i for i in range(1, size + 1))
    assert result.per_user["mrr"][0] == pytest.approx(harmonic / size)
    assert result.exposure[k] == pytest.approx(np.full(size, 2 * k / size))


@pytest.fixture
def drawn():
    """40 people, 30 products, many ties: scores, histories, targets."""
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (40, 30)).astype(np.float32)
    histories = [rng.choice(30, rng.integers(1, 6), replace=False).tolist() for _ in range(40)]
    targets = [rng.choice(30, rng.integers(0, 4), replace=False).tolist() for _ in range(40)]
    return scores, histories, targets


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_the_block_size_changes_nothing(drawn, block):
    one, other = run(*drawn, block=3), run(*drawn, block=block)
    for name in one.per_user:
        np.testing.assert_array_equal(one.per_user[name], other.per_user[name], err_msg=name)
    for name in one.per_target:
        np.testing.assert_array_equal(one.per_target[name], other.per_target[name], err_msg=name)
    for k in one.exposure:
        np.testing.assert_allclose(one.exposure[k], other.exposure[k])


@pytest.mark.parametrize("mask", [True, False])
def test_the_numbering_of_products_changes_nothing(drawn, mask):
    scores, histories, targets = drawn
    new = np.random.default_rng(1).permutation(30)
    renumbered = np.empty_like(scores)
    renumbered[:, new] = scores
    one = run(scores, histories, targets, mask=mask)
    other = run(
        renumbered,
        [new[h].tolist() for h in histories],
        [new[t].tolist() if t else [] for t in targets],
        mask=mask,
    )
    for name in one.per_user:
        np.testing.assert_allclose(one.per_user[name], other.per_user[name], err_msg=name)
    for k in one.exposure:
        np.testing.assert_allclose(one.exposure[k], other.exposure[k][new])


def test_only_people_with_a_target_count_and_all_of_their_lists(drawn):
    scores, histories, targets = drawn
    result = run(*drawn)
    assert result.users.tolist() == [u for u, t in enumerate(targets) if t]
    assert len(result.per_target["mrr"]) == sum(map(len, targets))
    assert result.exposure[3].sum() == pytest.approx(3 * len(result.users))


def test_the_best_are_shown_equals_by_chance_and_never_what_is_hidden(drawn):
    for scores, history in zip(*drawn[:2], strict=True):
        free = [p for p in range(30) if p not in history]
        target = free[0]
        exposure = run([scores], [history], [[target]], (3, 40)).exposure
        assert exposure[40].tolist() == [float(p in free) for p in range(30)]
        last = sorted(scores[free], reverse=True)[2]
        places = 3 - (scores[free] > last).sum()
        chance = places / (scores[free] == last).sum()
        expected = [
            (p in free) * (float(scores[p] > last) + chance * (scores[p] == last))
            for p in range(30)
        ]
        assert exposure[3] == pytest.approx(expected)


def test_history_is_masked_only_on_request_and_never_a_target():
    scores = [[3, 2, 1]]
    assert run(scores, [[0]], [[1]], mask=True).per_user["hr@1"] == 1
    assert run(scores, [[0]], [[1]], mask=False).per_user["hr@1"] == 0
    assert run(scores, [[0]], [[0]], mask=True).per_user["hr@1"] == 1


def test_the_models_own_array_is_not_masked():
    model = Given([[3, 2, 1]])
    model.score = lambda histories, asked: model.scores
    evaluate_ranking(model, queries_of(reviews_of([[0]]), reviews_of([[1]])), [1], True, 1)
    assert model.scores.tolist() == [[3, 2, 1]]


def test_nothing_to_predict_is_refused():
    with pytest.raises(InputError, match="nobody"):
        run([[1, 2]], [[0]], [[]])


def test_a_model_that_breaks_its_contract_is_named():
    with pytest.raises(ValueError, match="given: a score is not finite"):
        run([[1, np.nan]], [[0]], [[1]])
    with pytest.raises(ValueError, match="twice"):
        run([[1, 2]], [[0]], [[1, 1]])

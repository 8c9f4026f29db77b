"""Weights of evidences: fitted to choices whose weights are known, shrunk where they are few."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.graph.task import NOW
from rec_sys.modules.combiner import GROUPS, Combiner, CombinerFit, Questions, groups_of
from rec_sys.modules.features import ProductFeature, Situation
from rec_sys.modules.match import Wishes
from rec_sys.text.words import count_words

PRODUCTS = 12
NAMES = ("co-reviewing", "order", "popularity", "match")


class Table:
    """A feature that is a table, float32 [U, P]."""

    def __init__(self, name: str, evidence: str, table: np.ndarray) -> None:
        self.name, self.evidence, self.table = name, evidence, table.astype(np.float32)

    def values(self, situation: Situation) -> np.ndarray:
        return self.table[situation.product[situation.user_ptr[:-1]]]


def situation(users: np.ndarray) -> Situation:
    """Users whose only review is of a product with their own number."""
    nothing = np.zeros((len(users), PRODUCTS), dtype=np.float32)
    return Situation(
        user_ptr=np.arange(len(users) + 1),
        product=users,
        rating=np.full(len(users), 5, dtype=np.float32),
        asked=np.full(len(users), NOW),
        network=nothing,
        predicted_rating=nothing,
    )


def settings(**changes) -> CombinerFit:
    values = {
        "liked_only": True,
        "liking_factors": [2.0, 4.0],
        "strengths": [1.0, 0.001],
        "standard_errors": 1.0,
        "folds": 4,
        "k": 10,
        "max_cells": 10**6,
        "candidates": 6,
        "batches": 100,
        "min_targets": 30,
        "seed": 0,
    }
    return CombinerFit(**values | changes)


def choices(true: np.ndarray, users: int = 3000, seed: int = 0):
    """Features of random tables, and products that users chose by a logit with these weights."""
    rng = np.random.default_rng(seed)
    tables = rng.normal(size=(len(NAMES), users, PRODUCTS))
    features = [Table(n, n, t) for n, t in zip(NAMES, tables, strict=True)]
    score = np.tensordot(true, tables, 1)
    product = (score + rng.gumbel(size=score.shape)).argmax(axis=1)
    return features, np.stack([np.arange(users), product])


def questions(target, liked=None, seen=None) -> Questions:
    if seen is None:
        seen = np.zeros((int(target[0].max()) + 1, PRODUCTS), dtype=bool)
    liked = np.ones(target.shape[1], dtype=bool) if liked is None else liked
    return Questions(situation, seen.__getitem__, *target, liked)


def fit(features, target, liked=None, seen=None, **changes) -> Combiner:
    groups = [questions(target, liked, seen)] * len(GROUPS)
    return settings(**changes).fit(features, groups, PRODUCTS)


def test_users_are_measured_with_weights_learned_without_them():
    features, target = choices(np.array([1.0, 2.0, -0.5, 0.0]), users=400)
    combiner = fit(features, target, strengths=[0.001])
    held_out, group = combiner.held_out, GROUPS.index("one review")
    assert np.bincount(held_out.fold[group, :-1]).tolist() == [100] * 4
    for part in range(4):
        others = target[:, held_out.fold[group, target[0]] != part]
        again = fit(features, others, strengths=[0.001]).weights[group]
        found = held_out.weights[part, group]
        np.testing.assert_allclose(found, again, atol=0.02)
        assert abs(found - combiner.weights[group]).max() > abs(found - again).max()
    users = np.array([0, 7])
    scores = combiner.score(features, situation(users), users)
    tables = np.stack([each.table for each in features])
    own = [held_out.weights[held_out.fold[group, u], group] for u in users]
    expected = [weights @ tables[:, u] for weights, u in zip(own, users, strict=True)]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    # Whom nobody looked at is no reason for other weights.
    np.testing.assert_array_equal(
        combiner.score(features, situation(users), users + 400),
        combiner.score(features, situation(users)),
    )


def test_the_weights_of_a_logit_are_found_again():
    true = np.array([1.0, 2.0, -0.5, 0.0])
    features, target = choices(true)
    found = fit(features, target).weights[2]
    np.testing.assert_allclose(found, true, atol=0.15)


def test_each_group_has_the_weights_of_its_own_choices():
    true = np.array(
        [
            [0.0, 0.0, 1.0, 0.0],
            [1.0, 0.0, 0.5, 0.0],
            [1.0, 1.5, 0.0, 0.0],
            [0.0, 0.0, 0.3, 2.0],
            [0.8, 0.4, 0.0, 1.2],
        ]
    )
    features, _ = choices(true[0])
    groups = [questions(choices(each)[1]) for each in true]
    combiner = settings().fit(features, groups, PRODUCTS)
    np.testing.assert_allclose(combiner.weights, true, atol=0.15)
    wish, both = GROUPS.index("wish"), GROUPS.index("wish and reviews")
    assert next(iter(combiner.decides(wish))) == next(iter(combiner.decides(both))) == "match"


def test_without_targets_the_leading_evidence_of_each_group_is_left_alone():
    true = np.array([0.0, 3.0, 0.0, 0.0])
    features, target = choices(true)
    nobody = questions(target[:, :0], seen=np.zeros((0, PRODUCTS), bool))
    combiner = settings().fit(features, [questions(target)] * 3 + [nobody] * 2, PRODUCTS)
    last = combiner.weights[3, 2]  # popularity has the last word
    assert 0 < last < 0.001
    assert combiner.weights[3:].tolist() == [[0, 0, last, 1]] * 2
    assert np.isinf(combiner.shrinkage[3:]).all() and np.isfinite(combiner.shrinkage[:3]).all()
    prior = Combiner.prior(features)
    np.testing.assert_array_equal(combiner.weights[3:], prior.weights[3:])
    expected = ("popularity", "co-reviewing", "co-reviewing", "match", "match")
    assert [next(iter(prior.decides(group))) for group in range(5)] == list(expected)
    assert all(prior.decides(group)[name] == 1 for group, name in enumerate(expected))


def test_what_says_nothing_is_left_out():
    features, target = choices(np.array([2.0, 0.0, 0.0, 0.0]))
    combiner = fit(features, target)
    assert combiner.shrinkage[2] >= 1.0
    assert combiner.decides(2)["co-reviewing"] > 0.95
    assert sum(combiner.decides(2).values()) == pytest.approx(1)


def test_the_leading_evidence_stays_alone_unless_the_validation_contradicts():
    slight, clear = np.array([2.0, 0.2, 0.0, 0.0]), np.array([1.0, 2.0, 0.0, 0.0])
    features, target = choices(slight, users=100)
    free = fit(features, target, standard_errors=0.0).shrinkage[2]
    assert np.isfinite(free) and np.isinf(fit(features, target, standard_errors=4.0).shrinkage[2])
    assert np.isfinite(fit(*choices(clear, users=100), standard_errors=4.0).shrinkage[2])


def test_what_the_validation_cannot_tell_apart_is_averaged():
    """From the best alone to all, and from them to the leading evidence."""
    features, target = choices(np.array([2.0, 1.0, 0.0, 0.0]), users=100)
    best, all_of_them = (
        fit(features, target, standard_errors=number).weights[2] for number in (0.0, 1e6)
    )
    strengths = settings().strengths
    alone = [
        fit(features, target, strengths=[s], standard_errors=0.0).weights[2] for s in strengths
    ]
    leading = Combiner.prior(features).weights[2]
    assert best[1] == pytest.approx(max(each[1] for each in alone), abs=0.2)
    assert 0 < all_of_them[1] < best[1] and all_of_them[1] > leading[1] == 0
    expected = np.mean([0.0] + [each[1] for each in alone])  # nothing is the network's here
    assert all_of_them[1] == pytest.approx(expected, rel=0.05)


def test_candidates_give_the_weights_of_all_products():
    """Of twelve products each user chooses among six: those that some feature puts first."""
    true = np.array([2.0, 1.0, 0.0, 0.0])
    features, target = choices(true, users=6000)
    found = fit(features, target, max_cells=6000 * 6)
    np.testing.assert_allclose(found.weights[2], true, atol=0.2)
    assert (found.held_out.fold[2] >= 0).all(where=np.arange(6001) < 6000)


@pytest.mark.parametrize(("batches", "users"), [(1, 150), (2, 300), (9, 300)])
def test_of_too_many_users_some_are_drawn(batches, users):
    features, target = choices(np.array([2.0, 1.0, 0.0, 0.0]), users=1000)
    found = fit(features, target, max_cells=150 * PRODUCTS, batches=batches)
    assert (found.held_out.fold[2] >= 0).sum() == users


def test_what_is_no_candidate_is_missed():
    features, target = choices(np.array([9.0, 0.0, 0.0, 0.0]), users=200)
    lists = [
        [t.argmax() for t in rows] for rows in zip(*(each.table for each in features), strict=True)
    ]
    few = settings(max_cells=200 * 4, candidates=4, min_targets=1)
    gains = few.gains(features, questions(target), PRODUCTS)
    is_listed = np.array([p in best for p, best in zip(target[1], lists, strict=True)])
    assert (gains[~is_listed] == 0).all() and (gains[is_listed] > 0).all()
    assert 0 < (~is_listed).sum() < 200


def test_the_network_comes_before_all_others():
    """Beside the leading evidence, where that alone is contradicted and the others add nothing."""
    features, target = choices(np.array([1.0, 2.0, 0.0, 0.0]), users=300)
    features[1].evidence = "network"
    combiner = fit(features, target)
    for name in ("one review", "several reviews"):
        weights = combiner.weights[GROUPS.index(name)]
        np.testing.assert_allclose(weights, [1, 2, 0, 0], atol=0.5)
        assert (np.abs(weights[2:]) < 0.1).all()
        assert np.isinf(combiner.shrinkage[GROUPS.index(name)])
    assert np.isfinite(combiner.shrinkage[GROUPS.index("no review")])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_the_same_for_all_products_has_no_weight(name):
    """As the match where nobody wishes for anything; the others are found all the same."""
    true = np.array([1.0, 2.0, 0.0, 0.0])
    features, target = choices(true)
    place = NAMES.index(name)
    features[place].table[:] = 0
    combiner = fit(features, target)
    assert np.isfinite(combiner.weights).all() and np.isfinite(combiner.shares).all()
    leading = (2, 0, 0, 3, 3)
    for group, weights in enumerate(combiner.weights):
        if place != leading[group]:
            assert abs(weights[place]) < 0.001 and combiner.shares[group, place] == 0
    if name in NAMES[2:]:
        np.testing.assert_allclose(combiner.weights[2], true, atol=0.15)


def test_few_targets_leave_the_leading_evidence_alone():
    features, target = choices(np.array([0.0, 3.0, 0.0, 0.0]), users=20)
    combiner = fit(features, target)
    last = combiner.weights[1, 2]  # popularity orders what nothing speaks for
    assert 0 < last < 0.001
    reviewed, wished = [1, 0, last, 0], [0, 0, last, 1]
    assert combiner.weights.tolist() == [[0, 0, 1, 0], reviewed, reviewed, wished, wished]
    assert np.isinf(combiner.shrinkage).all()


def test_only_liked_targets_count_if_so_asked():
    features, target = choices(np.array([1.0, 2.0, 0.0, 0.0]))
    rng = np.random.default_rng(1)
    liked = rng.random(target.shape[1]) < 0.5
    target[1, ~liked] = rng.integers(PRODUCTS, size=int((~liked).sum()))  # they chose at random
    among_liked = fit(features, target, liked).weights[2]
    among_all = fit(features, target, liked, liked_only=False).weights[2]
    assert among_liked[1] == pytest.approx(2, abs=0.25)
    assert among_all[1] < 1.2


def liked_and_disliked(share: float, users: int = 2000):
    """A `share` of the users chose what liking speaks against, the others what it speaks for."""
    features, target = choices(np.array([1.0, 1.0, 0.0, 0.0]), users)
    other, disliked = choices(np.array([1.0, -1.0, 0.0, 0.0]), users)
    liked = np.random.default_rng(2).random(users) >= share
    for mine, theirs in zip(features, other, strict=True):
        np.testing.assert_array_equal(mine.table, theirs.table)
    target[1, ~liked] = disliked[1, ~liked]
    features[1].evidence = "liking"
    return features, target, liked


def test_liking_counts_for_more_where_it_costs_nothing():
    """Weights that are shrunk too much, so that every list gains by more of it."""
    features, target, liked = liked_and_disliked(share=0.02)
    shrunk = dict(strengths=[3.0], standard_errors=0.0, k=3)
    fitted = fit(features, target, liked, liking_factors=[], **shrunk)
    more = fit(features, target, liked, **shrunk)
    group = GROUPS.index("several reviews")
    times = more.weights[group] / np.where(fitted.weights[group], fitted.weights[group], 1)
    assert 0 < fitted.weights[group, 1] < 0.5 and times[1] in (1.5, 2.5, 7 / 3)
    np.testing.assert_array_equal(times[[0, 2, 3]], 1)
    before, after = (each.held_out.weights[:-1, group] for each in (fitted, more))
    np.testing.assert_allclose(after[:, 1], before[:, 1] * times[1])
    in_top = []
    for combiner in (fitted, more):
        rows = combiner.score(features, situation(target[0]))
        rank = (rows > rows[target[0], target[1]][:, None]).sum(axis=1)
        in_top.append((rank < 3)[~liked].sum())
    assert in_top[1] < in_top[0]


@pytest.mark.parametrize(("share", "liked_only"), [(0.5, True), (0.02, False), (0.0, True)])
def test_liking_stays_as_fitted_where_more_costs_targets(share, liked_only):
    """Of those that were disliked, which all targets hold; or where nobody said what is."""
    features, target, liked = liked_and_disliked(share)
    how = dict(strengths=[3.0], standard_errors=0.0, k=3, liked_only=liked_only)
    fitted, same = (fit(features, target, liked, liking_factors=f, **how) for f in ([], [2.0]))
    np.testing.assert_array_equal(fitted.weights, same.weights)


def test_what_was_seen_is_no_alternative():
    features, target = choices(np.array([0.5, 0.5, 0.0, 0.0]))
    users = np.arange(target.shape[1])
    seen = np.ones((len(users), PRODUCTS), dtype=bool)
    seen[users, target[1]] = False
    other = (target[1] + 1) % PRODUCTS
    seen[users, other] = False
    # The chosen product against one other that has more co-reviewing: the weight must be negative.
    features[0].table[users, other] = features[0].table[users, target[1]] + 1
    noise = np.random.default_rng(0).normal(size=len(users)).astype(np.float32)
    features[0].table[users, other] += noise
    found = fit(features, target, seen=seen)
    assert found.weights[2, 0] < 0


WISHED = np.array([False, False, False, True, True, True])


def users_of_all_kinds() -> Situation:
    """No, one and three reviews; then the same, with a wish."""
    return Situation(
        user_ptr=np.array([0, 0, 1, 4, 4, 5, 8]),
        product=np.array([0, 1, 2, 3] * 2),
        rating=np.ones(8, dtype=np.float32),
        asked=np.full(6, NOW),
        network=np.zeros((6, PRODUCTS), dtype=np.float32),
        predicted_rating=np.zeros((6, PRODUCTS), dtype=np.float32),
        wishes=Wishes.of(
            WISHED[:, None] * np.ones((6, 2)),
            count_words(["some wish" if wished else "" for wished in WISHED]),
        ),
    )


def test_reviews_and_wish_tell_the_group():
    users = users_of_all_kinds()
    found = [GROUPS[group] for group in groups_of(users, 0.5)]
    assert found == [*GROUPS, "wish and reviews"]
    silent = replace(users, wishes=None)
    assert groups_of(silent, 0.5).tolist() == [0, 1, 2, 0, 1, 2]
    for user in range(6):
        assert groups_of(users.of_user(user), 0.5).tolist() == [groups_of(users, 0.5)[user]]


def test_what_was_disliked_is_no_review_to_go_by():
    users = replace(
        users_of_all_kinds(), rating=np.array([1, 1, 5, 2, 3, 2, np.nan, 0], np.float32)
    )
    assert groups_of(replace(users, wishes=None), 3.0).tolist() == [0, 0, 1, 0, 0, 2]
    assert groups_of(users, 3.0).tolist() == [0, 0, 1, 3, 3, 4]


def test_scores_are_the_weighted_sum_for_the_kind_of_user():
    values = np.arange(PRODUCTS, dtype=np.float32)
    features = [
        ProductFeature("co-reviewing", "co-reviewing", values),
        ProductFeature("popularity", "popularity", values[::-1].copy()),
    ]
    combiner = Combiner(
        ("co-reviewing", "popularity"),
        ("co-reviewing", "popularity"),
        np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 3.0], [5.0, 0.0], [0.0, 7.0]]),
        np.ones(5),
        np.full((5, 2), 0.5),
    )
    scores = combiner.score(features, users_of_all_kinds())
    down = values[::-1]
    expected = [down, 2 * values, values + 3 * down, 5 * values, 7 * down, 7 * down]
    np.testing.assert_allclose(scores, expected)


@given(st.integers(0, 2**32 - 1))
def test_a_combiner_survives_being_stored(seed):
    rng = np.random.default_rng(seed)
    combiner = Combiner(
        ("a", "b"), ("x", "x"), rng.normal(size=(5, 2)), rng.random(5), rng.random((5, 2))
    )
    again = Combiner.of_plain(combiner.plain())
    assert again.features == combiner.features
    np.testing.assert_array_equal(again.weights, combiner.weights)
    three_groups = {name: combiner.plain()[name][:3] for name in ("weights", "shares")}
    no_names = {"evidences": ["x", np.zeros(1)]}
    for broken in ({"weights": [[0.0]]}, three_groups, no_names):
        with pytest.raises(ValueError, match="do not fit together"):
            Combiner.of_plain(combiner.plain() | broken)


def test_evidences_with_a_negative_weight_are_told_to_whom_it_is_negative():
    weights = np.array([[1.0, 0.0, 0.5], [1.0, -0.1, 0.5], [0.0, 2.0, -0.5]])
    names = ("a", "b", "c"), ("trend", "trend", "popularity")
    combiner = Combiner(*names, weights, np.ones(3), np.ones((3, 3)))
    told = []
    for number in (0, 1, 2):  # of reviews, by which users have weights
        nothing = np.zeros((1, 4), dtype=np.float32)
        reviews = np.array([0, number]), np.arange(number), np.full(number, 5.0, np.float32)
        user = Situation(*reviews, np.array([NOW]), nothing, nothing)
        told.append(combiner.reversed_evidences([], user))
    assert told == [set(), {"trend"}, {"popularity"}]


def test_the_leading_evidences_are_needed():
    for name in ("popularity", "co-reviewing", "match"):
        others = {"popularity", "co-reviewing", "match", "order"} - {name}
        with pytest.raises(InputError, match=f"{name} is needed"):
            Combiner.prior([ProductFeature(each, each, np.zeros(3)) for each in sorted(others)])

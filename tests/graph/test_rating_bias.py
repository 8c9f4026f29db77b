from dataclasses import replace

import numpy as np
import pytest

from rec_sys.modules.rating_bias import RatingBias, predict_each_from_the_others
from tests.helpers.reviews_of import reviews_of


def random_ratings(seed=0, num_users=7, num_products=5):
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(num_users * num_products)[:20]
    user, product = np.divmod(np.sort(pairs), num_products)
    return user, product, rng.integers(1, 6, len(pairs)).astype(np.float32)


def test_leaving_one_out_equals_a_fit_without_it():
    user, product, rating = random_ratings()
    lists = [product[user == each].tolist() for each in range(7)]
    graph = replace(reviews_of(lists, num_products=5), edge_rating=rating)
    by_hand = []
    for i in range(len(rating)):
        rest = np.arange(len(rating)) != i
        bias = RatingBias.of(graph, np.flatnonzero(rest), 3.0, 2.0)
        own = bias.user_bias(graph.histories(np.arange(7), rest))
        by_hand.append(bias.mean + bias.product_bias[product[i]] + own[user[i]])
    quick = predict_each_from_the_others(user, product, rating, 3.0, 2.0)
    np.testing.assert_allclose(quick, by_hand, rtol=1e-5)


def test_a_rating_does_not_predict_itself():
    user, product, rating = random_ratings()
    before = predict_each_from_the_others(user, product, rating)
    rating[4] = 6 - rating[4] if rating[4] != 3 else 5
    after = predict_each_from_the_others(user, product, rating)
    assert after[4] == pytest.approx(before[4])
    assert not np.allclose(after, before)


def test_a_lone_rating_is_predicted_as_the_middle():
    lone = predict_each_from_the_others(np.array([3]), np.array([0]), np.array([5.0]))
    assert lone.tolist() == [3.0]

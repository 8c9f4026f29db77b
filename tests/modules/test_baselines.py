import copy
from functools import partial

import numpy as np
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.modules.baselines import (
    Ease,
    ItemKNN,
    Markov,
    Popularity,
    RecentPopularity,
    TextEase,
    TextKNN,
)
from rec_sys.reviews.schema import NO_TIME
from tests.helpers.reviews_of import reviews_of, scores_of, vectors_of

SIZE = 7
reviews_of = partial(reviews_of, num_products=SIZE)
# One user with one review, one with none; product 6 is never reviewed.
TRAIN = [[0, 1, 2], [1, 2, 3], [4], [], [0, 1, 5], [2, 3, 0]]
MODELS = [
    Popularity(),
    RecentPopularity(half_life_days=0.00001, half_life_steps=1),
    Markov(smoothing=2.0),
    ItemKNN(shrink=1.0, neighbours=3, history_decay=0.8),
    Ease(l2=2.0, history_decay=0.8),
    TextKNN(history_decay=0.8),
    TextEase(l2=2.0, history_decay=0.8, text_weight=3.0),
]


@pytest.fixture(params=MODELS, ids=lambda model: model.name)
def model(request):
    return copy.copy(request.param)


@pytest.fixture
def fitted(model):
    model.fit(reviews_of(TRAIN), vectors_of(SIZE))
    return model


def test_scores_are_finite_numbers_of_the_right_shape_for_everyone(fitted):
    """Long, short and empty histories, and a product that nobody reviewed."""
    scores = scores_of(fitted, reviews_of([[0, 1, 2, 3], [], [6], [4]]))
    assert scores.shape == (4, SIZE)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert scores_of(fitted, reviews_of([])).shape == (0, SIZE)


@pytest.mark.parametrize(
    "model", [m for m in MODELS if m.name != "recent popularity"], ids=lambda model: model.name
)
def test_an_empty_history_is_shown_what_is_popular(model):
    model = copy.copy(model)
    model.fit(reviews_of(TRAIN), vectors_of(SIZE))
    scores = scores_of(model, reviews_of([[]]))[0]
    popular = np.bincount(np.concatenate(TRAIN).astype(int), minlength=SIZE)
    np.testing.assert_array_equal(
        np.argsort(-scores, kind="stable"), np.argsort(-popular, kind="stable")
    )


def test_a_person_is_scored_alike_in_any_company(fitted):
    together = scores_of(fitted, reviews_of([[0, 1], [5], [3, 2, 1]]))
    alone = [scores_of(fitted, reviews_of([h]))[0] for h in ([0, 1], [5], [3, 2, 1])]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


def test_the_same_again(model):
    results = []
    for _ in range(2):
        model.fit(reviews_of(TRAIN), vectors_of(SIZE))
        results.append(scores_of(model, reviews_of([[0, 1], [2]])))
    np.testing.assert_array_equal(*results)


def test_nothing_that_was_given_is_changed(model):
    train, vectors, histories = reviews_of(TRAIN), vectors_of(SIZE), reviews_of([[0, 1], []])
    arrays = [*vars(train).values(), *vars(histories).values(), vectors]
    before = copy.deepcopy(arrays)
    model.fit(train, vectors)
    scores = scores_of(model, histories)
    scores[:] = -1  # who gets scores may do with them what they like
    assert (scores_of(model, histories) != -1).any()
    for then, now in zip(before, arrays, strict=True):
        np.testing.assert_array_equal(then, now)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_shop_with_a_single_review_or_none(model):
    for train in ([[0]], [[]]):
        model = copy.copy(model)
        model.fit(reviews_of(train), vectors_of(SIZE))
        assert np.isfinite(scores_of(model, reviews_of([[0], [1], []]))).all()


@pytest.mark.parametrize(
    "build",
    [
        lambda: RecentPopularity(half_life_days=0, half_life_steps=1),
        lambda: Markov(smoothing=0),
        lambda: ItemKNN(shrink=-1, neighbours=3, history_decay=1),
        lambda: ItemKNN(shrink=0, neighbours=0, history_decay=1),
        lambda: Ease(l2=0, history_decay=1),
        lambda: Ease(l2=1, history_decay=1.1),
        lambda: TextKNN(history_decay=-0.1),
        lambda: TextEase(l2=1, history_decay=1, text_weight=float("nan")),
    ],
)
def test_settings_out_of_range_are_refused(build):
    with pytest.raises(InputError, match="must be"):
        build()


def test_recent_popularity_by_hand():
    day = 24 * 60 * 60
    train = reviews_of([[0, 1], [0, 2]], times=[0, 2 * day, NO_TIME, 1 * day])
    model = RecentPopularity(half_life_days=1, half_life_steps=1)
    model.fit(train, vectors_of(SIZE))
    assert scores_of(model, reviews_of([[]]))[0][:3].tolist() == [1 / 4 + 1 / 4, 1, 1 / 2]
    model.fit(reviews_of([[0, 1], [0, 2]], times=[NO_TIME] * 4), vectors_of(SIZE))
    assert scores_of(model, reviews_of([[]]))[0][:3].tolist() == [1, 1, 1]


def test_markov_by_hand():
    """From 0 to 1 twice and to 2 once; from 2 nowhere."""
    model = Markov(smoothing=2)
    model.fit(reviews_of([[0, 1], [0, 1], [0, 2]]), vectors_of(SIZE))
    share = np.array([3, 2, 1]) / 6
    scores = scores_of(model, reviews_of([[2, 0], [0, 2], []]))[:, :3]
    np.testing.assert_allclose(scores[0], (np.array([0, 2, 1]) + 2 * share) / 5, rtol=1e-6)
    np.testing.assert_allclose(scores[1:], [share, share], rtol=1e-6)


def test_item_knn_by_hand():
    model = ItemKNN(shrink=1, neighbours=1, history_decay=0.5)
    model.fit(reviews_of([[0, 1], [0, 1], [1, 2], [2, 3]]), vectors_of(SIZE))
    s01, s12, s23 = 2 / (6**0.5 + 1), 1 / (6**0.5 + 1), 1 / (2**0.5 + 1)
    scores = scores_of(model, reviews_of([[0], [1], [2, 0], [3]]))[:, :4]
    # 1 listens to 0 and 0 to 1; 2 and 3 to each other, so that 1 has no say about 2.
    assert s12 < s23
    expected = [[0, s01, 0, 0], [s01, 0, 0, 0], [0, s01, 0, s23 / 2], [0, 0, s23, 0]]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_ties_at_the_last_neighbour_all_stay():
    model = ItemKNN(shrink=0, neighbours=1, history_decay=1)
    model.fit(reviews_of([[0, 1], [0, 2]]), vectors_of(SIZE))
    scores = scores_of(model, reviews_of([[1], [2]]))
    assert scores[0, 0] == scores[1, 0] > 0


def test_ease_is_the_textbooks():
    model = Ease(l2=2, history_decay=0.5)
    model.fit(reviews_of(TRAIN), vectors_of(SIZE))
    reviewed = np.zeros((len(TRAIN), SIZE))
    for user, products in enumerate(TRAIN):
        reviewed[user, products] = 1
    inverse = np.linalg.inv(reviewed.T @ reviewed + 2 * np.eye(SIZE))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    expected = weights[2] / 4 + weights[0] / 2 + weights[5]
    np.testing.assert_allclose(scores_of(model, reviews_of([[2, 0, 5]]))[0], expected, atol=1e-6)


def test_text_ease_without_texts_is_ease():
    one, other = Ease(l2=2, history_decay=1), TextEase(l2=2, history_decay=1, text_weight=0)
    for model in (one, other):
        model.fit(reviews_of(TRAIN), vectors_of(SIZE))
    histories = reviews_of([[0, 1], [3]])
    np.testing.assert_allclose(scores_of(one, histories), scores_of(other, histories), atol=1e-6)


def test_texts_reach_a_product_without_reviews():
    """Product 6 has the texts of product 2: whoever likes 2 is led to 6."""
    train = reviews_of(TRAIN)
    for texts in (train.product_name_text, train.product_info_text):
        texts[6] = texts[2]
    histories = reviews_of([[2]])
    for model in (TextKNN(history_decay=1), TextEase(l2=1, history_decay=1, text_weight=10)):
        model.fit(train, vectors_of(SIZE))
        scores = scores_of(model, histories)[0]
        scores[2] = -np.inf
        assert scores.argmax() == 6, model.name


def test_products_with_the_same_texts_are_ties():
    size, kind = 458, np.random.default_rng(0).integers(2, 9, size=458)
    train = reviews_of([[0, 1], [2, 3]], num_products=size)
    for texts in (train.product_name_text, train.product_info_text):
        texts[:] = texts[kind]
    model = TextKNN(history_decay=1)
    model.fit(train, vectors_of(size, dimension=384))
    scores = scores_of(model, reviews_of([[each] for each in range(50)], num_products=size))
    for each in range(2, 9):
        assert (np.ptp(scores[:, kind == each], axis=1) == 0).all()


def test_text_knn_is_a_cosine_and_says_nothing_about_products_without_text():
    model = TextKNN(history_decay=1)
    model.fit(reviews_of(TRAIN), vectors_of(SIZE))
    scores = scores_of(model, reviews_of([[3]]))[0]
    assert scores[3] == pytest.approx(1, abs=1e-6)
    assert np.abs(scores).max() <= 1 + 1e-6
    assert scores[0] == 0

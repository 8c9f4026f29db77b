import numpy as np
import pytest

from rec_sys.evaluation.rating_baselines import (
    Bias,
    Constant,
    MatrixFactorisation,
    ReviewText,
    TextRidge,
)
from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import ReviewGraph, rows_to_pointers
from rec_sys.modules.rating_bias import RatingBias

DIMENSION = 6
MODELS = {
    "majority": Constant,
    "mean": lambda: Constant("mean"),
    "bias": Bias,
    "matrix factorisation": MatrixFactorisation,
    "ridge": TextRidge,
    "ridge on few": lambda: TextRidge(max_examples=5),
}
RATERS = MODELS | {"review text": ReviewText, "text alone": lambda: ReviewText(with_bias=False)}


def reviews_of(user, product, rating, num_users, text=None, num_products=5):
    """`user` ascends."""
    user, nothing = np.asarray(user, dtype=np.int64), np.zeros(num_products, dtype=np.int64)
    return ReviewGraph(
        user_ids=np.arange(num_users).astype(str).astype(object),
        product_ids=nothing.astype(str).astype(object),
        user_ptr=rows_to_pointers(user, num_users),
        edge_product=np.asarray(product, dtype=np.int64),
        edge_rating=np.asarray(rating, dtype=np.float32),
        edge_time=np.arange(len(user)),
        edge_text=np.arange(len(user)) if text is None else text,
        product_name_text=nothing,
        product_info_text=nothing,
        product_brand=nothing,
    )


def stars_of(model, histories, user, product):
    """Of a model of either protocol; those that read the review get the first text."""
    if isinstance(model, ReviewText):
        return model.rate_known(histories, user, product, np.zeros_like(user))
    return model.rate(histories, user, product)


@pytest.fixture
def shop():
    """Five people rate three of five products; product 4 is never seen, some stars are missing."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(5), 3)
    product = np.concatenate([rng.permutation(4)[:3] for _ in range(5)])
    rating = rng.integers(1, 6, 15).astype(np.float32)
    rating[[2, 7]] = np.nan
    vectors = rng.normal(size=(15, DIMENSION)).astype(np.float16)
    return reviews_of(user, product, rating, 5), vectors


@pytest.mark.parametrize("name", RATERS)
def test_every_model_rates_strangers_and_unseen_products(name, shop):
    train, vectors = shop
    model = RATERS[name]()
    assert isinstance(model.name, str)
    model.fit(train, vectors)
    # User 0 has a history, user 1 none, user 2 a single review without stars.
    histories = reviews_of([0, 0, 2], [0, 4, 1], [5, 1, np.nan], 3)
    user, product = np.array([0, 1, 2, 1]), np.array([4, 4, 0, 2])
    stars = stars_of(model, histories, user, product)
    assert stars.dtype == np.float32 and stars.shape == (4,)
    assert np.isfinite(stars).all() and (stars >= 1).all() and (stars <= 5).all()
    np.testing.assert_array_equal(stars, stars_of(model, histories, user, product))


@pytest.mark.parametrize("name", RATERS)
def test_no_pair_and_nobody_is_an_empty_answer(name, shop):
    model = RATERS[name]()
    model.fit(*shop)
    nothing = np.zeros(0, dtype=np.int64)
    assert stars_of(model, reviews_of([], [], [], 0, nothing), nothing, nothing).shape == (0,)


@pytest.mark.parametrize("name", RATERS)
def test_no_rating_at_all_is_told(name, shop):
    train, vectors = shop
    train.edge_rating[:] = np.nan
    with pytest.raises(InputError, match="no review has a rating"):
        RATERS[name]().fit(train, vectors)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant("median"),
        lambda: MatrixFactorisation(rank=0),
        lambda: MatrixFactorisation(bias_penalty=0),
        lambda: TextRidge(penalty=0),
        lambda: ReviewText(max_examples=0),
    ],
)
def test_settings_that_make_no_sense_are_told(make):
    with pytest.raises(InputError):
        make()


def test_constants_by_hand(shop):
    _, vectors = shop
    train = reviews_of([0, 0, 1, 1], [0, 1, 0, 1], [5, 2, 5, np.nan], 2)
    for kind, stars in (("majority", 5.0), ("mean", 4.0)):
        model = Constant(kind)
        model.fit(train, vectors)
        assert model.rate(train, np.array([0]), np.array([3])) == pytest.approx(stars)


def test_bias_equals_rating_bias(small_graph):
    graph, vectors = small_graph
    training_users, everyone = np.array([0, 2]), np.arange(graph.num_users)
    target = np.zeros(graph.num_edges, dtype=bool)
    target[[2, 6]] = True
    expected = RatingBias.of(graph, graph.edges_of(training_users)).predict(
        graph, target, np.zeros_like(target)
    )
    model = Bias()
    model.fit(graph.histories(training_users), vectors)
    shown = graph.histories(everyone, ~target)
    stars = model.rate(shown, graph.edge_user[target], graph.edge_product[target])
    np.testing.assert_allclose(stars, expected, rtol=1e-6)


def mean_squared_error(model, histories, user, product, true):
    return float(((model.rate(histories, user, product) - true) ** 2).mean())


def test_matrix_factorisation_recovers_a_planted_structure():
    """Half of the people love what the other half hates: biases see nothing, two tastes all."""
    rng = np.random.default_rng(0)
    users, products = 120, 40
    taste, trait = rng.normal(size=(users, 2)), rng.normal(size=(products, 2))
    true = np.clip(3 + taste @ trait.T, 1, 5)
    known = rng.random(true.shape) < 0.5
    known[100:] = False
    user, product = np.nonzero(known)
    train = reviews_of(user, product, true[known], users, num_products=products)
    vectors = np.zeros((1, DIMENSION), np.float16)
    # The last people are new: half of their ratings is their history.
    shown = rng.random(true.shape) < 0.5
    shown[:100] = False
    hidden = ~shown
    hidden[:100] = False
    histories = reviews_of(*np.nonzero(shown), true[shown], users, num_products=products)
    target = (*np.nonzero(hidden), true[hidden])
    factors, bias = MatrixFactorisation(rank=2, factor_penalty=0.5), Bias()
    for model in (factors, bias):
        model.fit(train, vectors)
    error = mean_squared_error(factors, histories, *target)
    assert error < 0.2 * mean_squared_error(bias, histories, *target)


@pytest.fixture
def telling_texts():
    """What others wrote of a product tells how good it is; 60 people, 30 products, no user bias."""
    rng = np.random.default_rng(0)
    quality = rng.uniform(1, 5, 30)
    user = np.repeat(np.arange(60), 8)
    product = np.concatenate([rng.permutation(30)[:8] for _ in range(60)])
    rating = np.clip(np.round(quality[product] + rng.normal(scale=0.3, size=480)), 1, 5)
    vectors = rng.normal(scale=0.05, size=(480, DIMENSION))
    vectors[:, 0] += (quality[product] - 3) / 2
    vectors[:, 1] += (rating - 3) / 2
    train = reviews_of(user, product, rating, 60, num_products=30)
    return train, vectors.astype(np.float16), quality


def test_ridge_beats_the_constant_and_the_bias_where_texts_tell(telling_texts):
    train, vectors, quality = telling_texts
    user, product = np.repeat(np.arange(60), 30), np.tile(np.arange(30), 60)
    errors = []
    for model in (TextRidge(penalty=0.1), Bias(), Constant("mean")):
        model.fit(train, vectors)
        errors.append(mean_squared_error(model, train, user, product, quality[product]))
    assert errors[0] < errors[1] < errors[2]
    assert errors[0] < 0.1


def test_ridge_does_not_learn_from_the_reviews_own_words(telling_texts):
    """Were the own review in the means, a lone review of a product would give its stars away."""
    train, vectors, _ = telling_texts
    user = train.edge_user
    product = user * 8 + np.tile(np.arange(8), 60)
    alone = reviews_of(user, product, train.edge_rating, 60, num_products=480)
    rng = np.random.default_rng(1)
    alone.edge_rating[:] = rng.integers(1, 6, 480)
    vectors[:, 1] = (alone.edge_rating - 3) / 2
    model = TextRidge(penalty=0.1)
    model.fit(alone, vectors)
    error = mean_squared_error(model, alone, alone.edge_user, alone.edge_product, alone.edge_rating)
    assert error > 0.8 * alone.edge_rating.var()


def test_the_review_itself_tells_its_stars(telling_texts):
    train, vectors, _ = telling_texts
    model = ReviewText(penalty=0.01)
    model.fit(train, vectors)
    stars = model.rate_known(train, train.edge_user, train.edge_product, train.edge_text)
    assert np.abs(stars - train.edge_rating).mean() < 0.15
    assert not hasattr(model, "rate")  # nobody takes it for a model that does not read the review

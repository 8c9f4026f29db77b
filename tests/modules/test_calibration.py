"""Stars are fitted once more to the validation, and only as far as it says so."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rec_sys.graph.ego_batch import EgoBatchBuilder, ProductReviews
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Task
from rec_sys.modules.calibration import CalibrationFit
from rec_sys.modules.full_catalogue import FullCatalogue
from tests.helpers.tiny_models import VECTOR_DIM, tiny_model

USERS, PRODUCTS, PER_USER = 40, 12, 6
SETTINGS = {"strengths": [1.0, 0.01], "shares": [0.01, 0.5, 1.0], "standard_errors": 2.0}
SETTINGS |= {"folds": 4, "min_targets": 30, "seed": 0}


def shop(change):
    """The newest review of each user is the validation; `change` makes its rating of the others'
    mean."""
    rng = np.random.default_rng(0)
    product = np.concatenate([rng.permutation(PRODUCTS)[:PER_USER] for _ in range(USERS)])
    rating = rng.integers(2, 5, USERS * PER_USER).astype(np.float32)
    newest = np.arange(USERS * PER_USER) % PER_USER == PER_USER - 1
    rating[newest] = change(rating.reshape(USERS, PER_USER)[:, :-1].mean(axis=1), rng)
    graph = ReviewGraph(
        user_ids=np.arange(USERS).astype(str).astype(object),
        product_ids=np.arange(PRODUCTS).astype(str).astype(object),
        user_ptr=np.arange(USERS + 1) * PER_USER,
        edge_product=product,
        edge_text=np.arange(len(product)) + 1,
        edge_rating=rating,
        edge_time=np.tile(np.arange(PER_USER), USERS) * 86_400,
        product_name_text=np.zeros(PRODUCTS, dtype=np.int64),
        product_info_text=np.zeros(PRODUCTS, dtype=np.int64),
        product_brand=np.zeros(PRODUCTS, dtype=np.int64),
    )
    vectors = rng.normal(size=(len(product) + 1, VECTOR_DIM)).astype(np.float32)
    vectors[0] = 0
    builder = EgoBatchBuilder(
        graph, vectors, ProductReviews.of(graph, vectors, np.flatnonzero(~newest))
    )
    return builder, Task(newest, ~newest)


def stars(model, builder, task):
    """What the embeddings say, as everything that uses the model computes it."""
    graph = builder.graph
    summary = builder.product_reviews.summary
    catalogue = FullCatalogue.of(model, graph, builder.vectors, None, summary, [], object())
    target = np.flatnonzero(task.target)
    users = np.arange(graph.num_users)
    found = catalogue.rate(
        graph.histories(users, task.history), graph.edge_user[target], graph.edge_product[target]
    )
    return torch.from_numpy(found)


def test_users_who_have_become_stricter_are_believed():
    builder, task = shop(lambda mean, rng: np.maximum(mean - 1.5, 1))
    model = tiny_model()
    before = F.mse_loss(
        stars(model, builder, task), torch.from_numpy(builder.graph.edge_rating[task.target])
    )
    found = CalibrationFit(**SETTINGS).fit(model, builder, task, F.mse_loss)
    after = F.mse_loss(stars(model, builder, task), found.true)
    held_out = F.mse_loss(found.predicted, found.true)
    assert found.strength == 0.01
    assert after < 0.2 * before
    # Those whose ratings were not shown are foreseen nearly as well.
    assert held_out < 0.3 * before


def test_what_cross_validation_foresees_is_what_the_embeddings_say():
    """Without any fit the formula is that of the cosine."""
    builder, task = shop(lambda mean, rng: mean)
    model = tiny_model(3)
    with torch.no_grad():
        model.user_text_angle.normal_()
        model.product_text_angle.normal_()
        model.residual_length += 0.02
    untouched = {name: each.clone() for name, each in model.state_dict().items()}
    few = CalibrationFit(**SETTINGS | {"min_targets": USERS + 1})
    found = few.fit(model, builder, task, F.mse_loss)
    torch.testing.assert_close(found.predicted, stars(model, builder, task), rtol=0, atol=1e-5)
    assert found.strength == np.inf
    for name, each in model.state_dict().items():
        assert torch.equal(each, untouched[name])


def test_what_cannot_be_told_apart_is_averaged():
    """Of guesses that no user confirms, the middle of the way from the biases is taken."""
    builder, task = shop(lambda mean, rng: rng.integers(1, 6, USERS))
    model, patient = tiny_model(4), SETTINGS | {"standard_errors": 1e6, "strengths": [1e9]}
    with torch.no_grad():
        model.user_angle.weight.normal_()
        model.user_text_angle.normal_()
    biases = copy.deepcopy(model)
    biases.start_from_biases(model.mean_rating.item())
    before = copy.deepcopy(model)
    CalibrationFit(**patient).fit(model, builder, task, F.mse_loss)
    share = np.mean(SETTINGS["shares"])
    middle = biases.user_angle.weight.lerp(before.user_angle.weight, share)
    torch.testing.assert_close(model.user_angle.weight, middle, rtol=0, atol=1e-3)
    torch.testing.assert_close(model.user_text_angle, share * before.user_text_angle)
    length = model.length_of_residual() / before.length_of_residual()
    assert length.item() == pytest.approx(share, rel=1e-3)


def test_a_network_that_foresees_clearly_more_than_the_biases_counts_whole():
    builder, task = shop(lambda mean, rng: mean)
    model = tiny_model(3)
    with torch.no_grad():
        model.user_text_angle.normal_(std=0.3)
    target = np.flatnonzero(task.target)
    builder.graph.edge_rating[target] = stars(model, builder, task).numpy()
    CalibrationFit(**SETTINGS).fit(model, builder, task, F.mse_loss)
    again = stars(model, builder, task).numpy()
    np.testing.assert_allclose(again, builder.graph.edge_rating[target], atol=0.05)


def test_only_the_numbers_that_are_told_may_change():
    builder, task = shop(lambda mean, rng: np.maximum(mean - 1.5, 1))
    model = tiny_model()
    untouched = {name: each.clone() for name, each in model.state_dict().items()}
    found = CalibrationFit(**SETTINGS).fit(model, builder, task, F.mse_loss)
    changed = {n for n, each in model.state_dict().items() if not torch.equal(each, untouched[n])}
    assert changed and changed <= set(found.before)
    for name, each in found.before.items():
        assert torch.equal(each, untouched[name])


@pytest.mark.parametrize("seed", range(3))
def test_a_split_of_the_users_into_folds_follows_the_seed(seed):
    builder, task = shop(lambda mean, rng: mean - rng.random(USERS))
    once, again = (
        CalibrationFit(**SETTINGS | {"seed": seed}).fit(tiny_model(), builder, task, F.mse_loss)
        for _ in range(2)
    )
    assert torch.equal(once.predicted, again.predicted)


def test_missing_ratings_do_not_count():
    builder, task = shop(lambda mean, rng: np.where(np.arange(USERS) < 35, mean, np.nan))
    found = CalibrationFit(**SETTINGS).fit(tiny_model(), builder, task, F.mse_loss)
    assert len(found.true) == len(found.predicted) == 35
    assert torch.isfinite(found.true).all() and torch.isfinite(found.predicted).all()

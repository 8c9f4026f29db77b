"""Towers that learn which product a text is about, in a world whose rule is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.graph.ego_batch import ProductReviews
from rec_sys.graph.task import Split, Task
from rec_sys.modules.match import SOURCES, MatchFit, Towers, match_sources, unit
from tests.helpers.graphs_by_hand import graph_of

DIMENSION, PRODUCTS, PER_PRODUCT, NEVER_REVIEWED = 12, 40, 6, 8
TRAIN, VALIDATION, TEST = 0, 1, 2


def fit(**changes) -> MatchFit:
    values = {
        "max_epochs": 25,
        "patience": 25,
        "batch_size": 32,
        "products": 2048,
        "lr": 0.03,
        "weight_decay": 0.01,
        "dropout": 0.01,
        "source_dropout": 0.3,
        "scale": 10.0,
        "seed": 0,
    }
    return MatchFit(**values | changes)


def world(seed=0, noise=0.15):
    """Each product has a direction, which is its name; its reviews say it turned by one rotation.

    Of each product one review is a target of the validation, one of the test; the last
    `NEVER_REVIEWED` products have no other.
    """
    rng = np.random.default_rng(seed)
    directions = unit(rng.normal(size=(PRODUCTS, DIMENSION)))
    rotation, _ = np.linalg.qr(rng.normal(size=(DIMENSION, DIMENSION)))
    product = np.repeat(np.arange(PRODUCTS), PER_PRODUCT)
    role = np.tile([VALIDATION, TEST, *[TRAIN] * (PER_PRODUCT - 2)], PRODUCTS)
    kept = (product < PRODUCTS - NEVER_REVIEWED) | (role != TRAIN)
    product, role = product[kept], role[kept]
    said = directions[product] @ rotation + noise * rng.normal(size=(len(product), DIMENSION))
    graph = graph_of(*[[(each, 0)] for each in product.tolist()], products=PRODUCTS)
    graph = replace(
        graph,
        edge_text=1 + np.arange(len(product)),
        product_name_text=1 + len(product) + np.arange(PRODUCTS),
    )
    vectors = np.concatenate([np.zeros((1, DIMENSION)), unit(said), directions])
    nothing = np.zeros(len(product), dtype=bool)
    split = Split(
        "by hand", role == TRAIN, *(Task(role == each, nothing) for each in (VALIDATION, TEST))
    )
    return graph, vectors.astype(np.float16), split


def found_first(towers, graph, vectors, split, some=slice(None)):
    """The share of the test's reviews whose product comes first among all."""
    train, edges = np.flatnonzero(split.train), np.flatnonzero(split.test.target)[some]
    known = ProductReviews.of(graph, vectors, train)
    sources = match_sources(graph, vectors, known, np.arange(PRODUCTS), edges)
    logits = towers.queries(vectors[graph.edge_text[edges]]) @ towers.products(*sources).T
    return (logits.argmax(axis=1) == graph.edge_product[edges]).mean()


@pytest.mark.parametrize("products", [2048, 34])
def test_the_rotation_is_learned_also_for_products_never_reviewed(products):
    """With 34 products per step a few beside those of the step's reviews are drawn."""
    graph, vectors, split = world()
    never = slice(PRODUCTS - NEVER_REVIEWED, None)
    untrained = Towers.untrained(DIMENSION, 10.0)
    before = [found_first(untrained, graph, vectors, split, some) for some in (slice(None), never)]
    towers = fit(products=products).fit(graph, vectors, split)
    after = [found_first(towers, graph, vectors, split, some) for some in (slice(None), never)]
    assert before[0] < 0.7 and before[1] < 0.3
    assert after[0] > 0.85 and after[1] > 0.55
    for name, each in vars(towers).items():
        assert each.dtype == np.float32 and each.shape == (DIMENSION, DIMENSION), name


def test_fewer_products_than_a_step_has_are_enough():
    graph, vectors, split = world()
    towers = fit(products=1, max_epochs=15).fit(graph, vectors, split)
    assert found_first(towers, graph, vectors, split) > 0.8


def same(one, two):
    return all(np.array_equal(getattr(one, name), each) for name, each in vars(two).items())


def test_a_seed_decides_and_nobody_elses_dice_are_thrown():
    graph, vectors, split = world()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    settings = {"max_epochs": 2, "dropout": 0.2, "products": 35}
    one = fit(**settings).fit(graph, vectors, split)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    assert same(fit(**settings).fit(graph, vectors, split), one)
    assert not same(fit(**settings, seed=1).fit(graph, vectors, split), one)


def test_neither_test_nor_validation_is_learned_from():
    """The test changes nothing; the validation chooses the epoch, which here is the only one."""
    graph, vectors, split = world()
    one = fit(max_epochs=1).fit(graph, vectors, split)
    changed = vectors.copy()
    held_out = np.flatnonzero(split.test.target)
    changed[graph.edge_text[held_out]] = vectors[graph.edge_text[held_out[::-1]]]
    assert same(fit(max_epochs=1).fit(graph, changed, split), one)
    held_out = np.flatnonzero(split.validation.target)
    changed[graph.edge_text[held_out]] = vectors[graph.edge_text[held_out[::-1]]]
    assert same(fit(max_epochs=1).fit(graph, changed, split), one)
    learned = np.flatnonzero(split.train)
    changed[graph.edge_text[learned[0]]] = vectors[graph.edge_text[learned[-1]]]
    assert not same(fit(max_epochs=1).fit(graph, changed, split), one)


def test_the_best_epoch_of_the_validation_is_kept():
    """With a learning rate far too large, later epochs are worse than the first ones."""
    graph, vectors, split = world(noise=0.6)
    kept = fit(max_epochs=12, patience=12, lr=0.3).fit(graph, vectors, split)
    prefixes = [fit(max_epochs=n, patience=12, lr=0.3) for n in range(1, 13)]
    towers = [each.fit(graph, vectors, split) for each in prefixes]
    first = next(place for place, each in enumerate(towers) if same(each, kept))
    assert first < 11 and all(same(each, kept) for each in towers[first:])
    # Patience stops before it could come to anything better.
    hasty = fit(max_epochs=12, patience=1, lr=0.3).fit(graph, vectors, split)
    assert any(same(each, hasty) for each in towers)


def test_where_nothing_is_written_similarity_is_plain():
    graph, vectors, split = world()
    silent = replace(graph, edge_text=np.zeros_like(graph.edge_text))
    assert same(fit().fit(silent, vectors, split), Towers.untrained(DIMENSION, 10.0))
    # Without a word in the validation all epochs count.
    quiet = np.where(split.validation.target, 0, graph.edge_text)
    towers = fit(max_epochs=15).fit(replace(graph, edge_text=quiet), vectors, split)
    assert found_first(towers, graph, vectors, split) > 0.8


def test_means_by_hand_without_the_reviews_that_are_asked():
    """Product 0 has reviews 0, 1, 2 (2 not known), product 1 review 3, product 2 none."""
    graph = graph_of([(0, 0)], [(0, 0)], [(0, 0)], [(1, 0)], products=3)
    graph = replace(
        graph,
        edge_text=np.array([1, 2, 3, 4]),
        product_name_text=np.array([5, 0, 6]),
        product_info_text=np.array([0, 6, 0]),
    )
    vectors = np.outer([0, 1, 2, 4, 8, 16, 32], [1.0, -1.0]).astype(np.float16)
    known = ProductReviews.of(graph, vectors, np.array([0, 1, 3]))

    def sources(products, *asked):
        found = match_sources(graph, vectors, known, np.array(products), np.array(asked, int))
        assert len(found) == len(SOURCES)
        return [each[:, 0].tolist() for each in found]

    assert sources([0, 1, 2]) == [[16, 0, 32], [0, 32, 0], [1.5, 8, 0]]
    assert sources([0, 1, 2], 0) == [[16, 0, 32], [0, 32, 0], [2, 8, 0]]
    assert sources([0, 1, 2], 1, 3)[2] == [1, 0, 0]
    assert sources([0, 1, 2], 0, 1, 2, 3)[2] == [0, 0, 0]
    assert sources([0, 2], 2, 3)[2] == [1.5, 0]  # not known; of a product that is not there
    assert sources([1], 0)[2] == [8]


@given(seed=st.integers(0, 2**32 - 1))
def test_what_an_asked_review_says_changes_nothing_of_its_product(seed):
    rng = np.random.default_rng(seed)
    product = rng.integers(0, 5, 15)
    graph = graph_of(*[[(each, 0)] for each in product.tolist()], products=5)
    graph = replace(graph, edge_text=1 + np.arange(15))
    vectors = rng.normal(size=(16, 3)).astype(np.float16)
    member = np.flatnonzero(rng.random(15) < 0.7)
    asked = np.flatnonzero(rng.random(15) < 0.5)
    products = np.flatnonzero(rng.random(5) < 0.8)

    def reviews(vectors):
        known = ProductReviews.of(graph, vectors, member)
        return match_sources(graph, vectors, known, products, asked)[SOURCES.index("reviews")]

    before, changed = reviews(vectors), vectors.copy()
    changed[graph.edge_text[asked]] = rng.normal(size=(len(asked), 3))
    np.testing.assert_allclose(reviews(changed), before, atol=1e-5)
    others = np.setdiff1d(member, asked)
    for row, each in enumerate(products):
        own = vectors[graph.edge_text[others[product[others] == each]]].astype(np.float64)
        expected = own.mean(axis=0) if len(own) else np.zeros(3)
        np.testing.assert_allclose(before[row], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_epochs": 0}, "match.max_epochs=0: must be at least 1"),
        ({"products": 0}, "match.products=0: must be at least 1"),
        ({"lr": 0}, "match.lr=0: must be above 0"),
        ({"dropout": 1}, "match.dropout=1: must be below 1"),
        ({"source_dropout": 1.5}, "match.source_dropout=1.5: must be at most 1"),
        ({"scale": -1}, "match.scale=-1: must be above 0"),
        ({"weight_decay": -1}, "match.weight_decay=-1: must be at least 0"),
    ],
)
def test_unusable_settings_are_named(change, message):
    with pytest.raises(InputError, match=message):
        fit(**change)

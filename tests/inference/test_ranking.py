"""Serving ranks exactly as the reference does, which computes every score."""

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rec_sys.graph.review_graph import build_review_graph
from rec_sys.graph.task import NOW
from rec_sys.inference.histories import authors_in
from rec_sys.inference.recommender import Recommender, best_rows
from rec_sys.modules.checkpoint import load_trained
from rec_sys.modules.full_catalogue import FullCatalogue, ProductEmbeddings
from rec_sys.modules.inference_backends import TorchBackend
from rec_sys.text.words import count_words
from tests.helpers.tiny_models import PRODUCTS, FakeEncoder, review_table, shop, tiny_model

TEXTS = ["", "good tone", "never again", "it hums"]
WISHES = ["", "strings of nylon", "good tone"]


def best_of(scores, left_out, k):
    """Brute force: the rows, of equals the lowest first."""
    allowed = [row for row in range(len(scores)) if row not in left_out]
    return sorted(allowed, key=lambda row: (-scores[row], row))[:k]


@settings(deadline=None)
@given(
    seed=st.integers(0, 999),
    num_products=st.integers(1, 40),
    k=st.integers(1, 12),
)
def test_the_best_of_all_products_are_found(seed, num_products, k):
    """Small whole numbers, so that many scores are equal."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(-3, 4, num_products).astype(np.float32)
    candidates = rng.random(num_products) < 0.6
    found = best_rows(scores, candidates, k)
    assert found.tolist() == best_of(scores, set(np.flatnonzero(~candidates)), k)


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("abcd"),
            st.sampled_from([product[0] for product in PRODUCTS]),
            st.sampled_from(TEXTS),
            st.sampled_from([None, 1, 3, 5]),
            st.integers(0, 9),
        ),
        min_size=1,
        max_size=20,
        unique_by=lambda row: row[:2],
    ),
    k=st.integers(1, 8),
    wishes=st.lists(st.sampled_from(WISHES), min_size=4, max_size=4),
)
def test_serving_equals_the_full_catalogue(built, tmp_path, rows, k, wishes):
    backend = TorchBackend(load_trained(tmp_path / "checkpoint_dir" / "tiny.ckpt"))
    wish_of = dict(zip("abcd", wishes, strict=True))
    people = [replace(each, wish=wish_of[each.user_id]) for each in authors_in(review_table(rows))]
    results = Recommender(backend, built, FakeEncoder().encode).recommend(people, k=k)

    texts = ["", *WISHES[1:]]
    history = build_review_graph(shop(rows), lambda new: _rows_of(texts, new))
    vectors = FakeEncoder().encode(texts).astype(np.float16)
    vectors[0] = 0
    products = ProductEmbeddings(built.embeddings, built.keys)
    catalogue = FullCatalogue(
        tiny_model(),
        vectors,
        count_words(texts),
        built.reviews,
        products,
        built.features,
        built.combiner,
        unknown=~built.recommendable,
    )
    # The reviewed products' texts are those of the vectorbase, whatever is encoded here.
    wish = np.array([texts.index(wish_of[user]) for user in history.user_ids])
    asked = np.full(history.num_users, NOW)
    scores = catalogue.score(history, asked, wish)
    if not wish.any():
        np.testing.assert_array_equal(scores, catalogue.score(history, asked))
    for result in results:
        (user,) = np.flatnonzero(history.user_ids == result.user_id)
        seen = set(history.edge_product[history.edges_of(np.array([user]))])
        expected = best_of(scores[user], seen, k)
        found = [each.product_id for each in result.recommendations]
        assert found == built.product_ids[expected].tolist()
        served = [each.score for each in result.recommendations]
        np.testing.assert_allclose(served, scores[user, expected], atol=1e-5)
        users, shown = np.full(len(expected), user), np.array(expected, dtype=np.int64)
        ratings = [each.predicted_rating for each in result.recommendations]
        np.testing.assert_allclose(ratings, catalogue.rate(history, users, shown), atol=1e-4)


def _rows_of(texts, new):
    texts += [text for text in dict.fromkeys(new) if text not in texts]
    return np.array([texts.index(text) for text in new], dtype=np.int64)

"""Serving ranks exactly as the reference does, which computes every score."""

from types import SimpleNamespace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rec_sys.graph.review_graph import build_review_graph
from rec_sys.inference.backends import TorchBackend
from rec_sys.inference.recommender import Recommender, best_products
from rec_sys.modules.checkpoint import load_trained
from rec_sys.modules.full_catalogue import FullCatalogue, ProductEmbeddings
from rec_sys.modules.product_graph import PropagatedScores
from rec_sys.vector_database.index import IndexSettings, ProductIndex
from tests.helpers.tiny_models import PRODUCTS, FakeEncoder, review_table, shop, tiny_model

TEXTS = ["", "good tone", "never again", "it hums"]


def best_of(scores, left_out, k):
    """Brute force: the rows, of equals the lowest first."""
    allowed = [row for row in range(len(scores)) if row not in left_out]
    return sorted(allowed, key=lambda row: (-scores[row], row))[:k]


@settings(deadline=None)
@given(
    seed=st.integers(0, 999),
    num_products=st.integers(1, 40),
    num_users=st.integers(0, 6),
    k=st.integers(1, 12),
)
def test_the_best_of_all_products_are_found(seed, num_products, num_users, k):
    """Small whole numbers, so that sums are exact and many scores are equal."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(-2, 3, (num_products, 3)).astype(np.float32)
    queries = rng.integers(-2, 3, (num_users, 3)).astype(np.float32)
    propagated = rng.integers(-3, 4, (num_users, num_products)).astype(np.float32)
    propagated[rng.random(propagated.shape) < 0.6] = 0
    reviewed = [np.flatnonzero(rng.random(num_products) < 0.3) for _ in range(num_users)]
    vectorbase = SimpleNamespace(keys=keys, index=ProductIndex.build(keys, IndexSettings()))
    user, product = np.nonzero(propagated)
    ranked = best_products(
        vectorbase, queries, PropagatedScores(user, product, propagated[user, product]), reviewed, k
    )
    scores = queries @ keys.T + propagated
    assert len(ranked) == num_users
    for row, (rows, found) in enumerate(ranked):
        expected = best_of(scores[row], set(reviewed[row]), k)
        assert found.tolist() == scores[row, expected].tolist()
        assert len(set(rows)) == len(rows) and not set(rows) & set(reviewed[row])
        # FAISS chooses among equals where its list ends; what it lists comes in order.
        assert scores[row, rows].tolist() == found.tolist()
        assert rows.tolist() == best_of(scores[row], set(range(num_products)) - set(rows), k)


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
)
def test_serving_equals_the_full_catalogue(built, tmp_path, rows, k):
    backend = TorchBackend(load_trained(tmp_path / "checkpoint_dir" / "tiny.ckpt"))
    results = Recommender(backend, built, FakeEncoder().encode).recommend(review_table(rows), k)

    texts = [""]
    history = build_review_graph(shop(rows), lambda new: _rows_of(texts, new))
    vectors = FakeEncoder().encode(texts).astype(np.float16)
    vectors[0] = 0
    products = ProductEmbeddings(built.embeddings, built.keys)
    catalogue = FullCatalogue(tiny_model(), vectors, built.reviews, built.product_graph, products)
    # The reviewed products' texts are those of the vectorbase, whatever is encoded here.
    scores = catalogue.score(history)
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

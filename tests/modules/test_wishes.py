"""What a wish says by meaning and by words: known values, naive loops, and products that change."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_sys.graph.task import NOW
from rec_sys.modules.evidences import KnownReviews, Match, product_words
from rec_sys.modules.features import (
    MatchFeature,
    Situation,
    WordsFeature,
    moved_features,
    told_features,
)
from rec_sys.modules.match import Towers, Wishes, bm25
from rec_sys.modules.product_graph import ProductGraph
from rec_sys.text.words import count_words
from tests.helpers.graphs_by_hand import graph_of
from tests.helpers.tiny_models import tiny_towers

SEEDS = st.integers(0, 2**32 - 1)
DIMENSION, PRODUCTS = 4, 5
WORDS = ["nylon", "steel", "strings", "warm", "loud", "drum", "for", "cheap"]
K1, B, NAME_WEIGHT = 1.5, 0.6, 2.0


def wishing(*texts, vectors=None, num_products=PRODUCTS):
    """People who have reviewed nothing and want something."""
    shape = (len(texts), num_products)
    vectors = np.zeros((len(texts), DIMENSION)) if vectors is None else np.array(vectors)
    return Situation(
        user_ptr=np.zeros(len(texts) + 1, dtype=np.int64),
        product=np.empty(0, dtype=np.int64),
        rating=np.empty(0, dtype=np.float32),
        asked=np.full(len(texts), NOW),
        network=np.zeros(shape, np.float32),
        predicted_rating=np.zeros(shape, np.float32),
        wishes=Wishes.of(vectors, count_words(list(texts))),
    )


@given(seed=SEEDS, k1=st.sampled_from([0.5, 8.0]), b=st.sampled_from([0.0, 0.9, 1.0]))
def test_bm25_equals_a_naive_loop(seed, k1, b):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 5, (4, 6)) * (rng.random((4, 6)) < 0.5)
    idf = rng.uniform(0.1, 3, 6).astype(np.float32)
    mean_length = max(counts.sum() / 4, 1)
    sparse = scipy.sparse.csr_array(counts.astype(np.float32))
    found = bm25(sparse, idf, float(mean_length), k1, b)
    assert found.dtype == np.float32 and (sparse.toarray() == counts).all()
    for document in range(4):
        length = counts[document].sum() / mean_length
        for word in range(6):
            times = counts[document, word]
            room = k1 * (1 - b + b * length)
            expected = idf[word] * times * (k1 + 1) / (times + room) if times else 0
            assert found[document, word] == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_who_says_something():
    vectors = np.array([[0, 1], [0, 0], [0, 0], [1, 0]], dtype=np.float16)
    wishes = Wishes.of(vectors, count_words(["warm", "", "drum", ""]))
    assert wishes.said.tolist() == [True, False, True, True]
    assert wishes.vectors.dtype == np.float32
    assert wishes.of_user(2).said.tolist() == [True]
    assert wishes.of_user(2).words.nnz == 1 and not wishes.of_user(1).words.nnz


# Each product: name, description, reviews.
TEXTS = [
    ("nylon strings", "warm strings", ["warm", "nylon nylon", "cheap"]),
    ("steel strings", "", ["loud steel", "cheap strings for loud"]),
    ("drum", "loud drum", ["loud", "drum"]),
    ("", "", ["warm"]),
    ("", "", []),
]


def shop(texts=TEXTS, vectors=None, unknown=()):
    """The texts as what evidences are fitted to; reviews of some products are not known."""
    rows, store = {"": 0}, [""]

    def row(text):
        if text not in rows:
            rows[text] = len(store)
            store.append(text)
        return rows[text]

    # One user for each review.
    reviews = [(product, said) for product, (*_, own) in enumerate(texts) for said in own]
    graph = graph_of(*[[(product, 0)] for product, _ in reviews], products=len(texts))
    graph = replace(
        graph,
        edge_text=np.array([row(said) for _, said in reviews]),
        product_name_text=np.array([row(name) for name, *_ in texts]),
        product_info_text=np.array([row(info) for _, info, _ in texts]),
    )
    store_vectors = np.random.default_rng(0).normal(size=(len(store), DIMENSION))
    store_vectors[0] = 0
    edges = np.flatnonzero(~np.isin(graph.edge_product, unknown))
    return KnownReviews(
        graph,
        edges,
        ProductGraph.without_edges(len(texts)),
        store_vectors.astype(np.float32),
        count_words(store),
        tiny_towers(DIMENSION),
    ), store


def fitted(known):
    match, words = Match(K1, B, NAME_WEIGHT).fit(known)
    assert isinstance(match, MatchFeature) and isinstance(words, WordsFeature)
    assert (match.name, words.name) == ("match", "match, words")
    assert match.evidence == words.evidence == "match"
    return match, words


def normalized(vector):
    length = np.linalg.norm(vector)
    return vector / length if length else vector


def test_by_meaning_it_is_the_inner_product_of_the_towers():
    known, store = shop()
    match, _ = fitted(known)
    towers, graph = known.towers, known.graph
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(2, DIMENSION)).astype(np.float32)
    found = match.values(wishing("a", "b", vectors=vectors))
    assert found.dtype == np.float32 and found.shape == (2, PRODUCTS)
    vector_of = dict(zip(store, known.vectors, strict=True))
    for product, (name, info, reviews) in enumerate(TEXTS):
        mean = np.mean([vector_of[each] for each in reviews] or [np.zeros(DIMENSION)], axis=0)
        there = (
            normalized(vector_of[name]) @ towers.name
            + normalized(vector_of[info]) @ towers.info
            + normalized(mean) @ towers.reviews
        )
        expected = vectors @ towers.query @ normalized(there)
        np.testing.assert_allclose(found[:, product], expected, rtol=1e-4, atol=1e-5)
    assert not found[:, 4].any()  # of which nothing is said
    assert graph.num_products == PRODUCTS
    nobody = replace(wishing("", ""), wishes=None)
    assert not match.values(nobody).any() and match.values(nobody).shape == (1, PRODUCTS)


def test_untrained_towers_are_plain_similarity():
    rng = np.random.default_rng(2)
    towers = Towers.untrained(DIMENSION, scale=20.0)
    query = rng.normal(size=(3, DIMENSION)).astype(np.float32)
    name, info, reviews = rng.normal(size=(3, 6, DIMENSION)).astype(np.float32)
    info[0] = reviews[0] = 0
    name[1] = info[1] = reviews[1] = 0
    found = towers.queries(query) @ towers.products(name, info, reviews).T
    for product in range(6):
        parts = [normalized(each[product]) for each in (name, info, reviews)]
        expected = 20 * query @ normalized(sum(parts))
        np.testing.assert_allclose(found[:, product], expected, rtol=1e-4, atol=1e-4)
    assert np.isfinite(found).all() and not found[:, 1].any()


def document(product):
    name, info, reviews = TEXTS[product]
    return " ".join([*[name] * int(NAME_WEIGHT), info, *reviews]).split()


def words_by_hand(wish):
    """The textbook's BM25 of the words of a wish, in standard deviations."""
    documents = [document(product) for product in range(PRODUCTS)]
    mean_length = np.mean([len(each) for each in documents])
    scores = np.zeros(PRODUCTS)
    for word in sorted(set(wish.split())):
        having = sum(word in each for each in documents)
        if not having:
            continue
        idf = np.log(1 + (PRODUCTS - having + 0.5) / (having + 0.5))
        for product, each in enumerate(documents):
            times = each.count(word)
            room = K1 * (1 - B + B * len(each) / mean_length)
            said = 1 + np.log(wish.split().count(word))
            scores[product] += said * idf * times * (K1 + 1) / (times + room)
    return scores / scores.std() if scores.std() > 0 else scores


@given(st.lists(st.lists(st.sampled_from([*WORDS, "unheard"]), max_size=6), min_size=1, max_size=4))
def test_by_words_it_is_the_bm25_of_the_textbook_in_standard_deviations(wishes):
    texts = [" ".join(each) for each in wishes]
    _, words = fitted(shop()[0])
    found = words.values(wishing(*texts))
    assert found.dtype == np.float32 and scipy.sparse.issparse(found)
    for row, text in zip(found.toarray(), texts, strict=True):
        np.testing.assert_allclose(row, words_by_hand(text), rtol=1e-4, atol=1e-5)
    nobody = words.values(replace(wishing(*texts), wishes=None))
    assert nobody.shape == (len(texts), PRODUCTS) and not nobody.nnz


def test_what_each_word_adds_to_a_product():
    _, words = fitted(shop()[0])
    wish = count_words(["warm nylon drum unheard"])
    for product, parts in enumerate(words.words_for(wish, np.arange(PRODUCTS))):
        assert parts.shape == (4,) and (parts >= 0).all()
        said = [word for word in ("warm", "nylon", "drum") if word in document(product)]
        assert (parts > 0).sum() == len(said)
        (whole,) = (wish @ words.weights)[:, [product]].toarray()
        assert parts.sum() == pytest.approx(whole[0], abs=1e-5)


def test_only_known_reviews_tell_what_a_product_is():
    known, _ = shop()
    names, others = product_words(known.graph, known.words, known.edges[[1]])
    assert names.sum(axis=1).tolist() == [2, 2, 1, 0, 0]
    assert others.sum(axis=1).tolist() == [2 + 2, 0, 2, 0, 0]  # "nylon nylon" is known
    _, words = fitted(replace(known, edges=known.edges[:0]))
    assert not words.words_for(count_words(["cheap"]), [0]).any()
    assert words.words_for(count_words(["nylon"]), [0]).all()


def test_where_nothing_is_said_nothing_is_found():
    known, _ = shop([("", "", [])] * 3)
    match, words = fitted(known)
    asked = wishing("warm strings", vectors=np.ones((1, DIMENSION)), num_products=3)
    assert not match.values(asked).any() and not words.values(asked).toarray().any()


def same_features(one, two):
    np.testing.assert_allclose(one[0].products, two[0].products, atol=1e-6)
    assert one[0].towers is two[0].towers
    assert (one[1].weights != two[1].weights).nnz == 0 or np.allclose(
        one[1].weights.toarray(), two[1].weights.toarray(), rtol=1e-5
    )


def sources_of(known):
    """What products are told by, see `told_features`: vectors and words."""
    graph, vectors = known.graph, known.vectors
    sums = np.zeros((graph.num_products, DIMENSION), dtype=np.float32)
    np.add.at(sums, graph.edge_product[known.edges], vectors[graph.edge_text[known.edges]])
    counts = np.bincount(graph.edge_product[known.edges], minlength=graph.num_products)
    means = sums / np.maximum(counts, 1)[:, None]
    vectors = (vectors[graph.product_name_text], vectors[graph.product_info_text], means)
    return vectors, product_words(graph, known.words, known.edges)


@settings(max_examples=25)
@given(seed=SEEDS)
def test_products_that_went_and_came_again_are_as_if_fitted_from_scratch(seed):
    rng = np.random.default_rng(seed)
    known, _ = shop()
    features = fitted(known)
    away = rng.random(PRODUCTS) < 0.5
    rows = np.where(away, -1, np.arange(PRODUCTS))
    moved = moved_features(features, rows, PRODUCTS)
    for product in np.flatnonzero(away):
        assert not moved[0].products[product].any()
        assert not moved[1].weights[:, [product]].nnz
    vectors, words = sources_of(known)
    told = rng.permutation(np.flatnonzero(away))
    again = told_features(
        moved, told, [each[told] for each in vectors], [each[told] for each in words]
    )
    same_features(again, features)
    assert again[1].idf is features[1].idf


def test_a_product_whose_texts_are_others_is_told_by_them():
    """How telling a word is, and how long products are, stays as it was."""
    known, _ = shop()
    before = fitted(known)
    texts = [*TEXTS]
    texts[1] = ("steel strings", "a warm harp", ["loud steel"])
    now, _ = shop(texts)
    vectors, (names, others) = sources_of(now)
    rows = np.array([1])
    told = told_features(
        before, rows, [each[rows] for each in vectors], [names[rows], others[rows]]
    )
    counts = (NAME_WEIGHT * names + others).tocsr()[[1]]
    weights = bm25(counts, before[1].idf, before[1].mean_length, K1, B).toarray()[0]
    np.testing.assert_allclose(told[1].weights[:, [1]].toarray()[:, 0], weights, rtol=1e-5)
    assert not told[1].words_for(count_words(["cheap"]), [1]).any()  # nobody says so any more
    assert told[1].words_for(count_words(["warm"]), [1]).all()
    assert not told[1].words_for(count_words(["harp"]), [1]).any()  # a word that no product had
    others = [0, 2, 3, 4]
    old, new = (each[1].weights.toarray()[:, others] for each in (before, told))
    np.testing.assert_array_equal(new, old)
    np.testing.assert_array_equal(told[0].products[others], before[0].products[others])
    expected = known.towers.products(*(each[rows] for each in vectors))
    np.testing.assert_allclose(told[0].products[rows], expected, atol=1e-6)
    assert np.abs(told[0].products[1] - before[0].products[1]).max() > 0.01
    assert told_features(before, rows[:0], [each[:0] for each in vectors], [names[:0]] * 2)[
        0
    ].products.tolist() == (before[0].products.tolist())


@given(seed=SEEDS, num_products=st.integers(1, 30))
def test_links_are_the_chances_of_the_softmax(seed, num_products):
    rng = np.random.default_rng(seed)
    towers = tiny_towers(DIMENSION)
    products = rng.normal(size=(num_products, DIMENSION)).astype(np.float32)
    match = MatchFeature("match", "match", towers, products)
    vectors = rng.normal(size=(6, DIMENSION)).astype(np.float32)
    vectors[2] = 0
    unknown = rng.random(6) < 0.7
    links = match.links(vectors, unknown)
    if not unknown[[0, 1, 3, 4, 5]].any():
        assert links is None
        return
    assert links.shape == (6, num_products) and links.dtype == np.float32
    for row, found in enumerate(links.toarray()):
        if not unknown[row] or row == 2:
            assert not found.any()
            continue
        chances = np.exp(products @ (normalized(vectors[row]) @ towers.query))
        chances /= chances.sum()
        likeliest = np.argsort(-chances)[:20]
        expected = np.zeros(num_products)
        expected[likeliest] = chances[likeliest]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
        assert found.sum() <= 1 + 1e-5
    assert match.links(vectors, np.zeros(6, dtype=bool)) is None
    assert match.links(np.zeros_like(vectors), np.ones(6, dtype=bool)) is None

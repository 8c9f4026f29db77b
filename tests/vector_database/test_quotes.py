"""Sentences to be quoted: cut from reviews, found by words, moved and stored."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from rec_sys.graph.review_graph import prepare_reviews
from rec_sys.text.words import columns_of
from rec_sys.vector_database.create_vectorbase import build_quotes, create_vectorbase
from rec_sys.vector_database.quotes import Quote, Quotes
from rec_sys.vector_database.vectorbase import read_vectorbase
from tests.helpers.configs import config_of
from tests.helpers.tiny_models import REVIEWS, FakeEncoder, replaced, save_checkpoint, shop

TUNE = "Holds the tune for weeks."
WARM = "What a warm and round tone!"
LOUD = "Far too loud for our little rooms?"
TUNED = "It came well tuned and it has held the tune ever since, on stage and at home."
NAN = math.nan


def quotes_of(*reviews, num_products=3, most=100):
    """Reviews as (text, product, stars)."""
    texts, product, rating = zip(*reviews, strict=True) if reviews else ((), (), ())
    return Quotes.of(
        texts,
        np.array(product, dtype=np.int64),
        np.array(rating, dtype=np.float32),
        num_products,
        most,
    )


def by_product(quotes):
    found = []
    for start, stop in zip(quotes.pointers[:-1], quotes.pointers[1:], strict=True):
        stars = [None if math.isnan(each) else each for each in quotes.rating[start:stop].tolist()]
        found.append(list(zip(quotes.texts[start:stop], stars, strict=True)))
    return found


def nearest(quotes, product, **weights):
    columns = columns_of(" ".join(weights))
    assert len(columns) == len(weights)
    return quotes.nearest(
        product,
        np.array([columns[word] for word in weights], dtype=np.int64),
        np.array(list(weights.values()), dtype=np.float32),
    )


def test_reviews_are_cut_into_sentences():
    quotes = quotes_of(
        (f"Nice. {TUNE} {WARM}\n{LOUD}", 2, 5),
        (f"  {TUNED}…\n\n  {'long ' * 40}and so on. {WARM}", 0, NAN),
        ("Version 2.0 is better than version 1.5 was", 2, 4.5),
    )
    assert by_product(quotes) == [
        [(f"{TUNED}…", None), (WARM, None)],
        [],
        [(TUNE, 5), (WARM, 5), (LOUD, 5), ("Version 2.0 is better than version 1.5 was", 4.5)],
    ]
    assert quotes.words.shape[0] == 6 and set(quotes.words.data) == {1}
    assert by_product(quotes_of()) == [[], [], []]


@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_the_first_sentences_of_each_product_are_kept(most):
    quotes = quotes_of((f"{TUNE} {WARM}", 1, 5), (LOUD, 0, 4), (f"{LOUD} {TUNED}", 1, 4), most=most)
    expected = [(TUNE, 5), (WARM, 5), (LOUD, 4), (TUNED, 4)]
    assert by_product(quotes) == [[(LOUD, 4)][:most], expected[:most], []]


def test_the_sentence_that_says_most_in_the_fewest_words():
    quotes = quotes_of((f"{TUNED} {TUNE} {WARM}", 0, 5), (TUNE, 1, NAN), (f"{WARM} {LOUD}", 2, 4))
    assert nearest(quotes, 0, tune=1.0) == Quote(TUNE, 5.0)  # shorter than the first
    assert nearest(quotes, 0, tune=1.0, stage=5.0) == Quote(TUNED, 5.0)
    assert nearest(quotes, 0, tune=1.0, tone=3.0) == Quote(WARM, 5.0)
    assert nearest(quotes, 1, tune=1.0, loud=9.0) == Quote(TUNE, None)  # of this product alone
    assert nearest(quotes, 2, loud=0.1).text == LOUD
    assert nearest(quotes, 2, tune=1.0) is None
    assert nearest(quotes, 0) is None
    assert nearest(quotes_of(), 0, tune=1.0) is None


SENTENCES = st.sampled_from([TUNE, WARM, LOUD, TUNED, "Ça va très bien, merci à tous."])
SOME_REVIEWS = st.lists(
    st.tuples(
        st.lists(SENTENCES, max_size=3).map(" ".join), st.integers(0, 3), st.sampled_from([NAN, 4])
    ),
    max_size=8,
)


@given(SOME_REVIEWS, st.integers(0, 999), st.integers(0, 3))
def test_sentences_move_with_their_products(reviews, seed, more):
    rng = np.random.default_rng(seed)
    quotes = quotes_of(*reviews, num_products=4)
    num_rows = 4 + more
    rows = rng.permutation(num_rows)[:4]
    rows[rng.random(4) < 0.3] = -1
    moved = quotes.moved(rows, num_rows)
    expected = [[] for _ in range(num_rows)]
    for row, said in zip(rows, by_product(quotes), strict=True):
        if row >= 0:
            expected[row] = said
    assert by_product(moved) == expected
    for row, there in zip(rows, range(4), strict=True):
        if row >= 0:
            for word in ("tune", "loud", "tone"):
                assert nearest(moved, row, **{word: 1.0}) == nearest(quotes, there, **{word: 1.0})


@given(SOME_REVIEWS)
def test_sentences_survive_being_stored(reviews):
    quotes = quotes_of(*reviews, num_products=4)
    again = Quotes.of_arrays(load(save(quotes.arrays())))
    assert by_product(again) == by_product(quotes)
    np.testing.assert_array_equal(again.pointers, quotes.pointers)
    assert again.words.shape == quotes.words.shape and (again.words != quotes.words).nnz == 0
    assert again.rating.dtype == np.float32
    for product in range(4):
        for word in ("tune", "tres", "rooms"):
            found = (nearest(each, product, **{word: 1.0}) for each in (again, quotes))
            assert len(set(found)) == 1


def test_arrays_that_do_not_fit_together_are_refused():
    arrays = quotes_of((f"{TUNE} {WARM}", 1, 5), (LOUD, 0, 4)).arrays()
    for name in arrays:
        with pytest.raises(KeyError):
            Quotes.of_arrays({key: each for key, each in arrays.items() if key != name})
    damaged = {name: arrays[name][:-1] for name in ("text_length", "rating", "word", "word_count")}
    damaged["pointers"] = arrays["pointers"] - 1
    for name, value in {"text_length": -1, "word": -1, "word_count": -1, "pointers": 9}.items():
        damaged[f"{name} {value}"] = np.concatenate(
            [arrays[name][:1] * 0 + value, arrays[name][1:]]
        )
    for name, array in damaged.items():
        with pytest.raises(ValueError):
            Quotes.of_arrays(arrays | {name.split()[0]: array})


LIKED_ABOVE = 3.0
LONG = [
    ("fay", "p1", f"{TUNE} It is mine.", 5, 100),
    ("gus", "p1", WARM, None, 300),
    ("hal", "p1", TUNED, 4, 200),
    ("ida", "p1", LOUD, 3, 400),  # not liked
    ("ida", "p5", "A present for my little sister", 4, 400),
]


def test_the_newest_liked_reviews_that_may_be_known_are_quoted(tmp_path):
    prepared = prepare_reviews(shop([*REVIEWS, *LONG]), FakeEncoder(), tmp_path / "cache_dir")
    users = prepared.graph.user_ids[prepared.graph.edge_user]
    everything = np.arange(prepared.graph.num_edges)
    quotes = build_quotes(prepared, everything, LIKED_ABOVE, most=100)
    p1 = [(WARM, None), (TUNED, 4), (TUNE, 5)]
    assert by_product(quotes) == [p1, [], [], [], [("A present for my little sister", 4)], []]
    quotes = build_quotes(prepared, everything[users != "hal"], LIKED_ABOVE, most=1)
    assert by_product(quotes)[0] == p1[:1]
    quotes = build_quotes(prepared, everything[users != "gus"], LIKED_ABOVE, most=2)
    assert by_product(quotes)[0] == p1[1:]


@pytest.mark.parametrize(("most", "kept"), [(100, 2), (1, 1), (0, 0)])
def test_a_setting_leaves_them_out(tmp_path, most, kept):
    save_checkpoint(tmp_path / "checkpoint_dir")
    reviews = f"reviews=[[fay,p1,'{TUNE} What a warm and round tone',5,100]]"
    data = replaced("data", "LaterShop", reviews)
    options = f"vector_db.quotes={most}"
    built = create_vectorbase(config_of("vectorbase_config", tmp_path, *data, options))
    assert [len(each) for each in by_product(built.quotes)] == [kept, 0, 0, 0, 0, 0]
    assert by_product(read_vectorbase(built.folder).quotes) == by_product(built.quotes)
    # Who wrote it stands nowhere in the bundle.
    for path in built.folder.iterdir():
        assert b"fay" not in path.read_bytes()

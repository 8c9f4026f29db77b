"""Data without a text, as sequences of products are."""

from dataclasses import replace

import numpy as np

from rec_sys.graph.review_graph import prepare_reviews
from rec_sys.reviews.schema import PRODUCT_SCHEMA, REVIEW_SCHEMA, to_frame
from rec_sys.text.words import count_words
from tests.helpers.tiny_models import FakeEncoder


class UntouchableEncoder:
    """Fails if it is asked for anything that costs time."""

    dimension = 5

    def __getattr__(self, name):
        raise AssertionError(f"asked for {name}")


def silent(data):
    reviews = data.reviews.assign(text="", rating=None)
    products = data.products.assign(name="", info="", style="")
    return replace(
        data,
        reviews=to_frame({name: reviews[name] for name in REVIEW_SCHEMA.names}, REVIEW_SCHEMA),
        products=to_frame({name: products[name] for name in PRODUCT_SCHEMA.names}, PRODUCT_SCHEMA),
    )


def test_without_texts_the_encoder_is_left_alone(small_data, tmp_path):
    prepared = prepare_reviews(silent(small_data), UntouchableEncoder(), tmp_path)
    assert not prepared.has_texts and prepared.newly_encoded == 0
    assert prepared.vectors.shape == (1, 5) and not prepared.vectors.any()
    assert not prepared.graph.edge_text.any() and np.isnan(prepared.graph.edge_rating).all()
    assert prepared.words.shape[0] == 1 and not prepared.words.nnz
    assert prepared.edge_texts.tolist() == [""] * 8
    again = prepare_reviews(silent(small_data), UntouchableEncoder(), tmp_path)
    assert again.vectors.shape == (1, 5)


def test_words_stand_where_the_vectors_of_the_texts_stand(small_data, tmp_path):
    other = replace(small_data, reviews=small_data.reviews.assign(text="of another data set"))
    prepare_reviews(other, FakeEncoder(), tmp_path)
    prepared = prepare_reviews(small_data, FakeEncoder(), tmp_path)
    graph, words = prepared.graph, prepared.words
    texts = ["fine", "bad", "good", "", "warm", "cold", "loud", "fine"]  # by user and time
    assert prepared.edge_texts.tolist() == texts
    rows = [*graph.edge_text, *graph.product_name_text, *graph.product_info_text]
    texts += ["Drum", "Flute", "", "Harp", "Percussion. A drum", "Wind", "", "A harp"]
    assert words.shape[0] == len(prepared.vectors) and words.dtype == np.float32
    assert (words[rows] != count_words(texts)).nnz == 0
    rest = np.setdiff1d(np.arange(len(prepared.vectors)), rows)
    assert len(rest) == 1 and not words[rest].nnz
    for text, row in zip(texts, rows, strict=True):
        if text:
            vector = FakeEncoder().encode([text])[0]
            np.testing.assert_allclose(prepared.vectors[row], vector, atol=1e-3)

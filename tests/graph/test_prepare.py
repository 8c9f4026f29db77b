"""Data without a text, as sequences of products are."""

from dataclasses import replace

import numpy as np

from rec_sys.graph.review_graph import prepare_reviews
from rec_sys.reviews.schema import PRODUCT_SCHEMA, REVIEW_SCHEMA, to_frame


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
    again = prepare_reviews(silent(small_data), UntouchableEncoder(), tmp_path)
    assert again.vectors.shape == (1, 5)

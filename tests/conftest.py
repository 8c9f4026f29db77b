"""Fixtures shared by all rooms."""

import numpy as np
import pytest

from rec_sys.graph.review_graph import build_review_graph
from rec_sys.reviews.schema import PRODUCT_SCHEMA, REVIEW_SCHEMA, ReviewData, to_frame

DIMENSION = 8


@pytest.fixture
def small_data() -> ReviewData:
    """Four users (0 to 3 of history), four products, one without name, missing rating and time."""
    columns = {
        "review_id": list("abcdefgh"),
        "user_id": ["ann", "ann", "bob", "ann", "cyd", "cyd", "cyd", "dan"],
        "product_id": ["p1", "p2", "p1", "p3", "p1", "p2", "p4", "p4"],
        "text": ["good", "bad", "", "fine", "warm", "cold", "loud", "fine"],
        "rating": [5, 1, 4, 3, 4, None, 2, 5],
        "timestamp": [300_000, 100_000, 200_000, None, 1, 2, 3, 4],
    }
    empty = dict.fromkeys(("nickname", "product_name", "product_info", "style"), [None] * 8)
    products = {
        "product_id": ["p1", "p2", "p3", "p4"],
        "name": ["Drum", "Flute", "", "Harp"],
        "info": ["A drum", "", "", "A harp"],
        "style": ["Percussion", "Wind", "", ""],
        "brand": ["Taps", "", "", "TAPS"],
    }
    return ReviewData(to_frame(columns | empty, REVIEW_SCHEMA), to_frame(products, PRODUCT_SCHEMA))


@pytest.fixture
def small_graph(small_data):
    """The graph of `small_data` with random vectors: (graph, vectors float16 [N, 8])."""
    rows = {"": 0}
    graph = build_review_graph(
        small_data, lambda texts: np.array([rows.setdefault(t, len(rows)) for t in texts])
    )
    vectors = np.random.default_rng(0).normal(size=(len(rows), DIMENSION)).astype(np.float16)
    vectors[0] = 0
    return graph, vectors


@pytest.fixture(scope="session")
def encoder():
    """all-MiniLM-L6-v2 from the installed package, in single precision."""
    from rec_sys.text.encoder import TextEncoder

    return TextEncoder("embedded", "fp32", 256, "cpu", "never written to")


@pytest.fixture(scope="session")
def exported_encoder(encoder, tmp_path_factory):
    """The folder that the encoder is exported to: a version in a Triton repository."""
    from rec_sys.text.encoder_export import export_encoder, write_encoder_config

    folder = tmp_path_factory.mktemp("repository") / "text_encoder" / "1"
    export_encoder(encoder, folder)
    write_encoder_config(folder / "model.onnx")
    return folder

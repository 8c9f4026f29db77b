"""What a program in Python sees: `from rec_sys import Recommender`."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rec_sys import Recommender
from rec_sys.foundation.errors import InputError
from rec_sys.inference.histories import Author
from rec_sys.modules.checkpoint import load_trained
from rec_sys.modules.inference_backends import OnnxBackend, TorchBackend
from rec_sys.vector_database.create_vectorbase import create_vectorbase
from tests.helpers.configs import config_of
from tests.helpers.tiny_models import FakeEncoder, export_tiny, save_checkpoint

ANN = [
    {"reviewID": "r1", "ProductName": "Drum", "TextReview": "good tone", "rating": 5},
    {"reviewID": "r2", "asin": "p2", "TextReview": "fell apart", "rating": 1, "Style": "Wind"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A vectorbase whose checkpoint has an export beside it, as `train` leaves it."""
    folder = tmp_path_factory.mktemp("shop")
    trained = load_trained(save_checkpoint(folder / "checkpoint_dir"))
    export_tiny(trained, trained.exported)
    create_vectorbase(config_of("vectorbase_config", folder))
    return folder


@pytest.fixture
def recommender(folder, vectorbase):
    return Recommender(OnnxBackend(vectorbase.graph_model, 1), vectorbase, FakeEncoder().encode)


@pytest.fixture
def vectorbase(folder):
    from rec_sys.vector_database.vectorbase import read_vectorbase

    return read_vectorbase(folder / "vectorbase_dir")


def test_the_export_in_the_vectorbase_computes_what_the_checkpoint_does(recommender, folder):
    torch = TorchBackend(load_trained(folder / "checkpoint_dir" / "tiny.ckpt"))
    other = Recommender(torch, recommender.vectorbase, recommender.encode)
    for one, two in zip(recommender.recommend(ANN), other.recommend(ANN), strict=True):
        np.testing.assert_allclose(one.embedding, two.embedding, atol=1e-5)
        for found, expected in zip(one.recommendations, two.recommendations, strict=True):
            assert found.product_id == expected.product_id
            assert found.score == pytest.approx(expected.score, abs=1e-5)


def test_reviews_may_be_dicts_or_a_table_with_gaps(recommender):
    dicts = recommender.recommend(ANN, k=3)
    table = recommender.recommend(pd.DataFrame(ANN), k=3)
    assert dicts[0].recommendations == table[0].recommendations
    assert len(dicts) == 1 and len(dicts[0].recommendations) == 3
    assert not {"p1", "p2"} & {each.product_id for each in dicts[0].recommendations}


def test_several_people_are_told_apart_by_their_nicknames(recommender):
    reviews = [
        review | {"nickname": name} for name, review in zip(("Ann", "Bob"), ANN, strict=True)
    ]
    found = recommender.recommend(reviews, "strings", k=2)
    assert [each.nickname for each in found] == ["Ann", "Bob"]
    assert {each.wish for each in found} == {"strings"}


@pytest.mark.parametrize(
    "said", ["nylon strings", ["nylon strings"], [{"TextReview": "nylon strings"}]]
)
def test_a_text_is_a_wish(recommender, said):
    (found,) = recommender.recommend(said, k=6)
    (expected,) = recommender.recommend([Author("you", [], wish="nylon strings")], k=6)
    assert found.wish == "nylon strings"
    assert found.recommendations == expected.recommendations
    assert recommender.recommend(wish="nylon strings", k=6)[0].recommendations == (
        expected.recommendations
    )


@pytest.mark.parametrize("nothing", ["", "  ", [], pd.DataFrame(), ()])
def test_who_says_nothing_gets_what_is_popular(recommender, nothing):
    (found,) = recommender.recommend(nothing)
    assert found.fallback == "popular" and found.recommendations[0].product_id == "p1"


def test_a_notebook_shows_a_table(recommender):
    found = recommender.recommend(ANN, k=2)
    table = found.to_pandas()
    assert table["rank"].tolist() == [1, 2]
    assert table["name"].tolist() == [each.name for each in found[0].recommendations]
    assert table["contributions"][0] == pytest.approx(found[0].recommendations[0].contributions)
    html = found._repr_html_()
    assert html.startswith("<table") and all(each in html for each in table["name"])


def test_an_explanation_is_of_the_product_asked_for(recommender):
    everything = {each.product_id: each for each in recommender.recommend(ANN)[0].recommendations}
    assert recommender.explain("p5", ANN) == everything["p5"]
    assert recommender.explain(" harp", ANN) == everything["p4"]  # by its name
    with pytest.raises(InputError, match="product='p1': is not recommended to somebody who has"):
        recommender.explain("p1", ANN)
    with pytest.raises(InputError, match="2 people wrote them"):
        recommender.explain("p5", [ANN[0] | {"nickname": "Ann"}, ANN[1] | {"nickname": "Bob"}])


def test_what_nothing_is_known_of_is_recommended_to_nobody(recommender, vectorbase):
    (row,) = np.flatnonzero(vectorbase.product_ids == "p5")
    nothing = np.zeros_like(vectorbase.name_vectors)
    reviews = vectorbase.reviews._replace(ratings=vectorbase.reviews.ratings.copy())
    reviews.ratings[row, -1] = 0
    for texts in ({"name_vectors": nothing}, {"info_vectors": nothing}):
        still = replace(vectorbase, reviews=reviews, **texts)
        assert still.recommendable.all(), "one of its texts is there"
    silent = {"name_vectors": nothing, "info_vectors": nothing}
    reviewed = replace(vectorbase, **silent)
    assert reviewed.recommendable.tolist() == (vectorbase.reviews.ratings[:, -1] > 0).tolist()
    recommender.vectorbase = replace(vectorbase, reviews=reviews, **silent)
    (found,) = recommender.recommend(ANN)
    assert found.recommendations
    assert "p5" not in {each.product_id for each in found.recommendations}
    with pytest.raises(InputError, match="product='p5': has neither a text nor a review"):
        recommender.explain("p5", ANN)


def test_embeddings_tell_the_predicted_rating(recommender):
    (user,), products = recommender.embed_users(ANN), recommender.embed_products(["p5", "Harp"])
    found = {each.product_id: each for each in recommender.recommend(ANN)[0].recommendations}
    for product, embedding in zip(("p5", "p4"), products, strict=True):
        stars = 2.5 * (user @ embedding + 1)
        assert found[product].predicted_rating == pytest.approx(stars, abs=1e-4)
    assert len(recommender.embed_products()) == 6


def test_similar_products_come_without_the_product_itself(recommender, vectorbase):
    table = recommender.similar("Harp", k=3)
    assert table["product_id"].tolist() == [
        vectorbase.product_ids[row] for row in vectorbase.nearest(3, 3)[0]
    ]
    assert "p4" not in set(table["product_id"]) and table["similarity"].is_monotonic_decreasing


@pytest.mark.parametrize(
    ("reviews", "message"),
    [
        ([{"TextReview": "x", "rating": 7}], "reviews, line 1: rating 7 is out of range"),
        ([{"TextReview": "x"}, {"rating": "?"}], "reviews, line 2: rating '\\?' is not a number"),
        ([{"TextReview": "x"}, 3], "reviews, line 2: int, no dict"),
        ([{"words": "x"}], "no usable field names: found words"),
        (3, "reviews: int cannot be read; give a text, a list of dicts"),
    ],
)
def test_bad_reviews_are_told_in_one_line(recommender, reviews, message):
    with pytest.raises(InputError, match=message) as caught:
        recommender.recommend(reviews)
    assert "\n" not in str(caught.value)


def test_a_misspelt_field_is_told(recommender):
    with pytest.warns(UserWarning, match="TextReviews .did you mean TextReview"):
        recommender.recommend([{"TextReviews": "x", "ProductName": "Drum"}])


@pytest.mark.parametrize("product", ["nobody's", "Strings"])  # two have this name
def test_an_unknown_product_is_told(recommender, product):
    with pytest.raises(InputError, match=f"product=\"?'?{product}.*no product has this id"):
        recommender.similar(product)


def test_what_cannot_be_loaded_is_told(folder, tmp_path):
    with pytest.raises(InputError, match="holds neither a bundle nor a product index"):
        Recommender.load(tmp_path)
    with pytest.raises(InputError, match="holds no text encoder.*create_bundle"):
        Recommender.load(folder / "vectorbase_dir")


def test_importing_the_package_is_light():
    program = "import sys, rec_sys; print(sorted({'numpy', 'pandas', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_fit_trains_on_tables_and_indexes_them(tmp_path):
    texts = ("warm and small", "very loud", "a gift for my son", "broke in a week")
    reviews = pd.DataFrame(
        {
            "nickname": [f"user {user}" for user in range(12) for _ in range(4)],
            "asin": [f"p{(user + place) % 6}" for user in range(12) for place in range(4)],
            "TextReview": [texts[(user * place) % 4] for user in range(12) for place in range(4)],
            "rating": [1 + (user + place) % 5 for user in range(12) for place in range(4)],
        }
    )
    products = pd.DataFrame({"asin": ["p0", "p1"], "ProductName": ["Lamp, small", "Drum"]})
    folders = [
        f"paths.{name}={tmp_path / name}"
        for name in ("cache_dir", "checkpoint_dir", "vectorbase_dir", "output_dir")
    ]
    fitted = Recommender.fit(
        reviews,
        products,
        *("train.max_epochs=1", "baselines={}", "encoder.precision=fp32"),
        *(f"logger.tracking_uri=sqlite:///{tmp_path}/mlflow.db", *folders),
    )
    (found,) = fitted.recommend(wish="Lamp, small", k=6)
    assert {each.product_id for each in found.recommendations} == {f"p{n}" for n in range(6)}
    assert "Lamp, small" in {each.name for each in found.recommendations}
    with pytest.raises(InputError, match="products: needs reviews"):
        Recommender.fit(None, products)

"""A bundle in MLflow's registry, as whoever serves models from there meets it."""

import mlflow
import pandas as pd
import pytest

from rec_sys import Recommender
from rec_sys.foundation.cli import EXIT_BAD_INPUT


def test_the_registered_model_takes_reviews_and_gives_what_the_bundle_gives(served_shop):
    said = served_shop.ok("serving.create_bundle", "bundle.registered_model=shop")
    assert "MLflow: models:/shop/1 in sqlite:///mlflow.db" in said
    folder = served_shop.folder / "bundle"
    (card,) = (served_shop.folder / "checkpoints").glob("*.md")
    assert (folder / "model_card.md").read_text() == card.read_text()

    reviews = pd.DataFrame(
        [
            {"nickname": "Ann", "TextReview": "So light! I take it everywhere.", "rating": 5.0},
            {"nickname": "Bob", "TextReview": "something quiet", "Style": "Ukuleles"},
        ]
    )
    mlflow.set_tracking_uri(f"sqlite:///{served_shop.folder / 'mlflow.db'}")
    model = mlflow.pyfunc.load_model("models:/shop/1")
    found = model.predict(reviews, params={"k": 3})
    expected = Recommender.load(folder).recommend(reviews, k=3).to_pandas()
    assert found["product_id"].tolist() == expected["product_id"].tolist()
    assert found["nickname"].tolist() == ["Ann"] * 3 + ["Bob"] * 3


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["bundle.registered_model=a/b"], "bundle.registered_model=a/b: "),
        (
            ["bundle.registered_model=shop", "bundle.tracking_uri=http://127.0.0.1:9"],
            "bundle.tracking_uri=http://127.0.0.1:9: cannot be used (",
        ),
        (
            ["bundle.registered_model=shop", "bundle.tracking_uri=sqlite:///other.db"],
            "bundle.tracking_uri=sqlite:///other.db: cannot be used (",
        ),
    ],
)
def test_an_mlflow_that_does_not_take_it_is_one_line(served_shop, settings, told):
    """Where a checkpoint says that its training logged to decides nothing."""
    done = served_shop.run_here("serving.create_bundle", *settings)
    assert done.returncode == EXIT_BAD_INPUT, done.stderr
    assert done.stderr.startswith(f"error: {told}") and done.stderr.count("\n") == 1

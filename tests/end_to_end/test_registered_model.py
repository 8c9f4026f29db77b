"""A bundle in MLflow's registry, as whoever serves models from there meets it."""

import mlflow
import pandas as pd

from rec_sys import Recommender


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

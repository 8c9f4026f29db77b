"""The recommender in MLflow's registry: reviews in, products out, both tables. MLflow runs this
file where the model is loaded (a "model from code", no pickle)."""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from rec_sys import __version__
from rec_sys.foundation.console import quiet_mlflow
from rec_sys.inference.recommender import DEFAULT_K, Recommender

_BUNDLE = "bundle"
_TEXTS = ("reviewID", "nickname", "ProductName", "TextReview", "Style", "asin")
_SHOWN = ("user_id", "nickname", "rank", "product_id", "name", "score", "predicted_rating")


class RegisteredRecommender(mlflow.pyfunc.PythonModel):
    """Takes the fields of a file of reviews and the parameters ``k`` and ``wish``; gives one row
    per person and product. ``because`` holds the reasons as JSON."""

    def load_context(self, context: Any) -> None:
        self.recommender = Recommender.load(context.artifacts[_BUNDLE])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any]) -> Any:
        given = model_input.dropna(axis="columns", how="all")
        found = self.recommender.recommend(given, params["wish"], params["k"]).to_pandas()
        reasons = [json.dumps([dict(each) for each in row]) for row in found["because"]]
        return found[list(_SHOWN)].assign(because=reasons)


def register(bundle: Path, name: str, tracking_uri: str, run_id: str) -> int:
    """Logs a bundle to the run of its training and registers it; returns its version."""
    text = [ColSpec("string", field, required=False) for field in _TEXTS]
    numbers = {"score": "float", "predicted_rating": "float", "rank": "integer"}
    names = (*_SHOWN, "because")
    columns = [ColSpec(numbers.get(n, "string"), n, required=n != "nickname") for n in names]
    inputs = Schema([*text, ColSpec("double", "rating", required=False)])
    params = ParamSchema([ParamSpec("k", "integer", DEFAULT_K), ParamSpec("wish", "string", "")])
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    quiet_mlflow()
    warnings.filterwarnings("ignore", ".*An input example was not provided.*")
    mlflow.set_tracking_uri(tracking_uri)
    with mlflow.start_run(run_id=run_id):
        logged = mlflow.pyfunc.log_model(
            name="recommender",
            python_model=__file__,
            artifacts={_BUNDLE: str(bundle)},
            signature=ModelSignature(inputs, Schema(columns), params),
            pip_requirements=[f"rec_sys=={__version__}"],
            registered_model_name=name,
        )
    return int(logged.registered_model_version)


mlflow.models.set_model(RegisteredRecommender())

"""Gives each rating baseline the settings that suit the data, by the validation reviews alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rec_sys.evaluation.interface import Catalogue, RatingModel, Reviews
from rec_sys.evaluation.rating_baselines.review_text import ReviewKnownModel
from rec_sys.evaluation.rating_scores import best_threshold
from rec_sys.evaluation.tuning import ModelGrid, combinations


@dataclass(frozen=True)
class TunedRating:
    """The best of a grid.

    Attributes:
        model: Fitted, with the best settings.
        settings: These settings.
        mse: Its mean squared error on the validation task.
        threshold: See `rec_sys.evaluation.rating_scores.best_threshold`.
    """

    model: RatingModel | ReviewKnownModel
    settings: dict[str, Any]
    mse: float
    threshold: float


def tune_ratings(
    grid: ModelGrid,
    train: Reviews,
    catalogue: Catalogue,
    histories: Reviews,
    targets: Reviews,
    liked_above: float,
) -> TunedRating:
    """Fits each combination to the training reviews; the least squared error on validation wins.

    Args:
        grid: What to try. Of equally good combinations the first one wins.
        train: What the models learn from.
        catalogue: The products.
        histories: Of the validation task.
        targets: Of the validation task; some have a rating.
        liked_above: True ratings above count as liked, in stars.

    Raises:
        InputError: A setting is wrong; found before the first model is fitted.
    """
    best = None
    rated = ~np.isnan(targets.rating)
    # One by one: not every model keeps its settings under their names.
    choices = list(combinations(grid.grid))
    models = [_only(grid, settings) for settings in choices]
    for model, settings in zip(models, choices, strict=True):
        model.fit(train, catalogue)
        stars = predict(model, histories, targets)
        mse = float(np.square(stars[rated].astype(np.float64) - targets.rating[rated]).mean())
        if best is None or mse < best.mse:
            threshold = best_threshold(stars, targets.rating, liked_above)
            best = TunedRating(model, settings, mse, threshold)
    assert best is not None  # a grid without values was refused
    return best


def predict(
    model: RatingModel | ReviewKnownModel, histories: Reviews, targets: Reviews
) -> np.ndarray:
    """Stars of the targets, float32 [T]; a model of known reviews reads the targets' texts."""
    if hasattr(model, "rate_known"):
        return model.rate_known(histories, targets.user, targets.product, targets.text)
    return model.rate(histories, targets.user, targets.product)


def _only(grid: ModelGrid, settings: dict[str, Any]) -> RatingModel:
    single = ModelGrid(grid.model_class, {name: [value] for name, value in settings.items()})
    ((model, _),) = single.unfitted()
    return model

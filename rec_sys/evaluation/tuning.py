"""Gives each baseline the settings that suit the data, by the validation."""

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hydra.utils import get_class

from rec_sys.evaluation.protocol import Catalogue, RankingModel, RatingModel, Reviews
from rec_sys.evaluation.ranking import evaluate_ranking
from rec_sys.evaluation.rating_baselines.review_text import ReviewKnownModel
from rec_sys.evaluation.rating_scores import best_threshold
from rec_sys.foundation.errors import InputError


@dataclass(frozen=True)
class ModelGrid:
    """A class of models and the settings to try.

    A class may name in an attribute `score_settings` those of its settings that only `score`
    reads. They are changed on a fitted copy, and what `fit` computed is shared: EASE inverts its
    matrix once per `l2`, however many decays are tried.

    Attributes:
        model_class: Takes the settings as keyword arguments and keeps them as attributes.
        grid: Setting to the values to try.
    """

    model_class: type[RankingModel]
    grid: Mapping[str, Sequence[Any]]

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "ModelGrid":
        """From a configuration: ``model``, the dotted name of the class, and ``grid``.

        Raises:
            InputError: There is no such class, or a setting has no value to try.
        """
        try:
            model_class = get_class(settings["model"])
        except (ImportError, ValueError) as error:
            raise InputError(f"{settings['model']}: not a model class; {error}") from None
        grid = {name: list(values) for name, values in (settings.get("grid") or {}).items()}
        empty = [name for name, values in grid.items() if not values]
        if empty:
            raise InputError(f"{settings['model']}: no value to try for {', '.join(empty)}")
        return cls(model_class, grid)

    def unfitted(self) -> Iterator[tuple[RankingModel, list[dict[str, Any]]]]:
        """Each model to fit, with the settings that it can be scored with afterwards.

        Raises:
            InputError: The class does not take a setting, or a value is out of its range.
        """
        scoring = set(getattr(self.model_class, "score_settings", ()))
        to_score = list(combinations({k: v for k, v in self.grid.items() if k in scoring}))
        for fitting in combinations({k: v for k, v in self.grid.items() if k not in scoring}):
            try:
                models = [self.model_class(**fitting, **settings) for settings in to_score]
            except TypeError as error:
                raise InputError(f"{self.model_class.__name__}: {error}") from None
            yield models[0], to_score


@dataclass(frozen=True)
class Tuned:
    """The best of a grid.

    Attributes:
        model: Fitted, with the best settings.
        settings: These settings.
        score: Its validation NDCG@k.
        tried: Every combination with its score, in the order of the grid.
    """

    model: RankingModel
    settings: dict[str, Any]
    score: float
    tried: list[tuple[dict[str, Any], float]]


def tune(
    grid: ModelGrid,
    train: Reviews,
    catalogue: Catalogue,
    histories: Reviews,
    targets: Reviews,
    k: int,
    mask_history: bool,
    block_size: int,
) -> Tuned:
    """Fits each combination to the training reviews; the best NDCG@k on the validation task wins.

    Args:
        grid: What to try. Of equally good combinations the first one wins.
        train: What the models learn from.
        catalogue: The products.
        histories: Of the validation task.
        targets: Of the validation task.
        k: Length of the lists.
        mask_history: See `evaluate_ranking`.
        block_size: See `evaluate_ranking`.

    Raises:
        InputError: A setting is wrong; found before the first model is fitted.
    """
    metric, best, tried = f"ndcg@{k}", None, []
    for model, to_score in list(grid.unfitted()):
        model.fit(train, catalogue)
        for settings in to_score:
            candidate = copy.copy(model)  # shares what was fitted
            for name, value in settings.items():
                setattr(candidate, name, value)
            result = evaluate_ranking(candidate, histories, targets, [k], mask_history, block_size)
            score = result.means()[metric]
            used = {name: getattr(candidate, name) for name in grid.grid}
            tried.append((used, score))
            if best is None or score > best[2]:
                best = (candidate, used, score)
    return Tuned(*best, tried=tried)


def combinations(grid: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """All choices of one value for each setting, the last setting changing fastest."""
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


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

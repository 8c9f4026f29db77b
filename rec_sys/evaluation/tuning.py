"""Gives each baseline the settings that suit the data, by the validation."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.utils import get_class

from rec_sys.evaluation.protocol import (
    Catalogue,
    RankingModel,
    RatingModel,
    ReviewKnownModel,
    Reviews,
)
from rec_sys.foundation.errors import InputError

Model = RankingModel | RatingModel | ReviewKnownModel


@dataclass(frozen=True)
class ModelGrid:
    """A class of models and the settings to try.

    A class may name in an attribute `score_settings` those of its settings that only `score`
    reads. What `fit` computes is shared by all their values: EASE inverts its matrix once per
    `l2`, however many decays are tried.

    Attributes:
        model_class: Takes the settings as keyword arguments and keeps them as attributes.
        grid: Setting to the values to try.
    """

    model_class: type[Model]
    grid: Mapping[str, Sequence[Any]]

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "ModelGrid":
        """From an entry of a config: ``model``, the dotted name of the class, and ``grid``.

        Raises:
            InputError: There is no such class, or a setting has no value to try.
        """
        try:
            model_class = get_class(entry["model"])
        except (ImportError, ValueError) as error:
            raise InputError(f"{entry['model']}: not a model class; {error}") from None
        grid = {name: list(values) for name, values in (entry.get("grid") or {}).items()}
        empty = [name for name, values in grid.items() if not values]
        if empty:
            raise InputError(f"{entry['model']}: no value to try for {', '.join(empty)}")
        return cls(model_class, grid)

    def unfitted(self) -> Iterator[list[tuple[dict[str, Any], Model]]]:
        """Each combination of values with its model; those that share their `fit` in one list.

        Raises:
            InputError: The class does not take a setting, or a value is out of its range.
        """
        from sklearn.model_selection import ParameterGrid

        scoring = {n: values for n, values in self.grid.items() if n in self._score_settings}
        fitting = {n: values for n, values in self.grid.items() if n not in scoring}
        for for_fit in ParameterGrid(fitting):
            choices = [{**for_fit, **for_score} for for_score in ParameterGrid(scoring)]
            yield [(settings, self.model_class(**settings)) for settings in choices]

    def tune(self, train: Reviews, catalogue: Catalogue, score: Callable[[Any], float]) -> "Tuned":
        """Fits all combinations to the training reviews; the highest score wins.

        Args:
            train: What the models learn from.
            catalogue: The products.
            score: Of a fitted model on the validation. Of equals the first one wins.

        Raises:
            InputError: A setting is wrong; found before the first model is fitted.
        """
        best: Tuned | None = None
        for choices in list(self.unfitted()):
            fitted = choices[0][1]
            fitted.fit(train, catalogue)
            for settings, model in choices:
                candidate = copy.copy(fitted)
                for name in self._score_settings:
                    setattr(candidate, name, getattr(model, name))
                value = score(candidate)
                if best is None or value > best.score:
                    best = Tuned(candidate, {name: settings[name] for name in self.grid}, value)
        assert best is not None  # a grid without values was refused
        return best

    @property
    def _score_settings(self) -> Sequence[str]:
        return getattr(self.model_class, "score_settings", ())


@dataclass(frozen=True)
class Tuned:
    """The best of a grid: fitted, its settings, and its score on the validation."""

    model: Any
    settings: dict[str, Any]
    score: float

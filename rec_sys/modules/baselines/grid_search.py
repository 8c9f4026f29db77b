"""Grid search: each combination of a baseline's settings is fitted, the best on validation wins."""

import copy
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
from hydra.utils import get_class

from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import ReviewGraph


def combinations(entry: Mapping[str, Any]) -> list[list[tuple[dict[str, Any], Any]]]:
    """Each combination of an entry's ``grid``, setting to the values to try, with its unfitted
    ``model``, the dotted name of its class. Those that share what `fit` computes stand in one list:
    they differ in `score_settings` alone. InputError if class, setting or value does not fit."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("model"), str):
        raise InputError(f"{entry}: must be a baseline: its model, the name of a class, and a grid")
    try:
        model_class = get_class(entry["model"])
    except (ImportError, ValueError) as error:
        raise InputError(f"{entry['model']}: not a model class; {error}") from None
    grid = {name: list(values) for name, values in (entry.get("grid") or {}).items()}
    if empty := [name for name, values in grid.items() if not values]:
        raise InputError(f"{entry['model']}: no value to try for {', '.join(empty)}")
    of_score = getattr(model_class, "score_settings", ())
    names = [[name for name in sorted(grid) if (name in of_score) == which] for which in (0, 1)]
    for_fit, for_score = (
        [dict(zip(some, values, strict=True)) for values in product(*map(grid.get, some))]
        for some in names
    )
    return [
        [(each, model_class(**each)) for each in ({**fit, **score} for score in for_score)]
        for fit in for_fit
    ]


def search_grid(
    entry: Mapping[str, Any], train: ReviewGraph, texts: Any, score: Callable[[Any], float]
) -> tuple[Any, dict[str, Any]]:
    """Fits all `combinations`; the highest `score` on the validation wins, of equals the first one.
    Returns the best model, fitted, and its settings."""
    best, best_score = None, -np.inf
    for choices in combinations(entry):
        fitted = choices[0][1]
        fitted.fit(train, texts)
        for settings, model in choices:
            candidate = copy.copy(fitted)
            for name in getattr(candidate, "score_settings", ()):
                setattr(candidate, name, getattr(model, name))
            value = score(candidate)
            if best is None or value > best_score:
                chosen = {name: settings[name] for name in entry.get("grid") or {}}
                best, best_score = (candidate, chosen), value
    return best

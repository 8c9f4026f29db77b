"""Settings inside the evidences, tuned on the validation within a budget, one part of
``config/tuning`` after another. Each trial fits evidences and combiner anew and is judged by NDCG@k
of users whom the weights were not fitted to. The best is kept only if it is better than luck: of n
trials that change nothing, the best is expected to be up to sqrt(2 ln n) standard errors ahead."""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from pydantic import FiniteFloat, TypeAdapter

from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.errors import InputError, told_as_unfit
from rec_sys.foundation.files import read_kept, write_kept
from rec_sys.foundation.settings import build
from rec_sys.modules.combiner import CombinerFit, Questions
from rec_sys.modules.evidences import KnownReviews
from rec_sys.modules.features import Feature

# A trial that is behind for these users, by a standard error, is not asked for the others.
_FIRST_LOOK = 1 / 3
_LEAST_FACTOR = 1.0  # standard errors, if there is one trial
_REMEDY = "delete it to begin the tuning anew"

#: Dotted names of settings to values; and, for each part, to their lowest and highest value.
Values, Space = Mapping[str, float], Mapping[str, Mapping[str, list[float]]]
# Of each part the trials that have ended: values, mean gain (None if behind at first), seconds.
_Journal = dict[str, list[tuple[dict[str, float], FiniteFloat | None, FiniteFloat]]]


def with_values(config: DictConfig, values: Values) -> DictConfig:
    """A copy of a config with other values."""
    config = copy.deepcopy(config)
    for name, value in values.items():
        OmegaConf.update(config, name, value)
    return config


def search_space(config: DictConfig) -> Space:
    """What is tuned, of the parts that training has; InputError for no such setting or bounds."""
    space = {}
    for part, settings in OmegaConf.to_container(config.tuning).items():
        remedy = "give settings, each with its lowest and its highest value, 0 or more"
        with told_as_unfit(f"tuning.{part}", remedy):
            axis, _, entry = next(iter(settings)).partition(".")
            if axis == "evidence" and entry.split(".")[0] not in config.evidence:
                continue
            for name, (low, high) in settings.items():
                if OmegaConf.select(config, name) is None:
                    raise InputError(f"tuning.{part}: there is no setting {name}")
                if not 0 <= low < high:
                    raise InputError(f"tuning.{part}, {name}: {remedy}")
        space[part] = settings
    return space


@dataclass
class EvidenceTrial:
    """How evidences with other values in `config` rank the validation. `known` has their product
    graph, `questions` are of users with several reviews."""

    config: DictConfig
    fit: CombinerFit
    known: KnownReviews
    questions: Questions
    _kept: dict[Any, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._once("graph", self.config.product_graph, lambda: self.known)

    def features(self, values: Values) -> list[Feature]:
        config = with_values(self.config, values)
        known = self._once("graph", config.product_graph, lambda: self._with_graph(config))
        features = []
        for name, settings in config.evidence.items():
            both = {"own": settings, "graph": config.product_graph}
            features += self._once(name, both, lambda each=settings: build(each).fit(known))
        return features

    def __call__(self, values: Values, share: float = 1.0) -> np.ndarray:
        """NDCG@k of each choice by a share of the users, float64 [T], see `CombinerFit.gains`."""
        asked = self.questions
        some = asked.user < share * (asked.user.max(initial=0) + 1)
        told = asked.user[some], asked.product[some], asked.liked[some]
        asked = Questions(asked.situation, asked.seen, *told)
        return self.fit.gains(self.features(values), asked, self.known.graph.num_products)

    def _with_graph(self, config: DictConfig) -> KnownReviews:
        known = self.known
        graph = build(config.product_graph).build(known.graph, known.vectors, known.edges)
        return replace(known, product_graph=graph)

    def _once(self, name: str, settings: Any, compute: Callable[[], Any]) -> Any:
        """What was computed last time, if the settings are those of last time."""
        key = OmegaConf.to_yaml(OmegaConf.create(settings))
        if self._kept.get(name, ("",))[0] != key:
            self._kept[name] = key, compute()
        return self._kept[name][1]


@dataclass(frozen=True)
class Tuned:
    """`values`: what tuning keeps; `gains`: float64 [2, T], see `EvidenceTrial`, as given and as
    kept; `rows`: part, trials, lead, what it must exceed, what is kept."""

    values: dict[str, float]
    gains: np.ndarray
    rows: list[tuple[str, int, float | None, float | None, str]]

    def show(self) -> None:
        columns = ["part", "trials", "NDCG@10, best - given", "must exceed", "kept"]
        show_table("tuning of the evidences, validation", columns, self.rows)


def tune(
    trial: EvidenceTrial, space: Space, trials: int, minutes: float, seed: int, journal: Path
) -> Tuned:
    """Tries values, part by part, as Optuna's tree of Parzen estimators proposes them. `trials`: in
    all parts; `minutes`: no trial begins that would end later, if it took as long as the longest;
    `journal`: the file of the trials that have ended. After a kill they are proposed again, not
    tried again, so that the tuning ends as it would have."""
    import optuna  # a second, for those who tune

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tried: _Journal = {}
    if journal.exists():
        with told_as_unfit(journal, _REMEDY):
            tried = TypeAdapter(_Journal).validate_python(read_kept(journal))
    before = sum(seconds for ended in tried.values() for *_, seconds in ended)
    start, end = time.monotonic(), time.monotonic() + minutes * 60 - before
    given = trial({})
    if not len(given):
        note("tuning: too few targets in the validation, all settings stay as they are")
        return Tuned({}, np.stack([given, given]), [])
    by_chance = max(math.sqrt(2 * math.log(trials)), _LEAST_FACTOR)
    values, gains, rows = {}, given, []
    first = trial(values, _FIRST_LOOK)
    longest = time.monotonic() - start
    for number, (part, settings) in enumerate(space.items()):
        sampler = optuna.samplers.TPESampler(seed=seed + number)
        study, found = optuna.create_study(direction="maximize", sampler=sampler), {}
        ended = tried.setdefault(part, [])
        while (n := len(study.trials)) < trials // len(space):
            if n == len(ended) and time.monotonic() + longest >= end:
                break
            began, proposed = time.monotonic(), study.ask()
            for name, (low, high) in settings.items():
                proposed.suggest_float(name, low, high, log=low > 0)
            mine = values | {name: float(f"{x:.3g}") for name, x in proposed.params.items()}
            if n == len(ended):
                looked = trial(mine, _FIRST_LOOK)
                if not len(looked) or (first - looked).mean() <= _error(first - looked):
                    found[n] = trial(mine)
                gain = float(found[n].mean()) if n in found else None
                ended.append((mine, gain, time.monotonic() - began))
                write_kept(journal, tried)
            told, gain, seconds = ended[n]
            if told != mine:
                raise InputError(f"{journal}: holds trials of another tuning; {_REMEDY}")
            study.tell(proposed, gain, optuna.trial.TrialState.PRUNED if gain is None else None)
            longest = max(longest, seconds)
        if not (complete := [each for each in study.trials if each.value is not None]):
            rows.append((part, len(study.trials), None, None, "as given"))
            continue
        best = max(complete, key=lambda each: each.value).number
        mine = ended[best][0]
        better = found[best] if best in found else trial(mine)
        lead, enough = (better - gains).mean(), by_chance * _error(better - gains)
        kept = "as given"
        if lead > enough:
            values, gains, first = mine, better, trial(mine, _FIRST_LOOK)
            kept = ", ".join(f"{name} {values[name]:g}" for name in settings)
        rows.append((part, len(study.trials), float(lead), float(enough), kept))
    return Tuned(values, np.stack([given, gains]), rows)


def _error(differences: np.ndarray) -> float:
    """Standard error of the mean, float64 [T]."""
    return float(differences.std() / math.sqrt(len(differences)))

"""Asks a fitted model all questions of a stage; what it achieved, and how that is kept."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rec_sys.evaluation.audit import Finding
from rec_sys.evaluation.protocol import (
    Queries,
    RankingModel,
    RatingModel,
    ReviewKnownModel,
    Stage,
    WishModel,
)
from rec_sys.evaluation.ranking import RankingResult, evaluate_ranking
from rec_sys.evaluation.rating_scores import RatingScores, best_threshold, predict, score_ratings
from rec_sys.foundation.files import replacing
from rec_sys.graph.review_graph import ReviewGraph


@dataclass(frozen=True)
class Measured:
    """A model on a stage; its row and, by title of the test (for rankings also whether the history
    was masked), its results. Users are numbered as in the graph. `settings` are what the validation
    chose, `findings` what the audit said, `seconds` what fitting and asking took."""

    model: str
    ranking: Mapping[tuple[str, bool], RankingResult] = field(default_factory=dict)
    rating: Mapping[str, RatingScores] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    seconds: float = 0.0


def save_measured(path: Path, measured: Measured) -> None:
    """Writes one ``.npz`` without pickle: the arrays, and JSON that names them."""
    arrays: dict[str, np.ndarray] = {}

    def keep(array: np.ndarray) -> dict[str, str]:
        name = f"array_{len(arrays)}"
        arrays[name] = array
        return {"array": name}

    plain = asdict(measured)
    plain["ranking"] = [[*key, asdict(result)] for key, result in measured.ranking.items()]
    about = json.dumps(plain, default=keep)
    with replacing(path) as draft, open(draft, "wb") as file:
        np.savez_compressed(file, about=np.array(about), **arrays)


def load_measured(path: Path) -> Measured:
    """Reads what `save_measured` wrote."""
    with np.load(path, allow_pickle=False) as file:
        plain = json.loads(
            str(file["about"]),
            object_hook=lambda found: file[found["array"]] if set(found) == {"array"} else found,
        )
    ranking = {}
    for title, masked, result in plain["ranking"]:
        result["exposure"] = {int(k): shown for k, shown in result["exposure"].items()}
        ranking[title, masked] = RankingResult(**result)
    plain["ranking"] = ranking
    plain["rating"] = {title: RatingScores(**each) for title, each in plain["rating"].items()}
    plain["findings"] = [Finding(**finding) for finding in plain["findings"]]
    return Measured(**plain)


@dataclass(frozen=True)
class Measuring:
    """How models are measured, alike for all; see ``config/evaluation/default.yaml``. Settings are
    chosen by `k`, one of the `ks`, and by the first of `mask_history`."""

    ks: Sequence[int]
    k: int
    mask_history: Sequence[bool]
    block_size: int
    liked_above: float

    def ndcg(self, model: RankingModel, queries: Queries, block_size: int | None = None) -> float:
        """NDCG@k, the one number that settings are chosen by and that probes watch."""
        block_size = block_size or self.block_size
        result = evaluate_ranking(model, queries, [self.k], self.mask_history[0], block_size)
        return result.means()[f"ndcg@{self.k}"]

    def ranking(
        self,
        model: RankingModel | WishModel,
        stage: Stage,
        true: Stage | None = None,
        wishes: bool = False,
    ) -> dict[tuple[str, bool], RankingResult]:
        """A fitted model on each test, or on its wishes; what is in the history is not wished for
        again. `stage` is what the model is shown, `true` has the ratings that an ablation has taken
        out of it."""
        results = {}
        for title in stage.wishes if wishes else stage.tests:
            queries = stage.test(title)
            liked = ~((true or stage).test(title).targets.edge_rating <= self.liked_above)
            for masked in [True] if wishes else self.mask_history:
                results[title, masked] = evaluate_ranking(
                    model, queries, self.ks, masked, self.block_size, liked
                )
        return results

    def rating(
        self, model: RatingModel | ReviewKnownModel, stage: Stage, true: Stage | None = None
    ) -> dict[str, RatingScores]:
        """As `ranking`; the threshold of "liked" is chosen on the validation."""
        true, validation = true or stage, stage.validation
        threshold = best_threshold(
            predict(model, validation), true.validation.targets.edge_rating, self.liked_above
        )
        results = {}
        for title in stage.tests:
            queries = stage.test(title)
            results[title] = score_ratings(
                predict(model, queries),
                true.test(title).targets.edge_rating,
                queries.users[queries.targets.edge_user],
                self.liked_above,
                threshold,
            )
        return results

    def probe(
        self, model: RankingModel, queries: Queries, users: int
    ) -> Callable[[np.ndarray, int], float]:
        """The metric of a fitted model as `rec_sys.evaluation.audit.Evaluate`; so many users are
        asked, drawn evenly."""
        step = max(1, len(queries.users) // users)
        queries = queries.of_users(np.arange(len(queries.users))[::step])

        def evaluate(numbers: np.ndarray, block_size: int) -> float:
            parts = (_renumbered(part, numbers) for part in (queries.histories, queries.targets))
            asked = Queries(queries.users, *parts, queries.asked)
            return self.ndcg(_Renumbered(model, numbers), asked, block_size)

        return evaluate


class _Renumbered:
    """A model whose product ``p`` is called ``numbers[p]``."""

    def __init__(self, model: RankingModel, numbers: np.ndarray) -> None:
        self.name, self.fit = model.name, model.fit
        self._model, self._old = model, np.argsort(numbers)

    def score(self, histories: ReviewGraph, asked: np.ndarray) -> np.ndarray:
        return self._model.score(_renumbered(histories, self._old), asked)[:, self._old]


def _renumbered(reviews: ReviewGraph, numbers: np.ndarray) -> ReviewGraph:
    return replace(reviews, edge_product=numbers[reviews.edge_product])

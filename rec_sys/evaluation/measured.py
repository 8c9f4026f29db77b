"""Asks a fitted model all questions of a stage; what it achieved, and how that is kept."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from rec_sys.evaluation.audit_probes import Finding
from rec_sys.evaluation.protocol import Queries, RankingModel, RatingModel, Reviews
from rec_sys.evaluation.ranking import RankingResult, evaluate_ranking
from rec_sys.evaluation.rating_baselines.review_text import ReviewKnownModel
from rec_sys.evaluation.rating_scores import RatingScores, score_ratings
from rec_sys.evaluation.tuning import predict
from rec_sys.foundation.files import replacing
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Task

_NO_LISTS = np.zeros((0, 0), dtype=np.int64)


@dataclass(frozen=True)
class Measured:
    """A model on a stage. Users are numbered as in the graph.

    Attributes:
        model: Its row.
        ranking: (title of the test, whether the history was masked) to the result; without lists.
        rating: Title of the test to the result.
        settings: What the validation chose.
        findings: What the audit said of the model.
        seconds: What fitting and asking took.
    """

    model: str
    ranking: Mapping[tuple[str, bool], RankingResult] = field(default_factory=dict)
    rating: Mapping[str, RatingScores] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    seconds: float = 0.0


def save_measured(path: Path, measured: Measured) -> None:
    """Writes one ``.npz``, whole or not at all, without pickle."""
    arrays: dict[str, np.ndarray] = {}
    about = {
        "model": measured.model,
        "settings": dict(measured.settings),
        "findings": [[f.check, f.passed, f.detail] for f in measured.findings],
        "seconds": measured.seconds,
        "ranking": [],
        "rating": [],
    }
    for number, ((title, masked), result) in enumerate(measured.ranking.items()):
        about["ranking"].append([title, masked])
        start = f"ranking/{number}"
        arrays[f"{start}/users"] = result.users
        arrays |= {f"{start}/per_user/{name}": v for name, v in result.per_user.items()}
        arrays |= {f"{start}/per_target/{name}": v for name, v in result.per_target.items()}
        arrays |= {f"{start}/exposure/{k}": values for k, values in result.exposure.items()}
    for number, (title, scores) in enumerate(measured.rating.items()):
        about["rating"].append([title, scores.metrics, scores.threshold])
        arrays[f"rating/{number}/user"] = scores.user
        arrays[f"rating/{number}/squared_error"] = scores.squared_error
    arrays["about"] = np.array(json.dumps(about))
    with replacing(path) as draft, open(draft, "wb") as file:
        np.savez_compressed(file, **arrays)


def load_measured(path: Path) -> Measured:
    """Reads what `save_measured` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    about = json.loads(str(arrays["about"]))

    def below(start: str) -> dict[str, np.ndarray]:
        return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}

    ranking = {}
    for number, (title, masked) in enumerate(about["ranking"]):
        start = f"ranking/{number}/"
        ranking[title, masked] = RankingResult(
            users=arrays[f"{start}users"],
            per_user=below(f"{start}per_user/"),
            per_target=below(f"{start}per_target/"),
            top=_NO_LISTS,
            exposure={int(k): v for k, v in below(f"{start}exposure/").items()},
        )
    rating = {
        title: RatingScores(
            metrics,
            threshold,
            arrays[f"rating/{number}/user"],
            arrays[f"rating/{number}/squared_error"],
        )
        for number, (title, metrics, threshold) in enumerate(about["rating"])
    }
    return Measured(
        about["model"],
        ranking,
        rating,
        about["settings"],
        [Finding(*finding) for finding in about["findings"]],
        about["seconds"],
    )


@dataclass(frozen=True)
class Measuring:
    """How models are measured, alike for all.

    Attributes:
        ks: Lengths of the lists.
        k: The one of them that settings are chosen by and that tables show first.
        mask_history: Values of the same name of `evaluate_ranking`; settings are chosen by the
            first.
        block_size: See `evaluate_ranking`.
        liked_above: Stars; true ratings above count as liked.
    """

    ks: Sequence[int]
    k: int
    mask_history: Sequence[bool]
    block_size: int
    liked_above: float

    @classmethod
    def of(cls, config: DictConfig) -> "Measuring":
        """From ``config/evaluate_config.yaml``."""
        own = config.evaluation
        masks = own.mask_history
        return cls(
            ks=sorted({*own.ks, own.k}),
            k=own.k,
            mask_history=[masks] if isinstance(masks, bool) else list(masks),
            block_size=own.block_size,
            liked_above=config.train.liked_above,
        )

    def ranking(
        self, model: RankingModel, graph: ReviewGraph, tests: Mapping[str, Task]
    ) -> dict[tuple[str, bool], RankingResult]:
        """A fitted model on each test, users numbered as in the graph."""
        results = {}
        for title, task in tests.items():
            asked = Queries.of(graph, task)
            for masked in self.mask_history:
                found = evaluate_ranking(
                    model, asked.histories, asked.targets, self.ks, masked, self.block_size
                )
                # Lists of 50 products for each person would be most of the file.
                kept = replace(found, users=asked.users[found.users], top=np.zeros((0, 0), int))
                results[title, masked] = kept
        return results

    def rating(
        self,
        model: RatingModel | ReviewKnownModel,
        graph: ReviewGraph,
        tests: Mapping[str, Task],
        threshold: float,
        true_graph: ReviewGraph | None = None,
    ) -> dict[str, RatingScores]:
        """A fitted model on each test, users numbered as in the graph.

        Args:
            model: Fitted.
            graph: What the model is shown.
            tests: Title to task.
            threshold: See `score_ratings`.
            true_graph: Has the true stars where an ablation has taken them out of `graph`.
        """
        results = {}
        for title, task in tests.items():
            asked = Queries.of(graph, task)
            results[title] = score_ratings(
                predict(model, asked.histories, asked.targets),
                Queries.of(true_graph or graph, task).targets.rating,
                asked.users[asked.targets.user],
                self.liked_above,
                threshold,
            )
        return results

    def probe(
        self, model: RankingModel, graph: ReviewGraph, task: Task, people: int
    ) -> Callable[[np.ndarray | None, int], float]:
        """The metric of a fitted model as `rec_sys.evaluation.audit_probes.Evaluate`.

        Args:
            model: Fitted.
            graph: The graph.
            task: What is asked.
            people: So many people are asked, drawn evenly.
        """
        asked = Queries.of(graph, task)
        step = max(1, len(asked.users) // people)
        asked = Queries.of(graph, _only_users(graph, task, asked.users[::step]))

        def evaluate(permutation: np.ndarray | None, block_size: int) -> float:
            if permutation is None:
                shown, histories, targets = model, asked.histories, asked.targets
            else:
                shown = _Renumbered(model, permutation)
                histories = replace(asked.histories, product=permutation[asked.histories.product])
                targets = replace(asked.targets, product=permutation[asked.targets.product])
            result = evaluate_ranking(
                shown, histories, targets, [self.k], self.mask_history[0], block_size
            )
            return result.means()[f"ndcg@{self.k}"]

        return evaluate


class _Renumbered:
    """A model whose product ``p`` is called ``permutation[p]``."""

    def __init__(self, model: RankingModel, permutation: np.ndarray) -> None:
        self.name = model.name
        self._model = model
        self._old = np.argsort(permutation)

    def fit(self, train: Reviews, catalogue: object) -> None:
        """Is fitted already."""

    def score(self, histories: Reviews) -> np.ndarray:
        """See `RankingModel`."""
        told = replace(histories, product=self._old[histories.product])
        return self._model.score(told)[:, self._old]


def _only_users(graph: ReviewGraph, task: Task, users: np.ndarray) -> Task:
    chosen = np.zeros(graph.num_users, dtype=bool)
    chosen[users] = True
    of_chosen = chosen[graph.edge_user]
    return Task(task.target & of_chosen, task.history & of_chosen)

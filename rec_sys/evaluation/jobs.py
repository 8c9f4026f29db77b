"""Jobs of an evaluation: each fits, measures and audits a model. Baselines are tuned before."""

import base64
import copy
import functools
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, Protocol

import numpy as np

from rec_sys.evaluation import protocol, scores
from rec_sys.evaluation.audit import Finding, Limits, check_invariance, require_clean
from rec_sys.evaluation.protocol import RankingModel, RatingModel, ReviewKnownModel, Stage
from rec_sys.evaluation.scores import RankingResult, RatingScores, best_threshold, predict
from rec_sys.foundation.console import progress
from rec_sys.foundation.files import code_fingerprint, read_kept, sha256_of_json, write_kept
from rec_sys.graph.review_graph import PreparedReviews, ReviewGraph
from rec_sys.graph.task import Queries
from rec_sys.modules.baselines import search_grid

#: A baseline that ranks, finds what is wished for, predicts ratings, or reads the very review whose
#: rating it tells; the graph model, and the graph model without something.
Kind = Literal["ranking", "wishes", "rating", "review known", "graph model", "ablation"]


@dataclass(frozen=True)
class Measured:
    """A model on a stage: its row and, by title of the test (and whether the history was masked),
    its results; the `settings` that the validation chose, and the `seconds` that it took."""

    model: str
    ranking: Mapping[tuple[str, bool], RankingResult] = field(default_factory=dict)
    rating: Mapping[str, RatingScores] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    seconds: float = 0.0


def save_measured(path: Path, measured: Measured) -> None:
    """Writes what `load_measured` reads."""

    def packed(array: np.ndarray) -> dict[str, Any]:
        content = base64.b64encode(zlib.compress(np.ascontiguousarray(array))).decode()
        return {"array": content, "dtype": array.dtype.str, "shape": array.shape}

    plain = asdict(measured)
    plain["ranking"] = [[*key, asdict(result)] for key, result in measured.ranking.items()]
    write_kept(path, json.dumps(plain, default=packed))


def load_measured(path: Path) -> Measured | None:
    """What was measured, as `read_kept` tells it; None if it has to be measured again."""

    def unpacked(found: dict[str, Any]) -> Any:
        if "array" not in found:
            return found
        content = zlib.decompress(base64.b64decode(found["array"]))
        return np.frombuffer(content, found["dtype"]).reshape(found["shape"])

    if (kept := read_kept(path)) is None:
        return None
    plain = json.loads(kept, object_hook=unpacked)
    ranking = {}
    for title, masked, result in plain["ranking"]:
        result["exposure"] = {int(k): shown for k, shown in result["exposure"].items()}
        ranking[title, masked] = RankingResult(**result)
    plain["ranking"] = ranking
    plain["rating"] = {title: RatingScores(**each) for title, each in plain["rating"].items()}
    plain["findings"] = [Finding(**finding) for finding in plain["findings"]]
    return Measured(**plain)


_Rates = RatingModel | ReviewKnownModel


@dataclass(frozen=True)
class Measuring:
    """How models are measured, see ``config/evaluation/default.yaml``. Settings are chosen by
    NDCG@k, with the first of `mask_history`."""

    ks: Sequence[int]
    k: int
    mask_history: Sequence[bool]
    block_size: int
    liked_above: float

    def ndcg(self, model: RankingModel, queries: Queries, block_size: int | None = None) -> float:
        """NDCG@k, the one number that settings are chosen by and that probes watch."""
        block_size = block_size or self.block_size
        result = scores.evaluate_ranking(model, queries, [self.k], self.mask_history[0], block_size)
        return result.means()[f"ndcg@{self.k}"]

    def ranking(
        self,
        model: RankingModel | protocol.WishModel,
        stage: Stage,
        true: Stage | None = None,
        wishes: bool = False,
    ) -> dict[tuple[str, bool], RankingResult]:
        """A fitted model on each test, or on its wishes, where the history is masked. `stage` is
        shown; `true` has the ratings if an ablation has taken them out of it."""
        results = {}
        for title in stage.wishes if wishes else stage.tests:
            queries = stage.test(title)
            liked = ~((true or stage).test(title).targets.edge_rating <= self.liked_above)
            for masked in [True] if wishes else self.mask_history:
                how = self.ks, masked, self.block_size, liked
                results[title, masked] = scores.evaluate_ranking(model, queries, *how)
        return results

    def rating(
        self, model: _Rates, tuned: _Rates, stage: Stage, true: Stage | None = None
    ) -> dict[str, RatingScores]:
        """As `ranking`. The threshold of liking is that of `tuned`, fitted without validation."""
        true, validation = true or stage, stage.validation
        stars = true.validation.targets.edge_rating
        threshold = best_threshold(predict(tuned, validation), stars, self.liked_above)
        results, how = {}, (self.liked_above, threshold)
        for title in stage.tests:
            queries, stars = stage.test(title), true.test(title).targets.edge_rating
            predicted, user = predict(model, queries), queries.users[queries.targets.edge_user]
            results[title] = scores.score_ratings(predicted, stars, user, *how)
        return results


def _renumbered(reviews: ReviewGraph, numbers: np.ndarray) -> ReviewGraph:
    """Reviews whose product ``p`` is called ``numbers[p]``."""
    return replace(reviews, edge_product=numbers[reviews.edge_product])


@dataclass(frozen=True)
class JobContext:
    """What all jobs share; `log_path` takes what trainings print."""

    prepared: PreparedReviews
    measuring: Measuring
    audit: Limits
    log_path: Path

    def invariance(self, model: RankingModel, stage: Stage) -> list[Finding]:
        """Whether numbering or batch size change what a fitted model is worth, to some users."""
        queries = stage.test(next(iter(stage.tests)))
        step = max(1, len(queries.users) // self.audit.people)
        queries = queries.of_users(np.arange(len(queries.users))[::step])

        def evaluate(numbers: np.ndarray, block_size: int) -> float:
            old = np.argsort(numbers)

            def score(histories: ReviewGraph, asked: np.ndarray) -> np.ndarray:
                return model.score(_renumbered(histories, old), asked)[:, old]

            parts = (_renumbered(part, numbers) for part in (queries.histories, queries.targets))
            asked = Queries(queries.users, *parts, queries.asked)
            renumbered = SimpleNamespace(name=model.name, score=score)
            return self.measuring.ndcg(renumbered, asked, block_size)

        return [check_invariance(evaluate, stage.graph.num_products, self.audit).about(model.name)]


class Job(Protocol):
    """One model; `label` names it while it runs."""

    label: str
    kind: Kind

    def identity(self, stage: Stage) -> Mapping[str, Any]:
        """All that decides the result beside code, data and stage, as values that JSON knows."""

    def can_run(self, stage: Stage) -> bool:
        """Whether there is something to learn and to ask."""

    def run(self, stage: Stage, context: JobContext) -> Measured:
        """Fits and measures."""


@dataclass(frozen=True)
class Baseline:
    """A model without a network, tuned on the validation, by NDCG@k or the squared error, and then
    fitted again to all that is known. `settings`: an entry of a list in ``config/evaluation``."""

    kind: Kind
    settings: Mapping[str, Any]

    @property
    def label(self) -> str:
        return self.settings["model"].rpartition(".")[2]

    def identity(self, stage: Stage) -> Mapping[str, Any]:
        """The seed is no part of it, what is random in these models has its own."""
        return {"kind": self.kind, "baseline": dict(self.settings)}

    def can_run(self, stage: Stage) -> bool:
        return self.kind != "wishes" or bool(stage.wishes)

    def run(self, stage: Stage, context: JobContext) -> Measured:
        how = context.measuring
        queries, texts = stage.validation, context.prepared.vectors
        rates, wishes = self.kind in ("rating", "review known"), self.kind == "wishes"
        if wishes:
            queries = Queries.wishes(stage.graph, stage.split.validation, with_history=False)
            texts = context.prepared
        true = queries.targets.edge_rating
        rated = ~np.isnan(true)

        def negative_mse(model: RatingModel) -> float:
            errors = predict(model, queries)[rated].astype(np.float64) - true[rated]
            return -float(np.square(errors).mean())

        score = negative_mse if rates else functools.partial(how.ndcg, queries=queries)
        tuned, chosen = search_grid(self.settings, stage.train, texts, score)
        model = copy.copy(tuned) if rates else tuned
        model.fit(stage.known, texts)
        return Measured(
            model.name,
            ranking={} if rates else how.ranking(model, stage, wishes=wishes),
            rating=how.rating(model, tuned, stage) if rates else {},
            settings=chosen,
            findings=[] if rates or wishes else context.invariance(model, stage),
        )


@dataclass(frozen=True)
class Record:
    """A finished job; where two stages are alike, records share the key of their result."""

    stage: Stage
    job: Job
    measured: Measured
    key: str


def run_all(
    jobs: Sequence[tuple[Stage, Sequence[Job]]], context: JobContext, cache: Path
) -> list[Record]:
    """Every job on its stage, unless the folder `cache` keeps its result, which belongs to the
    data, the settings, the stage and the source code; where two seeds have the same stage, models
    without a seed of their own run once. LeakageError if the audit failed; that is not kept."""
    records = []
    todo = [(stage, job) for stage, of_stage in jobs for job in of_stage if job.can_run(stage)]
    with progress(len(todo), "models", "model") as bar:
        for stage, job in todo:
            bar.describe(f"{stage.split.name}, seed {stage.seed}, {job.label}")
            key = _key_of(job, stage, context)
            path = cache / f"{key}.json"
            if (measured := load_measured(path)) is None:
                start = time.perf_counter()
                measured = job.run(stage, context)
                measured = replace(measured, seconds=time.perf_counter() - start)
                require_clean([f.about(f"seed {stage.seed}") for f in measured.findings])
                save_measured(path, measured)
            records.append(Record(stage, job, measured, key))
            bar.advance()
    return records


def _key_of(job: Job, stage: Stage, context: JobContext) -> str:
    identity = {
        "job": job.identity(stage),
        "code": code_fingerprint(),
        "data": context.prepared.data.fingerprint,
        "vectors": context.prepared.encoder.model_fingerprint,
        "stage": stage.fingerprint,
        "measuring": asdict(replace(context.measuring, block_size=1)),  # which changes no result
        "audit": asdict(context.audit),
    }
    return sha256_of_json(identity)

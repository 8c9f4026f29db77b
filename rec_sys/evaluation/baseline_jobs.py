"""The models without a network, tuned on the validation and measured on the tests."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rec_sys.evaluation.jobs import Circumstances
from rec_sys.evaluation.measured import Measured
from rec_sys.evaluation.rating_tuning import tune_ratings
from rec_sys.evaluation.source_code import code_fingerprint
from rec_sys.evaluation.stage import Questions, Stage, catalogue_of
from rec_sys.evaluation.tuning import ModelGrid, tune


@dataclass(frozen=True)
class Baseline:
    """A model without a network, as a `Job`.

    Attributes:
        settings: An entry of a list of baselines in ``config/evaluation``.
    """

    settings: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The class."""
        return self.settings["model"].rpartition(".")[2]

    def identity(self, stage: Stage) -> Mapping[str, Any]:
        """See `Job`; the seed is no part of it, what is random in these models has its own."""
        return {"baseline": dict(self.settings), "code": code_fingerprint("baselines")}

    def can_run(self, stage: Stage) -> bool:
        """See `Job`."""
        return True


@dataclass(frozen=True)
class RankingBaseline(Baseline):
    """Ranks; of ``config/evaluation/ranking_baselines.yaml``, tuned on the validation task."""

    def run(self, stage: Stage, around: Circumstances) -> Measured:
        """See `Job`."""
        how, start = around.measuring, time.perf_counter()
        chosen_by = Questions.of(stage.graph, stage.split.validation)
        tuned = tune(
            ModelGrid.of(self.settings),
            stage.train,
            catalogue_of(around.prepared, stage.graph),
            chosen_by.histories,
            chosen_by.targets,
            how.k,
            how.mask_history[0],
            how.block_size,
        )
        return Measured(
            tuned.model.name,
            ranking=how.ranking(tuned.model, stage.graph, stage.tests),
            settings=tuned.settings,
            findings=around.invariance(tuned.model, stage),
            seconds=time.perf_counter() - start,
        )


@dataclass(frozen=True)
class RatingBaseline(Baseline):
    """Predicts stars; of ``config/evaluation/rating_baselines.yaml``, tuned on the validation task.

    Attributes:
        reads_the_review: Whether it is one of ``known_review_baselines.yaml`` instead.
    """

    reads_the_review: bool = False

    def run(self, stage: Stage, around: Circumstances) -> Measured:
        """See `Job`."""
        how, start = around.measuring, time.perf_counter()
        chosen_by = Questions.of(stage.graph, stage.split.validation)
        tuned = tune_ratings(
            ModelGrid.of(self.settings),
            stage.train,
            catalogue_of(around.prepared, stage.graph),
            chosen_by.histories,
            chosen_by.targets,
            how.liked_above,
        )
        return Measured(
            tuned.model.name,
            rating=how.rating(tuned.model, stage.graph, stage.tests, tuned.threshold),
            settings=tuned.settings,
            seconds=time.perf_counter() - start,
        )

"""Our model, trained as `rec_sys.train.train` trains it and measured like all others."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rec_sys.evaluation.ablations import Ablation
from rec_sys.evaluation.audit import require_clean
from rec_sys.evaluation.jobs import Circumstances
from rec_sys.evaluation.measure import Measuring
from rec_sys.evaluation.measured import Measured
from rec_sys.evaluation.our_audit import audit_ours
from rec_sys.evaluation.our_model import OUR_NAME, OurModel
from rec_sys.evaluation.overrides import with_overrides
from rec_sys.evaluation.rating_scores import RatingScores, best_threshold
from rec_sys.evaluation.rating_tuning import predict
from rec_sys.evaluation.source_code import code_fingerprint
from rec_sys.evaluation.stage import Questions, Stage
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.splits.description import split_fingerprint
from rec_sys.graph.splits.time import GlobalTime
from rec_sys.train.record import AXES

#: Keys of ``config/train`` that do not decide the result here.
_NO_MATTER = ("run_name", "resume", "warm_start")


@dataclass(frozen=True)
class Ours:
    """The model of `rec_sys.train.train`, whole or without something.

    Attributes:
        run_name: Starts the names of its runs in MLflow.
        ablation: What it goes without, or None.
    """

    run_name: str
    ablation: Ablation | None = None

    @property
    def label(self) -> str:
        """Its row."""
        return self.ablation.name if self.ablation else OUR_NAME

    def config(self, stage: Stage) -> DictConfig:
        """The config to train with."""
        config = with_overrides(stage.config, self.ablation.overrides if self.ablation else [])
        parts = (self.run_name, stage.split.name, f"seed{stage.seed}", self.label)
        config.train.run_name = "-".join(parts)
        config.train.resume = False
        config.train.warm_start = None  # it would have learnt from more than it is said to have
        return config

    def identity(self, stage: Stage) -> Mapping[str, Any]:
        """See `Job`."""
        config = OmegaConf.to_container(self.config(stage), resolve=True)
        axes = {axis: config[axis] for axis in AXES}
        axes["train"] = {k: v for k, v in axes["train"].items() if k not in _NO_MATTER}
        trainer = {k: v for k, v in config["trainer"].items() if k != "enable_progress_bar"}
        return {
            "ours": axes,
            "trainer": trainer,
            "change": self.ablation.change if self.ablation else None,
            "code": code_fingerprint("ours"),
        }

    def can_run(self, stage: Stage) -> bool:
        """See `Job`: without times, training cannot split by time."""
        takes_times = self.ablation is not None and self.ablation.change == "mask_times"
        return not (takes_times and stage.split.name == GlobalTime.name)

    def run(self, stage: Stage, around: Circumstances) -> Measured:
        """See `Job`."""
        from rec_sys.train.train import train

        how, start = around.measuring, time.perf_counter()
        graph = self.ablation.apply(stage.graph, stage.seed) if self.ablation else stage.graph
        prepared = replace(around.prepared, graph=graph)
        findings = [] if self.ablation else audit_ours(stage, around.prepared.vectors, around.audit)
        require_clean([f.about(f"seed {stage.seed}") for f in findings])
        around.log_path.parent.mkdir(parents=True, exist_ok=True)
        with open(around.log_path, "a") as log, contextlib.redirect_stdout(log):
            _, objects = train(self.config(stage), prepared)
        if split_fingerprint(objects["split"]) != split_fingerprint(stage.split):
            raise ValueError(f"{self.label}: training has split the data in another way")
        model = OurModel(objects["catalogue"], graph, self.label)
        return Measured(
            self.label,
            ranking=how.ranking(model, graph, stage.tests),
            rating=self._rating(model, stage, graph, how),
            findings=[*findings, *around.invariance(model, replace(stage, graph=graph))],
            seconds=time.perf_counter() - start,
        )

    def _rating(
        self, model: OurModel, stage: Stage, graph: ReviewGraph, how: Measuring
    ) -> dict[str, RatingScores]:
        if not stage.has_ratings:
            return {}
        chosen_by = Questions.of(graph, stage.split.validation)
        stars = predict(model, chosen_by.histories, chosen_by.targets)
        # The true stars come from the unchanged graph: without them nothing could be measured.
        true = Questions.of(stage.graph, stage.split.validation).targets.rating
        threshold = best_threshold(stars, true, how.liked_above)
        return how.rating(model, graph, stage.tests, threshold, true_graph=stage.graph)

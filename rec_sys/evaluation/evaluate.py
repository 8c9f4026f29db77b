"""Measures the recommender beside its baselines: ``uv run -m rec_sys.evaluation.evaluate``. The
whole story is `evaluate`. Results of finished models are kept, so that it can be interrupted."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import BeforeValidator, Field

from rec_sys.evaluation import audit, leaderboard
from rec_sys.evaluation.graph_model_job import GraphModelJob, load_ablations
from rec_sys.evaluation.jobs import Baseline, Job, JobContext, Kind, Measuring, run_all
from rec_sys.evaluation.protocol import build_stage
from rec_sys.evaluation.report import Report, not_measured
from rec_sys.evaluation.scores import Bootstrap, Slicing
from rec_sys.foundation import settings
from rec_sys.foundation.cli import CONFIG_DIR, command, load_choice
from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError, told_as_unfit
from rec_sys.graph.review_graph import prepare_reviews
from rec_sys.modules.baselines import combinations
from rec_sys.reviews.cleaning import require_learnable, show_report
from rec_sys.reviews.schema import NO_TIME
from rec_sys.train.tracking import Tracking, plain_config
from rec_sys.train.train import TrainSettings

_SOME = Field(min_length=1)
_BOOL_AS_LIST = BeforeValidator(lambda value: [value] if isinstance(value, bool) else value)


@settings.settings_of("evaluation")
class EvaluationSettings:
    """What is measured and compared; ``config/evaluation/default.yaml`` tells what each means."""

    splits: Annotated[list[str], _SOME] | None
    seeds: Annotated[list[settings.Count], _SOME]
    split_settings: dict[str, dict[str, Any]]
    history_lengths: Annotated[list[settings.PositiveCount], _SOME]
    ks: Annotated[list[settings.PositiveCount], _SOME]
    k: settings.PositiveCount
    mask_history: Annotated[list[bool], _BOOL_AS_LIST, _SOME]
    ours: bool
    ablations: list[str]
    ranking_baselines: str | None
    wish_baselines: str | None
    rating_baselines: str | None
    known_review_baselines: str | None
    block_size: settings.PositiveCount
    resamples: settings.PositiveCount
    confidence: settings.InnerShare
    bootstrap_seed: settings.Count
    history_starts: Annotated[list[settings.Count], _SOME]
    head_share: settings.InnerShare
    twin_jaccard: settings.Decay
    folder: str
    audit: Annotated[audit.Limits, settings.nested(audit.Limits)]

    def __post_init__(self) -> None:
        for key in ("splits", "seeds", "history_lengths", "ks", "mask_history", "ablations"):
            values = getattr(self, key) or []
            if len(set(values)) != len(values):
                raise InputError(f"evaluation.{key}={values}: something is there twice")
        if (starts := self.history_starts) != sorted({0, *starts}):
            raise InputError(f"evaluation.history_starts={starts}: must begin with 0 and ascend")
        for name in self.splits or []:
            load_choice("split", name)
        if self.ablations and not self.ours:
            why = "evaluation.ablations need the whole model beside them: evaluation.ours"
            raise InputError(why)

    def baselines(self, has_texts: bool, has_ratings: bool) -> list[Job]:
        """All jobs but the graph model's, without those that need texts or ratings if there are
        none. InputError for a file, model or value that is not there."""
        files: dict[Kind, str | None] = {
            "ranking": self.ranking_baselines,
            "wishes": self.wish_baselines if has_texts else None,
            "rating": self.rating_baselines if has_ratings else None,
            "review known": self.known_review_baselines if has_ratings and has_texts else None,
        }
        return [
            Baseline(kind, entry)
            for kind, name in files.items()
            for entry in _entries(name)
            if has_texts or not entry.get("needs_texts")
        ]


def _entries(name: str | None) -> Sequence[Mapping[str, Any]]:
    if name is None:
        return []
    path = CONFIG_DIR / "evaluation" / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"{path}: no such file of baselines")
    with told_as_unfit(path, "write a list of baselines"):
        entries = OmegaConf.to_container(OmegaConf.load(path))
        for entry in entries or [None]:
            combinations(entry)  # mistakes are told before anything is computed
    return entries


def evaluate(config: DictConfig) -> tuple[leaderboard.Leaderboard, Path]:
    """Audits, fits, measures, compares, draws and logs what ``config/evaluate_config.yaml`` says.
    Returns what was found and its folder. LeakageError, before any table, if the audit failed."""
    settings.read_settings(TrainSettings, config.train)
    wanted = settings.read_settings(EvaluationSettings, config.evaluation)
    source = settings.build(config.data)
    # Two evaluations may start within a second, and each has a folder of its own.
    run_name = f"{source.name}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    models = [None] * wanted.ours + load_ablations(wanted.ablations)
    graph_models = [GraphModelJob(run_name, ablation) for ablation in models]
    wanted.baselines(has_texts=True, has_ratings=True)  # mistakes in their files

    data = source.load()
    show_report(data)
    require_learnable(data)
    prepared = prepare_reviews(data, settings.build(config.encoder), config.paths.cache_dir)
    graph = prepared.graph
    splits = wanted.splits or ["time"]
    if not (wanted.splits or (graph.edge_time != NO_TIME).any()):
        splits, what = ["leave_one_out"], "the newest reviews of each user"
        note(f"no review has a time, so {what} are predicted (leave_one_out)")
    stages = [build_stage(config, graph, name, seed) for name in splits for seed in wanted.seeds]

    slicing = Slicing(wanted.history_starts, wanted.head_share, wanted.twin_jaccard)
    words, findings = audit.word_counts(prepared), []
    for stage in stages:
        found = audit.audit_stage(stage, words, wanted.audit, slicing)
        audit.require_clean([finding.about(f"seed {stage.seed}") for finding in found])
        findings += found

    folder = Path(wanted.folder)
    how = wanted.k, wanted.mask_history, wanted.block_size, config.train.liked_above
    measuring = Measuring(sorted({*wanted.ks, wanted.k}), *how)
    context = JobContext(prepared, measuring, wanted.audit, folder / run_name / "training.log")
    jobs = [
        (stage, [*wanted.baselines(prepared.has_texts, stage.has_ratings), *graph_models])
        for stage in stages
    ]
    bootstrap = Bootstrap(wanted.resamples, wanted.confidence, wanted.bootstrap_seed)
    # Before hours of measuring: an MLflow that does not work is told now.
    tracking = Tracking.start(config.logger, source.name, f"evaluation-{run_name}")
    with tracking.marks_run_failed():
        report = Report(run_all(jobs, context, folder / "cache"), measuring, bootstrap, slicing)
        findings += report.findings()
        main = list(report.main_tables())
        how = wanted.seeds, plain_config(config), report.seconds()
        facts = leaderboard.RunFacts(source.name, data.fingerprint, *how)
        tables, checks = [*main, *report.more_tables()], list(audit.summarised(findings))
        missing = not_measured(prepared, stages, graph_models)
        board = leaderboard.Leaderboard(facts, tables, wanted.confidence, checks, missing)
        files = leaderboard.write_leaderboard(board, folder / run_name)
        drawn = report.pictures(main)
        for name, figure in drawn.items():
            figure.savefig(folder / run_name / name)
        leaderboard.log_evaluation(tracking, board, files, drawn)
    leaderboard.show_leaderboard(main, board.not_measured)
    note(f"leakage audit: {len(findings)} checks passed, see {files[0]}")
    note(f"leaderboard: {files[0]}")
    note(f"             {files[1]}, pictures beside it")
    return board, folder / run_name


if __name__ == "__main__":
    command("evaluate_config")(evaluate)()

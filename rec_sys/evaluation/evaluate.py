"""Measures the recommender beside its baselines: ``uv run -m rec_sys.evaluation.evaluate``.

The whole story is `evaluate`: data, splits, audit, models, tables. Every finished model is kept,
so that an interrupted evaluation goes on where it was.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import BeforeValidator, Field

from rec_sys.evaluation.audit import (
    AuditSettings,
    audit_stage,
    require_clean,
    summarised,
    words_by_row,
)
from rec_sys.evaluation.graph_model_job import GraphModelJob, load_ablations
from rec_sys.evaluation.jobs import Job, JobContext, RankingBaseline, RatingBaseline
from rec_sys.evaluation.leaderboard import Leaderboard, RunFacts
from rec_sys.evaluation.measured import Measuring
from rec_sys.evaluation.protocol import build_stage
from rec_sys.evaluation.ranking import Slicing
from rec_sys.evaluation.statistics import Bootstrap
from rec_sys.evaluation.tuning import ModelGrid
from rec_sys.foundation.cli import CONFIG_DIR, command, load_choice
from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import (
    Count,
    Decay,
    InnerShare,
    PositiveCount,
    build,
    read_settings,
    settings_of,
)

_SOME = Field(min_length=1)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, bool) else value


@settings_of("evaluation")
class EvaluationSettings:
    """What is measured and compared; ``config/evaluation/default.yaml`` tells what each means."""

    splits: Annotated[list[str], _SOME]
    seeds: Annotated[list[Count], _SOME]
    split_settings: dict[str, dict[str, Any]]
    history_lengths: Annotated[list[PositiveCount], _SOME]
    ks: Annotated[list[PositiveCount], _SOME]
    k: PositiveCount
    mask_history: Annotated[list[bool], BeforeValidator(_as_list), _SOME]
    ours: bool
    ablations: list[str]
    ranking_baselines: str | None
    rating_baselines: str | None
    known_review_baselines: str | None
    block_size: PositiveCount
    resamples: PositiveCount
    confidence: InnerShare
    bootstrap_seed: Count
    history_starts: Annotated[list[Count], _SOME]
    head_share: InnerShare
    twin_jaccard: Decay
    folder: str
    audit: AuditSettings

    @classmethod
    def of(cls, config: DictConfig) -> "EvaluationSettings":
        """From ``evaluation``.

        Raises:
            InputError: A value does not fit; names the first such key and what it may be.
        """
        values = OmegaConf.to_container(config, resolve=True)
        return cls(**{**values, "audit": AuditSettings(**values["audit"])})

    def __post_init__(self) -> None:
        """Checks what types cannot say."""
        for key in ("splits", "seeds", "history_lengths", "ks", "mask_history", "ablations"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise InputError(f"evaluation.{key}={values}: something is there twice")
        starts = self.history_starts
        if starts != sorted({0, *starts}):
            raise InputError(f"evaluation.history_starts={starts}: must begin with 0 and ascend")
        for name in self.splits:
            load_choice("split", name)
        if self.ablations and not self.ours:
            raise InputError(
                "evaluation.ablations need the whole model beside them: evaluation.ours"
            )

    def measuring(self, liked_above: float) -> Measuring:
        """How models are measured; true ratings above `liked_above` count as liked."""
        ks = sorted({*self.ks, self.k})
        return Measuring(ks, self.k, self.mask_history, self.block_size, liked_above)

    def baselines(self, has_texts: bool, has_ratings: bool) -> list[Job]:
        """The jobs of all models but the graph model.

        Args:
            has_texts: Otherwise models that read are left out.
            has_ratings: Otherwise models that predict ratings are left out.

        Raises:
            InputError: There is no such file or model, or a setting has no value to try.
        """

        def entries(name: str | None) -> list[Mapping[str, Any]]:
            return [e for e in _entries(name) if has_texts or not e.get("needs_texts")]

        jobs: list[Job] = [RankingBaseline(entry) for entry in entries(self.ranking_baselines)]
        if has_ratings:
            jobs += [RatingBaseline(entry) for entry in entries(self.rating_baselines)]
        if has_ratings and has_texts:
            known = entries(self.known_review_baselines)
            jobs += [RatingBaseline(entry, reads_the_review=True) for entry in known]
        return jobs

    def graph_models(self, run_name: str) -> list[Job]:
        """The jobs of the graph model, whole and ablated.

        Raises:
            InputError: There is no such ablation.
        """
        whole = [None] if self.ours else []
        ablations = load_ablations(self.ablations)
        return [GraphModelJob(run_name, ablation) for ablation in (*whole, *ablations)]


def _entries(name: str | None) -> Sequence[Mapping[str, Any]]:
    if name is None:
        return []
    path = CONFIG_DIR / "evaluation" / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"{path}: no such file of baselines")
    entries = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(entries, list)
    for entry in entries:
        ModelGrid.of(entry)
    return entries


def evaluate(config: DictConfig) -> tuple[Leaderboard, Path]:
    """Audits, fits, measures, compares, draws and logs.

    Args:
        config: Composed from ``config/evaluate_config.yaml``.

    Returns:
        Everything that was found and the folder it was written to.

    Raises:
        LeakageError: The audit failed; no table is written.
        InputError: Something in the settings or the data cannot be used.
    """
    from rec_sys.train.train import TrainSettings

    read_settings(TrainSettings, config.train)
    settings = EvaluationSettings.of(config.evaluation)
    source = build(config.data)
    # Two evaluations may start within a second, and each has a folder of its own.
    run_name = f"{source.name}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    graph_models = settings.graph_models(run_name)
    settings.baselines(has_texts=True, has_ratings=True)  # mistakes in their files

    from rec_sys.evaluation.leaderboard import log_evaluation, show_leaderboard, write_leaderboard
    from rec_sys.evaluation.report import Report, about_ties, not_measured
    from rec_sys.evaluation.results import run_all
    from rec_sys.graph.review_graph import prepare_reviews
    from rec_sys.reviews.cleaning import require_learnable, show_report
    from rec_sys.train.record import plain_config

    data = source.load()
    show_report(data)
    require_learnable(data)
    prepared = prepare_reviews(data, build(config.encoder), config.paths.cache_dir)
    stages = [
        build_stage(config, prepared.graph, name, seed)
        for name in settings.splits
        for seed in settings.seeds
    ]

    slicing = Slicing(settings.history_starts, settings.head_share, settings.twin_jaccard)
    texts = data.reviews["text"].to_list()
    words = words_by_row(texts, prepared.store.rows_of(texts), len(prepared.vectors))
    findings = []
    for stage in stages:
        found = audit_stage(stage, words, settings.audit, slicing)
        require_clean([finding.about(f"seed {stage.seed}") for finding in found])
        findings += found

    folder = Path(settings.folder)
    measuring = settings.measuring(config.train.liked_above)
    context = JobContext(prepared, measuring, settings.audit, folder / run_name / "training.log")
    jobs = [
        (stage, [*settings.baselines(prepared.has_texts, stage.has_ratings), *graph_models])
        for stage in stages
    ]
    results = run_all(jobs, context, folder / "cache")
    findings += results.findings()

    bootstrap = Bootstrap(settings.resamples, settings.confidence, settings.bootstrap_seed)
    report = Report(results, measuring, bootstrap, slicing)
    main = list(report.main_tables(about_ties(prepared.graph)))
    facts = RunFacts(
        data_name=source.name,
        data_checksum=data.fingerprint,
        seeds=settings.seeds,
        config=plain_config(config),
        durations=results.seconds(),
    )
    board = Leaderboard(
        facts,
        [*main, *report.more_tables()],
        settings.confidence,
        summarised(findings),
        not_measured(prepared, stages, graph_models),
    )
    files = write_leaderboard(board, folder / run_name)
    drawn = report.pictures(main)
    for name, figure in drawn.items():
        figure.savefig(folder / run_name / name)
    log_evaluation(config.logger, board, files, drawn, f"evaluation-{run_name}")
    show_leaderboard(main, board.not_measured)
    note(f"leakage audit: {len(findings)} checks passed, see {files[0]}")
    note(f"leaderboard: {files[0]}")
    note(f"             {files[1]}, pictures beside it")
    return board, folder / run_name


@command("evaluate_config")
def main(config: DictConfig) -> None:
    """The command line."""
    evaluate(config)


if __name__ == "__main__":
    main()

"""Measures the recommender beside its baselines: ``uv run -m rec_sys.evaluation.evaluate``.

The whole story is `evaluate`: data, splits, audit, models, tables. Every finished model is kept,
so that an interrupted evaluation goes on where it was.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from rec_sys.evaluation.audit import AuditSettings, Probes, audit, words_by_row
from rec_sys.evaluation.audit_probes import Finding, FitAndScore
from rec_sys.evaluation.graph_model_job import GraphModelJob, load_ablations
from rec_sys.evaluation.jobs import Job, RankingBaseline, RatingBaseline
from rec_sys.evaluation.leaderboard import Leaderboard
from rec_sys.evaluation.protocol import Queries, Reviews, Stage, check_split_name
from rec_sys.evaluation.report_tables import Slicing
from rec_sys.evaluation.tuning import ModelGrid
from rec_sys.foundation.cli import CONFIG_DIR, command
from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import build, is_whole
from rec_sys.graph.review_graph import PreparedReviews, ReviewGraph

_LISTS = ("splits", "seeds", "ks", "history_lengths")
_COUNTS = ("k", "block_size", "resamples")


def check_evaluation(config: DictConfig) -> None:
    """Finds values that the evaluation would stumble over much later.

    Args:
        config: ``evaluation``.

    Raises:
        InputError: Names the first such key and what it may be.
    """
    for key in _LISTS:
        values = config[key]
        if isinstance(values, str) or not OmegaConf.is_list(values) or not len(values):
            raise InputError(f"evaluation.{key}={values}: must be a list with something in it")
        if len(set(values)) != len(values):
            raise InputError(f"evaluation.{key}={values}: something is there twice")
    for key, least in (("ks", 1), ("seeds", 0), ("history_lengths", 1)):
        for value in config[key]:
            _check_whole(f"evaluation.{key}", value, least)
    for key in _COUNTS:
        _check_whole(f"evaluation.{key}", config[key], 1)
    masks = config.mask_history
    if not isinstance(masks, bool) and (
        not OmegaConf.is_list(masks) or not len(masks) or set(masks) - {True, False}
    ):
        raise InputError(f"evaluation.mask_history={masks}: must be true, false or [true, false]")
    if not 0 < config.confidence < 1:
        raise InputError(f"evaluation.confidence={config.confidence}: must be between 0 and 1")
    for name in config.splits:
        check_split_name(name)


def baselines(config: DictConfig, has_texts: bool, has_ratings: bool) -> list[Job]:
    """The jobs of all models but ours.

    Args:
        config: ``evaluation``.
        has_texts: Otherwise models that read are left out.
        has_ratings: Otherwise models that predict stars are left out.

    Raises:
        InputError: There is no such file or model, or a setting has no value to try.
    """
    ranking = [e for e in _entries(config.ranking_baselines) if has_texts or not _reads(e)]
    jobs: list[Job] = [RankingBaseline(entry) for entry in ranking]
    if has_ratings:
        rating = [e for e in _entries(config.rating_baselines) if has_texts or not _reads(e)]
        jobs += [RatingBaseline(entry) for entry in rating]
        if has_texts:
            known = _entries(config.known_review_baselines)
            jobs += [RatingBaseline(entry, reads_the_review=True) for entry in known]
    return jobs


def ours(config: DictConfig, run_name: str) -> list[Job]:
    """The jobs of our model, whole and ablated.

    Raises:
        InputError: There is no such ablation.
    """
    whole: list[Job] = [GraphModelJob(run_name)] if config.ours else []
    ablations = load_ablations(config.ablations)
    if ablations and not config.ours:
        raise InputError("evaluation.ablations need the whole model beside them: evaluation.ours")
    return whole + [GraphModelJob(run_name, ablation) for ablation in ablations]


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


def _reads(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("needs_texts"))


def _check_whole(key: str, value: Any, least: int) -> None:
    if not is_whole(value, least):
        raise InputError(f"{key}: {value} must be a whole number from {least} up")


def words_of(prepared: PreparedReviews) -> np.ndarray:
    """Words of each row of the text vectors, int64 [N]; 0 where the row is no review's text."""
    texts = prepared.data.reviews["text"].to_list()
    return words_by_row(texts, prepared.store.rows_of(texts), len(prepared.vectors))


def audit_stage(
    stage: Stage, words: np.ndarray, config: DictConfig, slicing: Slicing
) -> list[Finding]:
    """All checks that need no fitted model.

    The baselines see nothing but their training reviews and histories, so that what they could
    learn from targets would have to come in there: these arrays must not move with the targets.

    Args:
        stage: Each of its tests is checked.
        words: See `words_of`.
        config: ``evaluation.audit``.
        slicing: Tells twins.
    """
    settings = AuditSettings(
        min_words=config.min_words,
        max_shared_texts=config.max_shared_texts,
        tolerance=config.tolerance,
        metric_tolerance=config.metric_tolerance,
        block_sizes=list(config.block_sizes),
        seed=config.seed,
    )
    findings = []
    for title, test in stage.tests.items():
        twins = slicing.twins(stage, title)
        probes = Probes(
            fit_and_score={"what baselines are given": _given(stage, title)},
            twins=(int(twins.sum()), len(twins)),
        )
        found = audit(stage.graph, replace(stage.split, test=test), words, settings, probes)
        findings += [finding.about(title) for finding in found]
    return findings


def summarised(findings: Sequence[Finding]) -> list[Finding]:
    """One finding for each check, that of the first seed, with the number of seeds that passed."""
    by_check: dict[str, list[Finding]] = {}
    for finding in findings:
        by_check.setdefault(finding.check, []).append(finding)
    return [
        replace(alike[0], detail=f"{alike[0].detail} (the first of {len(alike)} seeds)")
        if len(alike) > 1
        else alike[0]
        for alike in by_check.values()
    ]


def _given(stage: Stage, title: str) -> FitAndScore:
    def arrays(graph: ReviewGraph) -> np.ndarray:
        changed = replace(stage, graph=graph)
        histories = Queries.of(graph, stage.tests[title]).histories
        return np.concatenate([_flat(changed.train), _flat(histories)])

    return arrays


def _flat(reviews: Reviews) -> np.ndarray:
    return np.concatenate([np.atleast_1d(part).astype(np.float64) for part in astuple(reviews)])


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
    from rec_sys.train.train import check_settings

    own = config.evaluation
    check_settings(config.train)
    check_evaluation(own)
    source = build(config.data)
    # Two evaluations may start within a second, and each has a folder of its own.
    run_name = f"{source.name}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    our_jobs = ours(own, run_name)
    baselines(own, has_texts=True, has_ratings=True)  # mistakes in their files

    from rec_sys.graph.review_graph import prepare_reviews
    from rec_sys.reviews.cleaning import show_report

    data = source.load()
    show_report(data)
    prepared = prepare_reviews(data, build(config.encoder), config.paths.cache_dir)

    from rec_sys.evaluation.audit import require_clean
    from rec_sys.evaluation.jobs import JobContext
    from rec_sys.evaluation.leaderboard import log_evaluation, show_leaderboard, write_leaderboard
    from rec_sys.evaluation.measured import Measuring
    from rec_sys.evaluation.protocol import build_stage
    from rec_sys.evaluation.report import main_tables, more_tables, pictures
    from rec_sys.evaluation.report_tables import Slicing
    from rec_sys.evaluation.results import Bootstrap, RunFacts, about_ties, not_measured, run_all
    from rec_sys.train.record import plain_config

    stages = [
        build_stage(config, prepared.graph, name, seed) for name in own.splits for seed in own.seeds
    ]
    slicing = Slicing(list(own.history_starts), own.head_share, own.twin_jaccard)
    words = words_of(prepared)
    findings = []
    for stage in stages:
        found = audit_stage(stage, words, own.audit, slicing)
        require_clean([finding.about(f"seed {stage.seed}") for finding in found])
        findings += found

    folder = Path(own.folder)
    how = Measuring.of(config)
    around = JobContext(prepared, how, own.audit, folder / run_name / "training.log")
    jobs = [
        (stage, [*baselines(own, prepared.has_texts, stage.has_ratings), *our_jobs])
        for stage in stages
    ]
    results = run_all(jobs, around, folder / "cache")
    findings += results.findings()

    bootstrap = Bootstrap(own.resamples, own.confidence, own.bootstrap_seed)
    main = main_tables(results, how, bootstrap, about_ties(prepared.graph))
    facts = RunFacts.collect(
        source.name, data.fingerprint, list(own.seeds), plain_config(config), results.seconds()
    )
    missing = not_measured(prepared, stages, our_jobs)
    board = Leaderboard(
        facts,
        [*main, *more_tables(results, how, bootstrap, slicing)],
        summarised(findings),
        missing,
    )
    files = write_leaderboard(board, folder / run_name)
    drawn = pictures(results, how, slicing, main)
    for name, figure in drawn.items():
        figure.savefig(folder / run_name / name)
    log_evaluation(config.logger, board, files, drawn, f"evaluation-{run_name}")
    show_leaderboard(replace(board, tables=main, findings=[]))
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

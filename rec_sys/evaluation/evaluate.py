"""Measures the recommender beside its baselines: ``uv run -m rec_sys.evaluation.evaluate``.

The whole story is `evaluate`: data, splits, audit, models, tables. Every finished model is kept,
so that an interrupted evaluation goes on where it was.
"""

import secrets
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig

from rec_sys.evaluation.result_tables import Leaderboard
from rec_sys.foundation.build import build
from rec_sys.foundation.cli import command
from rec_sys.foundation.console import note


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
    from rec_sys.evaluation.evaluation_settings import baselines, check_evaluation, ours
    from rec_sys.train.settings import check_settings

    own = config.evaluation
    check_settings(config.train)
    check_evaluation(own)
    source = build(config.data)
    # Two evaluations may start within a second, and each has a folder of its own.
    run_name = f"{source.name}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    our_jobs = ours(own, run_name)
    baselines(own, has_texts=True, has_ratings=True)  # mistakes in their files

    from rec_sys.graph.prepare import prepare_reviews
    from rec_sys.reviews.cleaning import show_report

    data = source.load()
    show_report(data)
    prepared = prepare_reviews(data, build(config.encoder), config.paths.cache_dir)

    from rec_sys.evaluation.audit import require_clean
    from rec_sys.evaluation.audit_run import audit_stage, summarised, words_of
    from rec_sys.evaluation.jobs import Circumstances
    from rec_sys.evaluation.kept_results import run_all
    from rec_sys.evaluation.leaderboard import show_leaderboard, write_leaderboard
    from rec_sys.evaluation.measure import Measuring
    from rec_sys.evaluation.mlflow_log import log_evaluation
    from rec_sys.evaluation.report import main_tables, more_tables, pictures
    from rec_sys.evaluation.results import Bootstrap
    from rec_sys.evaluation.run_facts import RunFacts
    from rec_sys.evaluation.scope import about_ties, not_measured
    from rec_sys.evaluation.slice_report import Slicing
    from rec_sys.evaluation.stage import build_stage
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
    around = Circumstances(prepared, how, own.audit, folder / run_name / "training.log")
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

"""Trains the recommender: ``uv run -m rec_sys.train.train``.

The whole story is `train`: data, model, trainer, fit, results. Slow libraries are imported when
their turn comes, so that bad input is reported at once.
"""

from typing import Any

from omegaconf import DictConfig

from rec_sys.foundation.build import build
from rec_sys.foundation.cli import command


def train(config: DictConfig) -> tuple[dict[str, float], dict[str, Any]]:
    """Trains, tracks and saves a model.

    Args:
        config: Composed from ``config/train_config.yaml``.

    Returns:
        The metrics of the best epoch and the objects that took part: ``trained`` (the best
        checkpoint, loaded), ``module``, ``datamodule``, ``prepared``, ``trainer``.

    Raises:
        InputError: Something in the settings or the data cannot be used.
    """
    from rec_sys.reviews.cleaning import show_report
    from rec_sys.train.settings import check_settings

    check_settings(config.train)
    splitter = build(config.split)
    source = build(config.data)
    data = source.load()
    show_report(data)

    from rec_sys.graph.prepare import prepare_reviews
    from rec_sys.train.interrupted import interrupted_training

    interrupted = interrupted_training(config, data)
    objective = build(config.objective)
    prepared = prepare_reviews(data, build(config.encoder), config.paths.cache_dir)

    import pytorch_lightning as pl

    from rec_sys.graph.datamodule import ReviewDataModule
    from rec_sys.graph.splits.checks import check_usable
    from rec_sys.modules.checkpoint import load_trained
    from rec_sys.modules.recommender_module import RecommenderModule
    from rec_sys.train.baselines import score_baselines
    from rec_sys.train.record import record_of
    from rec_sys.train.summary import show_summary
    from rec_sys.train.tracking import Tracking
    from rec_sys.train.trainer import build_trainer, fit

    settings = config.train
    pl.seed_everything(settings.seed, verbose=False)
    split = splitter.split(prepared.graph)
    check_usable(split, prepared.graph)
    datamodule = ReviewDataModule(
        prepared.graph,
        prepared.vectors,
        split,
        settings.batch_size,
        settings.train_target_share,
        settings.seed,
    )
    model = build(config.model, vector_dim=prepared.encoder.dimension)
    tracking = Tracking.start(config.logger, source.name, settings.run_name, interrupted)
    with tracking.told_of_failure():
        record = record_of(config, prepared, split, tracking)
        module = RecommenderModule(
            model,
            objective,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            warmup_epochs=settings.warmup_epochs,
            max_epochs=settings.max_epochs,
            liked_above=settings.liked_above,
            seed=settings.seed,
            record=record,
        )
        if not interrupted:
            tracking.log_inputs(record, data.report)
        trainer, checkpoints = build_trainer(config, tracking)
        fit(trainer, module, datamodule, interrupted)

        best = min(module.history, key=lambda epoch: epoch["val/loss"])
        trained = load_trained(checkpoints.best)
        baselines = score_baselines(datamodule, objective.distance, settings.liked_above)
        show_summary(best, baselines, checkpoints.best, tracking)
        tracking.log_results(trained, module.history, best, baselines)
    return best, {
        "trained": trained,
        "module": module,
        "datamodule": datamodule,
        "prepared": prepared,
        "trainer": trainer,
    }


@command("train_config")
def main(config: DictConfig) -> None:
    """The command line."""
    train(config)


if __name__ == "__main__":
    main()

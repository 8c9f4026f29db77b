"""Trains the recommender: ``uv run -m rec_sys.train.train``.

The whole story is `train`: data, model, trainer, fit, results. Slow libraries are imported when
their turn comes, so that bad input is reported at once.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from rec_sys.foundation.cli import command
from rec_sys.foundation.console import Stages
from rec_sys.foundation.distributed import is_main_process, one_at_a_time
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import build
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING

if TYPE_CHECKING:
    from rec_sys.graph.review_graph import PreparedReviews


_WHOLE = ("max_epochs", "batch_size", "warmup_epochs", "seed", "negatives")
_AT_LEAST = {
    "max_epochs": 1,
    "batch_size": 1,
    "warmup_epochs": 0,
    "weight_decay": 0,
    "seed": 0,
    "negatives": 1,
}


def check_settings(train: DictConfig) -> None:
    """Finds values that training would stumble over much later.

    Raises:
        InputError: Names the first such key and what it may be.
    """
    for key in ("train_target_share", *_AT_LEAST, "lr", "liked_above"):
        kind = int if key in _WHOLE else int | float
        if isinstance(train[key], bool) or not isinstance(train[key], kind):
            what = "a whole number" if key in _WHOLE else "a number"
            raise InputError(f"train.{key}={train[key]}: must be {what}")
    share = train.train_target_share
    if not 0 < share < 1:
        raise InputError(f"train.train_target_share={share}: must be between 0 and 1")
    for key, least in _AT_LEAST.items():
        if train[key] < least:
            raise InputError(f"train.{key}={train[key]}: must be at least {least}")
    if not isinstance(train.warm_start, bool | str | None) or train.warm_start == "":
        raise InputError(
            f"train.warm_start={train.warm_start}: must be null, true (the newest checkpoint) or"
            " the path of a checkpoint"
        )
    if train.lr <= 0:
        raise InputError(f"train.lr={train.lr}: must be above 0")
    if not MIN_RATING <= train.liked_above < MAX_RATING:
        raise InputError(
            f"train.liked_above={train.liked_above}: must be from {MIN_RATING:g} to below"
            f" {MAX_RATING:g}"
        )


def check_ratings(objective: DictConfig, true: np.ndarray) -> None:
    """Finds an objective that has nothing to learn from.

    Args:
        objective: ``config/objective``.
        true: float32 [n], ratings of the training reviews, NaN if missing.

    Raises:
        InputError: It rates only, and there is no rating.
    """
    if not objective.ranking_weight and np.isnan(true).all():
        raise InputError(
            "objective.ranking_weight=0: the training reviews have no rating, so there is nothing"
            " to learn; use objective=joint or objective=ranking"
        )


def train(
    config: DictConfig, prepared: "PreparedReviews | None" = None
) -> tuple[dict[str, float], dict[str, Any]]:
    """Trains, tracks and saves a model.

    Args:
        config: Composed from ``config/train_config.yaml``.
        prepared: The reviews, if they are at hand; otherwise they are loaded and encoded.

    Returns:
        The metrics of the best epoch and the objects that took part: ``trained`` (the best
        checkpoint, loaded), ``catalogue`` (its products, ready to rank and rate), ``module``,
        ``datamodule``, ``split``, ``prepared``, ``trainer``. Of several processes only the first
        has ``trained`` and ``catalogue``.

    Raises:
        InputError: Something in the settings or the data cannot be used.
    """
    from rec_sys.reviews.cleaning import show_report
    from rec_sys.train.continuation import find_warm_start, split_reviews

    check_settings(config.train)
    splitter = build(config.split)
    graph_builder = build(config.product_graph)
    source = build(config.data)
    start = find_warm_start(config)
    stages = Stages()
    with stages("reading"):
        data = prepared.data if prepared else source.load()
    show_report(data)

    from rec_sys.graph.review_graph import prepare_reviews
    from rec_sys.train.continuation import interrupted_training

    interrupted = interrupted_training(config, data)
    objective = build(config.objective)
    encoder = prepared.encoder if prepared else build(config.encoder)
    if start:
        start.check_encoder(encoder)
    with stages("texts and graph"):
        prepared = prepared or prepare_reviews(data, encoder, config.paths.cache_dir)
    graph, vectors = prepared.graph, prepared.vectors

    import pytorch_lightning as pl

    from rec_sys.graph.task import check_usable
    from rec_sys.modules.checkpoint import load_trained
    from rec_sys.modules.full_catalogue import FullCatalogue
    from rec_sys.modules.recommender_module import RecommenderModule
    from rec_sys.train.continuation import changes_between, show_changes
    from rec_sys.train.datamodule import ReviewDataModule
    from rec_sys.train.record import record_of
    from rec_sys.train.report import score_baselines, show_summary
    from rec_sys.train.tracking import Tracking
    from rec_sys.train.trainer import MONITOR, build_trainer, fit

    settings = config.train
    pl.seed_everything(settings.seed, verbose=False)
    split, seen = split_reviews(splitter, graph, start, interrupted)
    check_usable(split, graph)
    check_ratings(config.objective, graph.edge_rating[split.train])
    product_graph = None
    with stages("product graph"):
        if is_main_process():  # the other processes get it from this one
            product_graph = graph_builder.build(graph, vectors, np.flatnonzero(split.train))
    datamodule = ReviewDataModule(
        graph,
        vectors,
        split,
        product_graph,
        settings.batch_size,
        settings.train_target_share,
        settings.negatives if objective.ranks else 0,
        settings.seed,
    )
    model = build(config.model, vector_dim=encoder.dimension)
    origin, changes = interrupted.origin if interrupted else None, None
    if start:
        start.put_weights(model)
        origin, changes = start.origin, changes_between(start.seen, seen, prepared.newly_encoded)
        show_changes(changes, origin["checkpoint"])
    with one_at_a_time(config.paths.cache_dir):  # the first one makes MLflow's tables
        tracking = Tracking.start(config.logger, source.name, settings.run_name, interrupted)
    with tracking.marks_run_failed():
        record = record_of(config, prepared, split, tracking, origin)
        module = RecommenderModule(
            model,
            objective,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            warmup_epochs=settings.warmup_epochs,
            max_epochs=settings.max_epochs,
            liked_above=settings.liked_above,
            ranking_shares=settings.ranking_shares,
            seed=settings.seed,
            record=record,
            seen=seen,
        )
        if not interrupted:
            tracking.log_inputs(record, data.report, changes)
        trainer, checkpoints = build_trainer(config, tracking)
        with stages("training"):
            fit(trainer, module, datamodule, interrupted)

        best = min(module.history, key=lambda epoch: epoch[MONITOR])
        objects = {
            "module": module,
            "datamodule": datamodule,
            "split": split,
            "prepared": prepared,
            "trainer": trainer,
        }
        if not trainer.is_global_zero:
            return best, objects
        trained = load_trained(checkpoints.best)
        known = datamodule.product_reviews.summary()
        catalogue = FullCatalogue.of(trained.model, graph, vectors, known, product_graph)
        baselines = score_baselines(datamodule, objective.distance, settings.liked_above)
        show_summary(best, baselines, checkpoints.best, tracking)
        with stages("tracking"):
            tracking.log_results(trained, module.history, best, baselines)
        tracking.log_stages(stages)
        stages.show()
    return best, objects | {"trained": trained, "catalogue": catalogue}


@command("train_config")
def main(config: DictConfig) -> None:
    """The command line."""
    build(config.launcher)(config)


if __name__ == "__main__":
    main()

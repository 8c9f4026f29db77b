"""Trains the recommender: ``uv run -m rec_sys.train.train``. `train` is the whole story."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from pydantic import AfterValidator, Field

from rec_sys.foundation import settings
from rec_sys.foundation.cli import command
from rec_sys.foundation.console import Stages
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import replacing, require_writable
from rec_sys.graph.review_graph import PreparedReviews, prepare_reviews
from rec_sys.graph.task import Queries, check_usable
from rec_sys.modules import checkpoint
from rec_sys.modules.baselines import combinations
from rec_sys.modules.combiner import MANY
from rec_sys.modules.evidences import KnownReviews
from rec_sys.reviews.cleaning import require_learnable, show_report
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING
from rec_sys.train.continuation import find_start
from rec_sys.train.tuning import EvidenceTrial, search_space, tune, with_values


def _names_checkpoint(value: Any) -> Any:
    if not isinstance(value, bool | str | None) or value == "":
        raise ValueError("must be null, true (the newest checkpoint) or the path of a checkpoint")
    return value


_Checkpoint = Annotated[Any, AfterValidator(_names_checkpoint)]


@settings.settings_of("train")
class TrainSettings:
    """``config/train``, which says what each of them means."""

    seed: Annotated[settings.Count, Field(lt=2**32)]  # what NumPy and PyTorch both take
    train_target_share: settings.InnerShare
    negatives: settings.PositiveCount
    liked_above: Annotated[float, Field(ge=MIN_RATING, lt=MAX_RATING)]
    max_epochs: settings.PositiveCount
    batch_size: settings.PositiveCount
    lr: settings.Positive
    weight_decay: settings.NotNegative
    warmup_epochs: settings.Count
    export: bool
    run_name: str | None
    tune: bool
    tuning_trials: settings.PositiveCount
    tuning_minutes: settings.Positive
    warm_start: _Checkpoint
    resume: _Checkpoint


def train(
    config: DictConfig, prepared: PreparedReviews | None = None
) -> tuple[dict[str, float], dict[str, Any]]:
    """Trains, tracks and saves a model by ``config/train_config.yaml``; `prepared` are the reviews,
    if they are at hand. InputError if something in settings or data cannot be used. Returns the
    metrics of the best epoch, in the first process those of all that was fitted after it, too, and
    what took part: ``module``, ``datamodule``, ``split``, ``prepared``, ``trainer`` and, in the
    first process only, ``stars`` (those of the validation), ``tuned`` (with ``train.tune``),
    ``trained`` (the best checkpoint, loaded) and ``catalogue`` (its products, ready to rank)."""
    # Data, and where to start from.
    wanted = settings.read_settings(TrainSettings, config.train)
    splitter, graph_builder = settings.build(config.split), settings.build(config.product_graph)
    checkpoint.build_evidences(config.evidence)  # what is wrong there is told before the training
    match_fit, combiner_fit = settings.build(config.match), settings.build(config.combiner)
    simple_models = OmegaConf.to_container(config.baselines)
    for entry in simple_models.values():
        combinations(entry)
    space = search_space(config) if wanted.tune else {}
    source = settings.build(config.data)
    for folder in ("checkpoint_dir", "cache_dir"):
        require_writable(config.paths[folder], f"paths.{folder}")
    stages = Stages()
    with stages("reading"):
        data = prepared.data if prepared else source.load()
    show_report(data)
    require_learnable(data)
    start = find_start(config, data)  # random weights, an earlier model, an interrupted training

    # They take seconds to import: what is wrong with settings and files has been told by now.
    import pytorch_lightning as pl

    from rec_sys.modules.full_catalogue import FullCatalogue
    from rec_sys.modules.model_export import export_checked
    from rec_sys.modules.rating_bias import fit_rating_start
    from rec_sys.modules.recommender_module import RecommenderModule
    from rec_sys.train import report
    from rec_sys.train.tracking import Tracking, name_of_run, plain_config, record_of, sole_writer
    from rec_sys.train.trainer import ReviewDataModule, best_epoch, build_trainer, fit, saved_files

    # Texts become vectors and reviews a graph, whose edges are split.
    objective, calibration = map(settings.build, (config.objective, config.calibration))
    encoder = prepared.encoder if prepared else settings.build(config.encoder)
    start.check_encoder(encoder)
    with stages("texts and graph"):
        prepared = prepared or prepare_reviews(data, encoder, config.paths.cache_dir)
    graph, vectors = prepared.graph, prepared.vectors
    pl.seed_everything(wanted.seed, verbose=False)
    split, seen = start.split(splitter, graph)
    check_usable(split, graph)
    if not objective.ranks and np.isnan(graph.edge_rating[split.train]).all():
        why = "the training reviews have no rating, so there is nothing to learn"
        remedy = "use objective=joint or objective=ranking"
        raise InputError(f"objective.ranking_weight=0: {why}; {remedy}")

    # What the training consists of.
    negatives = wanted.negatives if objective.ranks else 0
    datamodule = ReviewDataModule(graph, vectors, split, wanted, negatives)
    model = settings.build(config.model, vector_dim=encoder.dimension)
    checkpoint.require_runs(model, "model")
    if rating_start := fit_rating_start(graph, vectors, split, wanted.seed):
        model.start_from_ratings(rating_start)
    start.put_weights(model)
    changes = start.changes(seen, prepared.newly_encoded)
    run_name = name_of_run(start.run_name or wanted.run_name, source.name)
    alone = sole_writer(config.paths.checkpoint_dir, run_name)
    tracked = config.logger, source.name, run_name, start.run_id
    with alone, Tracking.start(*tracked).marks_run_failed() as tracking:
        record = record_of(config, prepared, split, tracking, warm_start=start.origin)
        if tracking.run_id != start.run_id:
            tracking.log_inputs(record, data.report, changes)
        module = RecommenderModule(model, objective, datamodule.builder, wanted, record, seen)
        files = saved_files(config.paths.checkpoint_dir, tracking.run_name)
        journal = files["best"].with_suffix(".tuning")
        if not start.state:
            journal.unlink(missing_ok=True)  # of another training of this name
        trainer = build_trainer(config, tracking.logger, files)
        with stages("training"):
            fit(trainer, module, datamodule, start.state)
        metrics = best_epoch(module.history, config.callbacks.best)
        objects = dict(module=module, datamodule=datamodule, split=split, prepared=prepared)
        objects["trainer"] = trainer
        if not trainer.is_global_zero:
            return metrics, objects

        # From here on it is the network with stars that are calibrated on the validation.
        with stages("stars"):
            model = checkpoint.load_uncalibrated(files["best"])
            stars = calibration.fit(model, datamodule.builder, split.validation, objective.distance)
            objects["stars"] = stars
        # The evidences learn from the training reviews; the validation tells how much each counts.
        with stages("match"):
            towers = match_fit.fit(graph, vectors, split)
        with stages("evidences"):
            edges = np.flatnonzero(split.train)
            product_graph = graph_builder.build(graph, vectors, edges)
            known = KnownReviews(graph, edges, product_graph, vectors, prepared.words, towers)
            features = checkpoint.fit_evidences(config.evidence, known)
            reviews = datamodule.product_reviews.summary
            catalogue = FullCatalogue.of(model, graph, vectors, prepared.words, reviews, features)
        if space:
            with stages("tuning"):
                questions = catalogue.questions(graph, split.validation, wanted.liked_above)[MANY]
                trial = EvidenceTrial(config, combiner_fit, known, questions)
                budget = wanted.tuning_trials, wanted.tuning_minutes
                tuned = tune(trial, space, *budget, wanted.seed, journal)
                catalogue = replace(catalogue, features=trial.features(tuned.values))
            objects["tuned"] = tuned
            record["config"] = plain_config(with_values(config, tuned.values))
            record["tuned"] = tuned.values
        with stages("evidences"):
            catalogue = catalogue.fitted(combiner_fit, graph, split.validation, wanted.liked_above)
            learned = catalogue.combiner, towers, record, model.state_dict(), stars.before
            checkpoint.complete_checkpoint(files["best"], *learned)
            journal.unlink(missing_ok=True)
            most = 1 + combiner_fit.max_cells // graph.num_products
            users = combiner_fit.draw_users(split.validation.users(graph), most)
            everybody = Queries.of(graph, split.validation)
            validated = np.searchsorted(everybody.users, users)
            ranking_task = report.RankingTask(everybody.of_users(validated), wanted.liked_above)
            # Both with weights that were learned without the person at hand.
            ranked = ranking_task.rank(partial(catalogue.score, validated=validated))
            wishes = report.score_wishes(catalogue, graph, split.validation, users)

        # What has come out.
        trained = checkpoint.load_trained(files["best"])
        if wanted.export:
            with stages("export"):
                export_checked(trained, trained.exported)
        with stages("baselines"):
            cache = Path(config.paths.cache_dir) / "baselines"
            simple = report.rank_baselines(simple_models, prepared, split, ranking_task, cache)
            judged = objective.distance, wanted.liked_above
            baselines = report.score_baselines(graph, split, *judged)
        rated = report.rating_row(stars.predicted, stars.true, *judged)
        measured = rated | ranked.means | wishes.get("model", {})
        metrics |= {f"val/{name}": value for name, value in measured.items()}
        if space:
            tuned.show()
        rankings = {"model": ranked} | simple
        missing = report.left_out(simple_models, graph.num_products)
        report.show_rankings(rankings, missing, wishes, catalogue.combiner)
        verdict = report.verdict(ranked, simple, metrics, baselines, wishes)
        report.show_summary(metrics, baselines, verdict, trained.path, tracking)
        means = {name: each.means for name, each in rankings.items()}
        card = report.model_card(record, data.report, {"model": rated} | baselines, means, wishes)
        with stages("tracking"):
            rows = baselines | {name: each.means for name, each in simple.items()}
            tracking.log_results(trained, module.history, metrics, rows, card)
            if wanted.export:
                tracking.log_model(trained)
        tracking.log_stages(stages)
        with replacing(trained.card) as draft:  # the last: without it the training has not ended
            draft.write_text(card, encoding="utf-8")
        stages.show()
    return metrics, objects | {"trained": trained, "catalogue": catalogue}


@command("train_config")
def main(config: DictConfig) -> None:
    """The command line."""
    settings.build(config.launcher)(config)


if __name__ == "__main__":
    main()

"""Which values of ``config/evaluation`` make sense, found before anything is read."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rec_sys.evaluation.ablations import load_ablations
from rec_sys.evaluation.baseline_jobs import RankingBaseline, RatingBaseline
from rec_sys.evaluation.jobs import Job
from rec_sys.evaluation.our_job import Ours
from rec_sys.evaluation.stage import check_split_name
from rec_sys.evaluation.tuning import ModelGrid
from rec_sys.foundation.checks import is_whole
from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError

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
    whole: list[Job] = [Ours(run_name)] if config.ours else []
    ablations = load_ablations(config.ablations)
    if ablations and not config.ours:
        raise InputError("evaluation.ablations need the whole model beside them: evaluation.ours")
    return whole + [Ours(run_name, ablation) for ablation in ablations]


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

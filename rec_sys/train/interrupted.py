"""Going on with a training that was interrupted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.reviews.schema import ReviewData
from rec_sys.train.record import AXES, plain_config

#: Keys that may differ without changing the result.
_FREE_KEYS = {"train.resume", "train.run_name"}


@dataclass(frozen=True)
class InterruptedTraining:
    """A training that can go on.

    Attributes:
        path: Its newest checkpoint.
        record: What it wrote about itself.
    """

    path: Path
    record: dict[str, Any]


def interrupted_training(config: DictConfig, data: ReviewData) -> InterruptedTraining | None:
    """The training to go on with, if ``train.resume`` asks for one.

    Args:
        config: Composed from ``config/train_config.yaml``.
        data: The data set of this run.

    Raises:
        InputError: There is none, it is complete, or it had other settings or data: the result
            would be neither its own nor that of this run.
    """
    if not config.train.resume:
        return None

    from rec_sys.modules.checkpoint import RECORD_KEY, read_checkpoint
    from rec_sys.modules.checkpoint_files import find_last_checkpoint

    asked = config.train.resume
    path = find_last_checkpoint(config.paths.checkpoint_dir) if asked is True else Path(asked)
    content = read_checkpoint(path)
    record = content[RECORD_KEY]
    differing = list(_differences(record["config"], plain_config(config)))
    if differing:
        raise InputError(
            f"{path}: was trained with other settings ({'; '.join(differing)}); give the same ones"
            " to resume it, or train without train.resume"
        )
    if record["data"]["fingerprint"] != data.fingerprint:
        raise InputError(
            f"{path}: was trained with other reviews than those that are read now; train without"
            " train.resume"
        )
    done = content["epoch"] + 1
    if done >= config.train.max_epochs:
        raise InputError(f"{path}: this training is complete ({done} epochs); nothing to resume")
    note(f"going on with {record['run_name']} after epoch {done} of {config.train.max_epochs}")
    return InterruptedTraining(path, record)


def _differences(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    flat_then = dict(_flat({axis: then[axis] for axis in AXES}))
    flat_now = dict(_flat({axis: now[axis] for axis in AXES}))
    for key in sorted({*flat_then, *flat_now} - _FREE_KEYS):
        if flat_then.get(key) != flat_now.get(key):
            yield f"{key}={flat_then.get(key)}, now {flat_now.get(key)}"


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value

"""Going on with a training that was interrupted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from rec_sys.foundation.build import flat
from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.modules.checkpoint_files import last_checkpoints
from rec_sys.reviews.schema import ReviewData
from rec_sys.train.record import AXES, plain_config

#: Keys that may differ without changing the result.
_FREE_KEYS = {
    *("train.resume", "train.run_name", "data.folder", "data.cache_dir", "encoder.cache_dir"),
    *("data.retries", "data.backoff_seconds", "data.timeout_seconds"),
    *("encoder.batch_tokens", "encoder.batch_size", "encoder.device"),
}
#: Keys of the trainer that decide the result.
_TRAINER_KEYS = ("precision", "gradient_clip_val")


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

    asked = config.train.resume
    paths = last_checkpoints(config.paths.checkpoint_dir) if asked is True else [Path(asked)]
    for path in paths:
        content = read_checkpoint(path)
        record = content[RECORD_KEY]
        done = content["epoch"] + 1
        if done < record["config"]["train"]["max_epochs"]:
            break
    else:
        raise InputError(f"{path}: this training is complete ({done} epochs); nothing to resume")
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
    note(f"going on with {record['run_name']} after epoch {done} of {config.train.max_epochs}")
    return InterruptedTraining(path, record)


def _differences(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    flat_then, flat_now = (
        dict(flat({axis: config[axis] for axis in AXES}))
        | {f"trainer.{key}": config["trainer"].get(key) for key in _TRAINER_KEYS}
        for config in (then, now)
    )
    for key in sorted({*flat_then, *flat_now} - _FREE_KEYS):
        if flat_then.get(key) != flat_now.get(key):
            yield f"{key}={flat_then.get(key)}, now {flat_now.get(key)}"

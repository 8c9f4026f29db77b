"""Going on with a training that was interrupted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from rec_sys.foundation.build import flat
from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.modules.checkpoint_files import last_checkpoints
from rec_sys.reviews.schema import ReviewData
from rec_sys.train.record import AXES, plain_config

if TYPE_CHECKING:
    from rec_sys.graph.splits.seen import SeenReviews

#: Keys that may differ without changing the result.
_FREE_KEYS = {
    # What it started from is in its weights already.
    *("train.resume", "train.warm_start", "train.run_name"),
    *("data.folder", "data.cache_dir", "encoder.cache_dir"),
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
        seen: Which reviews it has seen; None if an older version of rec_sys wrote it.
    """

    path: Path
    record: dict[str, Any]
    seen: "SeenReviews | None"

    @property
    def origin(self) -> dict[str, Any] | None:
        """The checkpoint that it started from, see `WarmStart.origin`."""
        return self.record.get("warm_start")


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

    from rec_sys.modules.checkpoint import RECORD_KEY, read_checkpoint, seen_in

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
    now = plain_config(config)
    _check_origin(path, record.get("warm_start"), now["train"]["warm_start"])
    differing = list(_differences(record["config"], now))
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
    return InterruptedTraining(path, record, seen_in(content))


def _check_origin(path: Path, origin: dict[str, Any] | None, asked: bool | str | None) -> None:
    """The command that was interrupted may be given again with train.resume, or without its start.

    Raises:
        InputError: It started from something else.
    """
    if asked and asked != (origin or {}).get("asked"):
        started = f"train.warm_start={origin['asked']}" if origin else "random weights"
        raise InputError(
            f"{path}: this training started from {started}, not from train.warm_start={asked};"
            " leave train.warm_start out to resume it, or train without train.resume"
        )


def _differences(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    flat_then, flat_now = (
        dict(flat({axis: config[axis] for axis in AXES}))
        | {f"trainer.{key}": config["trainer"].get(key) for key in _TRAINER_KEYS}
        for config in (then, now)
    )
    for key in sorted({*flat_then, *flat_now} - _FREE_KEYS):
        if flat_then.get(key) != flat_now.get(key):
            yield f"{key}={flat_then.get(key)}, now {flat_now.get(key)}"

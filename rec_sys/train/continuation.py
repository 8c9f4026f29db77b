"""A training that goes on: with an interrupted one, or from the weights of an earlier one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import flat
from rec_sys.graph.provenance import Provenance
from rec_sys.modules.checkpoint import find_checkpoint, last_checkpoints
from rec_sys.reviews.schema import ReviewData
from rec_sys.train.record import AXES, plain_config

if TYPE_CHECKING:
    from torch import nn

    from rec_sys.graph.provenance import Provenance
    from rec_sys.graph.review_graph import ReviewGraph
    from rec_sys.graph.task import Split
    from rec_sys.modules.checkpoint import TrainedModel
    from rec_sys.text.encoder import TextEncoder


_KINDS = ("reviews", "users", "products")


def changes_between(then: Provenance, now: Provenance, newly_encoded: int) -> dict[str, Any]:
    """Counts what came and what is gone.

    A review is the same if its user and product are; whether its words changed is not known.

    Args:
        then: What the earlier training had seen.
        now: What the new one sees.
        newly_encoded: Distinct texts that the vector store did not hold.

    Returns:
        ``newly_encoded_texts`` and, for ``reviews``, ``users`` and ``products``, the numbers
        ``then``, ``now``, ``new`` and ``gone``.
    """
    changes: dict[str, Any] = {"newly_encoded_texts": newly_encoded}
    for kind in _KINDS:
        before, after = getattr(then, kind), getattr(now, kind)
        changes[kind] = {
            "then": len(before),
            "now": len(after),
            "new": len(np.setdiff1d(after, before)),
            "gone": len(np.setdiff1d(before, after)),
        }
    return changes


def show_changes(changes: dict[str, Any], checkpoint: str) -> None:
    """Prints what `changes_between` counted.

    Args:
        changes: The counts.
        checkpoint: Name of the earlier checkpoint.
    """
    rows = [
        [kind, *counts.values()] for kind, counts in changes.items() if isinstance(counts, dict)
    ]
    show_table(f"since {checkpoint}", ["", "then", "now", "new", "gone"], rows)
    note(f"texts newly encoded: {changes['newly_encoded_texts']}")


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
    seen: "Provenance | None"

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

    from rec_sys.modules.checkpoint import RECORD_KEY, provenance_in, read_checkpoint

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
    return InterruptedTraining(path, record, provenance_in(content))


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


@dataclass(frozen=True)
class WarmStart:
    """An earlier training whose weights a new one starts from.

    Attributes:
        trained: The earlier model.
        seen: What it has seen.
        asked: ``train.warm_start``.
    """

    trained: "TrainedModel"
    seen: "Provenance"
    asked: bool | str

    @property
    def origin(self) -> dict[str, Any]:
        """What the record of the new checkpoint tells about it."""
        return {
            "asked": self.asked,
            "checkpoint": self.trained.path.name,
            "run_name": self.trained.record["run_name"],
            "fingerprint": self.trained.fingerprint,
        }

    def check_encoder(self, encoder: "TextEncoder") -> None:
        """Makes sure that texts mean to the new training what they meant to the earlier one.

        Raises:
            InputError: Another text encoder.
        """
        if encoder.model_fingerprint != self.trained.record["encoder"]["model_fingerprint"]:
            raise InputError(
                f"{self.trained.path}: was trained with another text encoder"
                f" (encoder.model={self.trained.record['config']['encoder'].get('model')}); use"
                " the same one, or train without train.warm_start"
            )

    def put_weights(self, model: "nn.Module") -> None:
        """Gives a network, built from the same settings, the earlier weights."""
        import torch

        weights = self.trained.model.state_dict()
        # Chosen on validation after each epoch; while training goes on it is one.
        weights["ranking_share"] = torch.ones_like(weights["ranking_share"])
        model.load_state_dict(weights)


def find_warm_start(config: DictConfig) -> WarmStart | None:
    """The training to start from, if ``train.warm_start`` asks for one.

    Args:
        config: Composed from ``config/train_config.yaml``. An interrupted training that is
            resumed has its weights already.

    Raises:
        InputError: There is no such checkpoint, it has another network, or it does not tell what
            it has learnt from.
    """
    asked = config.train.warm_start
    if not asked or config.train.resume:
        return None
    path = find_checkpoint(None if asked is True else asked, config.paths.checkpoint_dir)

    from rec_sys.modules.checkpoint import load_trained

    plain = plain_config(config)
    trained = load_trained(path)
    then, now = (dict(flat(each["model"])) for each in (trained.record["config"], plain))
    differing = [
        f"model.{key}={then.get(key)}, now {now.get(key)}"
        for key in sorted({*then, *now})
        if then.get(key) != now.get(key)
    ]
    if differing:
        raise InputError(
            f"{path}: its network has other settings ({'; '.join(differing)}); give the same ones"
            " to start from its weights, or train without train.warm_start"
        )
    if trained.seen is None:
        raise InputError(
            f"{path}: was written by a version of rec_sys whose checkpoints do not tell what they"
            " have learnt from, so validation could flatter the new model; train once without"
            " train.warm_start"
        )
    note(f"starting from the weights of {path}")
    return WarmStart(trained, trained.seen, plain["train"]["warm_start"])


def split_reviews(
    splitter: Any,
    graph: "ReviewGraph",
    start: WarmStart | None,
    interrupted: "InterruptedTraining | None",
) -> "tuple[Split, Provenance]":
    """Splits the data so that nothing is measured that the weights have learnt from.

    Args:
        splitter: Built from ``config/split``.
        graph: The graph.
        start: Where the weights come from.
        interrupted: The training that is resumed; one that was started from a checkpoint has its
            split written down, for that checkpoint may be gone.

    Returns:
        The split, and what the new checkpoints tell about it.

    Raises:
        InputError: The data cannot be split so.
    """
    from rec_sys.graph.provenance import Provenance, require_unlearned

    if interrupted and interrupted.origin:
        return interrupted.seen.split(splitter.name, graph), interrupted.seen
    if start is None:
        split = splitter.split(graph)
        return split, Provenance.of(split, graph)
    split = splitter.split(graph, start.seen)
    require_unlearned(split, graph, start.seen)
    return split, Provenance.of(split, graph, start.seen)

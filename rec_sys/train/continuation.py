"""Where a training starts: at random weights, at those of an earlier one, where one broke off."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.errors import InputError, told_as_unfit
from rec_sys.foundation.settings import flat
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Provenance, Split, require_unlearned
from rec_sys.modules import checkpoint
from rec_sys.reviews.schema import ReviewData
from rec_sys.text.encoder import TextEncoder
from rec_sys.train.tracking import deciding_settings, plain_config

if TYPE_CHECKING:  # not PyTorch itself: that there is no such checkpoint is told without it
    from torch import nn


class Start:
    """Random weights. `origin`: what the record tells of the checkpoint they come from; `state`:
    that of an interrupted training that goes on, under its `run_name` and MLflow's `run_id`."""

    origin: dict[str, Any] | None = None
    state: Path | None = None
    run_name: str | None = None
    run_id: str | None = None

    def check_encoder(self, encoder: TextEncoder) -> None:
        """Makes sure that texts mean what they meant to the earlier training."""

    def split(self, splitter: Any, graph: ReviewGraph) -> tuple[Split, Provenance]:
        """Splits so that nothing is measured that was learned from, and notes what is seen."""
        split = splitter.split(graph)
        return split, Provenance.of(split, graph)

    def put_weights(self, model: "nn.Module") -> None:
        """Gives a network, built from the same settings, the weights to start from."""

    def changes(self, seen: Provenance, newly_encoded: int) -> dict[str, Any] | None:
        """Counts and shows what differs from the earlier training: of ``reviews`` (pairs of user
        and product), ``users`` and ``products`` how many were ``then`` and are ``now``, ``new`` and
        ``gone``; and ``newly_encoded_texts``. None without one."""


class WarmStart(Start):
    """The weights of an earlier training; ``train.warm_start`` asked for them."""

    def __init__(self, trained: checkpoint.TrainedModel, asked: bool | str) -> None:
        self.trained = trained
        self.origin = {
            "asked": asked,
            "checkpoint": trained.path.name,
            "run_name": trained.record["run_name"],
            "fingerprint": trained.fingerprint,
        }

    def check_encoder(self, encoder: TextEncoder) -> None:
        self.trained.check_encoder(encoder, "use the same one, or train without train.warm_start")

    def split(self, splitter: Any, graph: ReviewGraph) -> tuple[Split, Provenance]:
        seen = self.trained.seen
        with told_as_unfit(self.trained.path, "train anew"):
            split = splitter.split(graph, seen)
            require_unlearned(split, graph, seen)
            return split, Provenance.of(split, graph, seen)

    def put_weights(self, model: "nn.Module") -> None:
        model.load_state_dict(self.trained.model.state_dict())

    def changes(self, seen: Provenance, newly_encoded: int) -> dict[str, Any]:
        counts = {}
        for kind in ("reviews", "users", "products"):
            then, now = getattr(self.trained.seen, kind), getattr(seen, kind)
            sets = {"then": then, "now": now}
            sets |= {"new": np.setdiff1d(now, then), "gone": np.setdiff1d(then, now)}
            counts[kind] = {name: len(each) for name, each in sets.items()}
        rows = [[kind, *row.values()] for kind, row in counts.items()]
        show_table(f"since {self.trained.path.name}", ["", "then", "now", "new", "gone"], rows)
        note(f"texts newly encoded: {newly_encoded}")
        return {"newly_encoded_texts": newly_encoded, **counts}


class Resumption(Start):
    """The newest state of an interrupted training, with its record and what it has seen."""

    def __init__(self, state: Path, record: dict[str, Any], seen: Provenance) -> None:
        self.state, self.seen, self.origin = state, seen, record["warm_start"]
        self.run_name, self.run_id = record["run_name"], record["mlflow"]["run_id"]

    def split(self, splitter: Any, graph: ReviewGraph) -> tuple[Split, Provenance]:
        """See `Start`; after a warm start as written down, for that checkpoint may be gone."""
        if self.origin is None:
            return super().split(splitter, graph)
        with told_as_unfit(self.state, "train anew"):
            return self.seen.split(splitter.name, graph), self.seen


def find_start(config: DictConfig, data: ReviewData) -> Start:
    """What ``train.resume`` or ``train.warm_start`` asks for; InputError if it cannot be."""
    if config.train.resume:
        with told_as_unfit(f"train.resume={config.train.resume}", "train anew"):
            return _interrupted(config, data)
    return _earlier(config) if config.train.warm_start else Start()


def _interrupted(config: DictConfig, data: ReviewData) -> Resumption:
    """The newest state of a training that is not complete, of the same settings and data."""
    asked, folder = config.train.resume, config.paths.checkpoint_dir
    paths = checkpoint.last_checkpoints(folder) if asked is True else [Path(asked)]
    for path in paths:
        with told_as_unfit(path, "train anew"):
            content = checkpoint.read_checkpoint(path)
            record = content[checkpoint.RECORD_KEY]
            done = content["epoch"] + 1
            if done < record["config"]["train"]["max_epochs"] or not _has_ended(path):
                break
    else:
        raise InputError(f"{path}: this training is complete ({done} epochs); nothing to resume")
    own = record["run_name"] + checkpoint.LAST_SUFFIX
    if path.name != own:  # the files of that run are replaced
        raise InputError(f"{path}: is the state of another run; name it {own} to go on with that")
    now = plain_config(config)
    # The interrupted command may be given again with train.resume, or without its start.
    start, origin = now["train"]["warm_start"], record["warm_start"]
    if start and start != (origin or {}).get("asked"):
        started = f"train.warm_start={origin['asked']}" if origin else "random weights"
        why = f"this training started from {started}, not from train.warm_start={start}"
        remedy = "leave train.warm_start out to resume it, or train without train.resume"
        raise InputError(f"{path}: {why}; {remedy}")
    if differing := _differences(deciding_settings(record["config"]), deciding_settings(now)):
        remedy = "give the same ones to resume it, or train without train.resume"
        raise InputError(f"{path}: was trained with other settings ({differing}); {remedy}")
    if record["data"]["fingerprint"] != data.fingerprint:
        why = "was trained with other reviews than those that are read now"
        raise InputError(f"{path}: {why}; train without train.resume")
    best = Path(folder) / (record["run_name"] + checkpoint.BEST_SUFFIX)
    if not best.is_file():
        why = "is missing, the best epoch so far; put it there, or name its folder by"
        raise InputError(f"{best}: {why} paths.checkpoint_dir, or train without train.resume")
    note(f"going on with {record['run_name']} after epoch {done} of {config.train.max_epochs}")
    return Resumption(path, record, checkpoint.provenance_in(content))


def _has_ended(state: Path) -> bool:
    """Whether a training whose epochs are all done has written its model card, too, the last."""
    run_name = state.name.removesuffix(checkpoint.LAST_SUFFIX)
    best = state.with_name(run_name + checkpoint.BEST_SUFFIX)
    card = best.with_suffix(checkpoint.CARD_SUFFIX)  # perhaps of an earlier run of that name
    written = [each.stat().st_mtime_ns for each in (best, card) if each.is_file()]
    return not best.is_file() or (len(written) == 2 and written[0] <= written[1])


def _earlier(config: DictConfig) -> WarmStart:
    """The training to start from, of the same network, which tells what it has learned from."""
    asked = config.train.warm_start
    path = checkpoint.find_checkpoint(None if asked is True else asked, config.paths.checkpoint_dir)
    trained = checkpoint.load_trained(path)
    now = plain_config(config)
    networks = (dict(flat({"model": each["model"]})) for each in (trained.record["config"], now))
    if differing := _differences(*networks):
        remedy = "give the same ones to start from its weights, or train without train.warm_start"
        raise InputError(f"{path}: its network has other settings ({differing}); {remedy}")
    note(f"starting from the weights of {path}")
    return WarmStart(trained, now["train"]["warm_start"])


def _differences(then: dict[str, Any], now: dict[str, Any]) -> str:
    values = ((key, then.get(key), now.get(key)) for key in sorted({*then, *now}))
    return "; ".join(f"{key}={old}, now {new}" for key, old, new in values if old != new)

"""Checkpoints: where they are, what they tell, and the model that is in them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from rec_sys.foundation.cli import load_choice
from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError, told_as_unfit
from rec_sys.foundation.files import replacing, require_regular
from rec_sys.foundation.settings import build, flat
from rec_sys.foundation.torch_file import read_torch_file
from rec_sys.graph.ego_batch import silent_inputs
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.splits import split_fingerprint
from rec_sys.graph.task import NOW, LearnedReviews, Provenance, Split
from rec_sys.modules.combiner import Combiner, require_leading
from rec_sys.modules.evidences import Evidence, KnownReviews
from rec_sys.modules.features import Feature
from rec_sys.modules.match import Towers
from rec_sys.modules.trusted_settings import require_bounded, trusted_settings
from rec_sys.reviews.schema import ReviewData
from rec_sys.text.encoder import TextEncoder

# PyTorch takes a second to import; a command finds its checkpoint and checks its settings before.
if TYPE_CHECKING:
    from torch import Tensor

    from rec_sys.modules.graph_model import GraphModel

BEST_SUFFIX, CARD_SUFFIX = ".ckpt", ".md"
#: The state after the newest epoch, from which training can go on.
LAST_SUFFIX = ".last.ckpt"

# Keys of a checkpoint beside Lightning's; the last three are written when a training has ended.
RECORD_KEY = "rec_sys"
SEEN_KEY = "rec_sys_seen"
COMBINER_KEY = "rec_sys_combiner"
TOWERS_KEY = "rec_sys_towers"
_UNCALIBRATED_KEY = "rec_sys_uncalibrated"
RECORD_FORMAT = 6
_WEIGHTS_PREFIX = "model."
# What is read of any checkpoint, and of what kind it is.
_SHAPE: dict[str, Any] = {
    "state_dict": {},
    RECORD_KEY: {
        "config": {},
        "run_name": str,
        "vector_dim": int,
        "split": {"fingerprint": str, "validation_user_ids": [str]},
        "data": {"fingerprint": str},
        "encoder": {"model_fingerprint": str},
    },
}
# What values that do not belong there lead to.
_MISFITS = (InstantiationException, AttributeError, LookupError, TypeError, ValueError)
_MISFIT_WIDTH = 300  # PyTorch names all weights that are missing
_SEEN_ARRAYS = {"users": np.int64, "products": np.int64, "roles": np.uint8}
_SEEN_ARRAYS |= {"edge_user": np.int32, "edge_product": np.int32}


def find_checkpoint(
    checkpoint: str | Path | None, folder: str | Path, built_from: str | None = None
) -> Path:
    """The named checkpoint, or that of the index, `built_from`, or the newest; or InputError."""
    best = [f for f in Path(folder).glob(f"*{BEST_SUFFIX}") if not f.name.endswith(LAST_SUFFIX)]
    path = newest = max(best, key=_age, default=None)
    if checkpoint is not None:
        path = Path(checkpoint).expanduser()
    elif built_from is not None:
        path = Path(folder) / built_from
    if path is None:
        why = "holds no checkpoint; train first with `uv run -m rec_sys.train.train`, or name one"
        raise InputError(f"{folder}: {why}")
    if not path.is_file():
        there = ", ".join(sorted(each.name for each in best))
        whose = "" if checkpoint is not None else ", from which the index was built"
        hint = f"{folder} holds " + (f"{there}: name one" if there else "none: train first")
        raise InputError(f"{path}: no such checkpoint{whose}; {hint}")
    note(f"using {path}")
    if checkpoint is None and built_from is not None and newest not in (None, path):
        note(f"as the index does; {newest.name} is newer: create_vectorbase makes an index of it")
    return path


def last_checkpoints(folder: str | Path) -> list[Path]:
    """The newest state of each training, the newest training first; InputError without any."""
    if not (found := list(Path(folder).glob(f"*{LAST_SUFFIX}"))):
        raise InputError(f"{folder}: holds no interrupted training (*{LAST_SUFFIX}) to resume")
    return sorted(found, key=_age, reverse=True)


def _age(path: Path) -> tuple[int, str]:
    return path.stat().st_mtime_ns, path.name


@dataclass(frozen=True)
class TrainedModel:
    """A checkpoint's model, in evaluation mode and on the CPU. `record`: see `record_of`;
    `weights`: of the network, by name; `seen`: the reviews of the training; `model_config`:
    settings if not the training's; `plain_combiner`, of `Combiner.plain`, and `plain_towers`, the
    arrays of `Towers`: None before the training has ended."""

    path: Path
    record: dict[str, Any]
    weights: Mapping[str, np.ndarray]
    seen: Provenance
    model_config: Mapping[str, Any] | None = None
    plain_combiner: dict[str, Any] | None = None
    plain_towers: dict[str, Any] | None = None

    @cached_property
    def model(self) -> "GraphModel":
        """The network, which needs PyTorch. InputError if settings or weights do not fit."""
        import torch

        if self.model_config:
            settings = OmegaConf.create(dict(self.model_config))
        else:
            settings = trusted_settings(self.record["config"], "model", self.path)
            most = max((size for each in self.weights.values() for size in each.shape), default=0)
            for name, value in flat(settings):
                if type(value) is int and value > most:  # it would take memory without end
                    why = f"its weights do not fit the model's settings (model.{name}={value})"
                    raise InputError(f"{self.path}: {why}; train again")
        try:
            for device in ("meta", "cpu"):  # at first without any memory: whether they fit
                with torch.device(device):
                    model = build(settings, vector_dim=self.record["vector_dim"])
                tensors = {n: torch.from_numpy(a).to(device) for n, a in self.weights.items()}
                model.load_state_dict(tensors)
        except RuntimeError as error:  # PyTorch's, a heading and a line for each weight
            misfit = shorten(str(error).splitlines()[:2][-1], _MISFIT_WIDTH)
            why = f"its weights do not fit the model's settings ({misfit})"
            remedy = "use the model config it was trained with"
            raise InputError(f"{self.path}: {why}; {remedy}") from None
        except _MISFITS as error:
            raise _no_model(self.path, error) from None
        return require_runs(model, self.path).eval()

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the function that the model computes: SHA-256 of weights and settings."""
        settings = self.record["config"]["model"]
        settings = sorted((name, repr(value)) for name, value in flat(settings))
        digest = hashlib.sha256(repr(settings).encode())
        for name, array in sorted(self.weights.items()):
            digest.update(f"{name}:{array.shape}:torch.{array.dtype}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    @property
    def exported(self) -> Path:
        """Where training puts the network for ONNX Runtime."""
        return self.path.with_suffix(".onnx")

    @property
    def card(self) -> Path:
        return self.path.with_suffix(CARD_SUFFIX)

    @cached_property
    def combiner(self) -> Combiner:
        """The weights of the evidences; InputError if training has none yet or they are damaged."""
        if self.plain_combiner is None:
            why = "its training has not ended, so it is not known how much each evidence counts"
            raise InputError(f"{self.path}: {why}; go on with train.resume=true")
        try:
            return Combiner.of_plain(self.plain_combiner)
        except (KeyError, OverflowError, TypeError, ValueError):
            why = "its weights of evidences are damaged; train again, or name another checkpoint"
            raise InputError(f"{self.path}: {why}") from None

    @cached_property
    def towers(self) -> Towers:
        """What finds the product of a text; raises as `combiner`."""
        size = self.record["vector_dim"]
        try:
            towers = Towers(**self.plain_towers)
            shapes = {each.shape for each in vars(towers).values()}
            finite = all(np.isfinite(each).all() for each in vars(towers).values())
        except (AttributeError, TypeError):
            shapes, finite = set(), False
        if shapes != {(size, size)} or not finite:
            raise InputError(f"{self.path}: its match of texts and products is missing or damaged")
        return towers

    def check_encoder(
        self, encoder: TextEncoder, advice: str = "use encoder=from_checkpoint or train again"
    ) -> None:
        """Raises InputError if texts mean something else than in training; precision may differ."""
        if encoder.model_fingerprint != self.record["encoder"]["model_fingerprint"]:
            own = self.record["config"]["encoder"].get("model")
            why = f"was trained with another text encoder (encoder.model={own})"
            raise InputError(f"{self.path}: {why}; {advice}")

    def settings(self, config: DictConfig, axis: str) -> DictConfig:
        """Those of one axis: given now, otherwise (``{from_checkpoint: true}``, or no such axis) of
        the training. InputError if these name a class that they may not name."""
        own = config.get(axis, {"from_checkpoint": True})
        if "from_checkpoint" not in own:
            return own
        if own["from_checkpoint"] is not True:
            raise InputError(f"{axis}.from_checkpoint: must be true, or choose another {axis}=NAME")
        return trusted_settings(self.record["config"], axis, self.path)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint, with arrays for tensors, without running code in it; or InputError."""
    require_regular(path)
    try:
        content = read_torch_file(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint") from None
    except (InputError, PermissionError):
        raise
    except Exception:  # whatever somebody else's file makes of unpickling
        why = "not a readable checkpoint (damaged, or more than tensors and plain values)"
        raise InputError(f"{path}: {why}") from None
    record = content.get(RECORD_KEY) if isinstance(content, dict) else None
    if not isinstance(record, dict) or record.get("format") != RECORD_FORMAT:
        raise InputError(f"{path}: not a checkpoint of this version of rec_sys; train again")
    if not _has_shape(content, _SHAPE):
        raise InputError(f"{path}: its record or its weights are damaged; train again")
    return content


def as_tensors(content: Any) -> Any:
    """What `read_checkpoint` gives, with tensors as PyTorch saved it. ``torch.load`` is not asked:
    it may find something else in a file than what was looked at."""
    import torch

    if isinstance(content, np.ndarray):
        return torch.from_numpy(content)
    if isinstance(content, dict):
        return {name: as_tensors(each) for name, each in content.items()}
    return type(content)(map(as_tensors, content)) if isinstance(content, list | tuple) else content


def _has_shape(value: Any, shape: Any) -> bool:
    if isinstance(shape, list):
        return type(value) is list and all(type(each) in shape for each in value)
    if not (isinstance(shape, dict) and isinstance(value, dict)):
        return type(value) is shape
    return all(_has_shape(value.get(name), each) for name, each in shape.items())


def load_trained(path: str | Path, model_config: Mapping[str, Any] | None = None) -> TrainedModel:
    """A checkpoint's model; `model_config` is trusted. InputError if its weights do not fit."""
    content = read_checkpoint(path)
    try:
        weights = {
            name.removeprefix(_WEIGHTS_PREFIX): array
            for name, array in content["state_dict"].items()
            if name.startswith(_WEIGHTS_PREFIX)
        }
        are_finite = all(bool(np.isfinite(array).all()) for array in weights.values())
        seen = provenance_in(content)
        require_bounded(content[RECORD_KEY]["config"]["model"], "model", path)
        if {*map(type, weights.values())} - {np.ndarray}:
            raise TypeError("weights that are no tensors")
    except InputError:
        raise
    except Exception as error:  # whatever somebody else's file holds
        raise _no_model(path, error) from None
    if not are_finite:
        raise InputError(f"{path}: its weights are not all finite numbers; train again")
    learned = content.get(COMBINER_KEY), content.get(TOWERS_KEY)
    trained = TrainedModel(Path(path), content[RECORD_KEY], weights, seen, model_config, *learned)
    if model_config:
        trained.model  # noqa: B018 (whether the weights fit is told at once)
    return trained


def load_uncalibrated(path: Path) -> "GraphModel":
    """The network of the best epoch, also of a training that broke off after its calibration."""
    model = load_trained(path).model
    with told_as_unfit(path, "train again"):
        before = as_tensors(read_checkpoint(path).get(_UNCALIBRATED_KEY, {}))
        model.load_state_dict(before, strict=False)
    return model


def require_runs(model: "GraphModel", what: str | Path) -> "GraphModel":
    """The model, once it has run; InputError about `what` if its convolution fails."""
    is_training = model.training
    try:
        found = model.embed(silent_inputs(model.vector_dim, reviews=1))
        if not all(np.isfinite(each).all() for each in found):
            raise ValueError("its answers are no numbers")
    except Exception as error:  # of any convolution of PyTorch Geometric
        raise _no_model(what, error, "change model.conv or train again") from None
    return model.train(is_training)


def _no_model(what: str | Path, error: Exception, remedy: str = "train again") -> InputError:
    reason = (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0]
    return InputError(f"{what}: no model can be made of it ({reason}); {remedy}")


def complete_checkpoint(
    path: Path,
    combiner: Combiner,
    towers: Towers,
    record: dict[str, Any] | None = None,
    weights: "Mapping[str, Tensor] | None" = None,
    uncalibrated: "Mapping[str, Tensor] | None" = None,
) -> None:
    """Completes the checkpoint of a training that has ended: with a new record if tuning changed
    settings, the `weights` as calibrated, and those that were others, as they were before."""
    import torch

    content = as_tensors(read_checkpoint(path))
    for name, each in (weights or {}).items():
        content["state_dict"][_WEIGHTS_PREFIX + name] = each
    content[RECORD_KEY] = record or content[RECORD_KEY]
    content[COMBINER_KEY] = combiner.plain()
    content |= {_UNCALIBRATED_KEY: dict(uncalibrated)} if uncalibrated else {}
    content[TOWERS_KEY] = {name: torch.from_numpy(each) for name, each in vars(towers).items()}
    with replacing(path) as draft:
        torch.save(content, draft)


def build_evidences(settings: DictConfig) -> list[Evidence]:
    """The evidences of the axis ``evidence``; InputError for a bad value, or if one is missing."""
    if missing := [name for name, each in settings.items() if not each]:
        raise InputError(f"evidence.{missing[0]}: is nothing; ~evidence.{missing[0]} does without")
    evidences: list[Evidence] = [build(each) for each in settings.values()]
    require_leading([each.name for each in evidences])
    return evidences


def fit_evidences(settings: DictConfig, known: KnownReviews) -> list[Feature]:
    """The features of all evidences, see `build_evidences`."""
    return [feature for each in build_evidences(settings) for feature in each.fit(known)]


def provenance_in(content: Mapping[str, Any]) -> Provenance:
    """Which reviews the training of a checkpoint has seen; LookupError if it does not tell."""
    kept = content[SEEN_KEY]
    arrays = {name: kept[name] for name in _SEEN_ARRAYS}
    begins, earlier = tuple(kept["begins"]), LearnedReviews(*kept["earlier"])
    kinds = [(arrays[name], kind) for name, kind in _SEEN_ARRAYS.items()]
    kinds += [(each, np.int64) for each in earlier]
    are_moments = len(begins) == 2 and all(
        each is None or (type(each) is int and abs(each) <= NOW) for each in begins
    )
    if not are_moments or any(each.dtype != kind or each.ndim != 1 for each, kind in kinds):
        raise ValueError("the reviews that it has seen are damaged")
    for name, of in (("edge_user", "users"), ("edge_product", "products")):
        if not ((arrays[name] >= 0) & (arrays[name] < len(arrays[of]))).all():
            raise ValueError("the reviews that it has seen are of nobody, or of nothing")
    return Provenance(**arrays, has_test=kept["has_test"], begins=begins, earlier=earlier)


def plain_provenance(seen: Provenance) -> dict[str, Any]:
    """What `provenance_in` reads, as tensors and plain values."""
    import torch

    arrays = {name: torch.from_numpy(getattr(seen, name)) for name in _SEEN_ARRAYS}
    earlier = [torch.from_numpy(each) for each in seen.earlier]
    return arrays | {"has_test": seen.has_test, "begins": list(seen.begins), "earlier": earlier}


def load_data(trained: TrainedModel, config: DictConfig) -> ReviewData:
    """Loads the training's data set, or the one that `config` names; InputError if unreadable."""
    own = config.get("data") or {}
    if own.get("from_checkpoint"):
        as_it_is = load_choice("data", "from_checkpoint")
        for name in as_it_is:
            if name in own and own[name] != as_it_is[name]:
                raise InputError(
                    f"data.{name}: the checkpoint's data are read as for its training; name the"
                    " file that is written so with infer.reviews=FILE, or with data=local"
                    " data.reviews_path=FILE"
                )
    return build(trained.settings(config, "data")).load()


def load_encoder(trained: TrainedModel, config: DictConfig) -> TextEncoder:
    """The training's text encoder, or that of `config`; InputError for none, or another model's."""
    encoder = build(trained.settings(config, "encoder"))
    trained.check_encoder(encoder)
    return encoder


def is_training_data(trained: TrainedModel, data: ReviewData) -> bool:
    """Whether a data set is exactly the training's; otherwise an equal id may be another person."""
    return data.fingerprint == trained.record["data"]["fingerprint"]


def held_out_user_ids(trained: TrainedModel, data: ReviewData) -> list[str] | None:
    """The users held out for validation, none if the split held out none; None for other data."""
    held_out = trained.record["split"]["validation_user_ids"]
    return held_out if is_training_data(trained, data) else None


def split_as_trained(trained: TrainedModel, graph: ReviewGraph, config: DictConfig) -> Split:
    """Splits the training's data set again; InputError if it comes out differently. `config` may
    have an axis ``split``: the same settings, from somebody who trusts a class outside rec_sys."""
    splitter = build(trained.settings(config, "split"))
    with told_as_unfit(trained.path, "train again"):
        # Not by the splitter: after a warm start it depends on what an earlier one had seen.
        split = trained.seen.split(splitter.name, graph)
    if split_fingerprint(split) != trained.record["split"]["fingerprint"]:
        raise InputError(
            f"{trained.path}: the split of its training (split={split.name}) comes out differently"
            " now, so that it is not known which reviews trained it; use the version of rec_sys"
            " and PyTorch that trained it, or train again"
        )
    return split

"""Which classes the settings in a checkpoint may name: a checkpoint can come from anybody.

Hydra calls whatever a ``_target_`` names. What stands in a checkpoint is therefore copied value by
value, and only classes of rec_sys that a file of ``config`` names pass, each in its own place."""

import functools
import re
from collections.abc import Iterator
from inspect import isclass
from itertools import count
from pathlib import Path
from pydoc import locate
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import flat
from rec_sys.text.encoder import EMBEDDED, is_here

#: Here any convolution of PyTorch Geometric may stand.
CONVOLUTION = "model.conv"

# What `DownloadedReviews` fetches.
_ADDRESSES = ("reviews_url", "metadata_url", "reviews_drive_id", "metadata_drive_id")
_CONVOLUTION_NAME = re.compile(r"torch_geometric\.nn\.([A-Za-z]\w*)", re.ASCII)
_AXES = ("data", "encoder", "split", "product_graph", "evidence", "model")
_DEEPEST = 8
_MOST_VALUES = 10_000
# A setting's text, and its whole number: what is longer or larger costs memory or time alone.
_LONGEST, _LARGEST = 100_000, 2**63
# Reviews, or products, of the demo's shop; ours has a few thousand.
_MOST_INVENTED = 1_000_000


@functools.cache
def trusted_classes() -> dict[str, set[str]]:
    """Place in the config -> full names of the classes of rec_sys that a file puts there."""
    found: dict[str, set[str]] = {}
    for file in (file for axis in _AXES for file in (CONFIG_DIR / axis).glob("*.yaml")):
        axis = file.parent.name
        place = f"{axis}.{file.stem}" if axis == "evidence" else axis
        for key, value in flat(OmegaConf.to_container(OmegaConf.load(file)), f"{place}."):
            where, _, name = key.rpartition(".")
            if name == "_target_" and value.startswith("rec_sys."):
                found.setdefault(where, set()).add(value)
    return found


def trusted_settings(config: Any, axis: str, path: str | Path) -> DictConfig:
    """Copies the settings of one axis, the first part of a place, out of a checkpoint. InputError
    if they name a class that is not trusted there, or hold more than values, lists and mappings."""
    settings = config.get(axis) if isinstance(config, dict) else None
    if not isinstance(settings, dict) or axis not in _AXES:
        raise InputError(f"{path}: holds no settings of {axis}; train again")
    copied = OmegaConf.create(_copied(settings, [axis], path, count()))
    if axis == "data":
        # Nothing is downloaded from where none of ours come from.
        ours = [OmegaConf.load(each) for each in sorted((CONFIG_DIR / "data").glob("*.yaml"))]
        for name in _ADDRESSES:
            address = copied.get(name)
            if address is not None and address not in [each.get(name) for each in ours]:
                where = f"{name}={address}, which no file in config/data names"
                raise _untrusted(path, f"its data would be downloaded from {where}")
        sizes = [copied.get(name) for name in ("num_users", "reviews_per_user", "num_products")]
        users, reviews, products = (each if type(each) is int else 1 for each in sizes)
        if max(users * reviews, products) > _MOST_INVENTED:
            raise _refused(path, axis, "sizes of a shop that would take hours to invent")
    if axis == "encoder" and not is_here(str(copied.get("model", EMBEDDED))):
        what = f"its text encoder would be downloaded from the hub (encoder.model={copied.model})"
        raise _untrusted(path, what)
    return copied


def require_bounded(settings: Any, axis: str, path: str | Path) -> None:
    """InputError unless settings are few and plain, whatever they name: to be asked before anything
    is done with them that takes longer the more there are."""
    _copied(settings, [axis], path, count(), is_named=False)


def _copied(
    value: Any, keys: list[str], path: str | Path, number: Iterator[int], is_named: bool = True
) -> Any:
    place = ".".join(keys)
    # One list may stand in another one many times, and that in a third.
    if next(number) > _MOST_VALUES:
        raise _refused(path, place, "too many values")
    if isinstance(value, dict) and is_named:
        if "_target_" in value or place in trusted_classes() or place == CONVOLUTION:
            _check_target(value.get("_target_"), place, path)
        for key, each in value.items():
            if not isinstance(key, str):
                raise _refused(path, place, f"a key that is no text ({key!r})")
            # Hydra's other keys choose how it is called; the model completes its convolution.
            partial = (key, place) == ("_partial_", CONVOLUTION) and each is True
            if key.startswith("_") and key != "_target_" and not partial:
                raise _refused(path, place, f"the key {key}")
    if isinstance(value, dict | list | tuple):
        if len(keys) >= _DEEPEST:
            raise _refused(path, place, "too many levels")
        is_mapping = isinstance(value, dict)
        pairs = value.items() if is_mapping else enumerate(value)
        copied = {k: _copied(v, [*keys, str(k)], path, number, is_named) for k, v in pairs}
        return copied if is_mapping else list(copied.values())
    # OmegaConf would fill in an interpolation, which may call a resolver.
    if is_named and isinstance(value, str) and (value == "???" or "${" in value or "\0" in value):
        raise _refused(path, place, f"the text {value!r}")
    if value is not None and type(value) not in (str, bool, int, float):
        raise _refused(path, place, f"a {type(value).__name__}")
    if type(value) is int and abs(value) > _LARGEST or type(value) is str and len(value) > _LONGEST:
        raise _refused(path, place, "too long a value")
    return value


def _check_target(target: Any, place: str, path: str | Path) -> None:
    if isinstance(target, str):
        if place == CONVOLUTION and _is_convolution(target):
            return
        # Defined under this name, not only imported there.
        found = locate(target) if target in trusted_classes().get(place, ()) else None
        if isclass(found) and f"{found.__module__}.{found.__qualname__}" == target:
            return
    why = f"which is not a part of rec_sys that may stand at {place}"
    raise _untrusted(path, f"its settings name {target!r}, {why}")


def _is_convolution(name: str) -> bool:
    if not (matched := _CONVOLUTION_NAME.fullmatch(name)):
        return False
    from torch_geometric import nn

    found = getattr(nn, matched[1], None)
    return (
        isclass(found)
        and issubclass(found, nn.MessagePassing)
        and found is not nn.MessagePassing
        and found.__module__.startswith("torch_geometric.nn.conv.")
        and found.__qualname__ == matched[1]
    )


def _refused(path: str | Path, place: str, what: str) -> InputError:
    why = f"at {place}, which is not run or filled in from a checkpoint"
    return _untrusted(path, f"its settings hold {what} {why}")


def _untrusted(path: str | Path, what: str) -> InputError:
    return InputError(f"{path}: {what}; if you trust it, give these settings on the command line")

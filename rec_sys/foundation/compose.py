"""Another choice in a config that is already composed, as on the command line."""

import copy
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError


def with_overrides(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """A copy of a config with other values.

    Args:
        config: Composed.
        overrides: ``group=name`` takes ``config/group/name.yaml``, ``some.key=value`` sets a value
            that exists; in this order.

    Raises:
        InputError: There is no such file or key.
    """
    config = copy.deepcopy(config)
    OmegaConf.set_struct(config, False)
    for override in overrides:
        key, _, value = override.partition("=")
        if "." not in key and (CONFIG_DIR / key).is_dir():
            config[key] = load_choice(key, value)
        elif OmegaConf.select(config, key, default=_MISSING) is _MISSING:
            raise InputError(f"{override}: there is no such setting")
        else:
            OmegaConf.update(config, key, OmegaConf.from_dotlist([f"x={value}"]).x)
    return config


def load_choice(group: str, name: str) -> DictConfig:
    """The settings of ``config/group/name.yaml``; what it takes in must be of the same group.

    Raises:
        InputError: There is no such file.
    """
    path = CONFIG_DIR / group / f"{name}.yaml"
    if not path.is_file():
        others = sorted(p.stem for p in (CONFIG_DIR / group).glob("[!_]*.yaml"))
        raise InputError(f"{group}={name}: there is no such choice; there are {', '.join(others)}")
    own = OmegaConf.load(path)
    assert isinstance(own, DictConfig)
    bases = list(own.pop("defaults", None) or [])
    if "_self_" not in bases:
        bases.append("_self_")  # as Hydra does
    parts = [own if base == "_self_" else load_choice(group, base) for base in bases]
    merged = OmegaConf.merge(*parts)
    assert isinstance(merged, DictConfig)
    return merged


_MISSING = object()

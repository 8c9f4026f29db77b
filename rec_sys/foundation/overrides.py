"""What Hydra says about settings that do not exist, in one line and in our words."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf

_NO_SUCH_KEY = re.compile(r"Could not override '(?P<key>[^']+)'")
# A part that several files of a folder share is no choice by itself.
_SHARED = "_"


def in_one_line(error: HydraException, config_dir: str, config_name: str) -> str:
    """What is wrong with the command line, and what to do.

    Args:
        error: What Hydra raised.
        config_dir: The config folder.
        config_name: Entry file of the command, without ``.yaml``.
    """
    first = str(error).strip().split("\n", 1)[0]
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        choices = sorted(each for each in error.options if not each.startswith(_SHARED))
        return f"{group}={name}: no such choice; there are {', '.join(choices)}"
    if found := _NO_SUCH_KEY.match(first):
        key = found["key"]
        alike = get_close_matches(key, _keys(config_dir, config_name), n=1)
        hint = f"did you mean {alike[0]}?" if alike else "`--cfg job` lists all that there are"
        return f"{key}: no such setting; {hint}"
    return f"{first}; settings are given as key=value, `--cfg job` lists all that there are"


def _keys(config_dir: str, config_name: str) -> list[str]:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(config_dir, version_base="1.3"):
        config = hydra.compose(config_name)
    return list(_dotted(OmegaConf.to_container(config, resolve=False)))


def _dotted(settings: Any, parent: str = "") -> Iterator[str]:
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            yield f"{parent}{name}"
            yield from _dotted(value, f"{parent}{name}.")

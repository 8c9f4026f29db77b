"""The frame of every command: Hydra for the settings, one line and exit code 2 for bad input."""

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf

from rec_sys.foundation.errors import InputError

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


CONFIG_DIR = Path(__file__).resolve().parents[2] / "config"
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count


def graceful_exit(main: Callable[..., Any]) -> Callable[..., None]:
    """Wraps a command: an `InputError` becomes one line and exit code 2, Ctrl-C exit code 130."""

    @wraps(main)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        _be_quiet()
        try:
            main(*args, **kwargs)
        except InputError as error:
            sys.stdout.flush()
            print(f"error: {error}", file=sys.stderr)
            sys.exit(EXIT_BAD_INPUT)
        except KeyboardInterrupt:
            print("interrupted; what was finished is kept, run again to go on", file=sys.stderr)
            sys.exit(EXIT_INTERRUPTED)

    return wrapped


def command(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Decorator that makes a function of the composed config a command line program.

    The config folder is found beside the package, so the command runs from any working
    directory; what it writes goes to the working directory.

    Args:
        config_name: Entry file in ``config/``, without ``.yaml``.
    """

    def decorate(main: Callable[[DictConfig], Any]) -> Callable[[], None]:
        run = hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=config_name)(
            graceful_exit(main)  # before Hydra, which would add a line about a failed job
        )

        @graceful_exit
        @wraps(main)
        def program() -> None:
            # Otherwise Hydra ends the program by itself, with advice for whoever wrote it.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            try:
                run()
            except HydraException as error:
                line = in_one_line(error, str(CONFIG_DIR), config_name)
                raise InputError(line) from None

        return program

    return decorate


def _be_quiet() -> None:
    """Keeps the terminal for what the person can act on."""
    # MLflow and Hugging Face libraries call home or chat unless told otherwise.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # What PyTorch's C++ side would print: that an objective uses all heads, for one.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    # Libraries that warn about each other's future, and Lightning about loader processes that
    # our batches, cut from arrays in memory, do not need, and about older checkpoints.
    for message in ("torch.jit.script", "LeafSpec", "many workers", "exists and is not empty"):
        warnings.filterwarnings("ignore", f".*{message}.*")

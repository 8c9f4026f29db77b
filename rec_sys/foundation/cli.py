"""The frame of every command: Hydra for the settings, one line and exit code 2 for bad input."""

import copy
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import flat

CONFIG_DIR = Path(__file__).resolve().parents[2] / "config"
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count

_NO_SUCH_KEY = re.compile(r"Could not override '(?P<key>[^']+)'")
_ALL_SETTINGS = "`--cfg job` lists all that there are"


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
            sys.argv[1:] = quoted(sys.argv[1:])
            try:
                run()
            except HydraException as error:
                GlobalHydra.instance().clear()
                raise InputError(_in_one_line(error, config_name)) from None

        return program

    return decorate


def quoted(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments with quotes around each value that Hydra does not understand.

    File names are that: отзывы.jsonl, "reviews (1).json", "ann's.csv", "x,y.csv".
    """
    if any(each in ("-m", "--multirun") for each in arguments):
        return list(arguments)
    parser, result = OverridesParser.create(), []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        try:
            is_clear = not equals or not parser.parse_override(argument).is_sweep_override()
        except HydraException:
            is_clear = not re.fullmatch(r"[+~]*[\w./@]+", key)
        # A bracket or quotation mark begins Hydra's own notation: its message says more.
        if not is_clear and value[:1] not in ("[", "{", "'", '"', "$"):
            value = value.replace("\\", "\\\\").replace("'", "\\'")
            argument = f"{key}='{value}'"
        result.append(argument)
    return result


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


def with_overrides(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """A copy of a composed config with other values.

    Args:
        config: Stays as it is.
        overrides: In this order: ``group=name`` takes ``config/group/name.yaml``,
            ``some.key=value`` sets a value that exists.

    Raises:
        InputError: There is no such file or key.
    """
    config = copy.deepcopy(config)
    OmegaConf.set_struct(config, False)
    missing = object()
    for override in overrides:
        key, _, value = override.partition("=")
        if (CONFIG_DIR / key).is_dir():
            config[key] = load_choice(key, value)
        elif OmegaConf.select(config, key, default=missing) is missing:
            raise InputError(f"{override}: there is no such setting")
        else:
            OmegaConf.update(config, key, OmegaConf.from_dotlist([f"x={value}"]).x)
    return config


def load_choice(group: str, name: str) -> DictConfig:
    """The settings of ``config/group/name.yaml``.

    Raises:
        InputError: There is no such file.
    """
    try:
        return _compose(None, [f"+{group}={name}"])[group]
    except MissingConfigException as error:
        raise InputError(_no_such_choice(error)) from None


def _compose(config_name: str | None, overrides: Sequence[str] = ()) -> DictConfig:
    is_set_up = GlobalHydra.instance().is_initialized()  # by hydra.main, for the same folder
    with (
        nullcontext()
        if is_set_up
        else hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3")
    ):
        return hydra.compose(config_name, list(overrides))


def _in_one_line(error: HydraException, config_name: str) -> str:
    """What is wrong with the command line, and what to do."""
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        return _no_such_choice(error)
    first = str(error).strip().split("\n", 1)[0]
    if found := _NO_SUCH_KEY.match(first):
        settings = OmegaConf.to_container(_compose(config_name), resolve=False)
        alike = get_close_matches(found["key"], _names(settings), n=1)
        hint = f"did you mean {alike[0]}?" if alike else _ALL_SETTINGS
        return f"{found['key']}: no such setting; {hint}"
    return f"{first}; settings are given as key=value, {_ALL_SETTINGS}"


def _names(settings: dict[str, Any]) -> list[str]:
    """All dotted names, of groups as well as of values."""
    names = [name for name, _ in flat(settings)]
    parts = (name.split(".") for name in names)
    return sorted({".".join(each[:stop]) for each in parts for stop in range(1, len(each) + 1)})


def _no_such_choice(error: MissingConfigException) -> str:
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    # A part that several files of a folder share is no choice by itself.
    choices = sorted(each for each in error.options or () if not each.startswith("_"))
    return f"{group}={name}: there is no such choice; there are {', '.join(choices)}"


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

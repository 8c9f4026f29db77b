"""The frame of every command: Hydra for the settings, one line and exit code 2 for bad input."""

import os
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.overrides import in_one_line

CONFIG_DIR = Path(__file__).resolve().parents[2] / "config"
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count


def ending_politely(main: Callable[..., Any]) -> Callable[..., None]:
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
            ending_politely(main)  # before Hydra, which would add a line about a failed job
        )

        @ending_politely
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

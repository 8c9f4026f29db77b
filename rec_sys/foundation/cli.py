"""The frame of every command: Hydra for the settings, one line and exit code 2 for bad input."""

import atexit
import copy
import errno
import gc
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from inspect import unwrap
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, errors

from rec_sys.foundation.arguments import for_hydra, help_text, likely_name
from rec_sys.foundation.console import printable
from rec_sys.foundation.errors import EXIT_INTERRUPTED, InputError, end_at_once
from rec_sys.foundation.files import UNWRITABLE
from rec_sys.foundation.settings import flat

_PACKAGE = Path(__file__).resolve().parents[1]
#: In a wheel inside the package, in a checkout beside it.
CONFIG_DIR = next(filter(Path.is_dir, (_PACKAGE / "config", _PACKAGE.parent / "config")))
EXIT_BAD_INPUT = 2
_GC_THRESHOLD = 100_000
_SECONDS_TO_LEAVE = 0.1
_LONGEST = 2_000  # characters of an error

# A name, or settings that are merged into the chosen ones.
_CHOICE = re.compile(r"\{|[\"']?(?!(null|true|false|nan|inf)$)[^\W\d]")
_NO_SUCH_KEY = re.compile(r"Could not override '(?P<key>[^']+)'")
_ALL_SETTINGS = "`--help all` lists all that there are"


def command(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Decorator that makes a function of the composed config, ``config/CONFIG_NAME.yaml``, a
    command line program. It runs from any working directory, to which it writes."""

    def decorate(main: Callable[[DictConfig], Any]) -> Callable[[], None]:
        has_begun = False

        @hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=config_name)
        @_reporting  # before Hydra, which would add a line about a failed job
        @wraps(main)
        def run(config: DictConfig) -> Any:
            nonlocal has_begun
            require_usable(config)
            has_begun = True
            return main(config)

        @graceful_exit
        @wraps(main)
        def program() -> None:
            # Otherwise Hydra ends the program by itself, with advice for whoever wrote it.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            own, *arguments = sys.argv
            if asks_for_help(arguments):
                spec = sys.modules[main.__module__].__spec__
                show_help(config_name, f"python -m {spec.name if spec else own}", arguments)
                return
            try:
                chosen = _chosen_groups(arguments)
                sys.argv = [own, *for_hydra(arguments, _names(config_name, chosen))]
                run()
            except HydraException as error:
                GlobalHydra.instance().clear()
                raise InputError(_in_one_line(error, config_name, chosen)) from None
            except errors.OmegaConfBaseException as error:
                if has_begun and not any(each.startswith("~") for each in arguments):
                    raise  # a bug of ours
                raise _without_target(error) from None  # among Hydra's own settings

        return program

    return decorate


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether the first of the arguments of a command does."""
    return arguments[:1] in (["--help"], ["-h"])


def show_help(config_name: str, program: str, arguments: Sequence[str]) -> None:
    """Prints what a command does and what can be set; all that can after ``--help all``."""
    config = _compose(config_name, return_hydra_config=True)
    given = OmegaConf.to_container(config, resolve=False)
    settings = dict(flat({name: given[name] for name in given if name != "hydra"}))
    entry, choices = CONFIG_DIR / f"{config_name}.yaml", config.hydra.runtime.choices
    print(help_text(program, entry, settings, choices, full=arguments[1:] == ["all"]))


def graceful_exit(main: Callable[..., Any]) -> Callable[..., None]:
    """Wraps a command: an `InputError` becomes one line and exit code 2, Ctrl-C exit code 130."""

    @wraps(main)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        if signal.getsignal(signal.SIGINT) is end_at_once:
            signal.signal(signal.SIGINT, _interrupt)
            sys.unraisablehook = _interrupt_later
        # Libraries make millions of objects that stay: among them garbage is looked for slowly.
        gc.set_threshold(_GC_THRESHOLD)
        try:
            _reporting(main)(*args, **kwargs)
            status = 0
        except SystemExit as end:
            status = end.code
        # The program itself, not a command inside another one.
        if unwrap(main).__globals__ is vars(sys.modules["__main__"]):
            _end_process(status)
        if status:
            sys.exit(status)

    return wrapped


def _end_process(status: int) -> None:
    """Without taking modules apart: PyTorch's take Python seconds, and Ray's have crashed amid."""
    others = (each for each in threading.enumerate() if each is not threading.main_thread())
    if not all(each.daemon for each in others):
        return  # Python waits for them
    atexit._run_exitfuncs()
    with suppress(BrokenPipeError):  # nobody reads any more
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _reporting(main: Callable[..., Any]) -> Callable[..., None]:
    @wraps(main)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        _be_quiet()
        try:
            return main(*args, **kwargs)
        except (Exception, KeyboardInterrupt) as error:
            # Amid an import, libraries make something else of Ctrl-C.
            if _pressed or isinstance(error, KeyboardInterrupt):
                signal.signal(signal.SIGINT, end_at_once)  # whoever presses again wants that
                print("interrupted; run again, a training with train.resume=true", file=sys.stderr)
                sys.exit(EXIT_INTERRUPTED)
            if (why := _why(error)) is None:
                raise  # a bug of ours
        sys.stdout.flush()
        if len(why) > _LONGEST:  # it repeats what somebody gave: a name, or a cell of a table
            why = f"{why[: _LONGEST // 2]} … {why[-_LONGEST // 2 :]}"
        print(printable(f"error: {why}").replace("\n", " "), file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)

    return wrapped


_pressed: list[int] = []


def _interrupt(number: int, frame: Any) -> None:
    _pressed.append(number)
    signal.default_int_handler(number, frame)


def _interrupt_later(swallowed: Any) -> None:
    """Ctrl-C amid a finalizer or a callback, where Python passes exceptions over, comes again."""
    if issubclass(swallowed.exc_type, KeyboardInterrupt):
        again = threading.main_thread().ident, signal.SIGINT
        threading.Timer(_SECONDS_TO_LEAVE, signal.pthread_kill, again).start()
    else:
        sys.__unraisablehook__(swallowed)


def _why(error: BaseException) -> str | None:
    """What somebody can do about a failure; None if nothing."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory; give smaller files, or ask for less"
    if not isinstance(error, OSError) or not (error.filename or error.errno in UNWRITABLE):
        return None
    why = f"cannot be used ({error.strerror}); see whose it is, or name another one"
    if error.errno in UNWRITABLE - {errno.EACCES}:
        why = f"cannot be written to ({error.strerror}); make room, or name another folder"
    nameless = f"a file below {Path.cwd()}"  # one of Hydra's, for instance
    return f"{error.filename2 or error.filename or nameless}: {why}"  # 2: of a copy, its target


def require_usable(config: DictConfig) -> None:
    """InputError for a reference that leads nowhere, or a path that is no text."""
    try:
        values: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except errors.OmegaConfBaseException as error:
        raise _without_target(error) from None
    paths = {f"paths.{name}": value for name, value in values.get("paths", {}).items()}
    paths |= {name: values[name] for name in ("checkpoint", "folder") if name in values}
    for name, value in paths.items():
        if not isinstance(value, str) and (name, value) != ("checkpoint", None):
            is_one = isinstance(value, bool | int | float)
            advice = f"write \"{name}='{value}'\"" if is_one else "name a path"
            raise InputError(f"{name}={value}: must be text; {advice}")


def _without_target(error: errors.OmegaConfBaseException) -> InputError:
    key, reason = error.full_key or "a setting", str(error).split("\n")[0]
    is_missing = isinstance(error, errors.MissingMandatoryValue | AttributeError | KeyError)
    advice = "give it a value" if is_missing else "\\${ stands for ${ itself"
    return InputError(f"{key}: {reason}; {advice}")


def _chosen_groups(arguments: Sequence[str]) -> list[str]:
    groups = {path.name for path in CONFIG_DIR.iterdir() if path.is_dir()}
    chosen = []
    for each in arguments:
        group, _, choice = each.lstrip("+~").partition("=")
        if group == "hydra":
            raise InputError(f"{each}: is Hydra's own; set what is below it, as hydra.run.dir")
        if group in groups and (each.startswith("~") or not _CHOICE.match(choice)):
            raise InputError(f"{each}: is needed; leave it out, or choose {group}=NAME")
        chosen += [each] * (group in groups)
    return chosen


def with_overrides(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """A copy of a composed config with other values, in their order: ``group=name`` takes
    ``config/group/name.yaml``, ``some.key=value`` sets a value; InputError if there is none."""
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
    """The settings of ``config/group/name.yaml``; an `InputError` if there is no such file."""
    try:
        return _compose(None, [f"+{group}={name}"])[group]
    except MissingConfigException as error:
        raise InputError(_no_such_choice(error)) from None


def compose_config(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """What a command with these arguments is given; an `InputError` tells what is wrong."""
    chosen = _chosen_groups(overrides)
    try:
        config = _compose(config_name, overrides)
    except HydraException as error:
        raise InputError(_in_one_line(error, config_name, chosen)) from None
    require_usable(config)
    return config


def _compose(
    config_name: str | None, overrides: Sequence[str] = (), return_hydra_config: bool = False
) -> DictConfig:
    if GlobalHydra.instance().is_initialized():  # by hydra.main, for the same folder
        return hydra.compose(config_name, list(overrides), return_hydra_config)
    with hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return hydra.compose(config_name, list(overrides), return_hydra_config)


def _in_one_line(error: HydraException, config_name: str, chosen: Sequence[str]) -> str:
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        return _no_such_choice(error)
    first = str(error).strip().split("\n", 1)[0]
    if found := _NO_SUCH_KEY.match(first):
        group, _, rest = found["key"].partition(".")
        files = sorted((CONFIG_DIR / group).glob("[!_]*.yaml"))
        having = (each.stem for each in files if rest in OmegaConf.load(each).keys())  # noqa: SIM118
        if one := " or ".join(having):
            return f"{found['key']}: a setting of {group}={one} only; choose that, too"
        alike = likely_name(found["key"], _names(config_name, chosen))
        hint = f"did you mean {alike}?" if alike else _ALL_SETTINGS
        return f"{found['key']}: no such setting; {hint}"
    return f"{first}; settings are given as key=value, {_ALL_SETTINGS}"


def _names(config_name: str, chosen: Sequence[str]) -> list[str]:
    """All dotted names of a command's settings, of groups as well as of values."""
    try:
        config = _compose(config_name, chosen)
    except HydraException:  # which Hydra tells better
        config = _compose(config_name)
    parts = (name.split(".") for name, _ in flat(OmegaConf.to_container(config, resolve=False)))
    return sorted({".".join(each[:stop]) for each in parts for stop in range(1, len(each) + 1)})


def _no_such_choice(error: MissingConfigException) -> str:
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    # A part that several files of a folder share is no choice by itself.
    choices = sorted(each for each in error.options or () if not each.startswith("_"))
    return f"{group}={name}: there is no such choice; there are {', '.join(choices)}"


def _be_quiet() -> None:
    """Keeps the terminal for what the person can act on."""
    logging.raiseExceptions = False  # a log that cannot be written is no reason for a traceback
    logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # what it raises, too
    # MLflow and Hugging Face libraries call home or chat unless told otherwise.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # What PyTorch's C++ side would print: that an objective uses all heads, for one.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    # Of other libraries' futures, loader processes, older checkpoints, the order of day and month.
    quiet = ("torch.jit.script", "LeafSpec", "many workers", "exists and is not empty")
    for message in (*quiet, "Parsing dates in"):
        warnings.filterwarnings("ignore", f".*{message}.*")

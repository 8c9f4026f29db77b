"""The one exception that is meant for the person at the keyboard."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count

log = logging.getLogger(__name__)


class InputError(Exception):
    """Bad input, which a person can put right. The message is one line: it names file, line or
    field and says what to do. Commands print it and exit with 2; all else is a bug of ours."""


def end_at_once(*_: Any) -> NoReturn:
    """What Ctrl-C does while a command imports its libraries: there is nothing to keep yet."""
    os.write(2, b"interrupted\n")
    os._exit(EXIT_INTERRUPTED)


@contextmanager
def told_as_unfit(path: str | Path, remedy: str, *others: type[Exception]) -> Iterator[None]:
    """Makes whatever goes wrong with a file or folder an `InputError`, but for `others`."""
    try:
        yield
    except (InputError, *others):
        raise
    except BaseException as error:
        # A library in Rust that panics raises what is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        log.debug("%s", path, exc_info=True)
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        why = f"cannot be used ({type(error).__name__}: {reason}); {remedy}"
        raise InputError(f"{path}: {why}") from None

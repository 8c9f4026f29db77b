"""The one exception that is meant for the person at the keyboard."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


class InputError(Exception):
    """Something that the person gave us cannot be used, and they can put it right. The message is
    one line: it names the file, line or field, and says what to do. A command prints it and ends
    with exit code 2. Anything else that escapes is a bug of ours."""


@contextmanager
def told_as_unfit(path: str | Path, remedy: str, *others: type[Exception]) -> Iterator[None]:
    """Makes whatever goes wrong with a file or folder an `InputError`, but for `others`: it may
    have been made by anybody."""
    try:
        yield
    except (InputError, *others):
        raise
    except Exception as error:
        log.debug("%s", path, exc_info=True)
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        why = f"cannot be used ({type(error).__name__}: {reason}); {remedy}"
        raise InputError(f"{path}: {why}") from None

"""How long the stages of a command take, and how much memory it needs."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rec_sys.foundation.console import note

# Linux counts in KiB, macOS in bytes.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
_GIB = 2**30


class Stages:
    """A clock that is told which stage begins.

    Attributes:
        seconds: Wall time of each finished stage, in the order of their first beginning.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Adds the time that the block takes to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def show(self) -> None:
        """Prints one line: the stages and the memory."""
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        note(f"time:       {parts}; {peak_memory():.1f} GiB of memory at most")


def peak_memory() -> float:
    """The most memory that this process has held so far, in GiB; NaN on Windows."""
    if sys.platform == "win32":
        return math.nan
    import resource  # which Windows does not have

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT / _GIB

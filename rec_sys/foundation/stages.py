"""How long the stages of a command take, and how much memory it needs."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rec_sys.foundation.console import note

_STATUS = Path("/proc/self/status")  # Linux only
_KIB, _GIB = 2**10, 2**30


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
    if _STATUS.is_file():
        # Not ru_maxrss, which Linux keeps across exec: no child would be smaller than its parent.
        lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * _KIB / _GIB
    if sys.platform == "win32":
        return math.nan
    import resource  # which Windows does not have

    # macOS counts in bytes, others in KiB.
    unit = 1 if sys.platform == "darwin" else _KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _GIB

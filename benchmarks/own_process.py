"""Measures a piece of work in a process of its own, so that nobody else's memory counts."""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rec_sys.foundation.console import peak_memory
from rec_sys.foundation.files import read_json, write_json

_STATUS = Path("/proc/self/status")  # Linux only
_SECONDS_BETWEEN_LOOKS = 0.02
_MIB_PER_GIB = 1024


class Measurement:
    """Time and memory of the work inside `timed`.

    Attributes:
        values: ``seconds``; ``peak_mib``, the process's highest resident memory, of which the
            pages of memory-mapped files are a part that the system can take back; ``own_mib``,
            the highest without them (Linux only, looked at every 20 ms); ``start_mib``, resident
            when the work began: imports and inputs. What else the work wants to tell comes beside.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around the work that is measured."""
        finished, highest = threading.Event(), 0.0

        def look() -> None:
            nonlocal highest
            while not finished.wait(_SECONDS_BETWEEN_LOOKS):
                highest = max(highest, _mib("RssAnon"))

        looking = threading.Thread(target=look, daemon=True)
        self.values["start_mib"] = _mib("VmRSS")
        if _STATUS.is_file():
            looking.start()
        started, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.values["seconds"] = time.perf_counter() - started
            self.values["cpu_seconds"] = time.process_time() - cpu
            finished.set()
            self.values["own_mib"] = max(highest, _mib("RssAnon"))

    def write(self, path: Path) -> None:
        """Hands the values to `in_own_process`."""
        write_json(path, self.values | {"peak_mib": peak_memory() * _MIB_PER_GIB})


def in_own_process(script: str | Path, arguments: list[str], folder: Path = Path()) -> dict:
    """Runs ``script arguments --answer PATH`` and returns what it wrote there.

    Raises:
        RuntimeError: It failed; what it said is in the terminal.
    """
    with tempfile.TemporaryDirectory() as draft:
        answer = Path(draft) / "answer.json"
        repository = str(Path(__file__).resolve().parents[1])
        environment = os.environ | {"PYTHONPATH": repository}
        command = [sys.executable, str(Path(script).resolve()), *arguments, "--answer", str(answer)]
        done = subprocess.run(command, cwd=folder, env=environment)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command[1:-2])} ended with {done.returncode}")
        return read_json(answer)


def answer_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--answer``, which is for `in_own_process` and nobody else."""
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)


def _mib(field: str) -> float:
    if not _STATUS.is_file():
        return 0.0
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(lines[field].split()[0]) / 1024

"""A cluster of two machines that are both this one, and a way to kill a worker on it."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

#: Without importing Ray, which has to wait for its settings (`ENVIRONMENT`).
needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: uv sync --extra ray"
)
OBJECT_STORE_BYTES = 100 << 20
#: Seconds after which something hangs.
TIMEOUT = 120
#: Seconds in which workers end by themselves.
PATIENCE = 20
POLL = 0.01


class Machines:
    """Two nodes of one core each.

    Attributes:
        address: What ``cluster.address`` takes.
    """

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": OBJECT_STORE_BYTES}
        head = {"include_dashboard": False, "include_log_monitor": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=node | head)
        self._cluster.add_node(**node)
        self.address = self._cluster.address

    def raylets(self) -> list[int]:
        found = [node.all_processes.get("raylet", []) for node in self._cluster.list_all_nodes()]
        return [each.process.pid for processes in found for each in processes]

    def workers(self) -> list[int]:
        return [pid for raylet in self.raylets() for pid in children_of(raylet)]

    def working(self, name: str = "MapWorker") -> list[int]:
        """The worker processes that work just now as what Ray calls so."""
        return [pid for pid in self.workers() if title_of(pid).startswith(f"ray::{name}")]

    def stop(self) -> None:
        everything = {pid: started_at(pid) for pid in (*self.raylets(), *self.workers())}
        self._cluster.shutdown()
        killing = time.monotonic() + PATIENCE
        until = killing + TIMEOUT
        # The number of a process that has ended may already be another one's.
        while left := [pid for pid, at in everything.items() if at and started_at(pid) == at]:
            assert time.monotonic() < until, f"still running: {[title_of(pid) for pid in left]}"
            if time.monotonic() > killing:  # a worker that lost its machine while it started
                for pid in left:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(POLL)


@contextmanager
def killing_one(find: Callable[[], list[int]]) -> Iterator[list[int]]:
    """Kills the first process that `find` finds; at the end its list has that one's id, or nothing
    if there was none before what is done meanwhile has ended, however long that takes."""
    killed: list[int] = []
    ended = threading.Event()

    def kill() -> None:
        while not (found := find()) and not ended.is_set():
            time.sleep(POLL)
        for pid in found[:1]:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join(TIMEOUT)


def children_of(pid: int) -> list[int]:
    return [int(each) for each in _read(f"/proc/{pid}/task/{pid}/children").split()]


def title_of(pid: int) -> str:
    return _read(f"/proc/{pid}/cmdline")


def is_running(pid: int) -> bool:
    return started_at(pid) is not None


def started_at(pid: int) -> str | None:
    """In ticks since the machine started; ``None`` if the process has ended."""
    state, *fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split() or ["Z"]
    return None if state == "Z" else fields[18]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""

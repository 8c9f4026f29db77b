"""The same call in several threads, at the same moment."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def at_once(call: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
    """What the calls return, in the order of the arguments; raises what any of them raises."""
    together = threading.Barrier(len(arguments))

    def run(argument: Any) -> Any:
        together.wait()
        return call(argument)

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(run, arguments))

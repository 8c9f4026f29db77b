"""Threads beside PyTorch's own, without more of them than there are cores."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def threads_of(workers: int, cores_of_each: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose threads use so many cores each; they are gone when the block ends.

    Args:
        workers: Threads.
        cores_of_each: Cores that a PyTorch operation in one of them may use.
    """
    cores = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(cores_of_each,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        # The number is each thread's own, but the last one set is what new threads begin with.
        torch.set_num_threads(cores)

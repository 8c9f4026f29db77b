"""Several processes and threads at one job: who speaks, who waits, how many cores each has."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

# Who starts several processes tells each its place: torchrun and Ray by the first name,
# Lightning by the second, SLURM by the third.
_RANK_VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def is_main_process() -> bool:
    """Whether this process prints, tracks and saves for all that train together."""
    ranks = (os.environ.get(name) for name in _RANK_VARIABLES)
    return int(next((rank for rank in ranks if rank is not None), 0)) == 0


@contextmanager
def one_at_a_time(folder: str | Path) -> Iterator[None]:
    """Lets the processes that train together into the block one after the other.

    What the first one leaves in `folder`, the others find. A process of its own does not wait.

    Args:
        folder: Shared by those on one machine; created if missing.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    with FileLock(Path(folder) / "turn.lock"):
        yield


@contextmanager
def threads_of(workers: int, cores_of_each: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose threads use so many cores each for PyTorch; gone when the block ends."""
    import torch  # here: the ground floor serves those without PyTorch, too

    cores = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(cores_of_each,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        # The number is each thread's own, but the last one set is what new threads begin with.
        torch.set_num_threads(cores)

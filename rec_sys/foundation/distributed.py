"""Several processes and threads at one job: who speaks, who waits, how many cores each has."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock

from rec_sys.foundation.errors import InputError

# By which torchrun and Ray, Lightning, and SLURM tell each of several processes its place.
_RANK_VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
_SPIN_ROUNDS = "1000"
_BLAS_THREADS, _ONE = "OPENBLAS_NUM_THREADS", "1"
_LARGE_SYSTEM = 5000  # equations; one thread inverts it in a second or two
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_QUOTA_AND_PERIOD = [Path(f"/sys/fs/cgroup/cpu/cpu.cfs_{name}_us") for name in ("quota", "period")]


def is_main_process() -> bool:
    """Whether this process prints, tracks and saves for all that train together."""
    told = next((name for name in _RANK_VARIABLES if name in os.environ), "RANK")
    return _number_in(told, 0) == 0


def _number_in(variable: str, otherwise: int) -> int:
    try:
        return int(os.environ.get(variable, otherwise))
    except ValueError:
        why = "must be a whole number, as torchrun, Ray and SLURM set it; unset it"
        raise InputError(f"{variable}={os.environ[variable]}: {why}") from None


def bound_threads() -> None:
    """Bounds the threads of NumPy and PyTorch, unless the environment does; before they are
    imported, which read it then. OpenMP's threads spin while they wait; on a busy machine they keep
    those that they wait for from a core, and training takes ten times its share. A few rounds cost
    nothing where cores are free. In a container there are no more threads than its quota. NumPy's
    and SciPy's BLAS, whose threads spin without a bound, has one: see `all_threads`."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_ROUNDS)
    quota = _cpu_quota()
    if quota is not None and quota < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, int(quota))))
    os.environ.setdefault(_BLAS_THREADS, _ONE)


def _cpu_quota() -> float | None:
    """Cores that the control group of this process may use, version 2 or 1; None without limit."""
    try:
        if _QUOTA.is_file():
            quota, period = _QUOTA.read_text().split()
        else:
            quota, period = (path.read_text() for path in _QUOTA_AND_PERIOD)
        cores = float(quota) / float(period)
    except (OSError, ValueError):  # no such file, or "max"
        return None
    return cores if cores > 0 else None


@contextmanager
def one_at_a_time(folder: str | Path) -> Iterator[None]:
    """Lets processes that train together into the block one after the other, so that what the first
    one leaves in `folder`, shared on one machine, the others find."""
    if _number_in("WORLD_SIZE", 1) == 1:
        yield
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    with FileLock(Path(folder) / "turn.lock"):
        yield


def all_threads(size: int) -> AbstractContextManager:
    """Lets BLAS use as many threads as PyTorch for a system of `size` equations, if it is large and
    the environment gives it no other number."""
    import torch  # here: the ground floor serves those without PyTorch, too
    from threadpoolctl import threadpool_limits

    many = size >= _LARGE_SYSTEM and os.environ.get(_BLAS_THREADS) == _ONE
    return threadpool_limits(torch.get_num_threads() if many else None, "blas")


@contextmanager
def threads_of(workers: int, cores_of_each: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose threads use so many cores each for PyTorch; gone when the block ends."""
    import torch

    cores = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(cores_of_each,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        # The number is each thread's own, but the last one set is what new threads begin with.
        torch.set_num_threads(cores)

"""Several processes that train together: which one speaks, and who has to wait."""

import os
from collections.abc import Iterator
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
def in_turn(folder: str | Path) -> Iterator[None]:
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

"""Where checkpoints are; finding one needs no PyTorch."""

from pathlib import Path

from rec_sys.foundation.errors import InputError

BEST_SUFFIX = ".ckpt"
#: The state after the newest epoch, from which training can go on.
LAST_SUFFIX = ".last.ckpt"


def find_checkpoint(checkpoint: str | Path | None, folder: str | Path) -> Path:
    """The checkpoint that was named, or else the newest of a folder.

    Args:
        checkpoint: A path, or None for the newest.
        folder: Where training puts its checkpoints.

    Raises:
        InputError: There is none.
    """
    if checkpoint is not None:
        path = Path(checkpoint).expanduser()
        if not path.is_file():
            there = ", ".join(sorted(each.name for each in Path(folder).glob(f"*{BEST_SUFFIX}")))
            raise InputError(f"{path}: no such checkpoint; {folder} holds {there or 'none'}")
        return path
    found = [each for each in Path(folder).glob(f"*{BEST_SUFFIX}") if not _is_last(each)]
    if not found:
        raise InputError(
            f"{folder}: holds no checkpoint; train first with `uv run -m rec_sys.train.train`,"
            " or name one"
        )
    return max(found, key=_age)


def last_checkpoints(folder: str | Path) -> list[Path]:
    """The newest state of each training, the newest training first.

    Raises:
        InputError: There is none.
    """
    found = list(Path(folder).glob(f"*{LAST_SUFFIX}"))
    if not found:
        raise InputError(f"{folder}: holds no interrupted training (*{LAST_SUFFIX}) to resume")
    return sorted(found, key=_age, reverse=True)


def _is_last(path: Path) -> bool:
    return path.name.endswith(LAST_SUFFIX)


def _age(path: Path) -> tuple[int, str]:
    return path.stat().st_mtime_ns, path.name

"""Files that are either whole or not there: written beside, then renamed."""

import ctypes
import errno
import functools
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from rec_sys.foundation.errors import InputError

Read = TypeVar("Read")
#: Of a folder that is made as a whole: what is in it, and the checksums of its files.
MANIFEST = "manifest.json"
_SEAL = "manifest_sha256"
#: A full disk, a limit, a folder of somebody else.
UNWRITABLE = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO}
# PyTorch, FAISS and NumPy when a disk is full; they do not tell the number of the error.
_UNWRITTEN = r"failed writing file|unexpected pos|write error|requested and \d+ written"
# Beside a draft: its writer's lock, and what it replaces.
_LOCK, _ASIDE, _SECONDS_TO_LOCK = ".lock", "replaced", 60
_FULL = 1 << 20  # bytes
_READINGS = 5  # of a folder that is replaced again and again


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Hands out a temporary name beside `path`, for a file or a folder that the block makes, and
    renames it if the block succeeds; else `path` is untouched. Makes parent folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    draft, lock = beside / path.name, FileLock(beside / _LOCK)
    try:
        lock.acquire()
        yield draft
        if not (draft.is_dir() and path.is_dir()):
            os.replace(draft, path)
        elif not _swap(draft, path):
            # A folder cannot be renamed onto a folder that holds files: step the old one aside.
            os.replace(path, beside / _ASIDE)
            os.replace(draft, path)
    except Exception as error:  # NumPy, PyTorch, shutil and others have their own words
        told = re.search(r"(?:os error |Errno )(\d+)", str(error))
        number = int(told[1]) if told else None
        if not told and re.search(_UNWRITTEN, str(error)):
            number = errno.ENOSPC if shutil.disk_usage(beside).free < _FULL else errno.EIO
        number = getattr(error, "errno", None) or number
        where = getattr(error, "filename2", None) or getattr(error, "filename", None) or beside
        if number in UNWRITABLE and str(where).startswith(str(beside)):
            raise OSError(number, os.strerror(number), str(path)) from error
        raise
    finally:
        lock.release()
        _bring_back(beside, path)
        shutil.rmtree(beside, ignore_errors=True)


def _swap(one: Path, other: Path) -> bool:
    """Exchanges two folders, without a moment in which one is missing; False where none can."""
    if sys.platform != "linux":
        return False
    swap = getattr(ctypes.CDLL(None), "renameat2", None)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(swap) and not swap(here, os.fsencode(one), here, os.fsencode(other), exchange)


def _bring_back(beside: Path, path: Path) -> None:
    if not path.exists() and (beside / _ASIDE).exists():  # interrupted or killed in between
        os.replace(beside / _ASIDE, path)


def _sweep(path: Path) -> None:
    """Takes away what killed writers of `path` left beside it. They hold a lock while they live."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????"):
        with suppress(OSError, Timeout):
            if time.time() - left.stat().st_mtime > _SECONDS_TO_LOCK and (left / _LOCK).is_file():
                with FileLock(left / _LOCK, timeout=0):
                    _bring_back(left, path)
                    shutil.rmtree(left)


def require_writable(folder: str | Path, setting: str) -> None:
    """Creates the folder that a setting names; InputError, before hours pass, if read-only."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        why = f"cannot be written to ({error.strerror}); name another folder"
        raise InputError(f"{setting}={folder}: {why}") from None


def require_replaceable(folder: str | Path, marker: str, setting: str) -> None:
    """InputError unless a folder is missing, empty, or ours, as a file `marker` in it tells."""
    folder = Path(folder)
    if folder.exists() and not (folder / marker).is_file() and any(folder.iterdir()):
        why = "holds something else, which would be replaced; name another folder"
        raise InputError(f"{setting}={folder}: {why}")
    require_writable(folder.parent, setting)


def write_json(path: str | Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically."""
    with replacing(path) as draft:
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        draft.write_text(text, encoding="utf-8", errors="replace")


def read_json(path: str | Path) -> Any:
    """Reads a JSON file; an `InputError` if it is missing or is not JSON."""
    require_regular(path)
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        json.dumps(found, ensure_ascii=False).encode()  # half of a surrogate pair is no text
        return found
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None


def write_kept(path: str | Path, value: Any) -> None:
    """Caches a value as JSON, with a checksum of it and of the file's name, its key."""
    write_json(path, {"sha256": sha256_of_json([Path(path).name, value]), "kept": value})


def read_kept(path: str | Path) -> Any:
    """What `write_kept` wrote; None if there is nothing, or it is damaged."""
    with suppress(InputError, OSError, KeyError, TypeError):
        found = read_json(path)
        told = sha256_of_json([Path(path).name, found["kept"]])
        return found["kept"] if found["sha256"] == told else None
    return None


def sha256_of_json(value: Any) -> str:
    """The SHA-256 of a value as JSON, keys in any order; as text what JSON does not know."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()  # as `write_json` writes it


def require_regular(path: str | Path) -> None:
    """InputError for what is there and may have no end, or none of its bytes now: a pipe, a device
    or what the kernel tells. Whoever opens a file that somebody else named asks this before."""
    path = Path(path)
    if not path.exists() or path.is_dir():
        return
    if not path.is_file() or path.resolve().parts[1:2] in (("proc",), ("sys",)):
        raise InputError(f"{path}: is no regular file; copy what it holds to one")


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file's content as 64 hexadecimal digits."""
    require_regular(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Writes `MANIFEST` into a folder whose other files are there: facts, and their SHA-256."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}
    write_json(folder / MANIFEST, sealed({**facts, "sha256": sums}))


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest with the SHA-256 of what else it tells."""
    told = {name: each for name, each in manifest.items() if name != _SEAL}
    return told | {_SEAL: sha256_of_json(told)}


def read_manifest(
    folder: Path, version: int, facts: Mapping[str, type], files: Sequence[str], remedy: str
) -> dict[str, Any]:
    """What `write_manifest` wrote. InputError, with the remedy, if the ``format`` is not that
    version, one of the facts is no value of its type (of numbers, up to 31 bits), or the manifest,
    one of the files or of those that it tells is missing or has another checksum."""
    path = folder / MANIFEST
    manifest = read_json(path)
    if (
        not isinstance(manifest, dict)
        or manifest.get("format") != version
        or manifest.get(_SEAL) != sealed(manifest)[_SEAL]
        or not all(type(manifest.get(name)) is kind for name, kind in facts.items())
        or not all(0 <= manifest[name] < 2**31 for name, kind in facts.items() if kind is int)
        or not isinstance(manifest.get("sha256"), dict)
    ):
        raise InputError(f"{path}: damaged, or of another version of rec_sys; {remedy}")
    for name in sorted({*files, *manifest["sha256"]}):
        file = folder / name
        if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
            raise InputError(f"{path}: names a file outside of its folder ({name}); {remedy}")
        if not file.is_file():
            raise InputError(f"{file}: is missing; {remedy}")
        if sha256_of(file) != manifest["sha256"].get(name):
            raise InputError(f"{file}: damaged, its checksum is not the manifest's; {remedy}")
    return manifest


def read_whole(folder: Path, read: Callable[[Path], Read]) -> Read:
    """Reads a folder that others may replace meanwhile: all files are of one manifest."""
    manifest = folder / MANIFEST
    for _ in range(_READINGS - 1):
        seen = manifest.read_bytes()
        try:
            found = read(folder)
        except Exception:
            if manifest.read_bytes() == seen:
                raise  # it would do so again
        else:
            if manifest.read_bytes() == seen:
                return found
    return read(folder)


def copy_sealed(folder: Path, target: Path) -> None:
    """Copies what the manifest of a folder tells, and nothing that somebody has put beside it."""
    for name in (MANIFEST, *read_json(folder / MANIFEST)["sha256"]):
        require_regular(folder / name)
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, target / name)


def versions_of(packages: Sequence[str]) -> dict[str, str]:
    """Versions of Python and of some packages; one that is not installed is left out."""
    versions = {"python": platform.python_version()}
    for package in packages:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


@functools.cache
def code_fingerprint() -> str:
    """SHA-256 of all source files of the package: any of them may decide a result."""
    digest, package = hashlib.sha256(), Path(__file__).resolve().parents[1]
    for file in sorted(package.rglob("*.py")):
        digest.update(file.relative_to(package).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()

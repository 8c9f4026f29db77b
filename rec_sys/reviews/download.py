"""Fetches a file once, goes on where an earlier try was interrupted, and checks what came."""

import gzip
import os
import re
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import urllib3
from filelock import FileLock

from rec_sys.foundation.console import progress
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, write_json
from rec_sys.foundation.settings import Count, NotNegative, Positive
from rec_sys.reviews.unpacking import GZIP_SUFFIX

_BLOCK_BYTES = 1 << 18
_DRIVE_PAGE = "https://drive.google.com/uc?id="
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
# Refusals that may be over soon; other 4xx will not be.
_REFUSED_FOR_NOW = (requests.codes.request_timeout, requests.codes.too_many_requests)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How hard to try."""

    retries: Count = 3  # further tries after the first one fails
    backoff_seconds: NotNegative = 1.0  # wait before the first of them, doubled before each other
    timeout_seconds: Positive = 30.0  # wait for the server's next byte


class _Failed(Exception):
    """A try failed; `again` says whether another one may help."""

    def __init__(self, reason: str, again: bool = True) -> None:
        super().__init__(reason)
        self.again = again


def fetch_file(
    path: Path, url: str, drive_id: str | None = None, patience: Patience = Patience()
) -> Path:
    """Makes sure that a file is there; one that is there needs no network. What an interrupted try
    got stays in ``PATH.part`` and is gone on with, unless the server's file changed or the server
    can only send all of it. The file appears when it is whole; a ``.gz`` is unpacked to check it.
    With a `drive_id` it comes from Google Drive. InputError says where to put it by hand."""
    origin = f"{_DRIVE_PAGE}{drive_id}" if drive_id else url
    try:
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two runs at once would write into one part.
        with FileLock(f"{path}.lock"):
            if not path.exists():
                fetch = _fetch_from_drive if drive_id else _fetch_from_url
                fetch(path, drive_id or url, patience)
    except _Failed as failure:
        remedy = f"run again to go on, or download it yourself and save it as {path.absolute()}"
        raise InputError(f"{origin}: {failure}; {remedy}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    return path


def _fetch_from_url(path: Path, url: str, patience: Patience) -> None:
    part, about = Path(f"{path}.part"), Path(f"{path}.part.json")
    for left in range(patience.retries, -1, -1):
        try:
            _fetch_rest(url, part, about, patience.timeout_seconds)
            break
        except _Failed as failure:
            if not left or not failure.again:
                raise
        time.sleep(patience.backoff_seconds * 2 ** (patience.retries - left))
    _publish(part, path)
    about.unlink(missing_ok=True)


def _fetch_rest(url: str, part: Path, about: Path, timeout: float) -> None:
    """Appends to `part` what is missing; `about` tells which file the part is of."""
    known = _known(about, url) if part.exists() else {}
    start = part.stat().st_size if known else 0
    if start and start == known["size"]:
        return
    # Without "identity" a server may pack the packed file once more, and its ranges with it.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if known["validator"]:
            headers["If-Range"] = known["validator"]
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            status = response.status_code
            if status == requests.codes.partial_content:
                size = _checked_size(response, start, known, part)
            elif status == requests.codes.ok:
                start, size = 0, _number(response.headers.get("Content-Length"))
                part.unlink(missing_ok=True)
                write_json(about, {"url": url, "size": size, "validator": _validator(response)})
            elif status == requests.codes.requested_range_not_satisfiable:
                part.unlink(missing_ok=True)
                raise _Failed("the file changed on the server")
            else:
                again = status >= requests.codes.server_error or status in _REFUSED_FOR_NOW
                raise _Failed(_one_line(f"HTTP {status} {response.reason}"), again)
            with part.open("ab") as file, progress(size, part.stem, "B", initial=start) as bar:
                # The raw bytes: requests would unpack a .gz that is called a packed .json.
                for block in response.raw.stream(_BLOCK_BYTES, decode_content=False):
                    file.write(block)
                    bar.advance(len(block))
            if size is not None and (got := part.stat().st_size) < size:
                raise _Failed(f"the connection broke off after {got} bytes")
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        raise _Failed(f"no answer within {timeout:g} s") from None
    except (requests.ConnectionError, urllib3.exceptions.HTTPError):
        got = part.stat().st_size if part.exists() else 0
        reason = f"the connection broke off after {got} bytes" if got else "no connection"
        raise _Failed(reason) from None
    except requests.RequestException as error:
        raise _Failed(f"not a usable address ({_one_line(error)})", again=False) from None


def _checked_size(
    response: requests.Response, start: int, known: dict[str, Any], part: Path
) -> int | None:
    """The whole file's size, if the server goes on with the file that the part is of."""
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    size = (_number(match[2]) if match else None) or known["size"]
    validator = _validator(response)
    fits = match and int(match[1]) == start and known["size"] in (None, size)
    # Some servers do not look at If-Range.
    if not fits or (validator and validator != known["validator"]):
        part.unlink()
        raise _Failed("the file changed on the server")
    return size


def _known(about: Path, url: str) -> dict[str, Any]:
    """What is known of a part; empty if it is of another address or can't be told apart."""
    with suppress(InputError, OSError, KeyError, TypeError):
        known = read_json(about)
        if known["url"] == url and (known["validator"] or known["size"]):
            return known
    return {}


def _validator(response: requests.Response) -> str | None:
    """What changes with the file: a strong ETag, else the time of its last change."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _fetch_from_drive(path: Path, drive_id: str, patience: Patience) -> None:
    import gdown  # a second of importing, and only here it is needed

    draft = Path(f"{path}.drive")
    limits = {"retries": patience.retries, "timeout": patience.timeout_seconds}
    try:
        gdown.download(id=drive_id, output=str(draft), resume=True, **limits)
    except (gdown.exceptions.DownloadError, requests.RequestException, ValueError) as error:
        raise _Failed(f"Google Drive: {_one_line(error)}", again=False) from None
    if not draft.exists():
        raise _Failed("Google Drive sent nothing", again=False)
    _publish(draft, path)


def _publish(draft: Path, path: Path) -> None:
    """Gives a file its final name if it is whole, and removes it if it is not."""
    try:
        if path.suffix == GZIP_SUFFIX:
            with gzip.open(draft) as file:
                while file.read(_BLOCK_BYTES):
                    pass
    except (EOFError, zlib.error, gzip.BadGzipFile):
        draft.unlink()
        raise _Failed("what came is not a whole gzip file and was removed", again=False) from None
    os.replace(draft, path)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _one_line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__

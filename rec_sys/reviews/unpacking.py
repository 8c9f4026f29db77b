"""What a file is, told by its first bytes and not by its name: unpacked and decoded, or named."""

import bz2
import codecs
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import require_regular

GZIP_SUFFIX = ".gz"
PACKED_SUFFIXES = (GZIP_SUFFIX, ".bz2", ".xz", ".zst", ".zip")
AUTO_ENCODING = "auto"

_BLOCK_BYTES = 1 << 18


class _Streams(io.RawIOBase):
    """Unpacks one stream after the other; Python's own files end silently at a damaged one."""

    def __init__(self, file: IO[bytes], kind: Callable[[], Any]) -> None:
        self._file, self._kind, self._stream, self._at = file, kind, kind(), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        while whence == io.SEEK_END and self.read(_BLOCK_BYTES):
            pass
        offset += 0 if whence == io.SEEK_SET else self._at
        if offset < self._at:
            self._file.seek(0)
            self._stream, self._at = self._kind(), 0
        while self._at < offset and self.read(min(offset - self._at, _BLOCK_BYTES)):
            pass
        return self._at

    def readinto(self, buffer: Any) -> int:
        found = b""
        while not found:
            packed = b""
            if self._stream.eof:
                packed = self._stream.unused_data.lstrip(b"\0")  # zeros may pad a stream
                while not packed and (block := self._file.read(_BLOCK_BYTES)):
                    packed = block.lstrip(b"\0")
                if not packed:
                    break
                self._stream = self._kind()
            elif self._stream.needs_input and not (packed := self._file.read(_BLOCK_BYTES)):
                raise EOFError
            found = self._stream.decompress(packed, len(buffer))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


_UNPACK = {
    b"\x1f\x8b": gzip.open,
    b"BZh": lambda file: _Streams(file, bz2.BZ2Decompressor),
    b"\xfd7zXZ\0": lambda file: _Streams(file, lzma.LZMADecompressor),
    b"\x28\xb5\x2f\xfd": lambda file: io.BytesIO(pa.input_stream(file, "zstd").read()),
}
_ZIP = b"PK\x03\x04"
_HEAD_BYTES = 1 << 10
# Someone packed what was packed already; more than twice is a bomb.
_MAX_LAYERS = 4
# Of an archive: no folder, and nothing that macOS adds.
_DATA_MEMBER = re.compile(r"(.*/)?(?!\.|__MACOSX)[^/]+", re.DOTALL)
_EXPORT = "export the table as CSV"
_NOT_THE_DATA = "not the data; fetch the file again from the address of the file itself"
_E_MAIL = (
    rb"(?i:(return-path|received|delivered-to|mime-version|message-id|from|to|date|subject|x-[\w-]+):"
    rb" [^\n]*\r?\n([\w-]+: |[ \t]))"
)
# Patterns of first bytes.
_OTHERS = (
    (rb"\s*(?i:<(!doctype|html|head|body|\?xml|rss|error)\b)", f"a web page, {_NOT_THE_DATA}"),
    (rb"\s*<[?a-zA-Z]", f"XML, or a web page; {_EXPORT}"),
    (_E_MAIL, "an e-mail, not the data; save its attachment"),
    (rb"%PDF", f"a PDF document; {_EXPORT}"),
    (rb"\xd0\xcf\x11\xe0", f"an old Excel or Word document; {_EXPORT}"),
    (rb"7z\xbc\xaf", "a 7z archive; unpack it and name a file in it"),
    (rb"Rar!", "a RAR archive; unpack it and name a file in it"),
    (rb"(?s:.{257})ustar", "a tar archive; unpack it and name a file in it"),
    (rb"SQLite format 3", f"an SQLite database; {_EXPORT}"),
    (rb"\x89HDF", f"an HDF5 file; {_EXPORT}"),
    (rb"\x93NUMPY", f"a NumPy array; {_EXPORT}"),
    (rb"\x80", f"a Python pickle, which may run any program; {_EXPORT}"),
    # Not a table whose first heading is "ORCID".
    (rb"ORC(?s:.{,99}?)[\x00-\x08\x0e-\x1f]", f"an ORC file; {_EXPORT} or Parquet"),
    (rb"Obj\x01", f"an Avro file; {_EXPORT} or Parquet"),
    (
        rb"version https://git-lfs",
        "a Git LFS pointer, not the data; fetch them with `git lfs pull`",
    ),
)


@contextmanager
def telling_file(path: Path) -> Iterator[None]:
    """Turns what can go wrong with a file's bytes into an `InputError` that names it."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile):
        why = "the compressed data are cut off or damaged; fetch the file again"
        raise InputError(f"{path}: {why}") from None
    except PermissionError:
        raise InputError(f"{path}: may not be read; change its permissions") from None
    except UnicodeError as error:
        raise InputError(f"{path}: {error}; set data.encoding") from None
    except (pa.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"{path}: not readable, cut off or damaged ({reason})") from None


def open_unpacked(path: Path) -> IO[bytes]:
    """The bytes of a file, out of whatever it is packed in; InputError for none, or no table."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a file in it")
    if not path.exists():
        raise InputError(f"{path}: no such file")
    require_regular(path)
    file: IO[bytes] = path.open("rb")
    for _ in range(_MAX_LAYERS):
        head = file.read(_HEAD_BYTES)
        file.seek(0)
        unpack = next((each for magic, each in _UNPACK.items() if head.startswith(magic)), None)
        if unpack:
            # Their own ways from line to line take twice as long.
            file = io.BufferedReader(unpack(file), _BLOCK_BYTES)
        elif head.startswith(_ZIP):
            file = _only_member(file, path)
        else:
            head = head.removeprefix(codecs.BOM_UTF8)
            if what := next((what for start, what in _OTHERS if re.match(start, head)), None):
                raise InputError(f"{path}: this is {what}")
            return file
    raise InputError(f"{path}: packed more than {_MAX_LAYERS - 1} times; unpack it")


def _only_member(file: IO[bytes], path: Path) -> IO[bytes]:
    try:
        archive = zipfile.ZipFile(file)
        names = [name for name in archive.namelist() if _DATA_MEMBER.fullmatch(name)]
        if any(name.startswith(("xl/", "word/", "content.xml", "Index/")) for name in names):
            raise InputError(f"{path}: an office document (Excel, Word, ...); {_EXPORT}")
        if len(names) != 1:
            some = f"{len(names)} files ({', '.join([*names[:3], '...'])})"
            raise InputError(f"{path}: an archive of {some}; unpack it and name one")
        return archive.open(names[0])
    except NotImplementedError as error:  # of a version or with a method that Python lacks
        raise InputError(f"{path}: {error}; unpack it") from None
    except RuntimeError:  # its word for a password
        raise InputError(f"{path}: locked with a password; unpack it") from None


def decoded_lines(
    file: IO[bytes], path: Path, bad: dict[int, str], encoding: str = AUTO_ENCODING
) -> Iterator[str]:
    """Streams the lines of a text, which end with LF, CR LF or CR. `bad` gets the numbers of lines
    whose bytes are not in the encoding, and why; they come with replacement marks. `encoding`: a
    name that Python knows, or "auto": a byte order mark, UTF-16 by its zero bytes, or UTF-8."""
    head = file.read(_BLOCK_BYTES)
    file.seek(0)
    encoding = _encoding_of(head) if encoding == AUTO_ENCODING else encoding
    try:
        "a".encode(encoding)
    except (LookupError, UnicodeError):  # such as rot13, which is none of texts
        raise InputError(f"data.encoding={encoding}: unknown; for instance cp1252") from None
    if codecs.lookup(encoding).name != "utf-8":
        yield from io.TextIOWrapper(file, encoding, newline="")
        return
    if b"\0" in head and len(head.decode(errors="ignore").encode()) + 4 < len(head):
        raise InputError(f"{path}: a binary file of unknown kind; give JSON, CSV or Parquet")
    lines: Iterator[bytes] = iter(file)
    if b"\r" in head and b"\n" not in head:
        lines = (line + b"\n" for line in file.read().split(b"\r"))
    for number, line in enumerate(lines, start=1):
        try:
            yield line.removeprefix(codecs.BOM_UTF8).decode() if number == 1 else line.decode()
        except UnicodeDecodeError as error:
            bad[number] = (
                f"byte {error.object[error.start]:#04x} is not UTF-8; save the file as UTF-8, or"
                " name its encoding, for instance data.encoding=cp1252"
            )
            yield line.decode(errors="replace")


def _encoding_of(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Most characters of a table are ASCII, which in UTF-16 has a zero byte before or after it.
    zeros = [head[start:_HEAD_BYTES:2].count(0) for start in (0, 1)]
    if 4 * max(zeros) > len(head[:_HEAD_BYTES]) and not min(zeros):
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return "utf-8"

"""Sequences of products without texts, ratings or times as a source of reviews."""

import json
import reprlib
from pathlib import Path
from typing import Any

import pandas as pd

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import settings_of
from rec_sys.reviews.reading import ReadReport, content_id
from rec_sys.reviews.records import JSON_SUFFIXES, read_lines
from rec_sys.reviews.schema import REVIEW_SCHEMA, to_frame
from rec_sys.reviews.sources import FilePath, ReviewSource
from rec_sys.reviews.unpacking import PACKED_SUFFIXES

_LAYOUT = 'must be one object, {"user": ["product", "product", ...], ...}'


def read_sequences(
    path: str | Path,
    *,
    user_ids_path: str | Path | None = None,
    product_ids_path: str | Path | None = None,
) -> tuple[pd.DataFrame, ReadReport]:
    """Reads a JSON object, gzipped or not, from every user to a list of products, oldest first.

    Such a file was written by a program: whatever is wrong with it is an error, nothing is left
    out, and a product that a user has several times comes out several times. If the object has
    numbers instead of ids, files with a line ID<tab>NUMBER for each tell the ids.

    Returns columns of `REVIEW_SCHEMA`, user after user in the order of the file, texts empty,
    ratings and times missing; and what reading found. InputError, which names the line or the user
    and the place in the list, if a file cannot be read or is laid out otherwise.
    """
    path = Path(path).expanduser()
    id_of_user, id_of_product = _Ids(user_ids_path), _Ids(product_ids_path)
    users, products, named = [], [], set()
    for user, sequence in _sequences(path):
        where = f"{path}, user {reprlib.repr(user)}"
        user_id = id_of_user(user, where)
        if user_id in named:
            raise InputError(f"{where}: occurs twice; join the two lists")
        named.add(user_id)
        if not isinstance(sequence, list):
            got = reprlib.repr(sequence)
            raise InputError(f"{where}: must have a list of products, got {got}; write [] for none")
        products += [
            id_of_product(product, f"{where}, product {place} of the list")
            for place, product in enumerate(sequence, start=1)
        ]
        users += [user_id] * len(sequence)
    if not products:
        raise InputError(f"{path}: holds no products; {_LAYOUT}")
    report = ReadReport(str(path), "sequences", num_records=len(products))
    given = [ids.path for ids in (id_of_user, id_of_product) if ids.path]
    report.notes = [f"ids from {Path(ids_path).name}" for ids_path in given]
    num_empty = len(named) - len(set(users))
    report.notes += [f"{num_empty} users without products"] * bool(num_empty)
    columns: dict[str, list[Any]] = {name: [None] * len(users) for name in REVIEW_SCHEMA.names}
    pairs = zip(users, products, strict=True)
    columns["review_id"] = [content_id(user, product, "", None, None) for user, product in pairs]
    columns |= {"user_id": users, "product_id": products, "text": [""] * len(users)}
    return to_frame(columns, REVIEW_SCHEMA), report


def ids_beside(path: Path, suffix: str) -> Path | None:
    """The file of ids beside a file of sequences such as ``Instruments.inter.json.gz``, if any."""
    stem = path.name
    for end in (*PACKED_SUFFIXES, *JSON_SUFFIXES, ".inter"):
        stem = stem.removesuffix(end)
    named = (path.with_name(stem + suffix + packed) for packed in ("", *PACKED_SUFFIXES))
    return next((file for file in named if file.is_file()), None)


class _Ids:
    """Ids of users or products, by their numbers if a file tells them."""

    def __init__(self, path: str | Path | None) -> None:
        self.path = path
        self._id_of = None if path is None else _numbered_ids(Path(path).expanduser())

    def __call__(self, value: Any, where: str) -> str:
        # type(), because True is an int too
        given = str(value).strip() if type(value) in (int, str) else ""
        if not given:
            raise InputError(f"{where}: must be a number or a text, got {reprlib.repr(value)}")
        if self._id_of is None:
            # Half a surrogate pair: JSON can say it, UTF-8 cannot.
            return given if given.isascii() else given.encode("utf-8", "replace").decode()
        if given not in self._id_of:
            raise InputError(
                f"{where}: {reprlib.repr(value)} has no id in {self.path}; give the "
                "file that belongs to these sequences, with a line ID<tab>NUMBER for each"
            )
        return self._id_of[given]


def _numbered_ids(path: Path) -> dict[str, str]:
    id_of: dict[str, str] = {}
    known: set[str] = set()
    for line, text in enumerate(read_lines(path), start=1):
        if text.isspace():
            continue
        fields = text.rsplit(maxsplit=1)
        if len(fields) < 2:
            got = reprlib.repr(text.strip())
            raise InputError(f"{path}, line {line}: must be ID<tab>NUMBER, got {got}")
        real_id, number = fields[0].strip(), fields[1]
        if number in id_of or real_id in known:
            what = f"number {number}" if number in id_of else f"id {reprlib.repr(real_id)}"
            raise InputError(f"{path}, line {line}: {what} occurs twice; give each its own")
        id_of[number] = real_id
        known.add(real_id)
    return id_of


def _sequences(path: Path) -> tuple[tuple[str, Any], ...]:
    """Users with what stands beside them, in the order of the file."""
    text = "".join(read_lines(path))
    if text.strip() and not text.lstrip().startswith(("{", "[")):
        raise InputError(f"{path}: sequences are read from JSON; {_LAYOUT}")
    try:
        # Objects become tuples of pairs: told from lists, and a user who occurs twice shows.
        content = json.loads(text, object_pairs_hook=tuple)
    except json.JSONDecodeError as error:
        why = f"not JSON from here on ({error.msg}); repair or fetch the file again"
        raise InputError(f"{path}, line {error.lineno}: {why}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: nested too deeply, or a number too long; {_LAYOUT}") from None
    if not isinstance(content, tuple):
        raise InputError(f"{path}: {_LAYOUT}, got {reprlib.repr(content)}")
    return content


@settings_of("data")
class LocalSequences(ReviewSource):
    """Files of sequences, as papers on generative recommendation publish them. Of a product that a
    user has several times the last place stays, as of several reviews the newest does."""

    sequences_path: FilePath
    user_ids_path: FilePath = None
    product_ids_path: FilePath = None
    metadata_path: FilePath = None

    def __post_init__(self) -> None:
        self._take_name_of(self.sequences_path)

    def files(self) -> tuple[Path, Path | None]:
        if not self.sequences_path:
            example = "data.sequences_path=Instruments.inter.json.gz"
            remedy = f"name your file of sequences, for instance {example}"
            raise InputError(f"data.sequences_path is missing: {remedy}")
        return self.sequences_path, self.metadata_path

    def further_files(self) -> dict[str, Path]:
        # Beside NAME.inter.json they tell the real ids behind the numbers: NAME.user2id, ...
        suffixes = {"user_ids_path": ".user2id", "product_ids_path": ".item2id"}
        files: dict[str, Path] = {}
        for key, suffix in suffixes.items():
            if path := getattr(self, key) or ids_beside(self.sequences_path, suffix):
                if not path.is_file():
                    raise InputError(f"data.{key}: {path}: no such file")
                files[key] = path
        return files

    def read(self, path: Path) -> tuple[pd.DataFrame, ReadReport]:
        return read_sequences(path, **self.further_files())

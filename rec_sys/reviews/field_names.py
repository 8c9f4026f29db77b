"""Which raw field means what in every known format; the names are in ``config/data/columns``."""

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal

from omegaconf import OmegaConf

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.reviews.schema import REVIEW_SCHEMA

AUTO = "auto"
What = Literal["reviews", "products"]
#: Our columns that fields can tell, and the setting that says which.
COLUMNS: dict[What, tuple[str, ...]] = {
    "reviews": tuple(REVIEW_SCHEMA.names),
    "products": ("product_id", "name", "description", "features", "style", "brand"),
}
SETTINGS: dict[What, str] = {"reviews": "data.columns", "products": "data.metadata_columns"}
# A message stays readable if the file is something else altogether.
_USEFUL = ("rating", "text", "timestamp")
_SHOW_NAMES = 20
_SHOW_NAME_CHARACTERS = 40
_ALIKE = 0.8
_MOST_COMPARED = 1000  # fields: with every known name each


class NoSuchField(InputError):
    """A field that a setting names is not in the file."""


@dataclass(frozen=True)
class Format:
    """The field names of one kind of file, compared exactly, case included.

    Attributes:
        columns: From our column to its raw fields; the first one that is not empty counts. Dots
            lead into nested objects.
        also: Other fields of this format, unused, by which it is recognised.
        only_with: Found by itself only where one of these fields is there; empty for always.
        header: Names of the columns where the file has no heading line.
        rating_scale: See `rec_sys.reviews.values.RatingScale`; likewise `missing_rating`.
        rank: On equal evidence the higher one is taken.
    """

    name: str
    columns: dict[str, tuple[str, ...]]
    also: Sequence[str] = ()
    only_with: Sequence[str] = ()
    header: Sequence[str] = ()
    rating_scale: Any = None
    missing_rating: Any = None
    rank: int = 0

    @property
    def fields(self) -> list[str]:
        """All raw fields that are read, in order, each once."""
        return list(dict.fromkeys(raw for names in self.columns.values() for raw in names))

    def tells(self, columns: Iterable[str], found: Collection[str]) -> bool:
        """Whether one of the fields that were found tells one of the columns."""
        return any(raw in found for column in columns for raw in self.columns.get(column, ()))


@cache
def known_formats(what: What) -> tuple[Format, ...]:
    """All formats, those of higher rank first."""
    formats = []
    for path in sorted((CONFIG_DIR / "data" / "columns").glob("*.yaml")):
        if told := OmegaConf.to_container(OmegaConf.load(path)).get(what):
            columns = {name: as_names(told.pop(name)) for name in COLUMNS[what] if name in told}
            formats.append(Format(path.stem, columns, **told))
    return tuple(sorted(formats, key=lambda each: -each.rank))


def as_names(names: str | Sequence[str]) -> tuple[str, ...]:
    """One name or several as a tuple."""
    return (str(names),) if isinstance(names, str | int) else tuple(names)


def choose_format(
    found: Sequence[str],
    what: What,
    required: Sequence[tuple[str, ...]],
    requested: str = AUTO,
    given: Mapping[str, str | Sequence[str] | None] | None = None,
) -> Format:
    """Finds the format that explains most of the fields of the first records. `required`: groups of
    our columns, one of which a field must tell; `given`: from columns to fields, or None, before
    the format. InputError, without the file's name, for no such format, column, field or group."""
    named = _checked(given or {}, found, what)
    formats = [replace(each, columns=each.columns | named) for each in known_formats(what)]
    for each in formats:  # a product may be told by its name alone
        if "product_name" in named and "product_id" not in named:
            ids = each.columns.get("product_id", ())
            each.columns["product_id"] = (*ids, *named["product_name"])
    if requested != AUTO:
        known = [AUTO, *(each.name for each in formats)]
        if not (formats := [each for each in formats if each.name == requested]):
            raise InputError(f"no format {requested!r}; known: {', '.join(known)}")
    usable = [
        each
        for each in formats
        if all(each.tells(columns, found) for columns in required)
        and (requested != AUTO or not each.only_with or not set(each.only_with).isdisjoint(found))
    ]
    if usable:
        # max keeps the first of equals.
        return max(usable, key=lambda each: len({*each.fields, *each.also} & set(found)))
    nearest = max(formats, key=lambda each: sum(each.tells(columns, found) for columns in required))
    missing = [group for group in required if not nearest.tells(group, found)]
    wanted = " and ".join(
        " or ".join(f"{name} ({', '.join(_vocabulary(what)[name][:6])}, ...)" for name in group)
        for group in missing
    )
    told = filter(None, unused_fields(found, nearest, what).values())
    say = {each[-1].partition("=")[0].strip("'"): each[-1] for each in told}
    # What is not asked for by itself is told of, too, or it would be missed without a word.
    for group in [*missing, *((name,) for name in _USEFUL if what == "reviews")]:
        setting = f"{SETTINGS[what]}.{group[0]}"
        if not nearest.tells(group, found):
            say.setdefault(setting, f"{setting}=FIELD")
    line = ""
    if len(found) < 2 or any(each.replace(".", "").isdigit() for each in found):
        line = "; a table needs names in its first line, between them comma, semicolon, tab or |,"
        line += " or else data.header=[user_id,product_id,rating,timestamp]"
    why = f"found {shown(found)}; no field for {wanted}"
    remedy = f"say which it is, for instance {' '.join(say.values())}{line}"
    raise InputError(f"no usable field names: {why}; {remedy}")


def _checked(
    given: Mapping[str, str | Sequence[str] | None], found: Sequence[str], what: What
) -> dict[str, tuple[str, ...]]:
    named = {}
    for column, names in given.items():
        if names is None:
            continue
        setting = f"{SETTINGS[what]}.{column}"
        if column not in COLUMNS[what]:
            raise InputError(f"{setting}: no such column; choose from {', '.join(COLUMNS[what])}")
        named[column] = as_names(names)
        for name in named[column]:
            if name not in found:
                near = (get_close_matches(name, found, n=1) or [shown(found)])[0]
                raise NoSuchField(f"{setting}={name}: there is no such field; choose from {near}")
    return named


def unused_fields(found: Sequence[str], layout: Format, what: What) -> dict[str, tuple[str, ...]]:
    """The fields that are not read: from each to the name and the setting by which it would be;
    empty where no column that is still to be told has a name like it."""
    open_to = {
        _key(name): column
        for column, names in _vocabulary(what).items()
        if not layout.tells([column], found)
        for name in names
    }
    # A column that only a stand-in tells, a product by its name, is open to its own names.
    exact = {
        _key(names[0]): "" if layout.columns.get(column, names)[0] in found else column
        for each in known_formats(what)
        for column, names in each.columns.items()
    } | open_to
    there, objects = set(found), {name.rpartition(".")[0] for name in found}
    unused: dict[str, tuple[str, ...]] = {}
    for name in found:
        if name in layout.fields or any(raw.startswith(f"{name}.") for raw in layout.fields):
            continue
        key, part = _key(name), _key(name.rpartition(".")[2])
        compared = open_to if len(there) <= _MOST_COMPARED and key not in exact else ()
        near = get_close_matches(key, compared, n=1, cutoff=_ALIKE)
        column = exact.get(key) or (near and open_to[near[0]]) or exact.get(part)
        if column and name not in {*objects, *layout.also}:
            own = layout.columns.get(column, (column,))[0]
            unused[name] = (own, shlex.quote(f"{SETTINGS[what]}.{column}={name}"))
        elif name.rpartition(".")[0] not in there:
            unused[name] = ()
    return unused


@cache
def _vocabulary(what: What) -> dict[str, tuple[str, ...]]:
    """All names under which a column is known anywhere."""
    told = [each.columns for each in known_formats(what)]
    names = {name: [raw for of in told for raw in of.get(name, ())] for name in COLUMNS[what]}
    return {column: (*dict.fromkeys(raw), column) for column, raw in names.items()}


def _key(name: str) -> str:
    return "".join(filter(str.isalnum, str(name).partition(":")[0].casefold()))


def shown(found: Sequence[Any]) -> str:
    """The names on one line, whatever is in them."""
    names = [" ".join(str(name).split())[:_SHOW_NAME_CHARACTERS] for name in found[:_SHOW_NAMES]]
    more = [f"and {len(found) - _SHOW_NAMES} more"] * (len(found) > _SHOW_NAMES)
    return ", ".join([*names, *more]) or "none"

"""Which raw field means what, in every known format. Nowhere else are raw names known.

To teach the project a new format, add a `Format` to `REVIEW_FORMATS` or `PRODUCT_FORMATS`.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.schema import REVIEW_SCHEMA

AUTO = "auto"
# A message stays readable if the file is something else altogether.
_SHOW_NAMES = 20
_SHOW_NAME_CHARACTERS = 40


@dataclass(frozen=True)
class Format:
    """The field names of one kind of file. Names are compared exactly, case included.

    Attributes:
        name: What a person writes to force the format.
        columns: From our column to its raw fields; the first one that is not empty counts.
        also: Other fields of this format, unused, by which it is recognised.
    """

    name: str
    columns: dict[str, tuple[str, ...]]
    also: tuple[str, ...] = ()

    @property
    def fields(self) -> list[str]:
        """All raw fields that are read, in order, each once."""
        return list(dict.fromkeys(raw for names in self.columns.values() for raw in names))

    def knows(self, column: str, found: Collection[str]) -> bool:
        """Whether one of the fields that were found tells this column."""
        return any(raw in found for raw in self.columns.get(column, ()))


# 2014 and 2018 differ in extras only. A review without a body is told by its summary.
_AMAZON_REVIEW = {
    "user_id": ("reviewerID",),
    "nickname": ("reviewerName",),
    "product_id": ("asin",),
    "style": ("style",),
    "text": ("reviewText", "summary"),
    "rating": ("overall",),
    "timestamp": ("unixReviewTime", "reviewTime"),
}

#: On equal evidence the earlier one is taken.
REVIEW_FORMATS = (
    Format(
        "project",
        {
            "review_id": ("reviewID",),
            "user_id": ("userID", "nickname"),
            "nickname": ("nickname",),
            "product_id": ("asin", "ProductName"),
            "product_name": ("ProductName",),
            "product_info": ("ProductInfo",),
            "style": ("Style",),
            "text": ("TextReview",),
            "rating": ("rating",),
            "timestamp": ("timestamp", "time", "date"),
        },
    ),
    Format("table", {name: (name,) for name in REVIEW_SCHEMA.names}),
    Format("amazon_2014", _AMAZON_REVIEW, also=("helpful",)),
    Format("amazon_2018", _AMAZON_REVIEW, also=("verified", "vote", "image")),
    Format(
        "amazon_2023",
        {
            "user_id": ("user_id",),
            "product_id": ("parent_asin", "asin"),
            "text": ("text", "title"),
            "rating": ("rating",),
            "timestamp": ("timestamp", "sort_timestamp"),
        },
        also=("images", "helpful_vote", "verified_purchase"),
    ),
)

PRODUCT_FORMATS = (
    Format(
        "project",
        {
            "product_id": ("asin", "ProductName"),
            "name": ("ProductName",),
            "description": ("ProductInfo",),
            "style": ("Style",),
            "brand": ("Brand", "brand"),
        },
    ),
    Format(
        "table",
        {
            "product_id": ("product_id",),
            "name": ("name", "product_name"),
            "description": ("info", "product_info"),
            "style": ("style",),
            "brand": ("brand",),
        },
    ),
    Format(
        "amazon_2014",
        {
            "product_id": ("asin",),
            "name": ("title",),
            "description": ("description",),
            "style": ("categories",),
            "brand": ("brand",),
        },
        also=("related", "salesRank", "imUrl", "price"),
    ),
    Format(
        "amazon_2018",
        {
            "product_id": ("asin",),
            "name": ("title",),
            "description": ("description",),
            "features": ("feature",),
            "style": ("category",),
            "brand": ("brand",),
        },
        also=("also_buy", "also_view", "rank", "main_cat", "price", "details"),
    ),
    Format(
        "amazon_2023",
        {
            "product_id": ("parent_asin",),
            "name": ("title",),
            "description": ("description",),
            "features": ("features",),
            "style": ("categories", "main_category"),
            "brand": ("store",),
        },
        also=("average_rating", "rating_number", "images", "price", "details"),
    ),
)


def fields_of(records: Iterable[dict[str, Any]]) -> list[str]:
    """All field names that occur in the records, in order of appearance."""
    return list(dict.fromkeys(name for record in records for name in record))


def choose_format(
    found: Sequence[str],
    formats: Sequence[Format],
    required: Sequence[tuple[str, ...]],
    requested: str = AUTO,
) -> Format:
    """Finds the format that explains most of the fields.

    Args:
        found: Field names of the first records.
        formats: `REVIEW_FORMATS` or `PRODUCT_FORMATS`.
        required: Groups of our columns; of each group at least one must be told by a field.
        requested: Name of a format, or "auto".

    Raises:
        InputError: No such format, or a required column is told by none of the fields. The
            message names no file; the caller puts it in front.
    """
    names = [each.name for each in formats]
    if requested != AUTO:
        if requested not in names:
            raise InputError(f"no format {requested!r}; known: {', '.join([AUTO, *names])}")
        formats = [each for each in formats if each.name == requested]
    usable = [each for each in formats if _tells(each, found, required)]
    if not usable:
        known = "; ".join(f"{each.name}: {', '.join(each.fields)}" for each in formats)
        wanted = " and ".join(" or ".join(group) for group in required)
        raise InputError(
            f"no usable field names: found {_shown(found)}, need fields for "
            f"{wanted}; known fields are {known}"
        )
    # max keeps the first of equals.
    return max(usable, key=lambda each: len({*each.fields, *each.also} & set(found)))


def _shown(found: Sequence[Any]) -> str:
    """The names on one line, whatever is in them."""
    names = [" ".join(str(name).split())[:_SHOW_NAME_CHARACTERS] for name in found[:_SHOW_NAMES]]
    more = [f"and {len(found) - _SHOW_NAMES} more"] * (len(found) > _SHOW_NAMES)
    return ", ".join([*names, *more]) or "none"


def _tells(layout: Format, found: Collection[str], required: Sequence[tuple[str, ...]]) -> bool:
    return all(any(layout.knows(column, found) for column in group) for group in required)

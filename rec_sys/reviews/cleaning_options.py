"""What a person may ask the cleaning to leave out or to merge."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from rec_sys.foundation.checks import is_number, is_whole
from rec_sys.foundation.errors import InputError
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING

OPTIONS_AT = "data.cleaning"


@dataclass(frozen=True)
class CleaningOptions:
    """What to leave out.

    Checked by `validate` and not when built: Hydra would bury the message in its own.

    Attributes:
        drop_without_text: Leave out reviews without a text instead of keeping them as history.
        drop_without_rating: The same for reviews without a rating.
        collapse_twins: Treat products as one whose sets of users are alike by so much or more
            (Jaccard index, above 0 up to 1; see `rec_sys.reviews.twins`); False for none.
        min_reviews_per_user: Leave out users with fewer reviews, ...
        min_reviews_per_product: ... and products with fewer, again and again until all have so
            many (k-core).
        only_two_sided_users: Keep only users who like some products and dislike others.
        liked_above: Ratings above this one say "liked".
        max_liked_difference: How far a two-sided user's numbers of liked and disliked products
            may lie apart.
        keep_unreviewed_products: Keep products of the metadata that nobody reviewed.
    """

    drop_without_text: bool = False
    drop_without_rating: bool = False
    collapse_twins: float | bool = False
    min_reviews_per_user: int = 1
    min_reviews_per_product: int = 1
    only_two_sided_users: bool = False
    liked_above: float = 3.0
    max_liked_difference: int = 2
    keep_unreviewed_products: bool = False

    def validate(self) -> "CleaningOptions":
        """Returns itself.

        Raises:
            InputError: A value is of the wrong kind or out of range; names ``data.cleaning.KEY``.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            if each.type is bool and not isinstance(value, bool):
                raise _bad_option(each.name, "must be true or false", value)
            if each.type is int:
                least = 0 if each.name == "max_liked_difference" else 1
                if not is_whole(value, least):
                    raise _bad_option(each.name, f"must be a whole number from {least} up", value)
        value, scale = self.liked_above, f"{MIN_RATING:g} up to, not including, {MAX_RATING:g}"
        if not is_number(value):
            raise _bad_option("liked_above", "must be a number", value)
        if not MIN_RATING <= value < MAX_RATING:
            raise _bad_option("liked_above", f"must be a rating from {scale}", value)
        value = self.collapse_twins
        if value is not False and not (is_number(value) and 0 < value <= 1):
            rule = "must be false or a share above 0 up to 1, for instance 0.8"
            raise _bad_option("collapse_twins", rule, value)
        return self

    @classmethod
    def of(cls, options: "CleaningOptions | Mapping[str, Any] | None") -> "CleaningOptions":
        """Takes options in any form a config gives them, and checks them.

        Args:
            options: Options, a mapping with some of their names (a DictConfig is one), or None
                for the defaults.

        Raises:
            InputError: An unknown name or a bad value.
        """
        if not isinstance(options, cls):
            if not isinstance(options, Mapping | None):
                raise InputError(f"{OPTIONS_AT}: must be a mapping, got {options!r}")
            given = {key: value for key, value in (options or {}).items() if key[:1] != "_"}
            known = [each.name for each in fields(cls)]
            for name in given:
                if name not in known:
                    raise InputError(f"{OPTIONS_AT}.{name}: no such option; known: {known}")
            options = cls(**given)
        return options.validate()


def _bad_option(name: str, rule: str, value: Any) -> InputError:
    return InputError(f"{OPTIONS_AT}.{name}: {rule}, got {value!r}")

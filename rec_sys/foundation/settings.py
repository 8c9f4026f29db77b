"""Objects from their settings, and what the values of a config may be.

A class of settings says in its types what each value may be::

    @settings_of("product_graph")
    class ProductGraphBuilder:
        l2: Positive
        past_decay: Share
        neighbours: Count

Making one with a value that does not fit raises an `InputError` of one line,
``product_graph.l2=-1: must be above 0``.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from inspect import signature
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from rec_sys.foundation.errors import InputError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(gt=0, le=1)]
InnerShare = Annotated[float, Field(gt=0, lt=1)]
#: How long something takes or is waited for: less than what clocks can count.
Seconds = Annotated[float, Field(gt=0, le=1e9)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
PositiveCount = Annotated[int, Field(ge=1, lt=2**63)]

# Strict: true is no number and "3" no count. Arbitrary types: other settings, built before.
_CONFIG = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)
_WORDS = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    **dict.fromkeys(("int_type", "int_from_float"), "must be a whole number"),
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "literal_error": "must be {expected}",
    **dict.fromkeys(("list_type", "tuple_type"), "must be a list"),
    **dict.fromkeys(("dict_type", "mapping_type"), "must be names with values, like {{name: 1}}"),
    "too_short": "needs at least {min_length} values",
}

_PLAIN = {str, int, float, bool, type(None)}

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, kw_only_default=False)
def settings_of(axis: str, frozen: bool = True) -> Callable[[type[_T]], type[_T]]:
    """Makes a class a dataclass whose values are checked by their types. `axis`, their place in the
    config, "" for its root, begins the names in messages. What learns is not `frozen`."""

    def decorate(cls: type[_T]) -> type[_T]:
        made = pydantic_dataclass(frozen=frozen, config=_CONFIG)(cls)
        validated = made.__init__

        @functools.wraps(validated)
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            try:
                validated(self, *args, **kwargs)
            except ValidationError as error:
                raise InputError(_in_words(error, axis, made)) from None

        made.__init__ = init  # type: ignore[method-assign]
        return made

    return decorate


def read_settings(cls: type[_T], config: DictConfig) -> _T:
    """Settings of a class, decorated with `settings_of`, out of a config without ``_target_``."""
    return cls(**OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]


def nested(cls: type[_T]) -> BeforeValidator:
    """For a field of settings that holds those of another class."""

    def make(values: Any) -> _T:
        if not isinstance(values, Mapping):
            raise ValueError("holds settings of its own; set these")
        return cls(**values)

    return BeforeValidator(make)


def build(settings: DictConfig, **arguments: Any) -> Any:
    """Hydra's ``instantiate`` for settings with a ``_target_``. An InputError of the class comes as
    it is, without Hydra's own around it."""
    if settings is not None and not (isinstance(settings, Mapping) and "_target_" in settings):
        raise InputError(f"{settings}: names nothing to be made, as it has no _target_")
    try:
        if settings is not None:
            for name, is_partial in flat(settings):
                if name.split(".")[-1] == "_partial_" and type(is_partial) is not bool:
                    raise InputError(f"{name}={is_partial}: must be true or false")
            _require_kinds(settings)
        return instantiate(settings, _convert_="all", **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, InputError | OSError):
            raise cause from None
        # A library's own check of its arguments; importing Lightning for the class takes seconds.
        is_theirs = type(cause).__name__ == "MisconfigurationException"
        if isinstance(cause, TypeError | ValueError) or is_theirs:
            reason = " ".join(str(cause).split())
            raise InputError(f"{settings['_target_']}: {reason}; change its settings") from None
        raise


def _require_kinds(settings: DictConfig) -> None:
    """InputError for a value of another kind than a library's class says: few look, ours do."""
    if (target := str(settings["_target_"])).startswith("rec_sys."):
        return
    try:
        known = signature(get_object(target)).parameters
    except (ImportError, ValueError):  # told when it is to be made
        return
    for name in known.keys() & settings.keys():
        kinds = get_args(known[name].annotation) or (known[name].annotation,)
        taken = (*kinds, int) if float in kinds else kinds
        if _PLAIN.issuperset(kinds) and not isinstance(settings[name], taken):
            named = " or ".join(each.__name__ for each in kinds)
            raise InputError(f"{target}: {name}={settings[name]}: must be {named}")


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The single values of nested settings, by their dotted names."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def is_whole_text(text: str) -> bool:
    """Whether there is no half of a surrogate pair in a text: that is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_number(value: Any) -> bool:
    """Whether it is a whole or decimal number; true and false, though ints in Python, are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_words(error: ValidationError, axis: str, cls: type) -> str:
    first = error.errors()[0]
    loc = list(first["loc"])
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    if loc and isinstance(loc[0], int):  # it was given by its place
        loc[0] = names[loc[0]]
    key = ".".join(filter(None, [axis, *map(str, loc)]))
    if first["type"] == "unexpected_keyword_argument":
        alike: Sequence[str] = get_close_matches(str(first["loc"][0]), names, n=1) or names
        return f"{key}: no such setting; choose from {', '.join(alike)}"
    if first["type"] == "missing":
        return f"{key}: is missing"
    words = _WORDS.get(first["type"])
    told = first.get("ctx", {}).items()
    limits = {name: f"{x:g}" if isinstance(x, float) else x for name, x in told}
    said = words.format(**limits) if words else first["msg"]
    return f"{key}={first['input']}: {said.removeprefix('Value error, ')}"

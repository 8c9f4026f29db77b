"""Objects from their settings, and what a value from a config may be."""

from collections.abc import Iterator, Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from rec_sys.foundation.errors import InputError


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


def is_whole(value: Any, least: int) -> bool:
    """Whether it is a whole number from `least` up; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def build(settings: DictConfig, **arguments: Any) -> Any:
    """Hydra's ``instantiate`` for settings with a ``_target_``, telling a person's mistakes apart.

    Args:
        settings: Names the class and its arguments.
        **arguments: Further arguments.

    Raises:
        InputError: What the class says about its arguments; Hydra would wrap it in its own.
    """
    try:
        return instantiate(settings, **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        # A library's own check of its arguments.
        if isinstance(error.__cause__, ValueError) or _is_lightnings(error.__cause__):
            reason = " ".join(str(error.__cause__).split())
            raise InputError(f"{settings['_target_']}: {reason}; change its settings") from None
        raise


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The single values of nested settings, by their dotted names."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _is_lightnings(error: BaseException | None) -> bool:
    # By name: importing Lightning for the class would take seconds.
    return type(error).__name__ == "MisconfigurationException"

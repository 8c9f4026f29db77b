"""Checks of settings that several baselines share."""

import math

from rec_sys.foundation.errors import InputError


def require_decay(name: str, value: float) -> None:
    """A decay per step is above 0 (only the newest review would count) and at most 1 (all alike).

    Raises:
        InputError: `value` is not.
    """
    if not 0 < value <= 1:
        raise InputError(f"{name}={value}: must be above 0 and at most 1")


def require_positive(name: str, value: float) -> None:
    """Something that is divided by, or of which there must be some.

    Raises:
        InputError: `value` is not a positive number.
    """
    if not (value > 0 and math.isfinite(value)):
        raise InputError(f"{name}={value}: must be a positive number")


def require_not_negative(name: str, value: float) -> None:
    """Something that 0 switches off.

    Raises:
        InputError: `value` is negative or not a number.
    """
    if not (value >= 0 and math.isfinite(value)):
        raise InputError(f"{name}={value}: must be 0 or a positive number")

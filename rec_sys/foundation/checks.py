"""What a value from a config or a caller is; each caller says in its own words what it may be."""

from typing import Any


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

"""Settings of ``config/split`` that make no sense, and splits that cannot be used."""

from typing import Any

import numpy as np

from rec_sys.foundation.checks import is_number, is_whole
from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Split


def check_share(key: str, value: Any, zero_allowed: bool = False) -> None:
    """Makes sure that a value is a share of something.

    Args:
        key: Its name in ``config/split``.
        value: The value.
        zero_allowed: Whether 0 means "nothing of this kind".

    Raises:
        InputError: It is not.
    """
    if not is_number(value):
        raise InputError(f"split.{key}={value}: must be a number")
    if not (0 < value < 1 or (zero_allowed and value == 0)):
        zero = ", or 0 for none" if zero_allowed else ""
        raise InputError(f"split.{key}={value}: must be between 0 and 1{zero}")


def check_shares(validation_share: Any, test_share: Any) -> None:
    """Makes sure that something is left to train with.

    Args:
        validation_share: Must be above 0: validation chooses the best epoch.
        test_share: May be 0.

    Raises:
        InputError: One of them is not a share, or together they are everything.
    """
    check_share("validation_share", validation_share)
    check_share("test_share", test_share, zero_allowed=True)
    if validation_share + test_share >= 1:
        raise InputError(
            f"split.validation_share={validation_share} and split.test_share={test_share}: leave"
            " nothing to train with; their sum must be below 1"
        )


def check_whole(key: str, value: Any, least: int) -> None:
    """Makes sure that a value is a whole number from `least` up.

    Raises:
        InputError: It is not.
    """
    if not is_whole(value, least):
        raise InputError(f"split.{key}={value}: must be a whole number from {least} up")


def check_usable(split: Split, graph: ReviewGraph) -> None:
    """Makes sure that there is something to learn from and something to validate with.

    Args:
        split: The split.
        graph: The graph that was split.

    Raises:
        InputError: No training edge, or no validation target whose user has a history.
    """
    if not split.train.any():
        raise InputError(f"split={split.name}: leaves no review to train with; use more reviews")
    user = graph.edge_user
    task = split.validation
    if not np.isin(user[task.target], user[task.history]).any():
        raise InputError(
            f"split={split.name}: nobody has both an older review and a newer one to be predicted:"
            " there is nothing to validate with; use more reviews, raise split.validation_share"
            " where there is one, or choose another split"
        )

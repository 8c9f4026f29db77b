"""Groups of people and of targets that a mean over all would hide."""

from collections.abc import Sequence

import numpy as np

from rec_sys.evaluation.interface import Reviews
from rec_sys.foundation.errors import InputError


def by_history_length(histories: Reviews, starts: Sequence[int]) -> dict[str, np.ndarray]:
    """Groups people by how much is known of them.

    Args:
        histories: Of U people.
        starts: Shortest history of each group, ascending, the first one 0; [0, 1, 5] makes the
            groups "0", "1-4" and "5+".

    Returns:
        Group to bool [U]; everyone is in one group.

    Raises:
        InputError: `starts` does not begin with 0 or does not ascend.
    """
    if not len(starts) or starts[0] != 0 or (np.diff(starts) <= 0).any():
        raise InputError(f"history lengths {list(starts)}: must begin with 0 and ascend")
    group = np.searchsorted(starts, np.diff(histories.user_ptr), side="right") - 1
    names = [
        f"{start}" if stop == start + 1 else f"{start}-{stop - 1}"
        for start, stop in zip(starts, starts[1:], strict=False)
    ]
    return {name: group == i for i, name in enumerate([*names, f"{starts[-1]}+"])}


def head_products(popularity: np.ndarray, share: float) -> np.ndarray:
    """The most popular products that together have `share` of the training reviews.

    Args:
        popularity: float [P], training reviews per product.
        share: 0.5 for the fewest products that have half of the reviews. Products as popular as
            the least popular of these belong to them too, whatever their numbers.

    Returns:
        bool [P]; the others are the tail.

    Raises:
        InputError: The share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise InputError(f"head share {share}: must be between 0 and 1")
    falling = np.sort(popularity)[::-1].astype(np.float64)
    last = np.searchsorted(np.cumsum(falling), share * falling.sum())
    return popularity >= falling[last]

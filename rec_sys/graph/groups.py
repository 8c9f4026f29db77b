"""Disjoint groups of users, or of products, drawn by a seed for the splits."""

from collections.abc import Sequence

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.graph.provenance import Groups


def draw_groups(number: int, shares: Sequence[float], seed: int, what: str) -> list[np.ndarray]:
    """Draws disjoint groups with ``torch.utils.data.random_split``.

    Args:
        number: How many there are to draw from.
        shares: Share of each group, rounded; a group is empty if its share is 0, otherwise it has
            at least one member.
        seed: Of the draw, which is independent of any other random state.
        what: What is drawn, for the message: "users".

    Returns:
        The rest, of one member at least, followed by the groups; int64, ascending.

    Raises:
        InputError: There are too few.
    """
    sizes: list[int] = []
    for share in shares:
        left = number - 1 - sum(sizes)  # one stays to train with
        if share and left < 1:
            raise InputError(
                f"too few {what} to split ({number}): each part needs one; use more reviews"
            )
        sizes.append(min(max(1, round(share * number)), left) if share else 0)
    return _drawn(number, sizes, seed)


def continue_groups(
    known: Groups, shares: Sequence[float], seed: int, what: str
) -> list[np.ndarray]:
    """Keeps the groups of an earlier split and draws those who are new by the same shares.

    Who trained the earlier model trains again, who was held out is held out again, also for a
    test that is not asked for any more. Arguments and errors are those of `draw_groups`.

    Args:
        known: The parts that n users, or products, had.
        shares: Of validation and test; of the new ones each group gets its share, rounded, and
            one at least if nobody who is still there was in it.

    Returns:
        Those to train with, to validate with and to test with; int64, ascending.
    """
    old = [np.flatnonzero(mask) for mask in (known.validation, known.test)]
    new = np.flatnonzero(~np.any(known, axis=0))
    sizes = [
        max(round(share * len(new)), 1 if share and not len(group) else 0)
        for share, group in zip(shares, old, strict=True)
    ]
    if sum(sizes) > len(new):
        raise InputError(
            f"train.warm_start: of the {len(known.learned)} {what} only {len(new)} are new to the"
            " checkpoint, too few where it held out nobody for validation or test; use more"
            " reviews, or train without train.warm_start"
        )
    rest, *drawn = _drawn(len(new), sizes, seed)
    train = np.sort(np.append(np.flatnonzero(known.learned), new[rest]))
    return [train, *(np.sort(np.append(o, new[d])) for o, d in zip(old, drawn, strict=True))]


def _drawn(number: int, sizes: Sequence[int], seed: int) -> list[np.ndarray]:
    """The rest and a group of each size, int64, ascending."""
    # PyTorch takes a second to import; settings are checked before that.
    import torch
    from torch.utils.data import random_split

    all_sizes = [number - sum(sizes), *sizes]
    drawn = random_split(
        range(number),
        # An empty part would draw the same groups, but with a warning.
        [size for size in all_sizes if size],
        generator=torch.Generator().manual_seed(seed),
    )
    groups = iter([np.sort(np.asarray(part.indices, dtype=np.int64)) for part in drawn])
    return [next(groups) if size else np.zeros(0, np.int64) for size in all_sizes]

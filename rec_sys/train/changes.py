"""What is different in the data since the training that a new one starts from."""

from typing import Any

import numpy as np

from rec_sys.foundation.console import note, show_table
from rec_sys.graph.splits.seen import SeenReviews

_KINDS = ("reviews", "users", "products")


def changes_between(then: SeenReviews, now: SeenReviews, newly_encoded: int) -> dict[str, Any]:
    """Counts what came and what is gone.

    A review is the same if its user and product are; whether its words changed is not known.

    Args:
        then: What the earlier training had seen.
        now: What the new one sees.
        newly_encoded: Distinct texts that the vector store did not hold.

    Returns:
        ``newly_encoded_texts`` and, for ``reviews``, ``users`` and ``products``, the numbers
        ``then``, ``now``, ``new`` and ``gone``.
    """
    changes: dict[str, Any] = {"newly_encoded_texts": newly_encoded}
    for kind in _KINDS:
        before, after = getattr(then, kind), getattr(now, kind)
        changes[kind] = {
            "then": len(before),
            "now": len(after),
            "new": len(np.setdiff1d(after, before)),
            "gone": len(np.setdiff1d(before, after)),
        }
    return changes


def show_changes(changes: dict[str, Any], checkpoint: str) -> None:
    """Prints what `changes_between` counted.

    Args:
        changes: The counts.
        checkpoint: Name of the earlier checkpoint.
    """
    rows = [
        [kind, *counts.values()] for kind, counts in changes.items() if isinstance(counts, dict)
    ]
    show_table(f"since {checkpoint}", ["", "then", "now", "new", "gone"], rows)
    note(f"texts newly encoded: {changes['newly_encoded_texts']}")

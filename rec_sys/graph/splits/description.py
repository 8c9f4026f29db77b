"""A split in plain values, so that it can be told, and told from another one."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.splits.new_users import NewUsers
from rec_sys.graph.splits.users import HeldOutUsers
from rec_sys.graph.task import Split, Task

#: The splits that hold out whole users.
_USER_WISE = (HeldOutUsers.name, NewUsers.name)


def describe_split(split: Split, graph: ReviewGraph, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint tells about its split.

    Args:
        split: The split.
        graph: The graph that was split.
        settings: The resolved ``config/split``; with the same data they give the same split.

    Returns:
        ``name``, ``settings``, ``fingerprint``, the number of edges of each kind, and the ids of
        the held-out users; these are empty for a split that does not hold out whole users.
    """
    return {
        "name": split.name,
        "settings": dict(settings),
        "fingerprint": split_fingerprint(split),
        "train_edges": int(split.train.sum()),
        "validation_edges": int(split.validation.target.sum()),
        "test_edges": int(split.test.target.sum()) if split.test else 0,
        "validation_user_ids": _held_out_user_ids(split, graph, split.validation),
        "test_user_ids": _held_out_user_ids(split, graph, split.test),
    }


def split_fingerprint(split: Split) -> str:
    """SHA-256 of which edge is what."""
    digest = hashlib.sha256(f"{split.name}:{len(split.train)}:{split.test is None}".encode())
    masks = [split.train, split.validation.target, split.validation.history]
    masks += [split.test.target, split.test.history] if split.test else []
    for mask in masks:
        digest.update(np.packbits(mask).tobytes())
    return digest.hexdigest()


def _held_out_user_ids(split: Split, graph: ReviewGraph, task: Task | None) -> list[str]:
    if task is None or split.name not in _USER_WISE:
        return []
    # All reviews of a held-out user are in the task, also of one who has no target.
    users = np.unique(graph.edge_user[task.target | task.history])
    return graph.user_ids[users].tolist()

"""Disjoint groups drawn by a seed, and the split that follows from groups of users."""

from collections.abc import Callable, Sequence

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Split, Task

#: Takes users, int64 [n], and returns which edges are to be predicted, bool [E].
TargetsOf = Callable[[np.ndarray], np.ndarray]


def draw_groups(number: int, shares: Sequence[float], seed: int, what: str) -> list[np.ndarray]:
    """Draws disjoint groups with ``torch.utils.data.random_split``.

    Args:
        number: How many there are to draw from.
        shares: Share of each group, rounded; a group is empty if its share is 0, otherwise it has
            at least one member.
        seed: Seeds the draw; independent of any other random state.
        what: What is drawn, for the message: "users".

    Returns:
        The rest, of one member at least, followed by the groups; int64, ascending.

    Raises:
        InputError: There are too few.
    """
    # PyTorch takes a second to import; settings are checked before that.
    import torch
    from torch.utils.data import random_split

    sizes: list[int] = []
    for share in shares:
        left = number - 1 - sum(sizes)  # one stays to train with
        if share and left < 1:
            raise InputError(
                f"too few {what} to split ({number}): each part needs one; use more reviews"
            )
        sizes.append(min(max(1, round(share * number)), left) if share else 0)
    drawn = random_split(
        range(number),
        # An empty part would draw the same groups, but with a warning.
        [number - sum(sizes), *(size for size in sizes if size)],
        generator=torch.Generator().manual_seed(seed),
    )
    groups = iter([np.sort(np.asarray(part.indices, dtype=np.int64)) for part in drawn])
    return [next(groups), *(next(groups) if size else np.zeros(0, np.int64) for size in sizes)]


def split_by_users(
    name: str,
    graph: ReviewGraph,
    validation_share: float,
    test_share: float,
    seed: int,
    targets_of: TargetsOf,
) -> Split:
    """Some users train; of the others nothing is known but the history they show.

    Args:
        name: The kind of split.
        graph: The graph.
        validation_share: Share of the users to validate with.
        test_share: Share of the users to test with, or 0.
        seed: Seeds the draw of the users.
        targets_of: Which of the held-out users' reviews are to be predicted; all their other
            reviews are history.

    Raises:
        InputError: There are too few users.
    """
    if graph.num_users < 2:
        raise InputError("the reviews come from a single user; training needs at least two users")
    train, validation, test = draw_groups(
        graph.num_users, [validation_share, test_share], seed, "users"
    )

    def task(users: np.ndarray) -> Task:
        target = targets_of(users)
        return Task(target, edge_mask(graph, graph.edges_of(users)) & ~target)

    return Split(
        name,
        edge_mask(graph, graph.edges_of(train)),
        task(validation),
        task(test) if len(test) else None,
    )


def edge_mask(graph: ReviewGraph, edges: np.ndarray) -> np.ndarray:
    """Edges as a mask.

    Args:
        graph: The graph.
        edges: int [n].

    Returns:
        bool [E].
    """
    mask = np.zeros(graph.num_edges, dtype=bool)
    mask[edges] = True
    return mask


def shown_to(graph: ReviewGraph, target: np.ndarray, known: np.ndarray) -> Task:
    """The task of predicting targets from what is known of the same users.

    Args:
        graph: The graph.
        target: bool [E].
        known: bool [E]; those of users without a target are not needed and not shown.
    """
    has_target = np.zeros(graph.num_users, dtype=bool)
    has_target[graph.edge_user[target]] = True
    return Task(target, known & has_target[graph.edge_user])

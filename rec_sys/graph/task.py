"""What may be known, and what is to be predicted: the contract between splits and their users."""

from dataclasses import dataclass

import numpy as np

from rec_sys.graph.review_graph import ReviewGraph


@dataclass(frozen=True)
class Task:
    """Reviews to be predicted, each from its user's history.

    Attributes:
        target: bool [E], the edges to be predicted.
        history: bool [E], the edges that are shown; none of them is a target.
    """

    target: np.ndarray
    history: np.ndarray

    def __post_init__(self) -> None:
        """Refuses a leak."""
        if (self.target & self.history).any():
            raise ValueError("an edge is both a target and part of the history")

    def users(self, graph: ReviewGraph) -> np.ndarray:
        """Everyone who has a target, int64 [n], ascending."""
        return np.unique(graph.edge_user[self.target])


@dataclass(frozen=True)
class Split:
    """Who learns from what, and what is measured.

    Attributes:
        name: The kind of split.
        train: bool [E], the edges that models and statistics learn from; none is a target.
        validation: Chooses epochs and settings.
        test: Is looked at once, at the end; None if nothing was put aside.
    """

    name: str
    train: np.ndarray
    validation: Task
    test: Task | None

    def __post_init__(self) -> None:
        """Refuses a leak."""
        for task in (self.validation, self.test):
            if task is not None and (task.target & self.train).any():
                raise ValueError(f"split {self.name}: a target is among the training edges")

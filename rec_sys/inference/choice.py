"""Which products may be recommended at all."""

from dataclasses import dataclass, field

import numpy as np

_NOTHING = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Choice:
    """Rows of a vectorbase that are wanted.

    Attributes:
        among: int64, ascending and distinct, only these; None for all.
        without: int64, none of these.
    """

    among: np.ndarray | None = None
    without: np.ndarray = field(default_factory=lambda: _NOTHING)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Those of some rows that are wanted, in their order."""
        if self.among is not None:
            rows = rows[np.isin(rows, self.among)]
        return rows[~np.isin(rows, self.without)]


EVERYTHING = Choice()

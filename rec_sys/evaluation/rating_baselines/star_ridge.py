"""Ridge regression of stars, with bounded memory."""

from collections.abc import Callable

import numpy as np

from rec_sys.evaluation.rating_baselines.known_ratings import as_stars
from rec_sys.foundation.errors import InputError

_PREDICTED_AT_ONCE = 16_384


class StarRidge:
    """Inputs -> stars.

    Args:
        penalty: Ridge penalty.
        max_examples: So many training ratings are drawn at most.
        seed: Seeds the draw.

    Raises:
        InputError: A penalty that is not above 0, or fewer than one example.
    """

    def __init__(self, penalty: float, max_examples: int, seed: int) -> None:
        if not penalty > 0 or max_examples < 1:
            raise InputError(
                f"penalty={penalty} (above 0), max_examples={max_examples} (1 or more)"
            )
        self.penalty = penalty
        self.max_examples = max_examples
        self.seed = seed

    def draw(self, number: int) -> np.ndarray:
        """All of 0...number - 1, or `max_examples`, drawn without return; int64, ascending."""
        if number <= self.max_examples:
            return np.arange(number)
        rng = np.random.default_rng(self.seed)
        return np.sort(rng.choice(number, self.max_examples, replace=False))

    def fit(self, inputs: np.ndarray, rating: np.ndarray) -> None:
        """Learns.

        Args:
            inputs: float32 [n, f].
            rating: float32 [n], stars.
        """
        from sklearn.linear_model import Ridge

        self._ridge = Ridge(alpha=self.penalty).fit(inputs, rating)

    def predict(self, number: int, inputs_of: Callable[[slice], np.ndarray]) -> np.ndarray:
        """Stars, float32 [number].

        Args:
            number: Of rows.
            inputs_of: Gives the inputs of some rows, float32 [rows, f].
        """
        stars = np.empty(number, dtype=np.float32)
        for start in range(0, number, _PREDICTED_AT_ONCE):
            rows = slice(start, start + _PREDICTED_AT_ONCE)
            stars[rows] = as_stars(self._ridge.predict(inputs_of(rows)))
        return stars

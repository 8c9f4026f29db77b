"""Every history cut at every place: what came before, and what came after."""

import numpy as np
import scipy.sparse

from rec_sys.graph.segments import rows_to_pointers


def partial_histories(
    user: np.ndarray,
    product: np.ndarray,
    num_products: int,
    past_decay: float,
    future_decay: float,
    longest: int,
) -> tuple[scipy.sparse.csr_array, scipy.sparse.csr_array]:
    """Cuts each person's reviews between any two neighbours.

    Args:
        user: int64 [n], ascending; inside a user from the oldest to the newest review.
        product: int64 [n].
        num_products: P.
        past_decay: Weight of the review before the last one ahead of the cut, and so on.
        future_decay: Weight of the second review behind the cut, and so on.
        longest: Only the newest so many reviews of a person are cut: the number of entries grows
            with the square.

    Returns:
        Two float32 [cuts, P]: the weighted past and the weighted future of each cut.
    """
    pointers = rows_to_pointers(user, int(user[-1]) + 1 if len(user) else 0)
    stops, lengths = pointers[1:], np.minimum(np.diff(pointers), longest)
    past, future, cuts = [], [], 0
    # People with equally many reviews have cuts of the same shape.
    for length in np.unique(lengths[lengths > 1]):
        first = stops[lengths == length] - length
        cut, place = np.nonzero(np.ones((length - 1, length), dtype=bool))
        distance = place - cut - 1  # the cut is behind place `cut`: 0 is the first review after it
        is_past = distance < 0
        for entries, kept, weight in (
            (past, is_past, past_decay ** -(distance[is_past] + 1)),
            (future, ~is_past, future_decay ** distance[~is_past]),
        ):
            rows = cuts + np.add.outer((length - 1) * np.arange(len(first)), cut[kept])
            columns = product[np.add.outer(first, place[kept])]
            weights = np.broadcast_to(weight.astype(np.float32), rows.shape)
            entries.append((rows.ravel(), columns.ravel(), weights.ravel()))
        cuts += (length - 1) * len(first)
    return _stack(past, cuts, num_products), _stack(future, cuts, num_products)


def _stack(
    entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]], rows: int, columns: int
) -> scipy.sparse.csr_array:
    if not entries:
        return scipy.sparse.csr_array((rows, columns), dtype=np.float32)
    row, column, weight = (np.concatenate(each) for each in zip(*entries, strict=True))
    return scipy.sparse.csr_array((weight, (row, column)), shape=(rows, columns))

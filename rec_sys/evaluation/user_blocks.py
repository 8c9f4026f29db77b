"""Some of the people of `Reviews`, so that nothing has to hold the scores of all at once."""

import numpy as np

from rec_sys.evaluation.interface import Reviews


def only_users(reviews: Reviews, users: np.ndarray) -> Reviews:
    """The reviews of some users.

    Args:
        reviews: Of many users.
        users: int64 [n], ascending; counted anew from 0 in this order.
    """
    pointers = reviews.user_ptr
    lengths = np.diff(pointers)[users]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    kept = np.arange(total) + np.repeat(pointers[users] - (ends - lengths), lengths)
    return Reviews(
        user=np.repeat(np.arange(len(users)), lengths),
        product=reviews.product[kept],
        rating=reviews.rating[kept],
        time=reviews.time[kept],
        text=reviews.text[kept],
        num_users=len(users),
    )

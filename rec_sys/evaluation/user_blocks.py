"""Some of the people of `Reviews`, so that nothing has to hold the scores of all at once."""

import numpy as np

from rec_sys.evaluation.interface import Reviews
from rec_sys.graph.segments import members_of


def only_users(reviews: Reviews, users: np.ndarray) -> Reviews:
    """The reviews of some users.

    Args:
        reviews: Of many users.
        users: int64 [n], ascending; counted anew from 0 in this order.
    """
    kept = members_of(reviews.user_ptr, users)
    return Reviews(
        user=np.repeat(np.arange(len(users)), np.diff(reviews.user_ptr)[users]),
        product=reviews.product[kept],
        rating=reviews.rating[kept],
        time=reviews.time[kept],
        text=reviews.text[kept],
        num_users=len(users),
    )

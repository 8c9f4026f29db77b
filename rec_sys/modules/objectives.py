"""What training makes small. A new objective is one class here and one file in config/objective."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.schema import MAX_RATING

#: Takes predicted and true ratings, returns a scalar.
Distance = Callable[[Tensor, Tensor], Tensor]

_LOSSES: dict[str, Distance] = {
    "l1": F.l1_loss,
    "mse": F.mse_loss,
    "huber": F.huber_loss,
}


class Judgement(NamedTuple):
    """What an objective says about a batch.

    Attributes:
        objective: What the optimizer makes small; a scalar with a gradient.
        loss: The distance of the ratings by the configured loss; the same in all epochs, in
            training and in validation.
        rating: float32 [T], predicted ratings 0...5.
        judged: How many of the targets `loss` is the mean of; None: all T.
    """

    objective: Tensor
    loss: Tensor
    rating: Tensor
    judged: int | None = None


def predicted_rating(cosine: Tensor) -> Tensor:
    """Rating 0...5 from the cosine of a user and a product: ``5/2 * (cosine + 1)``.

    Args:
        cosine: float [...], -1...1.

    Returns:
        float [...], stars.
    """
    return MAX_RATING / 2 * (cosine + 1)


class RatingObjective(nn.Module):
    """Distance between the predicted and the true rating of each target.

    Training starts with squared distances and goes over to the configured loss step by step.
    With mostly five-star ratings a constant five is a minimum of the L1 loss, and near it, where
    all cosines are 1, the gradient vanishes (d cos x/dx = -sin x): a training that starts with
    L1 ends there and has learned nothing. Squares have their minimum elsewhere.

    A ranking objective takes the same arguments: all embeddings of the batch are at hand.

    Args:
        loss: ``"l1"`` (absolute distance), ``"mse"`` (squared) or ``"huber"`` (squared up to one
            star, absolute beyond).
        squared_share: Share of the training over which the squares fade out, 0...1; 0 uses the
            configured loss from the start.

    Inputs:
        user_embeddings: float32 [U, d], unit length.
        product_embeddings: float32 [P, d], unit length.
        target_user: int64 [T].
        target_product: int64 [T].
        target_rating: float32 [T], 1...5, NaN if missing; such a target does not count.
        progress: Share of the training that is done, 0...1.

    Returns:
        See `Judgement`. Without any rated target objective and loss are 0.

    Raises:
        InputError: No such loss, or the share is not from 0 to 1.
    """

    def __init__(self, loss: str, squared_share: float) -> None:
        super().__init__()
        if loss not in _LOSSES:
            raise InputError(f"objective.loss={loss}: choose from {', '.join(_LOSSES)}")
        if not 0 <= squared_share <= 1:
            raise InputError(f"objective.squared_share={squared_share}: must be from 0 to 1")
        self.distance = _LOSSES[loss]
        self.squared_share = squared_share

    def forward(
        self,
        user_embeddings: Tensor,
        product_embeddings: Tensor,
        target_user: Tensor,
        target_product: Tensor,
        target_rating: Tensor,
        progress: float,
    ) -> Judgement:
        """See the class."""
        users, products = user_embeddings[target_user], product_embeddings[target_product]
        rating = predicted_rating(torch.sum(users * products, dim=1))
        rated = ~torch.isnan(target_rating)
        if not rated.any():  # the mean of nothing would be NaN
            nothing = user_embeddings.sum() * 0.0
            return Judgement(nothing, nothing, rating, judged=0)
        predicted, true = rating[rated], target_rating[rated]
        loss = self.distance(predicted, true)
        squares_left = max(0.0, 1 - progress / self.squared_share) if self.squared_share else 0.0
        squares = F.mse_loss(predicted, true)
        objective = squares_left * squares + (1 - squares_left) * loss
        return Judgement(objective, loss, rating, judged=len(true))

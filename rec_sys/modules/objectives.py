"""What training makes small. A new objective is one class here and one file in config/objective."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rec_sys.foundation.errors import InputError
from rec_sys.modules.graph_model import Embeddings, TensorBatch
from rec_sys.reviews.schema import MAX_RATING

#: Takes predicted and true ratings, returns a scalar.
Distance = Callable[[Tensor, Tensor], Tensor]

_LOSSES: dict[str, Distance] = {
    "l1": F.l1_loss,
    "mse": F.mse_loss,
    "huber": F.huber_loss,
}


class ObjectiveOutput(NamedTuple):
    """What an objective says about a batch.

    Attributes:
        objective: What the optimizer makes small; a scalar with a gradient.
        loss: The distance of the ratings by the configured loss; the same in all epochs, in
            training and in validation.
        rating: float32 [T], predicted ratings 0...5.
        num_rated: How many of the targets `loss` is the mean of.
        ranking: The ranking loss, the mean of all targets; None if nothing is ranked.
        validation_loss: What validation compares epochs by.
    """

    objective: Tensor
    loss: Tensor
    rating: Tensor
    num_rated: int
    ranking: Tensor | None
    validation_loss: Tensor


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

    Args:
        loss: ``"l1"`` (absolute distance), ``"mse"`` (squared) or ``"huber"`` (squared up to one
            star, absolute beyond).
        squared_share: Share of the training over which the squares fade out, 0...1; 0 uses the
            configured loss from the start.

    Inputs:
        embeddings: Of the batch.
        batch: Its targets: ``target_user`` and ``target_product`` int64 [T], ``target_rating``
            float32 [T], 1...5, NaN if missing; such a target does not count.
        progress: Share of the training that is done, 0...1.

    Returns:
        See `ObjectiveOutput`. Without any rated target objective and loss are 0.

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
        #: Whether targets are compared with other products.
        self.ranks = False

    def forward(
        self, embeddings: Embeddings, batch: TensorBatch, progress: float
    ) -> ObjectiveOutput:
        """See the class."""
        true = batch["target_rating"]
        # The gradient of index_select is added up several times as fast as that of an index.
        users = embeddings.user_embeddings.index_select(0, batch["target_user"])
        products = embeddings.product_embeddings.index_select(0, batch["target_product"])
        rating = predicted_rating(torch.sum(users * products, dim=1))
        rated = ~torch.isnan(true)
        if not rated.any():  # the mean of nothing would be NaN
            nothing = embeddings.user_embeddings.sum() * 0.0
            return ObjectiveOutput(nothing, nothing, rating, 0, None, nothing)
        predicted, true = rating[rated], true[rated]
        loss = self.distance(predicted, true)
        squares_left = max(0.0, 1 - progress / self.squared_share) if self.squared_share else 0.0
        squares = F.mse_loss(predicted, true)
        objective = squares_left * squares + (1 - squares_left) * loss
        return ObjectiveOutput(objective, loss, rating, len(true), None, loss)


class JointObjective(nn.Module):
    """Rates and ranks: the distance of the ratings plus a softmax over products.

    The ranking term is the cross entropy of each liked target among all products of the batch that
    the user has not in their history; the logit of a pair is the inner product of query and key. If
    the batch holds a sample of the products, the logarithm of the probability with which each is
    in the sample is taken off its logit, so that popular products, which are sampled more often,
    are not punished for it (Bengio & Senecal, "Adaptive Importance Sampling to Accelerate
    Training of a Neural Probabilistic Language Model", 2008; Yi et al., "Sampling-Bias-Corrected
    Neural Modeling for Large Corpus Item Recommendations", RecSys 2019).

    Args:
        loss: See `RatingObjective`.
        squared_share: See `RatingObjective`.
        rating_weight: Weight of the rating term; 0 ranks only.
        ranking_weight: Weight of the ranking term; 0 rates only.
        disliked_weight: How much a target that was not liked counts in the ranking term, 0...1:
            people should be shown what they will like, not all that they would buy.
        liked_above: Stars; a higher rating, and a missing one, counts as liked.

    Inputs:
        embeddings: Of the batch.
        batch: As of `RatingObjective`; ``edge_index`` int64 [2, E], the history; and
            ``log_q`` float32 [P], see above, 0 if all products are in the batch.
        progress: Share of the training that is done, 0...1.

    Returns:
        See `ObjectiveOutput`.

    Raises:
        InputError: As `RatingObjective`, or the weights are negative or both 0.
    """

    def __init__(
        self,
        loss: str,
        squared_share: float,
        rating_weight: float,
        ranking_weight: float,
        disliked_weight: float,
        liked_above: float,
    ) -> None:
        super().__init__()
        if min(rating_weight, ranking_weight) < 0 or not rating_weight + ranking_weight:
            raise InputError(
                f"objective.rating_weight={rating_weight}, objective.ranking_weight="
                f"{ranking_weight}: must be at least 0, and one of them above 0"
            )
        self.rating = RatingObjective(loss, squared_share)
        self.rating_weight = rating_weight
        self.ranking_weight = ranking_weight
        self.ranks = ranking_weight > 0
        if not 0 <= disliked_weight <= 1:
            raise InputError(f"objective.disliked_weight={disliked_weight}: must be from 0 to 1")
        self.disliked_weight = disliked_weight
        self.liked_above = liked_above

    @property
    def distance(self) -> Distance:
        """The distance of two ratings."""
        return self.rating.distance

    def forward(
        self, embeddings: Embeddings, batch: TensorBatch, progress: float
    ) -> ObjectiveOutput:
        """See the class."""
        rated = self.rating(embeddings, batch, progress)
        objective = self.rating_weight * rated.objective
        validation_loss = self.rating_weight * rated.validation_loss
        ranking = None
        if self.ranks:
            disliked = batch["target_rating"] <= self.liked_above
            weight = torch.where(disliked, self.disliked_weight, 1.0)
            ranking = ranking_loss(embeddings, batch, weight)
            objective = objective + self.ranking_weight * ranking
            validation_loss = validation_loss + self.ranking_weight * ranking
        return rated._replace(objective=objective, validation_loss=validation_loss, ranking=ranking)


def ranking_loss(embeddings: Embeddings, batch: TensorBatch, weight: Tensor) -> Tensor:
    """Mean cross entropy of the targets, see `JointObjective`; 0 if none has a weight.

    Args:
        embeddings: Of the batch.
        batch: See `JointObjective`.
        weight: float32 [T], of each target.
    """
    user, product = batch["target_user"], batch["target_product"]
    if not weight.sum():
        return embeddings.user_queries.sum() * 0.0
    logits = embeddings.user_queries @ embeddings.product_keys.T - batch["log_q"]
    history_product, history_user = batch["edge_index"]
    seen = torch.zeros_like(logits, dtype=torch.bool)
    seen[history_user, history_product] = True
    logits = logits.masked_fill(seen, -torch.inf)
    losses = -logits.log_softmax(dim=1)[user, product]
    return (weight * losses).sum() / weight.sum()

"""What training makes small. A new objective is one class here and one file in config/objective."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import NotNegative, Share, settings_of
from rec_sys.graph.ego_batch import GraphOutputs, predicted_rating
from rec_sys.modules.graph_model import TensorBatch

#: Takes predicted and true ratings, returns a scalar.
Distance = Callable[[Tensor, Tensor], Tensor]

_DISTANCES: dict[str, Distance] = {"l1": F.l1_loss, "mse": F.mse_loss, "huber": F.huber_loss}


class ObjectiveOutput(NamedTuple):
    """What an objective says about a batch: what is minimised, and compares epochs, with a
    gradient; the mean distance of `num_rated` ratings, 0 without any; predicted ratings, float32
    [T], 0...5; the mean ranking loss of all targets, None if nothing is ranked."""

    objective: Tensor
    loss: Tensor
    rating: Tensor
    num_rated: int
    ranking: Tensor | None


@settings_of("objective")
class JointObjective:
    """Rates and ranks: the distance of the ratings plus a softmax over products.

    The rating term is the mean distance (`loss`; ``"huber"``: squared up to one star, absolute
    beyond) between predicted and true rating. The ranking term is the cross entropy of each target
    among all products of the batch that are not in the user's history, by the inner product of
    query and key; one with `liked_above` stars or fewer counts `disliked_weight`, 0...1: users
    should be shown what they will like. From the logit goes the logarithm of the probability that a
    batch holds the product, so that popular ones, sampled more often, are not punished (Bengio &
    Senecal, "Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic Language
    Model", 2008; Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
    Recommendations", RecSys 2019).

    Inputs:
        batch: ``target_user`` and ``target_product`` int64 [T], ``target_rating`` float32 [T],
            1...5, NaN if missing; ``edge_index`` int64 [2, E], the history; ``log_q`` float32 [P],
            the logarithm above, 0 if all products are in the batch."""

    loss: Literal["l1", "mse", "huber"]
    rating_weight: NotNegative
    ranking_weight: NotNegative
    disliked_weight: Share
    liked_above: float

    def __post_init__(self) -> None:
        if not self.rating_weight + self.ranking_weight:
            both = "objective.rating_weight=0, objective.ranking_weight=0"
            raise InputError(f"{both}: one of them must be above 0")

    @property
    def ranks(self) -> bool:
        return self.ranking_weight > 0

    @property
    def distance(self) -> Distance:
        return _DISTANCES[self.loss]

    def __call__(self, outputs: GraphOutputs, batch: TensorBatch) -> ObjectiveOutput:
        true = batch["target_rating"]
        # The gradient of index_select is added up several times as fast as that of an index.
        users = outputs.user_embeddings.index_select(0, batch["target_user"])
        products = outputs.product_embeddings.index_select(0, batch["target_product"])
        rating = predicted_rating(torch.sum(users * products, dim=1))
        rated = ~torch.isnan(true)
        predicted, given = rating[rated], true[rated]
        # The mean of nothing would be NaN.
        loss = self.distance(predicted, given) if len(given) else rating.sum() * 0.0
        objective, ranking = self.rating_weight * loss, None
        if self.ranks:
            weight = torch.where(true <= self.liked_above, self.disliked_weight, 1.0)
            ranking = ranking_loss(outputs, batch, weight)
            objective = objective + self.ranking_weight * ranking
        return ObjectiveOutput(objective, loss, rating, len(given), ranking)


def ranking_loss(outputs: GraphOutputs, batch: TensorBatch, weight: Tensor) -> Tensor:
    """Mean cross entropy of targets by weight, float32 [T], see `JointObjective`; 0 without any."""
    user, product = batch["target_user"], batch["target_product"]
    if not weight.sum():
        return outputs.user_queries.sum() * 0.0
    logits = outputs.user_queries @ outputs.product_keys.T - batch["log_q"]
    history_product, history_user = batch["edge_index"]
    seen = history_user, history_product
    logits = logits.index_put(seen, logits.new_tensor(-torch.inf))
    losses = -logits.log_softmax(dim=1)[user, product]
    return (weight * losses).sum() / weight.sum()

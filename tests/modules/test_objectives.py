import math

import numpy as np
import pytest
import torch

from rec_sys.foundation.errors import InputError
from rec_sys.graph.ego_batch import GraphOutputs, predicted_rating
from rec_sys.modules.objectives import JointObjective, ranking_loss

# Cosines 1, 0 and -1 predict 5, 2.5 and 0 stars.
USERS = torch.tensor([[1.0, 0.0]])
PRODUCTS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
TRUE = torch.tensor([5.0, 4.5, 1.0])


def outputs(users=USERS, products=PRODUCTS, queries=None, keys=None):
    queries = torch.zeros(len(users), 3) if queries is None else queries
    keys = torch.zeros(len(products), 3) if keys is None else keys
    return GraphOutputs(users, products, queries, keys, torch.empty(0, 1))


def batch_of(true=TRUE, user=None, product=None, history=((), ()), log_q=None):
    index = torch.arange(len(true))
    return {
        "target_user": torch.zeros_like(index) if user is None else torch.tensor(user),
        "target_product": index if product is None else torch.tensor(product),
        "target_rating": true,
        "edge_index": torch.from_numpy(np.array(history, dtype=np.int64)),
        "log_q": torch.zeros(3) if log_q is None else log_q,
    }


def joint(loss, rating_weight=1.0, ranking_weight=0.0, disliked_weight=1.0):
    return JointObjective(loss, rating_weight, ranking_weight, disliked_weight, 3.0)


def test_rating_of_a_cosine():
    assert predicted_rating(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [0, 2.5, 5]


@pytest.mark.parametrize(("loss", "expected"), [("l1", 1.0), ("mse", 5 / 3), ("huber", 2 / 3)])
def test_known_distances(loss, expected):
    # Distances 0, 2 and 1; Huber: 0, 1.5 and 0.5.
    result = joint(loss)(outputs(), batch_of())
    assert result.rating.tolist() == [5, 2.5, 0]
    assert result.objective.item() == result.loss.item() == pytest.approx(expected)


def test_no_target_is_no_loss():
    result = joint("l1")(outputs(), batch_of(TRUE[:0]))
    assert result.objective.item() == 0 and len(result.rating) == 0
    both = joint("l1", 1.0, 1.0)(outputs(), batch_of(TRUE[:0]))
    assert both.objective.item() == both.ranking.item() == both.num_rated == 0


def test_a_target_without_a_rating_does_not_count():
    objective = joint("l1")
    users = USERS.clone().requires_grad_()
    true = torch.tensor([5.0, torch.nan, 1.0])
    result = objective(outputs(users), batch_of(true))
    assert (result.loss.item(), result.objective.item(), result.num_rated) == (0.5, 0.5, 2)
    assert len(result.rating) == 3
    result.objective.backward()
    assert users.grad.isfinite().all()
    result = objective(outputs(users), batch_of(true * torch.nan))
    assert (result.objective.item(), result.num_rated) == (0, 0)


def random_batch(seed=0, users=4, products=6, targets=5):
    """Queries, keys and a batch whose targets are not in the history of their user."""
    rng = np.random.default_rng(seed)
    queries, keys = torch.randn(users, 3), torch.randn(products, 3)
    pairs = rng.permutation(users * products)
    user, product = np.divmod(pairs[:targets], products)
    seen_user, seen_product = np.divmod(pairs[targets : targets + 7], products)
    share = torch.from_numpy(np.log(rng.uniform(0.1, 1, products)).astype(np.float32))
    batch = batch_of(
        torch.full((targets,), torch.nan), user, product, (seen_product, seen_user), share
    )
    given = outputs(torch.randn(users, 2), torch.randn(products, 2), queries, keys)
    return given, batch


@pytest.mark.parametrize("corrected", [False, True])
def test_the_ranking_loss_equals_a_naive_softmax(corrected):
    """Over the products that the user has not reviewed, a sampled one's logit put right."""
    given, batch = random_batch()
    if not corrected:
        batch["log_q"] = torch.zeros(6)
    history = set(map(tuple, batch["edge_index"].T.tolist()))
    losses = []
    for user, product in zip(
        batch["target_user"].tolist(), batch["target_product"].tolist(), strict=True
    ):
        odds = {
            other: math.exp(
                float(given.user_queries[user] @ given.product_keys[other])
                - float(batch["log_q"][other])
            )
            for other in range(6)
            if (other, user) not in history
        }
        losses.append(-math.log(odds[product] / sum(odds.values())))
    assert ranking_loss(given, batch, torch.ones(5)).item() == pytest.approx(
        np.mean(losses), rel=1e-5
    )


def test_what_was_reviewed_takes_no_part_in_the_ranking():
    queries, keys = torch.ones(1, 3), torch.zeros(3, 3)
    alone = batch_of(TRUE[:1], history=((1, 2), (0, 0)))
    assert ranking_loss(outputs(queries=queries, keys=keys), alone, torch.ones(1)).item() == 0
    among = batch_of(TRUE[:1], history=((2,), (0,)))
    loss = ranking_loss(outputs(queries=queries, keys=keys), among, torch.ones(1)).item()
    assert loss == pytest.approx(math.log(2))


def test_a_joint_objective_adds_both_terms_and_learns_without_ratings():
    given, batch = random_batch(seed=1)
    given.user_queries.requires_grad_()
    result = joint("mse", 1.0, 0.5)(given, batch)  # no target has a rating
    assert result.num_rated == 0
    assert result.objective.item() == pytest.approx(0.5 * result.ranking.item())
    result.objective.backward()
    assert given.user_queries.grad.isfinite().all() and given.user_queries.grad.any()
    batch["target_rating"] = torch.full((5,), 4.0)
    rated = joint("mse")(given, batch)
    both = joint("mse", 2.0, 0.5)(given, batch)
    expected = 2 * rated.objective.item() + 0.5 * result.ranking.item()
    assert both.objective.item() == pytest.approx(expected)
    assert both.loss.item() == rated.loss.item()


def test_what_has_no_weight_is_left_out():
    given, batch = random_batch(seed=2)
    batch["target_rating"] = torch.full((5,), 4.0)
    rates = joint("l1", 1.0, 0.0)(given, batch)
    assert rates.ranking is None
    assert rates.objective.item() == joint("l1")(given, batch).objective.item()
    ranks = joint("l1", 0.0, 1.0)(given, batch)
    assert ranks.objective.item() == ranks.ranking.item()


def test_what_was_disliked_counts_less_in_the_ranking():
    given, batch = random_batch(seed=3)
    batch["target_rating"] = torch.tensor([5.0, 3.0, 4.0, torch.nan, 1.0])
    each = [ranking_loss(given, batch, torch.eye(5)[target]).item() for target in range(5)]
    liked = joint("l1", 0.0, 1.0, disliked_weight=0.0)(given, batch)
    assert liked.ranking.item() == pytest.approx(np.mean([each[0], each[2], each[3]]))
    half = joint("l1", 0.0, 1.0, disliked_weight=0.5)(given, batch)
    expected = np.average(each, weights=[1, 0.5, 1, 1, 0.5])
    assert half.ranking.item() == pytest.approx(expected)
    batch["target_rating"] = torch.full((5,), 2.0)
    assert joint("l1", 0.0, 1.0, disliked_weight=0.0)(given, batch).ranking.item() == 0


def test_unusable_settings_are_named():
    with pytest.raises(InputError, match="objective.loss=l3: must be 'l1', 'mse' or 'huber'"):
        joint("l3")
    with pytest.raises(InputError, match="objective.rating_weight=-1: must be at least 0"):
        joint("l1", -1, 1)
    with pytest.raises(InputError, match="objective.ranking_weight=-1: must be at least 0"):
        joint("l1", 1, -1)
    with pytest.raises(InputError, match="objective.rating_weight=0, .* must be above 0"):
        joint("l1", 0, 0)
    with pytest.raises(InputError, match="objective.disliked_weight=2: must be at most 1"):
        joint("l1", 1.0, 1.0, disliked_weight=2)

import pytest
import torch

from rec_sys.foundation.errors import InputError
from rec_sys.modules.objectives import RatingObjective, predicted_rating

# Cosines 1, 0 and -1 predict 5, 2.5 and 0 stars.
USERS = torch.tensor([[1.0, 0.0]])
PRODUCTS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
TRUE = torch.tensor([5.0, 4.5, 1.0])


def judge(loss, squared_share=0.0, progress=0.0, targets=3):
    objective = RatingObjective(loss, squared_share)
    index = torch.arange(targets)
    return objective(USERS, PRODUCTS, torch.zeros_like(index), index, TRUE[:targets], progress)


def test_rating_of_a_cosine():
    assert predicted_rating(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [0, 2.5, 5]


@pytest.mark.parametrize(("loss", "expected"), [("l1", 1.0), ("mse", 5 / 3), ("huber", 2 / 3)])
def test_known_distances(loss, expected):
    # Distances 0, 2 and 1; Huber: 0, 1.5 and 0.5.
    result = judge(loss)
    assert result.rating.tolist() == [5, 2.5, 0]
    assert result.loss.item() == pytest.approx(expected)
    assert result.objective.item() == pytest.approx(expected)


@pytest.mark.parametrize(("progress", "squares"), [(0.0, 1.0), (0.25, 0.5), (0.5, 0.0), (0.9, 0.0)])
def test_squares_fade_and_the_reported_loss_stays(progress, squares):
    result = judge("l1", squared_share=0.5, progress=progress)
    assert result.loss.item() == pytest.approx(1.0)
    assert result.objective.item() == pytest.approx(squares * 5 / 3 + (1 - squares))


def test_no_target_is_no_loss():
    result = judge("l1", targets=0)
    assert result.objective.item() == 0 and len(result.rating) == 0


def test_a_target_without_a_rating_does_not_count():
    index, objective = torch.arange(3), RatingObjective("l1", 0.5)
    users, products = USERS.clone().requires_grad_(), PRODUCTS
    true = torch.tensor([5.0, torch.nan, 1.0])
    result = objective(users, products, torch.zeros_like(index), index, true, 0.0)
    assert (result.loss.item(), result.objective.item(), result.judged) == (0.5, 0.5, 2)
    assert len(result.rating) == 3
    result.objective.backward()
    assert users.grad.isfinite().all()
    result = objective(users, products, torch.zeros_like(index), index, true * torch.nan, 0.0)
    assert (result.objective.item(), result.judged) == (0, 0)


def test_unusable_settings_are_named():
    with pytest.raises(InputError, match="objective.loss=l3: choose from l1, mse, huber"):
        RatingObjective("l3", 0.5)
    with pytest.raises(InputError, match="objective.squared_share=2"):
        RatingObjective("l1", 2)

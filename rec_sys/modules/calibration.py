"""Predicted ratings calibrated on the validation.

The network foresees stars for reviews like those that it has learned from. The newest ones, which
are asked for, are others: of new products, by users who have become stricter. The few numbers that
the angles of the embeddings depend on, see `GraphModel`, are therefore fitted once more, to the
validation: how much the biases of user and product count, their mean texts, and all that the
network adds. The ridge towards what training has found is chosen by cross-validation, so that few
ratings change little.
"""

import copy
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from rec_sys.foundation.console import progress
from rec_sys.foundation.settings import Count, Positive, PositiveCount, settings_of
from rec_sys.graph.ego_batch import EgoBatch, EgoBatchBuilder, predicted_rating
from rec_sys.graph.task import Task
from rec_sys.modules.graph_model import RESIDUAL_SPEED, GraphModel
from rec_sys.modules.objectives import Distance


class Calibrated(NamedTuple):
    """Ratings of T targets, float32 [T]: foreseen with numbers that were fitted to the targets of
    other users, and true; `strength`: of the ridge that was chosen, infinite if nothing changed;
    `before`: what of the model's state may have changed, as it was."""

    predicted: Tensor
    true: Tensor
    strength: float
    before: dict[str, Tensor]


@settings_of("calibration")
class CalibrationFit:
    """``config/calibration``, which says what each of them means."""

    strengths: list[Positive]
    folds: PositiveCount
    min_targets: PositiveCount
    seed: Count

    def fit(
        self, model: GraphModel, builder: EgoBatchBuilder, task: Task, distance: Distance
    ) -> Calibrated:
        """Changes `model`, so that its `distance` in the validation, `task`, becomes small."""
        before = {name: model.state_dict()[name].clone() for name in _CALIBRATED}
        foreseen = _Foreseen(model, _batches(builder, task))
        true = foreseen.rating
        best = Calibrated(foreseen.predicted(), true, np.inf, before)
        if len(true) < self.min_targets:
            return best
        user = foreseen.target_user.numpy()
        fold = np.random.default_rng(self.seed).permutation(user.max() + 1) % self.folds
        inside = [torch.from_numpy(fold[user] == number) for number in range(self.folds)]
        for strength in sorted(self.strengths, reverse=True):
            predicted = torch.empty_like(true)
            for held_out in inside:
                foreseen.fit(~held_out, distance, strength)
                predicted[held_out] = foreseen.predicted()[held_out]
            if distance(predicted, true) < distance(best.predicted, true):
                best = Calibrated(predicted, true, strength, before)
        if np.isfinite(best.strength):
            foreseen.fit(torch.ones_like(inside[0]), distance, best.strength)
            foreseen.put_into(model)
        return best


_TEXT_ANGLES = ("user_text_angle", "product_text_angle")
_CALIBRATED = ("user_angle.weight", "user_angle.bias", "product_angle.weight", "residual_length")
_CALIBRATED += _TEXT_ANGLES
_USERS_AT_ONCE = 256


def _batches(builder: EgoBatchBuilder, task: Task) -> Iterator[EgoBatch]:
    users, hidden = task.users(builder.graph), task.hidden
    with progress(len(users), "stars of the validation", "user") as bar:
        for start in range(0, len(users), _USERS_AT_ONCE):
            block = users[start : start + _USERS_AT_ONCE]
            yield builder.build(block, task.target, hidden)
            bar.advance(len(block))


class _Foreseen:
    """The rated targets of some batches, and what their stars depend on."""

    def __init__(self, model: GraphModel, batches: Iterable[EgoBatch]) -> None:
        # Twice as precise, for the steps of the fit become small.
        self._model = copy.deepcopy(model).double()
        # By how much what mean texts add to the angles of users and products is multiplied.
        self._text = nn.Parameter(torch.ones(2, dtype=torch.float64))
        own = self._model
        angles = own.user_angle.weight, own.user_angle.bias, own.product_angle.weight
        self._numbers = [self._text, own.residual_length, *angles]
        self._start = parameters_to_vector(self._numbers).detach().numpy()
        # The residual's number is learned as an exponent, see `GraphModel`.
        self._scales = np.ones_like(self._start)
        self._scales[len(self._text)] = RESIDUAL_SPEED
        self._batches, target_user, ratings, users = [], [], [], 0
        for batch in batches:
            rated = ~np.isnan(batch.target_rating)
            outputs = model.embed(batch.model_inputs())
            user, product = batch.target_user[rated], batch.target_product[rated]
            of_users = _directions(outputs.user_embeddings)[user]
            of_products = _directions(outputs.product_embeddings)[product]
            residual = np.sum(of_users * of_products, axis=1)
            inputs = (
                batch.user_rating_features,
                batch.product_rating_features,
                batch.user_features @ model.user_text_angle.numpy(),
                batch.product_review_features @ model.product_text_angle.numpy(),
                batch.edge_index,
                batch.edge_rating,
            )
            tensors = [
                torch.from_numpy(each if each.dtype == np.int64 else each.astype(np.float64))
                for each in (*inputs, user, product, residual)
            ]
            self._batches.append((tensors[:6], tensors[6:]))
            target_user.append(user + users)
            ratings.append(batch.target_rating[rated])
            users += len(batch.users)
        self.target_user = torch.from_numpy(np.concatenate(target_user))
        self.rating = torch.from_numpy(np.concatenate(ratings))

    def predicted(self) -> Tensor:
        """Stars of all targets, float32 [T]."""
        with torch.no_grad():
            return self._stars().float()

    def _stars(self) -> Tensor:
        square = self._model.length_of_residual() ** 2
        parts = []
        for (of_users, of_products, *texts, edges, given), (user, product, rest) in self._batches:
            texts = [self._text[place] * each for place, each in enumerate(texts)]
            of_user, of_product = self._model.angles(of_users, of_products, *texts, edges, given)
            angle = self._model.centre_angle + of_user[user, 0] + of_product[product, 0]
            parts.append((torch.cos(angle) + square * rest) / (1 + square))
        return predicted_rating(torch.cat(parts))

    def fit(self, shown: Tensor, distance: Distance, strength: float) -> None:
        """Fits the numbers to some of the targets, bool [T], from where they were at first."""

        def loss(moved: np.ndarray) -> tuple[float, np.ndarray]:
            self._move(moved)
            value = distance(self._stars()[shown], self.rating[shown].double())
            gradient = parameters_to_vector(torch.autograd.grad(value, self._numbers)).numpy()
            ridge = strength * (moved @ moved)
            return value.item() + ridge, gradient / self._scales + 2 * strength * moved

        found = minimize(loss, np.zeros_like(self._start), jac=True, method="L-BFGS-B")
        self._move(found.x)

    def _move(self, moved: np.ndarray) -> None:
        values = torch.from_numpy(self._start + moved / self._scales)
        vector_to_parameters(values, self._numbers)

    def put_into(self, model: GraphModel) -> None:
        state, own = model.state_dict(), self._model.state_dict()
        for name in _CALIBRATED:
            state[name].copy_(own[name])
        for name, factor in zip(_TEXT_ANGLES, self._text.detach(), strict=True):
            state[name] *= factor


def _directions(embeddings: np.ndarray) -> np.ndarray:
    """The residuals of embeddings, without angle and length."""
    return F.normalize(torch.from_numpy(embeddings[:, 2:]), dim=1).numpy()

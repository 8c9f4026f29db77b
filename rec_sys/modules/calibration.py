"""Predicted ratings calibrated on the validation.

The network learns stars from the training reviews; the newer ones that it is asked for differ, by
new products and users who have become stricter. So the few numbers that the angles of embeddings
depend on, see `GraphModel`, are fitted again to the validation: the weights of the biases, of mean
texts and of the rest of the network. Two settings are chosen by cross-validation, each as the mean
of all that it cannot tell from the best: the strength of a ridge towards the trained numbers, then
how far to go there from the biases alone. So few ratings change little, and where the network is
not clearly better than the biases, about half of it counts."""

import copy
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from rec_sys.foundation.console import progress
from rec_sys.foundation.settings import Count, NotNegative, Positive, PositiveCount, settings_of
from rec_sys.graph.ego_batch import EgoBatch, EgoBatchBuilder, predicted_rating
from rec_sys.graph.task import Task
from rec_sys.modules.graph_model import RESIDUAL_SPEED, GraphModel
from rec_sys.modules.match import unit
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
    shares: list[Positive]
    standard_errors: NotNegative
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
        if len(true) < self.min_targets:
            return Calibrated(foreseen.predicted(), true, np.inf, before)
        user = foreseen.target_user.numpy()
        fold = np.random.default_rng(self.seed).permutation(user.max() + 1) % self.folds
        # Without each part, then without none.
        shown = [torch.from_numpy(fold[user] != number) for number in range(self.folds + 1)]
        strengths = [np.inf, *sorted(self.strengths, reverse=True)]
        path = np.array([[foreseen.fit(s, distance, each) for s in shown] for each in strengths])

        def held_out(numbers: np.ndarray) -> Tensor:
            every = [foreseen.predicted(each) for each in numbers]
            return torch.where(torch.stack(shown), torch.zeros(()), torch.stack(every)).sum(0)

        def near(candidates: Iterable[np.ndarray]) -> np.ndarray:
            """Which of them, numbers without each part, cannot be told from the best: bool [n]."""
            each = torch.vmap(distance)
            errors = np.array([each(held_out(numbers), true).numpy() for numbers in candidates])
            behind = errors - errors[errors.mean(axis=1).argmin()]
            sums = [np.bincount(user, weights=row) for row in behind]  # a user's go together
            noise = np.sqrt(np.square(sums).sum(axis=1)) / len(true)
            return behind.mean(axis=1) <= self.standard_errors * noise

        strong = near(path)
        fitted = path[strong].mean(axis=0)
        shares = np.array(sorted(self.shares))
        share = shares[near(foreseen.towards(fitted, each) for each in shares)].mean()
        numbers = foreseen.towards(fitted, share)
        foreseen.put_into(model, numbers[-1])
        return Calibrated(held_out(numbers), true, strengths[strong.argmax()], before)


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
        plain = copy.deepcopy(own)
        plain.start_from_biases(own.mean_rating.item())
        angles = plain.user_angle.weight, plain.user_angle.bias, plain.product_angle.weight
        without = [torch.zeros_like(self._text), own.residual_length, *angles]
        self._biases = parameters_to_vector(without).detach().numpy()
        # The residual's number is learned as an exponent, see `GraphModel`.
        self._scales = np.ones_like(self._start)
        self._scales[len(self._text)] = RESIDUAL_SPEED
        self._batches, target_user, ratings, users = [], [], [], 0
        for batch in batches:
            rated = ~np.isnan(batch.target_rating)
            outputs = model.embed(batch.model_inputs())
            user, product = batch.target_user[rated], batch.target_product[rated]
            # Of the residuals only the direction, without angle and length.
            of_users = unit(outputs.user_embeddings[:, 2:])[user]
            of_products = unit(outputs.product_embeddings[:, 2:])[product]
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

    def predicted(self, numbers: np.ndarray | None = None) -> Tensor:
        """Stars of all targets, float32 [T], with the model's numbers or others, float64 [n]."""
        self._set(self._start if numbers is None else numbers)
        with torch.no_grad():
            return self._stars().float()

    def _stars(self) -> Tensor:
        square = self._model.length_of_residual() ** 2
        parts = []
        for (*ratings, of_users, of_products, edges, given), (user, product, rest) in self._batches:
            texts = self._text[0] * of_users, self._text[1] * of_products
            of_user, of_product = self._model.angles(ratings, texts, edges, given)
            angle = self._model.centre_angle + of_user[user, 0] + of_product[product, 0]
            parts.append((torch.cos(angle) + square * rest) / (1 + square))
        return predicted_rating(torch.cat(parts))

    def fit(self, shown: Tensor, distance: Distance, strength: float) -> np.ndarray:
        """Numbers, float64 [n], fitted to some targets, bool [T]; infinite `strength`: as given."""
        if np.isinf(strength):
            return self._start

        def loss(moved: np.ndarray) -> tuple[float, np.ndarray]:
            self._set(self._start + moved / self._scales)
            value = distance(self._stars()[shown], self.rating[shown].double())
            gradient = parameters_to_vector(torch.autograd.grad(value, self._numbers)).numpy()
            ridge = strength * (moved @ moved)
            return value.item() + ridge, gradient / self._scales + 2 * strength * moved

        found = minimize(loss, np.zeros_like(self._start), jac=True, method="L-BFGS-B")
        return self._start + found.x / self._scales

    def towards(self, numbers: np.ndarray, share: float) -> np.ndarray:
        """So much, above 0, of the way from the biases alone to other numbers, float64 [..., n]."""
        found = self._biases + share * (numbers - self._biases)
        # Its length, which this is an exponent of, is what shrinks.
        residual = len(self._text)
        found[..., residual] = numbers[..., residual] + np.log(share) / RESIDUAL_SPEED
        return found

    def _set(self, numbers: np.ndarray) -> None:
        vector_to_parameters(torch.from_numpy(numbers), self._numbers)

    def put_into(self, model: GraphModel, numbers: np.ndarray) -> None:
        self._set(numbers)
        state, own = model.state_dict(), self._model.state_dict()
        for name in _CALIBRATED:
            state[name].copy_(own[name])
        for name, factor in zip(_TEXT_ANGLES, self._text.detach(), strict=True):
            state[name] *= factor

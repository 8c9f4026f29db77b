"""Which values of ``config/train`` make sense."""

import numpy as np
from omegaconf import DictConfig

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING

_WHOLE = ("max_epochs", "batch_size", "warmup_epochs", "seed", "negatives")
_AT_LEAST = {
    "max_epochs": 1,
    "batch_size": 1,
    "warmup_epochs": 0,
    "weight_decay": 0,
    "seed": 0,
    "negatives": 1,
}


def check_settings(train: DictConfig) -> None:
    """Finds values that training would stumble over much later.

    Raises:
        InputError: Names the first such key and what it may be.
    """
    for key in ("train_target_share", *_AT_LEAST, "lr", "liked_above"):
        kind = int if key in _WHOLE else int | float
        if isinstance(train[key], bool) or not isinstance(train[key], kind):
            what = "a whole number" if key in _WHOLE else "a number"
            raise InputError(f"train.{key}={train[key]}: must be {what}")
    share = train.train_target_share
    if not 0 < share < 1:
        raise InputError(f"train.train_target_share={share}: must be between 0 and 1")
    for key, least in _AT_LEAST.items():
        if train[key] < least:
            raise InputError(f"train.{key}={train[key]}: must be at least {least}")
    if not isinstance(train.warm_start, bool | str | None) or train.warm_start == "":
        raise InputError(
            f"train.warm_start={train.warm_start}: must be null, true (the newest checkpoint) or"
            " the path of a checkpoint"
        )
    if train.lr <= 0:
        raise InputError(f"train.lr={train.lr}: must be above 0")
    if not MIN_RATING <= train.liked_above < MAX_RATING:
        raise InputError(
            f"train.liked_above={train.liked_above}: must be from {MIN_RATING:g} to below"
            f" {MAX_RATING:g}"
        )


def check_ratings(objective: DictConfig, true: np.ndarray) -> None:
    """Finds an objective that has nothing to learn from.

    Args:
        objective: ``config/objective``.
        true: float32 [n], ratings of the training reviews, NaN if missing.

    Raises:
        InputError: It rates only, and there is no rating.
    """
    if not objective.ranking_weight and np.isnan(true).all():
        raise InputError(
            "objective.ranking_weight=0: the training reviews have no rating, so there is nothing"
            " to learn; use objective=joint or objective=ranking"
        )

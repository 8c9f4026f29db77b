"""Data and text encoder of a checkpoint, or those that the command names instead."""

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from rec_sys.foundation.build import build
from rec_sys.reviews.schema import ReviewData
from rec_sys.text.encoder import TextEncoder

if TYPE_CHECKING:
    from rec_sys.modules.checkpoint import TrainedModel


def load_data(trained: "TrainedModel", config: DictConfig) -> ReviewData:
    """Loads the data set that the model was trained with, or the one that `config` names.

    Args:
        trained: The model.
        config: Has an axis ``data``.

    Raises:
        InputError: The data cannot be read.
    """
    return build(trained.settings(config, "data")).load()


def load_encoder(trained: "TrainedModel", config: DictConfig) -> TextEncoder:
    """Makes the text encoder that the model was trained with, or the one that `config` names.

    Args:
        trained: The model.
        config: Has an axis ``encoder``.

    Raises:
        InputError: Not available, or its vectors mean nothing to this model.
    """
    encoder = build(trained.settings(config, "encoder"))
    trained.check_encoder(encoder)
    return encoder


def held_out_user_ids(trained: "TrainedModel", data: ReviewData) -> list[str] | None:
    """The users that training did not see.

    Args:
        trained: The model.
        data: Any data set.

    Returns:
        Their ids; None if it is not exactly the data set of the training: an equal id may then
        be another person.
    """
    if data.fingerprint != trained.record["data"]["fingerprint"]:
        return None
    return trained.record["split"]["validation_user_ids"]

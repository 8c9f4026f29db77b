"""Data, split and text encoder of a checkpoint, or those that the command names instead."""

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from rec_sys.foundation.build import build
from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.splits.description import split_fingerprint
from rec_sys.graph.task import Split
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


def is_training_data(trained: "TrainedModel", data: ReviewData) -> bool:
    """Whether a data set is exactly the one that the model was trained with.

    If it is not, an equal id may be another person.

    Args:
        trained: The model.
        data: Any data set.
    """
    return data.fingerprint == trained.record["data"]["fingerprint"]


def held_out_user_ids(trained: "TrainedModel", data: ReviewData) -> list[str] | None:
    """The users that training did not see and the best epoch was chosen by.

    Args:
        trained: The model.
        data: Any data set.

    Returns:
        Their ids; none if the split did not hold out whole users; None if it is not exactly the
        data set of the training.
    """
    if not is_training_data(trained, data):
        return None
    return trained.record["split"]["validation_user_ids"]


def split_as_trained(trained: "TrainedModel", graph: ReviewGraph, config: DictConfig) -> Split:
    """Splits the training's data set again, as it was split for the training.

    Args:
        trained: The model.
        graph: The graph of the data set of the training.
        config: May have an axis ``split``: the same settings, said by somebody who trusts a class
            that is no part of rec_sys.

    Raises:
        InputError: It comes out differently.
    """
    splitter = build(trained.settings(config, "split"))
    if trained.record.get("warm_start"):
        # It depends on what an earlier checkpoint had seen, which may be gone.
        split = trained.seen.split(splitter.name, graph)
    else:
        split = splitter.split(graph)
    if split_fingerprint(split) != trained.record["split"]["fingerprint"]:
        raise InputError(
            f"{trained.path}: the split of its training (split={split.name}) comes out differently"
            " now, so that it is not known which reviews trained it; use the version of rec_sys"
            " and PyTorch that trained it, or train again"
        )
    return split

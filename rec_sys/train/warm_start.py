"""Starting from the weights of an earlier training instead of random ones.

Only the weights are taken over: the optimiser, the epochs, how much the network counts beside the
product graph (`ranking_share`) and everything that is counted or solved for (product graph, mean
ratings, popularity) begin anew, from the training reviews of the data at hand.

What the weights have learnt from is never measured. The checkpoint tells what that was
(`SeenReviews`, over all trainings in a row), and each split keeps to it:

* ``users``, ``new_users``, ``new_products``: who trained trains again, who was held out is held
  out again, and of those who are new the same shares are drawn.
* ``leave_one_out``: a review is a target only if it is newer than all of its user's that were
  learnt from.
* ``time``: the validation begins after the newest review that was learnt from.

Whatever split it is, a target that was learnt from is refused in the end.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from rec_sys.foundation.build import flat
from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.modules.checkpoint_files import find_checkpoint
from rec_sys.train.record import plain_config

if TYPE_CHECKING:
    from torch import nn

    from rec_sys.graph.review_graph import ReviewGraph
    from rec_sys.graph.splits.seen import SeenReviews
    from rec_sys.graph.task import Split
    from rec_sys.modules.checkpoint import TrainedModel
    from rec_sys.text.encoder import TextEncoder
    from rec_sys.train.interrupted import InterruptedTraining


@dataclass(frozen=True)
class WarmStart:
    """An earlier training whose weights a new one starts from.

    Attributes:
        trained: The earlier model.
        seen: What it has seen.
        asked: ``train.warm_start``.
    """

    trained: "TrainedModel"
    seen: "SeenReviews"
    asked: bool | str

    @property
    def origin(self) -> dict[str, Any]:
        """What the record of the new checkpoint tells about it."""
        return {
            "asked": self.asked,
            "checkpoint": self.trained.path.name,
            "run_name": self.trained.record["run_name"],
            "fingerprint": self.trained.fingerprint,
        }

    def check_encoder(self, encoder: "TextEncoder") -> None:
        """Makes sure that texts mean to the new training what they meant to the earlier one.

        Raises:
            InputError: Another text encoder.
        """
        if encoder.model_fingerprint != self.trained.record["encoder"]["model_fingerprint"]:
            raise InputError(
                f"{self.trained.path}: was trained with another text encoder"
                f" (encoder.model={self.trained.record['config']['encoder'].get('model')}); use"
                " the same one, or train without train.warm_start"
            )

    def put_weights(self, model: "nn.Module") -> None:
        """Gives a network, built from the same settings, the earlier weights."""
        import torch

        weights = self.trained.model.state_dict()
        # Chosen on validation after each epoch; while training goes on it is one.
        weights["ranking_share"] = torch.ones_like(weights["ranking_share"])
        model.load_state_dict(weights)


def find_warm_start(config: DictConfig) -> WarmStart | None:
    """The training to start from, if ``train.warm_start`` asks for one.

    Args:
        config: Composed from ``config/train_config.yaml``. An interrupted training that is
            resumed has its weights already.

    Raises:
        InputError: There is no such checkpoint, it has another network, or it does not tell what
            it has learnt from.
    """
    asked = config.train.warm_start
    if not asked or config.train.resume:
        return None
    path = find_checkpoint(None if asked is True else asked, config.paths.checkpoint_dir)

    from rec_sys.modules.checkpoint import load_trained

    plain = plain_config(config)
    trained = load_trained(path)
    then, now = (dict(flat(each["model"])) for each in (trained.record["config"], plain))
    differing = [
        f"model.{key}={then.get(key)}, now {now.get(key)}"
        for key in sorted({*then, *now})
        if then.get(key) != now.get(key)
    ]
    if differing:
        raise InputError(
            f"{path}: its network has other settings ({'; '.join(differing)}); give the same ones"
            " to start from its weights, or train without train.warm_start"
        )
    if trained.seen is None:
        raise InputError(
            f"{path}: was written by a version of rec_sys whose checkpoints do not tell what they"
            " have learnt from, so validation could flatter the new model; train once without"
            " train.warm_start"
        )
    note(f"starting from the weights of {path}")
    return WarmStart(trained, trained.seen, plain["train"]["warm_start"])


def split_reviews(
    splitter: Any,
    graph: "ReviewGraph",
    start: WarmStart | None,
    interrupted: "InterruptedTraining | None",
) -> "tuple[Split, SeenReviews]":
    """Splits the data so that nothing is measured that the weights have learnt from.

    Args:
        splitter: Built from ``config/split``.
        graph: The graph.
        start: Where the weights come from.
        interrupted: The training that is resumed; one that was started from a checkpoint has its
            split written down, for that checkpoint may be gone.

    Returns:
        The split, and what the new checkpoints tell about it.

    Raises:
        InputError: The data cannot be split so.
    """
    from rec_sys.graph.splits.seen import SeenReviews, require_unlearnt

    if interrupted and interrupted.origin:
        return interrupted.seen.split(splitter.name, graph), interrupted.seen
    if start is None:
        split = splitter.split(graph)
        return split, SeenReviews.of(split, graph)
    split = splitter.split(graph, start.seen)
    require_unlearnt(split, graph, start.seen)
    return split, SeenReviews.of(split, graph, start.seen)

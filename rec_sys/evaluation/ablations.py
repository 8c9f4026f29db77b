"""What the model is worth without one of the things that it knows: reviews changed on purpose.

Each of these keeps the edges where they are, so that the split of the unchanged graph fits, with
the same people, targets and histories.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from omegaconf import DictConfig, OmegaConf

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.graph.brands import NO_BRAND
from rec_sys.graph.review_graph import NO_TIME, ReviewGraph
from rec_sys.text.vector_store import EMPTY_TEXT_ROW

ABLATIONS_PATH = CONFIG_DIR / "evaluation" / "ablations.yaml"


def mask_reviews(graph: ReviewGraph, seed: int) -> ReviewGraph:
    """Nobody said anything: each review has the text "", whose vector is zero."""
    return replace(graph, edge_text=np.full_like(graph.edge_text, EMPTY_TEXT_ROW))


def shuffle_reviews(graph: ReviewGraph, seed: int) -> ReviewGraph:
    """Everybody said what somebody else said: real texts, no connection to the products."""
    return replace(graph, edge_text=np.random.default_rng(seed).permutation(graph.edge_text))


def mask_product_texts(graph: ReviewGraph, seed: int) -> ReviewGraph:
    """Products have neither a name nor a description."""
    nothing = np.full_like(graph.product_name_text, EMPTY_TEXT_ROW)
    return replace(graph, product_name_text=nothing, product_info_text=nothing)


def mask_brands(graph: ReviewGraph, seed: int) -> ReviewGraph:
    """No product has a brand, apart from what its name says."""
    return replace(graph, product_brand=np.full_like(graph.product_brand, NO_BRAND))


def mask_ratings(graph: ReviewGraph, seed: int) -> ReviewGraph:
    """Nobody gave stars."""
    return replace(graph, edge_rating=np.full_like(graph.edge_rating, np.nan))


def mask_times(graph: ReviewGraph, seed: int) -> ReviewGraph:
    """Only the order of each person's reviews is known."""
    return replace(graph, edge_time=np.full_like(graph.edge_time, NO_TIME))


#: Takes a graph and a seed.
Change = Callable[[ReviewGraph, int], ReviewGraph]
CHANGES: Mapping[str, Change] = {
    "mask_reviews": mask_reviews,
    "shuffle_reviews": shuffle_reviews,
    "mask_product_texts": mask_product_texts,
    "mask_brands": mask_brands,
    "mask_ratings": mask_ratings,
    "mask_times": mask_times,
}


@dataclass(frozen=True)
class Ablation:
    """The model without something.

    Attributes:
        name: Its row.
        change: What becomes of the reviews, a key of `CHANGES`; None leaves them alone.
        overrides: What becomes of the config, see `rec_sys.evaluation.overrides`.
    """

    name: str
    change: str | None = None
    overrides: Sequence[str] = ()

    def apply(self, graph: ReviewGraph, seed: int) -> ReviewGraph:
        """The graph that this model learns from and is asked with."""
        return CHANGES[self.change](graph, seed) if self.change else graph


def load_ablations(names: Sequence[str]) -> list[Ablation]:
    """The ablations of ``config/evaluation/ablations.yaml`` by their names.

    Raises:
        InputError: There is no ablation of a name, or it asks for an unknown change.
    """
    known = OmegaConf.load(ABLATIONS_PATH)
    assert isinstance(known, DictConfig)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"evaluation.ablations: no ablation {', '.join(unknown)}; there are {', '.join(known)}"
        )
    ablations = [
        Ablation(name, known[name].get("change"), list(known[name].get("overrides", [])))
        for name in names
    ]
    for ablation in ablations:
        if ablation.change and ablation.change not in CHANGES:
            raise InputError(
                f"{ABLATIONS_PATH}: {ablation.name}: no change {ablation.change}; there are"
                f" {', '.join(CHANGES)}"
            )
    return ablations

"""The small parts of the graph model."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from rec_sys.graph.rating_features import HALF_RANGE, MIDDLE_RATING, NUM_RATING_FEATURES

# log(1 + days) of ten years: ages of real histories come out between 0 and about 1.
_LOG_LONGEST_AGE = 8.2
# log(1 + reviews) of a long history.
_LOG_LONGEST_HISTORY = 4.0


def full_precision(device: torch.device) -> AbstractContextManager:
    """Switches mixed precision off: bf16's three digits are too few for angles and logits.

    Args:
        device: Where the block computes. Its inputs have to be float32.
    """
    if not torch.is_autocast_enabled(device.type):
        return nullcontext()  # nothing that an export would have to write down
    return torch.autocast(device.type, enabled=False)


class FeatureEncoder(nn.Sequential):
    """Text vector(s) -> hidden features: linear, layer norm, GELU, dropout.

    Args:
        in_dim: Size of the input.
        hidden_dim: Size of the output.
        dropout: Share of the hidden features dropped in training.

    Shape:
        float32 [n, in_dim] -> float32 [n, hidden_dim].
    """

    def __init__(self, in_dim: int, hidden_dim: int, dropout: float) -> None:
        super().__init__(
            nn.Linear(in_dim, hidden_dim),
            nn.LayerNorm(hidden_dim),
            nn.GELU(),
            nn.Dropout(dropout),
        )


class ReviewEncoder(nn.Module):
    """A review as an edge: what was written, how it was rated, how long ago, how many reviews ago.

    Args:
        vector_dim: Size of a text vector.
        hidden_dim: Size of the output.
        dropout: Share of the hidden features dropped in training.

    Shape:
        - edge_attr: float32 [E, vector_dim], zero for an empty text.
        - edge_rating: float32 [E], 1...5, 0 if missing.
        - edge_age: float32 [E], days.
        - edge_step: float32 [E], newer reviews of the same user.
        - Output: float32 [E, hidden_dim].
    """

    def __init__(self, vector_dim: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.text = nn.Linear(vector_dim, hidden_dim)
        # Rating known, its distance from the middle, how extreme it is, the age, the place.
        self.context = nn.Linear(5, hidden_dim)
        self.finish = nn.Sequential(nn.LayerNorm(hidden_dim), nn.GELU(), nn.Dropout(dropout))

    def forward(
        self, edge_attr: Tensor, edge_rating: Tensor, edge_age: Tensor, edge_step: Tensor
    ) -> Tensor:
        """See the class."""
        known = (edge_rating > 0).to(edge_attr.dtype)
        distance = known * (edge_rating - MIDDLE_RATING) / HALF_RANGE
        age = torch.log1p(edge_age) / _LOG_LONGEST_AGE
        place = torch.log1p(edge_step) / _LOG_LONGEST_HISTORY
        context = torch.stack([known, distance, distance.square(), age, place], dim=1)
        return self.finish(self.text(edge_attr) + self.context(context))


class ProductEncoder(nn.Module):
    """Name, information and what others said, fused into one: their mean, and a correction.

    A source without a text (the zero vector) is told to the fusion by a flag, so that "nothing
    is known" differs from "something average is known". Whole sources are dropped at random in
    training, so that a product without reviews or information is nothing unusual.

    Args:
        vector_dim: Size of a text vector.
        hidden_dim: Size of the output.
        dropout: Share of the hidden features dropped in training.
        source_dropout: Probability that one of the sources of a product is hidden in training.

    Shape:
        - name, info, reviews: float32 [P, vector_dim].
        - ratings: float32 [P, 3], hidden together with the reviews.
        - Output: float32 [P, hidden_dim].
    """

    def __init__(
        self, vector_dim: int, hidden_dim: int, dropout: float, source_dropout: float
    ) -> None:
        super().__init__()
        self.source_dropout = source_dropout
        self.name = FeatureEncoder(vector_dim, hidden_dim, dropout)
        self.info = FeatureEncoder(vector_dim, hidden_dim, dropout)
        self.reviews = FeatureEncoder(vector_dim, hidden_dim, dropout)
        self.fusion = FeatureEncoder(3 * hidden_dim + 3 + NUM_RATING_FEATURES, hidden_dim, dropout)

    def forward(self, name: Tensor, info: Tensor, reviews: Tensor, ratings: Tensor) -> Tensor:
        """See the class."""
        # By their length: comparing every number with zero would take ten times as long.
        lengths = [torch.linalg.vector_norm(source, dim=1) for source in (name, info, reviews)]
        given = torch.stack(lengths, dim=1) > 0
        given = given.to(name.dtype)
        if self.training and self.source_dropout > 0:
            kept = (torch.rand_like(given) >= self.source_dropout).to(given.dtype)
            given, ratings = given * kept, ratings * kept[:, 2:]
        hidden = [
            encoder(source) * given[:, position, None]
            for position, (encoder, source) in enumerate(
                [(self.name, name), (self.info, info), (self.reviews, reviews)]
            )
        ]
        mean = torch.stack(hidden).sum(dim=0) / given.sum(dim=1, keepdim=True).clamp(min=1)
        return mean + self.fusion(torch.cat([*hidden, given, ratings], dim=1))

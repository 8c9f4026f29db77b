"""The network: a person's reviews and the products' texts become embeddings of both."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rec_sys.graph.rating_features import NUM_RATING_FEATURES
from rec_sys.modules.layers import FeatureEncoder, ProductEncoder, ReviewEncoder


class Embeddings(NamedTuple):
    """What the model returns; the names of the ONNX model's outputs.

    Attributes:
        user_embeddings: float32 [U, hidden_dim], unit length.
        product_embeddings: float32 [P, hidden_dim], unit length.
        attention: float32 [E, heads], sums to 1 over a user's edges: what carried the embedding.
    """

    user_embeddings: Tensor
    product_embeddings: Tensor
    attention: Tensor


class GraphModel(nn.Module):
    """Attention over the reviews of each user, along the bipartite graph.

    Messages go from products to users, ``conv((x_product, x_user), edge_index, edge_attr)``:
    a product index never lands in a user's row. A product's embedding comes from its own
    features only (its texts and the mean of its reviews), so that a new product needs no
    retraining, and a user without any review gets the embedding of the average newcomer.

    Args:
        vector_dim: Size of a text vector (384 for all-MiniLM-L6-v2).
        hidden_dim: Size of all hidden features and of the embeddings.
        dropout: Share of the hidden features dropped in training.
        source_dropout: See `ProductEncoder`.
        conv: Makes the convolution from ``in_channels``, a pair of sizes, and ``edge_dim``; a PyG
            layer that takes a pair of node features and ``return_attention_weights``.

    References:
        Shi et al., Masked Label Prediction, IJCAI 2021 (TransformerConv); Brody et al., How
        Attentive are Graph Attention Networks?, ICLR 2022 (GATv2Conv).
    """

    def __init__(
        self,
        vector_dim: int,
        hidden_dim: int,
        dropout: float,
        source_dropout: float,
        conv: Callable[..., nn.Module],
    ) -> None:
        super().__init__()
        self.vector_dim = vector_dim
        self.embedding_dim = hidden_dim
        self.product_encoder = ProductEncoder(vector_dim, hidden_dim, dropout, source_dropout)
        self.review_encoder = ReviewEncoder(vector_dim, hidden_dim, dropout)
        self.user_encoder = FeatureEncoder(vector_dim, hidden_dim, dropout)
        self.conv = conv(in_channels=(hidden_dim, hidden_dim), edge_dim=hidden_dim)
        self.heads: int = self.conv.heads
        conv_dim = self.conv.out_channels * (self.heads if self.conv.concat else 1)
        user_dim = conv_dim + hidden_dim + NUM_RATING_FEATURES
        self.user_head = nn.Sequential(
            nn.LayerNorm(user_dim),
            nn.Dropout(dropout),
            nn.Linear(user_dim, hidden_dim),
        )
        self.product_head = nn.Linear(hidden_dim, hidden_dim)
        self._start_from_text_similarity()

    def forward(
        self,
        user_features: Tensor,
        user_rating_features: Tensor,
        product_name_features: Tensor,
        product_info_features: Tensor,
        product_review_features: Tensor,
        product_rating_features: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor,
        edge_rating: Tensor,
        edge_age: Tensor,
    ) -> Embeddings:
        """Embeds the users and products of a batch.

        Args:
            user_features: float32 [U, vector_dim].
            user_rating_features: float32 [U, 2].
            product_name_features: float32 [P, vector_dim].
            product_info_features: float32 [P, vector_dim].
            product_review_features: float32 [P, vector_dim].
            product_rating_features: float32 [P, 2].
            edge_index: int64 [2, E], row 0 products, row 1 users. E may be 0.
            edge_attr: float32 [E, vector_dim].
            edge_rating: float32 [E].
            edge_age: float32 [E].

        Returns:
            See `Embeddings`. The inputs are described at `rec_sys.graph.ego_batch.EgoBatch`.
        """
        x_product = self.product_encoder(
            product_name_features,
            product_info_features,
            product_review_features,
            product_rating_features,
        )
        x_user = self.user_encoder(user_features)
        reviews = self.review_encoder(edge_attr, edge_rating, edge_age)
        messages, (_, attention) = self.conv(
            (x_product, x_user), edge_index, reviews, return_attention_weights=True
        )
        user = x_user + self.user_head(torch.cat([messages, x_user, user_rating_features], dim=1))
        product = x_product + self.product_head(x_product)
        return Embeddings(F.normalize(user, dim=1), F.normalize(product, dim=1), attention)

    def _start_from_text_similarity(self) -> None:
        """Lets the embeddings start as projected texts, so that alike texts start alike.

        All encoders start from one projection and the heads from zero. From independent random
        projections the cosine of a user and a product means nothing at first, and training
        spends most of its steps on a plateau.
        """
        projection = self.user_encoder[0].state_dict()
        products = self.product_encoder
        for layer in (products.name[0], products.info[0], products.reviews[0]):
            layer.load_state_dict(projection)
        self.review_encoder.text.load_state_dict(projection)
        for layer in (self.user_head[-1], self.product_head):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

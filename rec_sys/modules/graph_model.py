"""The network: a user's reviews and the products' texts become embeddings."""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rec_sys.graph import ego_batch
from rec_sys.graph.ego_batch import NUM_RATING_FEATURES, PRODUCT_SHRINKAGE, USER_SHRINKAGE
from rec_sys.modules.rating_bias import RatingStart
from rec_sys.reviews.schema import MAX_RATING

#: The arrays of an `EgoBatch` by name.
TensorBatch = dict[str, torch.Tensor]

# log(1 + days) of ten years: ages of real histories come out between 0 and about 1.
_LOG_LONGEST_AGE = 8.2
# log(1 + reviews) of a long history.
_LOG_LONGEST_HISTORY = 4.0
_HALF_SCALE = MAX_RATING / 2
# Above it the circle is too curved for stars to be added up as angles; the mean of most shops.
_HIGHEST_CENTRE = 4.4
# Length of the part of an embedding that holds the residual, beside 1 for the angle; it is learned
# as an exponent, so many times faster than other weights, for it has to grow by factors.
_INITIAL_RESIDUAL = 0.3
RESIDUAL_SPEED = 20.0


def full_precision(device: torch.device) -> AbstractContextManager:
    """Switches mixed precision off: bf16's three digits are too few for angles and logits."""
    if not torch.is_autocast_enabled(device.type):
        return nullcontext()  # nothing that an export would have to write down
    return torch.autocast(device.type, enabled=False)


def feature_encoder(in_dim: int, hidden_dim: int, dropout: float) -> nn.Sequential:
    """Linear, layer norm, GELU, dropout: float32 [n, in_dim] -> float32 [n, hidden_dim]."""
    linear, norm = nn.Linear(in_dim, hidden_dim), nn.LayerNorm(hidden_dim)
    return nn.Sequential(linear, norm, nn.GELU(), nn.Dropout(dropout))


class ReviewEncoder(nn.Module):
    """What was written, how it was rated, how long ago, how many reviews ago: float32 [E,
    hidden_dim]. `edge_attr`: float32 [E, vector_dim], zero for an empty text; the others, float32
    [E]: `edge_rating`, 1...5, 0 if missing; `edge_age`, days; `edge_step`, newer reviews."""

    def __init__(self, vector_dim: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.text = nn.Linear(vector_dim, hidden_dim)
        # Rating known, its distance from the middle, how extreme it is, the age, the place.
        self.context = nn.Linear(5, hidden_dim)
        self.finish = nn.Sequential(nn.LayerNorm(hidden_dim), nn.GELU(), nn.Dropout(dropout))

    def forward(
        self, edge_attr: Tensor, edge_rating: Tensor, edge_age: Tensor, edge_step: Tensor
    ) -> Tensor:
        known = (edge_rating > 0).to(edge_attr.dtype)
        distance = known * (edge_rating - ego_batch.MIDDLE_RATING) / ego_batch.HALF_RANGE
        age = torch.log1p(edge_age) / _LOG_LONGEST_AGE
        place = torch.log1p(edge_step) / _LOG_LONGEST_HISTORY
        context = torch.stack([known, distance, distance.square(), age, place], dim=1)
        return self.finish(self.text(edge_attr) + self.context(context))


class ProductEncoder(nn.Module):
    """Name, information and what others said, fused into one, float32 [P, hidden_dim]: their mean,
    and a correction. A source without a text (the zero vector) is told by a flag, so that "nothing
    is known" differs from "something average is known". In training, whole sources are dropped with
    the probability `modality_dropout`: a product without reviews is nothing unusual. `name`,
    `info`, `reviews`: float32 [P, vector_dim]; `ratings`: float32 [P, 3], hidden with those."""

    def __init__(
        self, vector_dim: int, hidden_dim: int, dropout: float, modality_dropout: float
    ) -> None:
        super().__init__()
        self.modality_dropout = nn.Dropout(modality_dropout).p  # which refuses what is none
        self.name = feature_encoder(vector_dim, hidden_dim, dropout)
        self.info = feature_encoder(vector_dim, hidden_dim, dropout)
        self.reviews = feature_encoder(vector_dim, hidden_dim, dropout)
        self.fusion = feature_encoder(3 * hidden_dim + 3 + NUM_RATING_FEATURES, hidden_dim, dropout)

    def forward(self, name: Tensor, info: Tensor, reviews: Tensor, ratings: Tensor) -> Tensor:
        # By their length: comparing every number with zero would take ten times as long.
        lengths = [torch.linalg.vector_norm(source, dim=1) for source in (name, info, reviews)]
        given = (torch.stack(lengths, dim=1) > 0).to(name.dtype)
        if self.training and self.modality_dropout > 0:
            kept = (torch.rand_like(given) >= self.modality_dropout).to(given.dtype)
            given, ratings = given * kept, ratings * kept[:, 2:]
        sources = [(self.name, name), (self.info, info), (self.reviews, reviews)]
        hidden = [encode(texts) * given[:, i, None] for i, (encode, texts) in enumerate(sources)]
        mean = torch.stack(hidden).sum(dim=0) / given.sum(dim=1, keepdim=True).clamp(min=1)
        return mean + self.fusion(torch.cat([*hidden, given, ratings], dim=1))


class GraphModel(nn.Module):
    """Attention over the reviews of each user, along the bipartite graph.

    Messages go from products to users, ``conv((x_product, x_user), edge_index, edge_attr)``. A
    product's embedding comes from its own features only, so that a new product needs no retraining;
    a user without a review gets that of the average newcomer.

    The first two numbers of an embedding are an angle on a circle that the ratings decide: with a
    the user's and b the product's, their part of the cosine is cos(c + a + b), the model "user +
    product bias" on a circle. What reviews and texts say comes on top: what is linear in their
    means in the angles, the rest in the other dimensions.

    `vector_dim` is the size of a text vector, `hidden_dim` of hidden features and embeddings.
    `conv` makes the convolution from ``in_channels``, a pair of sizes, and ``edge_dim``: any PyG
    layer that takes a pair of node features and ``return_attention_weights`` (Shi et al., Masked
    Label Prediction, IJCAI 2021: TransformerConv; Brody et al., How Attentive are Graph Attention
    Networks?, ICLR 2022: GATv2Conv)."""

    def __init__(
        self,
        vector_dim: int,
        hidden_dim: int,
        dropout: float,
        modality_dropout: float,
        conv: Callable[..., nn.Module],
    ) -> None:
        super().__init__()
        self.vector_dim, self.embedding_dim = vector_dim, hidden_dim
        self.product_encoder = ProductEncoder(vector_dim, hidden_dim, dropout, modality_dropout)
        self.review_encoder = ReviewEncoder(vector_dim, hidden_dim, dropout)
        self.user_encoder = feature_encoder(vector_dim, hidden_dim, dropout)
        self.conv = conv(in_channels=(hidden_dim, hidden_dim), edge_dim=hidden_dim)
        self.heads: int = self.conv.heads
        conv_dim = self.conv.out_channels * (self.heads if self.conv.concat else 1)
        user_dim = conv_dim + hidden_dim + NUM_RATING_FEATURES
        self.user_head = _head(user_dim, hidden_dim, dropout)
        self.product_head = nn.Linear(hidden_dim, hidden_dim)
        self.user_angle = nn.Linear(1 + NUM_RATING_FEATURES, 1)
        self.product_angle = nn.Linear(NUM_RATING_FEATURES, 1)
        # What mean texts add to the angles; not learned here, see `start_from_ratings`.
        self.register_buffer("user_text_angle", torch.zeros(vector_dim))
        self.register_buffer("product_text_angle", torch.zeros(vector_dim))
        self.residual_length = nn.Parameter(torch.zeros(()))
        self.query_head = _head(user_dim, hidden_dim, dropout)
        self.key_head = nn.Linear(hidden_dim, hidden_dim + 1)
        self.register_buffer("mean_rating", torch.tensor(_HIGHEST_CENTRE))
        self.register_buffer("user_shrinkage", torch.tensor(USER_SHRINKAGE))
        self.register_buffer("product_shrinkage", torch.tensor(PRODUCT_SHRINKAGE))
        self.register_buffer("centre_angle", torch.tensor(_angle_of(_HIGHEST_CENTRE)))
        self._start_from_text_similarity()
        self.start_from_biases(_HIGHEST_CENTRE)

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
        edge_step: Tensor,
    ) -> ego_batch.GraphOutputs:
        """Embeds the users and products of a batch, described at `EgoBatch`; E may be 0."""
        sources = product_name_features, product_info_features, product_review_features
        x_product = self.product_encoder(*sources, product_rating_features)
        x_user = self.user_encoder(user_features)
        reviews = self.review_encoder(edge_attr, edge_rating, edge_age, edge_step)
        # One copy of a product per review: the layer would project those without a message, too.
        sender = torch.arange(edge_index.shape[1], device=edge_index.device)
        nodes = x_product.index_select(0, edge_index[0]), x_user
        edges = torch.stack([sender, edge_index[1]])
        messages, (_, attention) = self.conv(nodes, edges, reviews, return_attention_weights=True)
        with full_precision(user_features.device):
            x_user, x_product, messages = x_user.float(), x_product.float(), messages.float()
            known = torch.cat([messages, x_user, user_rating_features], dim=1)
            ratings = user_rating_features, product_rating_features
            user_text = user_features.float() @ self.user_text_angle
            product_text = product_review_features.float() @ self.product_text_angle
            texts = user_text, product_text
            user_angle, product_angle = self.angles(ratings, texts, edge_index, edge_rating)
            user = self._on_sphere(self.centre_angle + user_angle, x_user + self.user_head(known))
            product = self._on_sphere(-product_angle, x_product + self.product_head(x_product))
            query = self.query_head(known) / self.embedding_dim**0.5
            query, key = F.pad(query, (0, 1), value=1.0), self.key_head(x_product)
            return ego_batch.GraphOutputs(user, product, query, key, attention.float())

    @torch.inference_mode()
    def embed(self, inputs: Mapping[str, np.ndarray]) -> ego_batch.GraphOutputs:
        """A `GraphBackend` where the model is; leaves it in evaluation mode."""
        self.eval()
        device = self.residual_length.device
        tensors = (torch.from_numpy(inputs[name]).to(device) for name in ego_batch.MODEL_INPUTS)
        return ego_batch.GraphOutputs(*(output.cpu().numpy() for output in self(*tensors)))

    def start_from_ratings(self, start: RatingStart) -> None:
        """Starts at a linear model of biases and mean texts; the network learns what it leaves."""
        self.user_shrinkage.fill_(start.user_shrinkage)
        self.product_shrinkage.fill_(start.product_shrinkage)
        self.start_from_biases(start.mean)
        radians = -1 / self._stars_per_radian().item()
        self.user_text_angle.copy_(radians * torch.from_numpy(start.user))
        self.product_text_angle.copy_(radians * torch.from_numpy(start.product))
        # The biases are told as distances from the mean.
        shift = start.intercept - (1 - start.bias_weight) * start.mean
        with torch.no_grad():
            self.user_angle.weight *= start.bias_weight
            self.product_angle.weight *= start.bias_weight
            self.user_angle.bias += radians * shift

    def angles(
        self, ratings: Iterable[Tensor], texts: Iterable[Tensor], edge_index: Tensor, given: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The angles of users, [U, 1], beyond the centre, and of products, [P, 1], in radians.
        `ratings`: features of users and products; `texts`: [U] and [P], what their mean texts add;
        `given`: the ratings of edges; all as in `forward`."""
        user_rating_features, product_rating_features = ratings
        user_text, product_text = texts
        user_ratings = _reshrunk(user_rating_features, USER_SHRINKAGE, self.user_shrinkage)
        product_angle = self.product_angle(
            _reshrunk(product_rating_features, PRODUCT_SHRINKAGE, self.product_shrinkage)
        )
        # By how many stars a user's ratings lie above those of the products, shrunk.
        product, user = edge_index
        known = (given > 0).to(product_angle.dtype)
        expected = self.mean_rating - self._stars_per_radian() * product_angle[product, 0]
        # Not len(), which would make the example's number of users a constant of the export.
        nothing = product_angle.new_zeros(user_rating_features.shape[0])
        sums = nothing.scatter_add(0, user, known * (given - expected))
        counts = nothing.scatter_add(0, user, known)
        user_bias = (sums / (counts + self.user_shrinkage))[:, None]
        user_angle = self.user_angle(torch.cat([user_bias, user_ratings], dim=1))
        return user_angle + user_text[:, None], product_angle + product_text[:, None]

    def _stars_per_radian(self) -> Tensor:
        """Stars that are lost per radian at the centre: the slope of ``5/2 (cos x + 1)``."""
        return _HALF_SCALE * torch.sin(self.centre_angle)

    def length_of_residual(self) -> Tensor:
        """Of the part of an embedding beside the angle, whose length is 1."""
        return _INITIAL_RESIDUAL * torch.exp(RESIDUAL_SPEED * self.residual_length)

    def _on_sphere(self, angle: Tensor, residual: Tensor) -> Tensor:
        """Unit vectors: two numbers from the angle, the others the direction of the residual."""
        direction = self.length_of_residual() * F.normalize(residual[:, 2:], dim=1)
        return F.normalize(torch.cat([torch.cos(angle), torch.sin(angle), direction], dim=1), dim=1)

    def _start_from_text_similarity(self) -> None:
        """Lets alike texts start alike: all encoders from one projection, the heads from zero. From
        independent ones training spends most of its steps on a plateau."""
        projection = self.user_encoder[0].state_dict()
        products = self.product_encoder
        for layer in (products.name[0], products.info[0], products.reviews[0]):
            layer.load_state_dict(projection)
        self.review_encoder.text.load_state_dict(projection)
        for layer in (self.user_head[-1], self.product_head, self.query_head[-1]):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def start_from_biases(self, mean: float) -> None:
        """Lets the angles start as "user + product bias" around a mean rating, in stars. A mean of
        n ratings, shrunk towards m by k imaginary ones, lies s/(n+k) - m n/(n+k) above m: linear in
        the rating features. A user's mean is taken of what the products leave open, as in
        `rec_sys.modules.rating_bias`. Where nothing is rated, m is foreseen."""
        self.mean_rating.fill_(mean)
        centre = _angle_of(min(mean, _HIGHEST_CENTRE))
        self.centre_angle.fill_(centre)
        distance = (mean - ego_batch.MIDDLE_RATING) / ego_batch.HALF_RANGE
        radians = -1 / (_HALF_SCALE * math.sin(centre))
        product = [ego_batch.HALF_RANGE * radians, -ego_batch.HALF_RANGE * radians * distance, 0.0]
        user = [radians, 0.0, 0.0, 0.0]
        for layer, weights in ((self.product_angle, product), (self.user_angle, user)):
            with torch.no_grad():
                layer.weight.copy_(torch.tensor([weights]))
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.user_angle.bias, _angle_of(mean) - centre)


def _reshrunk(features: Tensor, given: float, wanted: Tensor) -> Tensor:
    """Rating features, see `rating_features`, as if `wanted` imaginary ratings stood against the
    real ones instead of `given`: sum and number over n + k' are those over n + k times k / (k r +
    k' (1 - r)), with r = n / (n + k)."""
    share = features[:, 1:2]
    factor = given / (given * share + wanted * (1 - share))
    return torch.cat([factor * features[:, :2], features[:, 2:]], dim=1)


def _angle_of(rating: float) -> float:
    return math.acos(rating / _HALF_SCALE - 1)


def _head(in_dim: int, out_dim: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(in_dim), nn.Dropout(dropout), nn.Linear(in_dim, out_dim))

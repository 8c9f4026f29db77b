"""What can run the graph model: PyTorch, ONNX Runtime, or a server."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np


class GraphOutputs(NamedTuple):
    """What the graph model returns for a batch of U users, P products and E history edges.

    Attributes:
        user_embeddings: float32 [U, d], unit length.
        product_embeddings: float32 [P, d], unit length.
        user_queries: float32 [U, d + 1].
        product_keys: float32 [P, d + 1]; the inner product of a query and a key ranks.
        attention: float32 [E, heads], sums to 1 over a user's edges.
    """

    user_embeddings: np.ndarray
    product_embeddings: np.ndarray
    user_queries: np.ndarray
    product_keys: np.ndarray
    attention: np.ndarray


class GraphBackend(Protocol):
    """Runs one graph model.

    Attributes:
        model_fingerprint: Which function it computes, `TrainedModel.fingerprint`.
        vector_dim: Length of a text vector, D.
        embedding_dim: Length of an embedding, d.
    """

    model_fingerprint: str
    vector_dim: int
    embedding_dim: int

    def embed(self, inputs: Mapping[str, np.ndarray]) -> GraphOutputs:
        """Embeds a batch; without any edge and without any product, too.

        Args:
            inputs: The arrays named in `rec_sys.graph.ego_batch.MODEL_INPUTS`, described at
                `rec_sys.graph.ego_batch.EgoBatch`; at least one user.
        """

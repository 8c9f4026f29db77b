"""What can run the models: PyTorch, ONNX Runtime, or a server."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from rec_sys.graph.ego_batch import MODEL_INPUTS

_PRODUCT_INPUTS = (
    "product_name_features",
    "product_info_features",
    "product_review_features",
    "product_rating_features",
)


class BackendUnavailable(Exception):
    """A server that runs a model does not answer, or not now. Nobody's input is to blame.

    Args:
        message: One line: which server, and what is the matter.
        retry_after: Seconds after which another try makes sense.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


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


class TextBackend(Protocol):
    """Runs one text encoder.

    Attributes:
        encoder_fingerprint: Which function it computes, `TextEncoder.model_fingerprint`.
        vector_dim: Length of a vector, D.
    """

    encoder_fingerprint: str
    vector_dim: int

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encodes texts.

        Args:
            texts: n texts; n may be 0.

        Returns:
            float32 [n, D], each row of unit length.
        """


def run_exported(
    inputs: Mapping[str, np.ndarray],
    run: Callable[[dict[str, np.ndarray]], Sequence[np.ndarray]],
) -> GraphOutputs:
    """Runs an exported graph model, which wants at least one product, on any batch.

    Args:
        inputs: As `GraphBackend.embed` takes them; further arrays are left out.
        run: Takes contiguous arrays by name, returns the arrays of `GraphOutputs` in their order.
    """
    arrays = {name: np.ascontiguousarray(inputs[name]) for name in MODEL_INPUTS}
    num_products = len(arrays[_PRODUCT_INPUTS[0]])
    if not num_products:
        # Nobody is connected with this one.
        arrays |= {
            name: np.zeros((1, arrays[name].shape[1]), np.float32) for name in _PRODUCT_INPUTS
        }
    outputs = GraphOutputs(*run(arrays))
    return outputs._replace(
        product_embeddings=outputs.product_embeddings[:num_products],
        product_keys=outputs.product_keys[:num_products],
    )

"""The graph model as a Triton server runs it."""

from collections.abc import Mapping

import numpy as np

from rec_sys.graph.ego_batch import MODEL_INPUTS
from rec_sys.inference.backends import GraphOutputs, run_exported
from triton_utils.connection import TritonConnection
from triton_utils.served_model import ServedModel


class TritonGraphBackend:
    """See `rec_sys.inference.backends.GraphBackend`. May be used by several threads at once.

    Args:
        connection: To the server.
        model: The model's name in the server's repository.
        model_fingerprint: The model that the products were embedded by; None for the newest one
            that is served. It stays the same one for the life of this object.

    Raises:
        InputError: The server has no such model.
        BackendUnavailable: The server does not answer.
    """

    def __init__(
        self,
        connection: TritonConnection,
        model: str = "graph_model",
        model_fingerprint: str | None = None,
    ) -> None:
        self._model = ServedModel(connection, model, "model_fingerprint", model_fingerprint)
        self._model.require(MODEL_INPUTS, GraphOutputs._fields)
        self.model_fingerprint: str = self._model.fingerprint
        self.vector_dim: int = self._model.input_shapes["user_features"][1]
        self.embedding_dim: int = self._model.output_shapes["user_embeddings"][1]

    @property
    def model_version(self) -> str:
        """The version on the server that computes this model."""
        return self._model.version

    def embed(self, inputs: Mapping[str, np.ndarray]) -> GraphOutputs:
        """Embeds a batch.

        Raises:
            InputError: The arrays do not have the model's shapes or types.
            BackendUnavailable: The server does not answer, or does not serve this model any more.
        """
        return run_exported(inputs, lambda arrays: self._model.infer(arrays, GraphOutputs._fields))

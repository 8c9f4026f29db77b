"""The graph model as PyTorch runs it."""

from collections.abc import Mapping

import numpy as np
import torch

from rec_sys.graph.ego_batch import MODEL_INPUTS
from rec_sys.inference.backend import GraphOutputs
from rec_sys.modules.checkpoint import TrainedModel


class TorchBackend:
    """See `rec_sys.inference.backend.GraphBackend`.

    Args:
        trained: The model of a checkpoint.
    """

    def __init__(self, trained: TrainedModel) -> None:
        self._model = trained.model.eval()
        self.model_fingerprint = trained.fingerprint
        self.vector_dim = trained.model.vector_dim
        self.embedding_dim = trained.model.embedding_dim

    def embed(self, inputs: Mapping[str, np.ndarray]) -> GraphOutputs:
        """Embeds a batch."""
        with torch.inference_mode():
            outputs = self._model(*(torch.from_numpy(inputs[name]) for name in MODEL_INPUTS))
        return GraphOutputs(*(output.numpy() for output in outputs))

"""What runs the models: PyTorch, ONNX Runtime, or a server."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError, told_as_unfit
from rec_sys.foundation.onnx import open_session
from rec_sys.graph import ego_batch
from rec_sys.graph.ego_batch import MODEL_INPUTS, PRODUCT_INPUTS, GraphOutputs

if TYPE_CHECKING:
    from rec_sys.modules.checkpoint import TrainedModel


class BackendUnavailable(Exception):
    """A server that runs a model does not answer, or not now; another try makes sense after
    `retry_after` seconds. The message is one line: which server, and what is the matter."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class GraphBackend(Protocol):
    """Runs the graph model of this `TrainedModel.fingerprint`; D: of texts, d: of embeddings."""

    model_fingerprint: str
    vector_dim: int
    embedding_dim: int

    def embed(self, inputs: Mapping[str, np.ndarray]) -> GraphOutputs:
        """Embeds one user or more, perhaps no edge. `inputs`: `MODEL_INPUTS`, of `EgoBatch`."""


class TextBackend(Protocol):
    """Runs the text encoder of this `TextEncoder.model_fingerprint`; its vectors have length D."""

    encoder_fingerprint: str
    vector_dim: int

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encodes n texts, maybe none: float32 [n, D], each row of unit length."""


def run_exported(
    inputs: Mapping[str, np.ndarray], run: Callable[[dict[str, np.ndarray]], Sequence[np.ndarray]]
) -> GraphOutputs:
    """Runs an exported graph model, which wants at least one product, on any `GraphBackend.embed`;
    `run` takes contiguous arrays by name and returns those of `GraphOutputs` in their order."""
    arrays = {name: np.ascontiguousarray(inputs[name]) for name in MODEL_INPUTS}
    num_products = len(arrays[PRODUCT_INPUTS[0]])
    if not num_products:
        # Nobody is connected with this one.
        for name in PRODUCT_INPUTS:
            arrays[name] = np.zeros((1, arrays[name].shape[1]), np.float32)
    outputs = GraphOutputs(*run(arrays))
    return outputs._replace(
        product_embeddings=outputs.product_embeddings[:num_products],
        product_keys=outputs.product_keys[:num_products],
    )


EXPORT_COMMAND = "uv run python -m rec_sys.modules.model_export"


class OnnxBackend:
    """ONNX Runtime as a `GraphBackend`; 0 threads for as many as there are cores. InputError if
    there is no such file, or it is no exported graph model."""

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path}: no such ONNX model; export one with `{EXPORT_COMMAND}`")
        self._session = open_session(path, threads)
        inputs = {each.name: each.shape for each in self._session.get_inputs()}
        outputs = {each.name: each.shape for each in self._session.get_outputs()}
        metadata = self._session.get_modelmeta().custom_metadata_map
        has_names = (inputs.keys(), outputs.keys()) == ({*MODEL_INPUTS}, {*GraphOutputs._fields})
        if ego_batch.MODEL_FINGERPRINT_KEY not in metadata or not has_names:
            remedy = f"export it with `{EXPORT_COMMAND}`"
            raise InputError(f"{path}: not a graph model of this version; {remedy}")
        self.model_fingerprint: str = metadata[ego_batch.MODEL_FINGERPRINT_KEY]
        self.vector_dim: int = inputs["user_features"][1]
        self.embedding_dim: int = outputs["user_embeddings"][1]
        with told_as_unfit(path, f"export it with `{EXPORT_COMMAND}`"):
            one = self.embed(ego_batch.silent_inputs(self.vector_dim, reviews=1))
            if not all(np.isfinite(each).all() for each in one):
                raise ValueError("its answers are no numbers")

    def embed(self, inputs: Mapping[str, np.ndarray]) -> GraphOutputs:
        names = list(GraphOutputs._fields)
        return run_exported(inputs, lambda arrays: self._session.run(names, arrays))


class TorchBackend:
    """PyTorch as a `GraphBackend`."""

    def __init__(self, trained: "TrainedModel") -> None:
        model = trained.model
        self.embed, self.model_fingerprint = model.embed, trained.fingerprint
        self.vector_dim, self.embedding_dim = model.vector_dim, model.embedding_dim


def exported_or_torch(trained: "TrainedModel", threads: int = 0) -> OnnxBackend | TorchBackend:
    """The network as training has exported it, or else in PyTorch; both agree within 1e-5."""
    if trained.exported.is_file():
        backend = OnnxBackend(trained.exported, threads)
        if backend.model_fingerprint == trained.fingerprint:
            return backend
    note(f"{trained.exported}: is no export of {trained.path.name}; running it in PyTorch")
    return TorchBackend(trained)

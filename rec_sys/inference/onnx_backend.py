"""The graph model as ONNX Runtime runs it; without PyTorch."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.onnx_files import open_session
from rec_sys.graph.ego_batch import MODEL_FINGERPRINT_KEY, MODEL_INPUTS
from rec_sys.inference.backend import GraphOutputs, run_exported

EXPORT_COMMAND = "uv run python -m rec_sys.modules.model_export"


class OnnxBackend:
    """See `rec_sys.inference.backend.GraphBackend`.

    Args:
        path: The file that model_export wrote.
        threads: Threads of ONNX Runtime; 0 for as many as there are cores.

    Raises:
        InputError: No such file, or not an exported graph model.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path}: no such ONNX model; export one with `{EXPORT_COMMAND}`")
        self._session = open_session(path, threads)
        inputs = {each.name: each.shape for each in self._session.get_inputs()}
        outputs = {each.name: each.shape for each in self._session.get_outputs()}
        metadata = self._session.get_modelmeta().custom_metadata_map
        if (
            MODEL_FINGERPRINT_KEY not in metadata
            or set(inputs) != set(MODEL_INPUTS)
            or set(outputs) != set(GraphOutputs._fields)
        ):
            raise InputError(
                f"{path}: not a graph model of this version; export it with `{EXPORT_COMMAND}`"
            )
        self.model_fingerprint: str = metadata[MODEL_FINGERPRINT_KEY]
        self.vector_dim: int = inputs["user_features"][1]
        self.embedding_dim: int = outputs["user_embeddings"][1]

    def embed(self, inputs: Mapping[str, np.ndarray]) -> GraphOutputs:
        """Embeds a batch."""
        return run_exported(
            inputs, lambda arrays: self._session.run(list(GraphOutputs._fields), arrays)
        )

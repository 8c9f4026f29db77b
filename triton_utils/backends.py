"""Both models of a Triton server, in place of the backends that run in this process."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rec_sys.foundation.errors import InputError, told_as_unfit
from rec_sys.graph.ego_batch import MODEL_INPUTS, GraphOutputs
from rec_sys.modules.inference_backends import BackendUnavailable, run_exported
from rec_sys.text.onnx import ENCODER_INPUTS, ENCODER_OUTPUT, TextTokenizer, TokenBatch
from triton_utils.connection import TritonConnection
from triton_utils.served_model import CHECK_EVERY_SECONDS, ServedModel


class TritonGraphBackend:
    """The graph model on a server; see `rec_sys.modules.inference_backends.GraphBackend`.

    May be used by several threads at once.

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
        self._alone: tuple[bytes, GraphOutputs] | None = None

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

        def infer(each: Mapping[str, np.ndarray]) -> list[np.ndarray]:
            users, size = len(each["user_features"]), self.embedding_dim
            products, edges = len(each["product_name_features"]), each["edge_index"].shape[1]
            embeddings, ranking = ((users, size), (products, size)), (users, size + 1)
            shapes = (*embeddings, ranking, (products, size + 1), (edges, _ANY))
            return _checked(self._model, each, dict(zip(GraphOutputs._fields, shapes, strict=True)))

        def run() -> GraphOutputs:
            return run_exported(inputs, infer)

        if len(inputs["user_features"]) != 1 or len(inputs["product_name_features"]):
            return run()
        # To the network everybody with a wish and no review is alike: the server is asked once.
        told = inputs["user_features"].tobytes() + inputs["user_rating_features"].tobytes()
        alone = self._alone
        if alone is None or alone[0] != told:
            self._alone = alone = told, run()
        return alone[1]

    def probe(self) -> None:
        """Embeds one user and one product of whom nothing is known.

        Raises:
            InputError, BackendUnavailable: See `embed`.
        """
        inputs = {}
        for name, shape in self._model.input_shapes.items():
            number = 0 if name.startswith("edge_") else 1  # they are not connected
            dtype = np.int64 if name == "edge_index" else np.float32
            inputs[name] = np.zeros([number if size == _ANY else size for size in shape], dtype)
        self.embed(inputs)


class TritonTextBackend:
    """The text encoder on a server; see `rec_sys.modules.inference_backends.TextBackend`.

    Texts become tokens here, not there. May be used by several threads at once.

    Args:
        connection: To the server.
        folder: Holds ``tokenizer.json`` and ``encoder.json``, as encoder_export wrote them.
        model: The model's name in the server's repository.
        batch_size: Texts per request; at most the ``max_batch_size`` of ``config.pbtxt``.

    Raises:
        InputError: The server does not have the encoder that the folder is of.
        BackendUnavailable: The server does not answer.
    """

    def __init__(
        self,
        connection: TritonConnection,
        folder: str | Path,
        model: str = "text_encoder",
        batch_size: int = 32,
    ) -> None:
        self._tokenizer = TextTokenizer(folder)
        self._batch_size = batch_size
        self.encoder_fingerprint = self._tokenizer.encoder_fingerprint
        self.vector_dim = self._tokenizer.vector_dim
        self._model = ServedModel(
            connection, model, "encoder_fingerprint", self.encoder_fingerprint
        )
        self._model.require(ENCODER_INPUTS, [ENCODER_OUTPUT])

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encodes n texts; returns float32 [n, vector_dim], each row of unit length.

        Raises:
            InputError: A text cannot be encoded.
            BackendUnavailable: The server does not answer, or does not serve this encoder any
                more.
        """
        return self._tokenizer.encode(texts, self._run, self._batch_size, pad_to_step=True)

    def _run(self, batch: TokenBatch) -> np.ndarray:
        shape = len(batch.rows), self.vector_dim
        return _checked(self._model, batch.inputs, {ENCODER_OUTPUT: shape})[0]


_ANY = -1
_PROBE = "ready?"
# Vectors are kept in half precision; a larger number would be infinite there.
_LARGEST = np.finfo(np.float16).max


def _checked(
    model: ServedModel, inputs: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> list[np.ndarray]:
    """What a model returns: finite numbers of these shapes, by the names of the outputs.

    What is wrong in one answer would be kept as somebody's vector.

    Raises:
        InputError: The model does not take such inputs.
        BackendUnavailable: It returns something else, or see `ServedModel.infer`.
    """
    try:
        arrays = model.infer(inputs, list(shapes))
        wrong = [
            name
            for (name, shape), array in zip(shapes.items(), arrays, strict=True)
            if array.dtype != np.float32
            or len(array.shape) != len(shape)
            or any(size not in (_ANY, own) for size, own in zip(shape, array.shape, strict=True))
            or not (np.abs(array) <= _LARGEST).all()  # neither is what is no number
        ]
    except (InputError, BackendUnavailable):
        raise
    except Exception as error:  # of the client that reads the answer, or of an array that is none
        wrong = [f"{type(error).__name__}: {error}"]
    if wrong:
        why = f"{model.name} returned no finite numbers of the right shape ({', '.join(wrong)})"
        raise BackendUnavailable(f"Triton at {model.connection.url}: {why}", CHECK_EVERY_SECONDS)
    return arrays


class TritonModels(NamedTuple):
    """What a server runs for us.

    Attributes:
        graph: The graph model.
        text: The text encoder.
        is_ready: Whether the server has its models loaded, and these two compute: asks them.
    """

    graph: TritonGraphBackend
    text: TritonTextBackend
    is_ready: Callable[[], bool]


def connect(
    url: str,
    *,
    encoder_folder: str | Path,
    model_fingerprint: str,
    graph_model: str = "graph_model",
    text_encoder: str = "text_encoder",
    **settings: Any,
) -> TritonModels:
    """Connects to a server.

    Args:
        url: See `TritonConnection`.
        encoder_folder: Holds the tokenizer of the text encoder.
        model_fingerprint: The graph model that is asked for.
        graph_model: Its name in the server's repository.
        text_encoder: Name of the text encoder there.
        **settings: Further arguments of `TritonConnection`.

    Raises:
        InputError: The server has other models, or a setting makes no sense.
        BackendUnavailable: The server does not answer.
    """
    for name, model in {"graph_model": graph_model, "text_encoder": text_encoder}.items():
        if not isinstance(model, str):
            raise InputError(f"serving.triton.{name}={model}: must be text")
    connection = TritonConnection(url, **settings)
    with told_as_unfit(f"Triton at {url}", "export its models again", BackendUnavailable):
        graph = TritonGraphBackend(connection, graph_model, model_fingerprint)
        text = TritonTextBackend(connection, encoder_folder, text_encoder)

    def is_ready() -> bool:
        with suppress(BackendUnavailable, InputError):
            text.encode([_PROBE])
            graph.probe()
            return connection.is_ready()
        return False

    return TritonModels(graph, text, is_ready)

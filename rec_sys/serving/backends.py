"""What computes for the service: models in this process, or those of a server."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from rec_sys.inference.backends import GraphBackend, GraphOutputs, OnnxBackend, TextBackend
from rec_sys.serving.bundle import Bundle
from rec_sys.text.onnx import OnnxTextEncoder

ONNX, TRITON = "onnx", "triton"
ENCODE, GRAPH, SEARCH = "encode", "graph", "search"


@dataclass(frozen=True)
class Backends:
    """What computes.

    Attributes:
        name: Told in every answer.
        graph: Runs the graph model.
        text: Runs the text encoder.
        is_ready: Whether both could run now.
    """

    name: str
    graph: GraphBackend
    text: TextBackend
    is_ready: Callable[[], bool] = lambda: True


def in_process(bundle: Bundle, threads: int, parallel_texts: int) -> Backends:
    """The bundle's own models in ONNX Runtime.

    Args:
        bundle: Has the models.
        threads: Threads of each model; 0 for as many as there are cores.
        parallel_texts: So many requests are encoded at once; others wait, as the encoder keeps
            all cores busy.
    """
    text = OnnxTextEncoder(bundle.text_encoder, threads)
    return Backends(ONNX, OnnxBackend(bundle.graph_model, threads), _Queued(text, parallel_texts))


class Timed:
    """A graph backend whose time is taken.

    Args:
        backend: The backend.
        spent: Its `GRAPH` grows by the seconds that each call takes.
    """

    def __init__(self, backend: GraphBackend, spent: dict[str, float]) -> None:
        self._backend, self._spent = backend, spent
        self.model_fingerprint = backend.model_fingerprint
        self.vector_dim, self.embedding_dim = backend.vector_dim, backend.embedding_dim

    def embed(self, inputs: Mapping[str, np.ndarray]) -> GraphOutputs:
        """See `GraphBackend`."""
        start = perf_counter()
        outputs = self._backend.embed(inputs)
        self._spent[GRAPH] += perf_counter() - start
        return outputs


class _Queued:
    """A text encoder that a few may use at once."""

    def __init__(self, encoder: TextBackend, most: int) -> None:
        self._encoder, self._free = encoder, threading.BoundedSemaphore(most)
        self.encoder_fingerprint = encoder.encoder_fingerprint
        self.vector_dim = encoder.vector_dim

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        with self._free:
            return self._encoder.encode(texts)

"""Both models of a Triton server, as the web service asks for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from triton_utils.connection import TritonConnection
from triton_utils.graph_backend import TritonGraphBackend
from triton_utils.text_backend import TritonTextBackend


class TritonModels(NamedTuple):
    """What a server runs for us.

    Attributes:
        graph: The graph model.
        text: The text encoder.
        is_ready: Whether the server answers and has its models loaded.
    """

    graph: TritonGraphBackend
    text: TritonTextBackend
    is_ready: Callable[[], bool]


def connect(
    url: str,
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
    connection = TritonConnection(url, **settings)
    return TritonModels(
        TritonGraphBackend(connection, graph_model, model_fingerprint),
        TritonTextBackend(connection, encoder_folder, text_encoder),
        connection.is_ready,
    )

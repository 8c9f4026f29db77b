"""Both models of a Triton server, as the web service asks for them."""

from pathlib import Path
from typing import Any

from triton_utils.connection import TritonConnection
from triton_utils.graph_backend import TritonGraphBackend
from triton_utils.text_backend import TritonTextBackend


def connect(
    url: str,
    encoder_folder: str | Path,
    model_fingerprint: str,
    graph_model: str = "graph_model",
    text_encoder: str = "text_encoder",
    **settings: Any,
) -> tuple[TritonGraphBackend, TritonTextBackend]:
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
    return (
        TritonGraphBackend(connection, graph_model, model_fingerprint),
        TritonTextBackend(connection, encoder_folder, text_encoder),
    )

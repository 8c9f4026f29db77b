"""The text encoder as a Triton server runs it; texts become tokens here, not there."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.text.onnx import ENCODER_INPUTS, ENCODER_OUTPUT, TextTokenizer, TokenBatch
from triton_utils.connection import TritonConnection
from triton_utils.served_model import ServedModel


class TritonTextBackend:
    """See `rec_sys.inference.backends.TextBackend`. May be used by several threads at once.

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
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}: must be at least 1")
        self._tokenizer = TextTokenizer(folder)
        self._batch_size = batch_size
        self.encoder_fingerprint = self._tokenizer.encoder_fingerprint
        self.vector_dim = self._tokenizer.vector_dim
        self._model = ServedModel(
            connection, model, "encoder_fingerprint", self.encoder_fingerprint
        )
        self._model.require(ENCODER_INPUTS, [ENCODER_OUTPUT])

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encodes texts.

        Args:
            texts: n texts; n may be 0.

        Returns:
            float32 [n, vector_dim], each row of unit length.

        Raises:
            InputError: A text cannot be encoded.
            BackendUnavailable: The server does not answer, or does not serve this encoder any
                more.
        """
        return self._tokenizer.encode(texts, self._run, self._batch_size, pad_to_step=True)

    def _run(self, batch: TokenBatch) -> np.ndarray:
        arrays = dict(zip(ENCODER_INPUTS, (batch.input_ids, batch.attention_mask), strict=True))
        return self._model.infer(arrays, [ENCODER_OUTPUT])[0]

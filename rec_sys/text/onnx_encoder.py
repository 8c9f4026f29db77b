"""The text encoder as ONNX Runtime runs it; without PyTorch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.onnx_files import open_session
from rec_sys.foundation.triton_config import MODEL_FILE
from rec_sys.text.model_files import ENCODER_FINGERPRINT_KEY
from rec_sys.text.tokenizer import EXPORT_COMMAND, TextTokenizer, TokenBatch

ENCODER_INPUTS = ("input_ids", "attention_mask")
ENCODER_OUTPUT = "sentence_embedding"

# On CPU the fused kernel takes ten times as long as the two that it replaces (8 % of a text).
_SLOW_FUSIONS = ["SkipLayerNormFusion"]


class OnnxTextEncoder:
    """Text -> unit vector; see `rec_sys.inference.backend.TextBackend`.

    Args:
        folder: Where encoder_export wrote to.
        threads: Threads of ONNX Runtime; 0 for as many as there are cores.
        batch_size: Texts per pass, at most.

    Raises:
        InputError: The folder does not hold an exported encoder, or its files do not belong
            together.
    """

    def __init__(self, folder: str | Path, threads: int = 0, batch_size: int = 32) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}: must be at least 1")
        self._tokenizer = TextTokenizer(folder)
        self._batch_size = batch_size
        self.encoder_fingerprint = self._tokenizer.encoder_fingerprint
        self.vector_dim = self._tokenizer.vector_dim
        path = Path(folder) / MODEL_FILE
        if not path.is_file():
            raise InputError(f"{path}: no such file; export it with `{EXPORT_COMMAND}`")
        self._session = open_session(path, threads, _SLOW_FUSIONS)
        metadata = self._session.get_modelmeta().custom_metadata_map
        if metadata.get(ENCODER_FINGERPRINT_KEY) != self.encoder_fingerprint:
            raise InputError(
                f"{path}: is not the encoder that the files beside it belong to; export it with"
                f" `{EXPORT_COMMAND}`"
            )

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encodes texts.

        Args:
            texts: n texts; n may be 0.

        Returns:
            float32 [n, vector_dim], each row of unit length.

        Raises:
            InputError: A text cannot be encoded.
        """
        return self._tokenizer.encode(texts, self._run, self._batch_size, pad_to_step=False)

    def _run(self, batch: TokenBatch) -> np.ndarray:
        feeds = dict(zip(ENCODER_INPUTS, (batch.input_ids, batch.attention_mask), strict=True))
        return self._session.run([ENCODER_OUTPUT], feeds)[0]

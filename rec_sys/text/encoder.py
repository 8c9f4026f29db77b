"""A sentence-transformers model with an identity, loaded only when a text is really encoded."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rec_sys.foundation.checks import is_whole
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json
from rec_sys.text.model_files import locate_model, weights_fingerprint
from rec_sys.text.precision import AUTO, PRECISIONS, fastest_faithful

#: Tokens per forward pass where the machine may choose. On a CPU the activations of a pass then
#: stay in a core's own cache; a GPU wants enough work to fill it.
_BATCH_TOKENS = {"cpu": 1024, "cuda": 32_768}


class TextEncoder:
    """Text -> unit vector.

    Args:
        model: See `rec_sys.text.model_files.locate_model`.
        precision: ``"fp32"``, ``"bf16"``, or ``"auto"``: the fastest that stays faithful to fp32
            on this machine, measured once and remembered in `cache_dir`.
        max_length: Longest text in tokens; what is beyond is cut off.
        device: ``"auto"`` (CUDA if there is one), ``"cpu"``, ``"cuda"``.
        cache_dir: Where the measured precision is remembered.
        batch_tokens: Tokens per forward pass, at most, padding included; ``"auto"`` for what suits
            the device. Decides time and memory, not the vectors.
        batch_size: Has no effect: settings that were recorded before `batch_tokens` existed name
            it, and their checkpoints stay readable.
    """

    def __init__(
        self,
        model: str,
        precision: str,
        max_length: int,
        device: str,
        cache_dir: str | Path,
        batch_tokens: int | str = AUTO,
        batch_size: int | None = None,
    ) -> None:
        if precision not in (AUTO, *PRECISIONS):
            raise InputError(
                f"encoder.precision={precision}: choose from {', '.join((AUTO, *PRECISIONS))}"
            )
        if max_length < 1:
            raise InputError(f"encoder.max_length={max_length}: must be at least 1")
        if batch_tokens != AUTO and not is_whole(batch_tokens, 1):
            raise InputError(
                f"encoder.batch_tokens={batch_tokens}: give a whole number of at least 1, or {AUTO}"
            )
        self.model_folder = locate_model(model)
        self.max_length = max_length
        self._wanted_batch_tokens = batch_tokens
        self._wanted_precision = precision
        self._wanted_device = device
        self._cache_dir = Path(cache_dir)

    @cached_property
    def model_fingerprint(self) -> str:
        """Which function this is: weights, pooling and length, whatever the precision.

        Vectors of two encoders with the same model fingerprint may stand in one index.
        """
        identity = f"{weights_fingerprint(self.model_folder)}:max_length={self.max_length}"
        return hashlib.sha256(identity.encode()).hexdigest()

    @cached_property
    def precision(self) -> str:
        """``"fp32"`` or ``"bf16"``; measures on first use if it was left to the machine."""
        if self._wanted_precision != AUTO:
            return self._wanted_precision
        return fastest_faithful(self, self._cache_dir)

    @cached_property
    def fingerprint(self) -> str:
        """Which vectors these are, to the last bit: the model fingerprint and the precision."""
        return hashlib.sha256(f"{self.model_fingerprint}:{self.precision}".encode()).hexdigest()

    @cached_property
    def device(self) -> str:
        """The torch device that the model runs on."""
        import torch

        if self._wanted_device == "cuda" and not torch.cuda.is_available():
            raise InputError("encoder.device=cuda: there is no CUDA device here; use cpu or auto")
        if self._wanted_device != "auto":
            return self._wanted_device
        return "cuda" if torch.cuda.is_available() else "cpu"

    @cached_property
    def dimension(self) -> int:
        """Length of a vector; 384 for all-MiniLM-L6-v2. Read without loading the weights."""
        return read_json(self.model_folder / "config.json")["hidden_size"]

    @cached_property
    def batch_tokens(self) -> int:
        """Tokens per forward pass, at most."""
        if self._wanted_batch_tokens != AUTO:
            return self._wanted_batch_tokens
        return _BATCH_TOKENS.get(self.device, _BATCH_TOKENS["cpu"])

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encodes texts, sorted by length into batches inside.

        Args:
            texts: n texts; n may be 0.

        Returns:
            float32 [n, dimension], each row of unit length, in the order of `texts`.
        """
        if not len(texts):  # nothing that the weights would be loaded for
            return np.empty((0, self.dimension), dtype=np.float32)
        return self.encode_with(self._model, texts)

    def encode_in_batches(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """As `encode`, handing over each batch as soon as it is done.

        Args:
            texts: n texts; n may be 0.

        Yields:
            The rows of a batch in `texts`, int64 [B], and their vectors, float32 [B, dimension].
            Each text is in one batch.
        """
        return self._encode_in_batches(self._model, texts)

    def encode_with(self, model: Any, texts: Sequence[str]) -> np.ndarray:
        """As `encode`, with a model that `load` returned."""
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for rows, batch in self._encode_in_batches(model, texts):
            vectors[rows] = batch
        return vectors

    def load(self, precision: str) -> Any:
        """Loads the model's weights in a precision; takes seconds, mostly for the import."""
        # A folder is all that is needed: no call to the hub, no warning about it.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        model = SentenceTransformer(
            str(self.model_folder), device=self.device, model_kwargs={"dtype": dtype}
        )
        model.max_seq_length = self.max_length
        return model.eval()

    @cached_property
    def _model(self) -> Any:
        return self.load(self.precision)

    def _encode_in_batches(
        self, model: Any, texts: Sequence[str]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        from rec_sys.text.batch_encoding import encode_in_batches

        return encode_in_batches(model, texts, self.batch_tokens)

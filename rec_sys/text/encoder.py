"""A sentence-transformers model with an identity, loaded only when a text is really encoded."""

import hashlib
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json
from rec_sys.text.model_files import locate_model, weights_fingerprint
from rec_sys.text.precision import AUTO, PRECISIONS, fastest_faithful


class TextEncoder:
    """Text -> unit vector.

    Args:
        model: See `rec_sys.text.model_files.locate_model`.
        precision: ``"fp32"``, ``"bf16"``, or ``"auto"``: the fastest that stays faithful to fp32
            on this machine, measured once and remembered in `cache_dir`.
        max_length: Longest text in tokens; what is beyond is cut off.
        batch_size: Texts per forward pass.
        device: ``"auto"`` (CUDA if there is one), ``"cpu"``, ``"cuda"``.
        cache_dir: Where the measured precision is remembered.
    """

    def __init__(
        self,
        model: str,
        precision: str,
        max_length: int,
        batch_size: int,
        device: str,
        cache_dir: str | Path,
    ) -> None:
        if precision not in (AUTO, *PRECISIONS):
            raise InputError(
                f"encoder.precision={precision}: choose from {', '.join((AUTO, *PRECISIONS))}"
            )
        if max_length < 1 or batch_size < 1:
            raise InputError("encoder.max_length and encoder.batch_size must be at least 1")
        self.model_folder = locate_model(model)
        self.max_length = max_length
        self.batch_size = batch_size
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

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encodes texts in one precision and batch by batch.

        Args:
            texts: Any number of texts; similar lengths in a row save padding.

        Returns:
            float32 [len(texts), dimension], each row of unit length.
        """
        return self.encode_with(self._model, texts)

    def encode_with(self, model: Any, texts: Sequence[str]) -> np.ndarray:
        """As `encode`, with a model that `load` returned."""
        if not len(texts):
            return np.empty((0, self.dimension), dtype=np.float32)
        vectors = model.encode(
            list(texts),
            batch_size=self.batch_size,
            show_progress_bar=False,
            convert_to_numpy=False,
            convert_to_tensor=True,
        )
        array = vectors.float().cpu().numpy()
        # Rounding to bf16 leaves lengths a little off 1, and not every model normalises.
        return array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), 1e-12)

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
        return model

    @cached_property
    def _model(self) -> Any:
        return self.load(self.precision)

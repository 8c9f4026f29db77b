"""Texts -> token ids in batches, for encoders that run without PyTorch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from rec_sys.foundation.checks import is_whole, is_whole_text
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, sha256_of

TOKENIZER_FILE = "tokenizer.json"
#: What the encoder's files are and how texts are cut: written by encoder_export.
SETTINGS_FILE = "encoder.json"
FORMAT = 1

#: Texts whose lengths round up to the same multiple of this stand in one batch.
LENGTH_STEP = 16

EXPORT_COMMAND = "uv run -m rec_sys.text.encoder_export"


@dataclass(frozen=True)
class TokenBatch:
    """Texts of similar length.

    Attributes:
        rows: int64 [B], which of the texts they are.
        input_ids: int64 [B, L].
        attention_mask: int64 [B, L], 1 for a token, 0 for padding.
    """

    rows: np.ndarray
    input_ids: np.ndarray
    attention_mask: np.ndarray


class TextTokenizer:
    """The tokenizer of an exported text encoder. May be used by several threads at once.

    Args:
        folder: Where encoder_export wrote to.

    Attributes:
        encoder_fingerprint: `rec_sys.text.encoder.TextEncoder.model_fingerprint`.
        vector_dim: Length of a vector.
        max_length: Tokens after which a text is cut off.

    Raises:
        InputError: The folder does not hold an exported encoder.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        if not (folder / SETTINGS_FILE).is_file():
            raise InputError(
                f"{folder / SETTINGS_FILE}: no such file; export the text encoder with"
                f" `{EXPORT_COMMAND}`"
            )
        settings = read_json(folder / SETTINGS_FILE)
        _check_settings(folder / SETTINGS_FILE, settings)
        path = folder / TOKENIZER_FILE
        if not path.is_file() or sha256_of(path) != settings["tokenizer_sha256"]:
            raise InputError(
                f"{path}: is not the tokenizer that {SETTINGS_FILE} names; export both again with"
                f" `{EXPORT_COMMAND}`"
            )
        self.encoder_fingerprint: str = settings["encoder_fingerprint"]
        self.vector_dim: int = settings["vector_dim"]
        self.max_length: int = settings["max_length"]
        self._padding_id: int = settings["padding_id"]
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_length)

    def encode(
        self,
        texts: Sequence[str],
        run: Callable[[TokenBatch], np.ndarray],
        batch_size: int,
        pad_to_step: bool,
    ) -> np.ndarray:
        """Encodes texts batch by batch.

        Args:
            texts: n texts; n may be 0.
            run: Gives the vectors of a batch, float32 [B, vector_dim].
            batch_size: Texts per batch, at most.
            pad_to_step: See `batches`.

        Returns:
            float32 [n, vector_dim], in the order of `texts`.

        Raises:
            InputError: A text cannot be encoded.
        """
        vectors = np.empty((len(texts), self.vector_dim), dtype=np.float32)
        for batch in self.batches(texts, batch_size, pad_to_step):
            vectors[batch.rows] = run(batch)
        return vectors

    def batches(
        self, texts: Sequence[str], batch_size: int, pad_to_step: bool
    ) -> Iterator[TokenBatch]:
        """Cuts texts into batches of similar length, so that little is padded.

        Args:
            texts: Any texts.
            batch_size: Texts per batch, at most.
            pad_to_step: Pads to a multiple of `LENGTH_STEP` (or to `max_length`) instead of to
                the longest text: requests of strangers then have the same few lengths, and a
                server can join them.

        Yields:
            Batches, the longest texts first.

        Raises:
            InputError: A text is no text, or holds half a character.
        """
        tokens = self._tokenize(texts)
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        steps = np.minimum(-(-lengths // LENGTH_STEP) * LENGTH_STEP, self.max_length)
        for step in np.unique(steps)[::-1]:
            rows = np.flatnonzero(steps == step)
            rows = rows[np.argsort(-lengths[rows], kind="stable")]
            for first in range(0, len(rows), batch_size):
                part = rows[first : first + batch_size]
                length = step if pad_to_step else lengths[part].max()
                ids = np.full((len(part), length), self._padding_id, dtype=np.int64)
                for position, row in enumerate(part):
                    ids[position, : lengths[row]] = tokens[row]
                mask = np.arange(length) < lengths[part][:, None]
                yield TokenBatch(part, ids, mask.astype(np.int64))

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {number}: is {type(text).__name__}, not a text")
            if not is_whole_text(text):
                raise InputError(
                    f"text {number}: holds half of a surrogate pair, which is no character;"
                    " remove it"
                )
        return [each.ids for each in self._tokenizer.encode_batch(list(texts))]


def _check_settings(path: Path, settings: object) -> None:
    whole = ("vector_dim", "max_length", "padding_id")
    texts = ("encoder_fingerprint", "tokenizer_sha256")
    if (
        not isinstance(settings, dict)
        or settings.get("format") != FORMAT
        or not all(is_whole(settings.get(key), 0 if key == "padding_id" else 1) for key in whole)
        or not all(isinstance(settings.get(key), str) for key in texts)
    ):
        raise InputError(
            f"{path}: not an exported text encoder of this version; export it with"
            f" `{EXPORT_COMMAND}`"
        )

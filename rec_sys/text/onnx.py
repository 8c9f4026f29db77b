"""The exported text encoder in ONNX Runtime, without PyTorch. Its folder has ``model.onnx``,
``tokenizer.json`` and ``encoder.json``: how texts are cut and which encoder it is."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field
from tokenizers import Tokenizer

from rec_sys.foundation.errors import InputError, told_as_unfit
from rec_sys.foundation.files import read_json, sha256_of
from rec_sys.foundation.onnx import MODEL_FILE, open_session
from rec_sys.foundation.settings import Count, PositiveCount, is_whole_text, settings_of
from rec_sys.text.encoder import ENCODER_FINGERPRINT_KEY, TextEncoder

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "encoder.json"
_EXPORT_AGAIN = "export the text encoder with `uv run -m rec_sys.text.encoder_export`"
ENCODER_INPUTS = INPUT_IDS, ATTENTION_MASK = "input_ids", "attention_mask"
ENCODER_OUTPUT = "sentence_embedding"
#: Texts whose lengths round up to the same multiple of this stand in one batch.
LENGTH_STEP = 16

# Far above what a text encoder takes.
_MOST_TOKENS = 1 << 16
_UNUSUAL = "a \N{CUNEIFORM SIGN A} "  # words, one of which a vocabulary hardly has
# On CPU the fused kernel takes ten times as long as the two that it replaces (8 % of a text).
_SLOW_FUSIONS = ["SkipLayerNormFusion"]


@settings_of(SETTINGS_FILE)
class ExportedEncoder:
    """What ``encoder.json`` holds; `encoder_fingerprint`: of the model; `padding_id`: a token."""

    format: Literal[1]
    encoder_fingerprint: str
    vector_dim: PositiveCount
    max_length: Annotated[PositiveCount, Field(le=_MOST_TOKENS)]
    padding_id: Count
    tokenizer_sha256: str


class TokenBatch(NamedTuple):
    """Texts of similar length: `rows`, int64 [B], which of the texts they are; `inputs` of the
    encoder, int64 [B, L] each, ``input_ids`` and ``attention_mask``, 1 for a token, else 0."""

    rows: np.ndarray
    inputs: dict[str, np.ndarray]


class TextTokenizer:
    """The tokenizer of an exported text encoder, for several threads. InputError without one."""

    def __init__(self, folder: str | Path, settings: ExportedEncoder | None = None) -> None:
        settings = settings or _read_settings(Path(folder) / SETTINGS_FILE)
        path = Path(folder) / TOKENIZER_FILE
        if not path.is_file() or sha256_of(path) != settings.tokenizer_sha256:
            raise _unusable(path, f"is not the tokenizer that {SETTINGS_FILE} names")
        self.encoder_fingerprint = settings.encoder_fingerprint
        self.vector_dim = settings.vector_dim
        self._max_length, self._padding_id = settings.max_length, settings.padding_id
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._max_length)
        with told_as_unfit(path, _EXPORT_AGAIN):
            ids = self._tokenizer.encode(_UNUSUAL * self._max_length).ids
            last_id = max(self._tokenizer.get_vocab().values())
        if len(ids) > self._max_length:
            raise _unusable(Path(folder) / SETTINGS_FILE, "its max_length has no room for a text")
        #: int64 [max_length], as long as a text may be, with all kinds of tokens.
        self.longest = np.resize([last_id, self._padding_id, *ids], self._max_length)

    def encode(
        self,
        texts: Sequence[str],
        run: Callable[[TokenBatch], np.ndarray],
        batch_size: int,
        pad_to_step: bool,
    ) -> np.ndarray:
        """Encodes n texts by `run`: float32 [n, vector_dim]. For the rest see `batches`."""
        vectors = np.empty((len(texts), self.vector_dim), dtype=np.float32)
        for batch in self.batches(texts, batch_size, pad_to_step):
            vectors[batch.rows] = run(batch)
        return vectors

    def batches(
        self, texts: Sequence[str], batch_size: int, pad_to_step: bool
    ) -> Iterator[TokenBatch]:
        """Cuts texts into batches of similar length, so that little is padded, the longest first.
        `pad_to_step` pads to a multiple of `LENGTH_STEP` (or to the maximum length) instead of to
        the longest text: requests of strangers then have the same few lengths, and a server can
        join them. InputError if a text is no text, or holds half a character."""
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {number}: is {type(text).__name__}, not a text")
            if not is_whole_text(text):
                why = "holds half of a surrogate pair, which is no character; remove it"
                raise InputError(f"text {number}: {why}")
        tokens = [each.ids for each in self._tokenizer.encode_batch(list(texts))]
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        steps = np.minimum(-(-lengths // LENGTH_STEP) * LENGTH_STEP, self._max_length)
        for step in np.unique(steps)[::-1]:
            rows = np.flatnonzero(steps == step)
            rows = rows[np.argsort(-lengths[rows], kind="stable")]
            for first in range(0, len(rows), batch_size):
                part = rows[first : first + batch_size]
                length = step if pad_to_step else lengths[part].max()
                mask = np.arange(length) < lengths[part][:, None]
                ids = np.full(mask.shape, self._padding_id, dtype=np.int64)
                ids[mask] = np.concatenate([tokens[row] for row in part])
                yield TokenBatch(part, {INPUT_IDS: ids, ATTENTION_MASK: mask.astype(np.int64)})


def exported_settings(encoder: TextEncoder) -> ExportedEncoder:
    """What is told of an encoder beside its export."""
    return ExportedEncoder(
        format=1,
        encoder_fingerprint=encoder.model_fingerprint,
        vector_dim=encoder.dimension,
        max_length=encoder.max_length,
        padding_id=read_json(encoder.model_folder / "config.json").get("pad_token_id") or 0,
        tokenizer_sha256=sha256_of(encoder.model_folder / TOKENIZER_FILE),
    )


def _read_settings(path: Path) -> ExportedEncoder:
    if not path.is_file():
        raise _unusable(path, "no such file")
    try:
        return ExportedEncoder(**read_json(path))
    except (InputError, TypeError):
        raise _unusable(path, "not an exported text encoder of this version") from None


def _unusable(path: Path, why: str) -> InputError:
    return InputError(f"{path}: {why}; {_EXPORT_AGAIN}")


class OnnxTextEncoder:
    """Text -> unit vector, with so many threads of ONNX Runtime, 0 for one a core; a `TextBackend`.
    The folder holds a whole export (else InputError), unless `model` and `settings` are given."""

    def __init__(
        self,
        folder: str | Path,
        threads: int = 0,
        batch_size: int = 32,
        model: bytes | None = None,
        settings: ExportedEncoder | None = None,
    ) -> None:
        self._tokenizer = TextTokenizer(folder, settings)
        self._batch_size = batch_size
        self.encoder_fingerprint = self._tokenizer.encoder_fingerprint
        self.vector_dim = self._tokenizer.vector_dim
        path = Path(folder) / MODEL_FILE
        if model is None and not path.is_file():
            raise _unusable(path, "no such file")
        self._session = open_session(path, threads, _SLOW_FUSIONS, model)
        metadata = self._session.get_modelmeta().custom_metadata_map
        if metadata.get(ENCODER_FINGERPRINT_KEY) != self.encoder_fingerprint:
            raise _unusable(path, "is not the encoder that the files beside it belong to")
        with told_as_unfit(Path(folder) / SETTINGS_FILE, _EXPORT_AGAIN):
            ids = self._tokenizer.longest[None]
            inputs = {INPUT_IDS: ids, ATTENTION_MASK: np.ones_like(ids)}
            vectors = self._run(TokenBatch(np.arange(1), inputs))
            if vectors.shape != (1, self.vector_dim) or not np.isfinite(vectors).all():
                raise ValueError(f"its longest text has no {self.vector_dim} numbers")

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encodes n texts; returns float32 [n, vector_dim], each row of unit length."""
        return self._tokenizer.encode(texts, self._run, self._batch_size, pad_to_step=False)

    def _run(self, batch: TokenBatch) -> np.ndarray:
        return self._session.run([ENCODER_OUTPUT], batch.inputs)[0]

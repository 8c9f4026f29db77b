"""The text encoder and other exported models as ONNX Runtime runs them; without PyTorch."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, sha256_of
from rec_sys.foundation.settings import is_whole, is_whole_text
from rec_sys.foundation.triton_config import MODEL_FILE
from rec_sys.text.encoder import ENCODER_FINGERPRINT_KEY

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


# Older ONNX Runtimes, such as those inside Triton, load this version.
OPSET = 18
#: Largest difference between ONNX Runtime and PyTorch that counts as rounding.
MAX_DIFFERENCE = 1e-5


@contextmanager
def quiet_export() -> Iterator[None]:
    """Keeps what PyTorch's exporter says about itself from the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


def add_metadata(path: Path, properties: Mapping[str, str]) -> None:
    """Writes metadata into an ONNX file, once the file is found to be well-formed.

    Args:
        path: The file; rewritten in place, so give a draft.
        properties: Key -> value.
    """
    import onnx

    content = onnx.load(path)
    onnx.helper.set_model_props(content, dict(properties))
    onnx.checker.check_model(content)
    onnx.save(content, path)


def require_agreement(difference: float, what: str) -> None:
    """Refuses an export that computes something else.

    Args:
        difference: The largest one between any two numbers.
        what: What was exported, for the message.

    Raises:
        RuntimeError: It is more than rounding, or no number.
    """
    if not difference <= MAX_DIFFERENCE:
        raise RuntimeError(f"the exported {what} differs from PyTorch by {difference:.1e}")


def open_session(
    path: Path, threads: int, without_optimizers: Sequence[str] = ()
) -> "InferenceSession":
    """An exported model in ONNX Runtime, on the CPU.

    Args:
        path: The file; it exists.
        threads: Threads of one pass; 0 for as many as there are cores.
        without_optimizers: ONNX Runtime's optimizers to leave out.

    Raises:
        InputError: Not a readable model.
    """
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(
            str(path),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=list(without_optimizers),
        )
    except (Fail, InvalidGraph, InvalidProtobuf) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path}: not a readable ONNX model ({reason})") from None


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


ENCODER_INPUTS = ("input_ids", "attention_mask")
ENCODER_OUTPUT = "sentence_embedding"

# On CPU the fused kernel takes ten times as long as the two that it replaces (8 % of a text).
_SLOW_FUSIONS = ["SkipLayerNormFusion"]


class OnnxTextEncoder:
    """Text -> unit vector; see `rec_sys.inference.backends.TextBackend`.

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

"""Texts in, rows of the vector store out; only what is new is encoded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rec_sys.text.encoder import TextEncoder
from rec_sys.text.vector_store import VectorStore


@dataclass(frozen=True)
class EncodedTexts:
    """Where the vectors of some texts are.

    Attributes:
        rows: int64 [n], a row of the store for each text.
        newly_encoded: How many distinct texts had to be encoded for it.
    """

    rows: np.ndarray
    newly_encoded: int


def open_store(cache_dir: str | Path, encoder: TextEncoder) -> VectorStore:
    """The store below `cache_dir` that belongs to `encoder`."""
    folder = Path(cache_dir) / "text_vectors" / encoder.fingerprint[:16]
    return VectorStore(folder, encoder.fingerprint, encoder.dimension)


def open_empty_store(cache_dir: str | Path, dimension: int) -> VectorStore:
    """The store below `cache_dir` of data without any text: it holds the empty text's vector.

    It needs no encoder, so that none is loaded and measured for nothing.
    """
    folder = Path(cache_dir) / "text_vectors" / f"no_texts_{dimension}"
    return VectorStore(folder, "no texts", dimension)


def encode_texts(
    texts: Sequence[str], encoder: TextEncoder, store: VectorStore, show_progress: bool = True
) -> EncodedTexts:
    """Makes sure that every text has a vector in the store.

    Each batch is stored as soon as it is encoded: an interruption loses one batch at most. If
    nothing is new, the encoder's weights are not even loaded.

    Args:
        texts: n texts, repetitions and empty texts welcome.
        encoder: Encodes what the store does not hold.
        store: Opened for this encoder (`open_store`).
        show_progress: Shows a progress bar with texts/s and the time left.

    Returns:
        The rows, in the order of `texts`.
    """
    rows = store.rows_of(texts)
    missing = np.flatnonzero(rows < 0)
    if not len(missing):
        return EncodedTexts(rows, 0)

    # Longest first: little padding inside a batch, and the time left is never underestimated.
    new_texts = sorted({texts[i] for i in missing}, key=lambda text: (-len(text), text))
    with tqdm(
        total=len(new_texts),
        desc=f"encoding texts ({len(store) - 1} stored)",
        unit="text",
        disable=not show_progress,
    ) as progress:
        for start in range(0, len(new_texts), encoder.batch_size):
            batch = new_texts[start : start + encoder.batch_size]
            store.append(batch, encoder.encode(batch))
            progress.update(len(batch))
    rows[missing] = store.rows_of([texts[i] for i in missing])
    return EncodedTexts(rows, len(new_texts))

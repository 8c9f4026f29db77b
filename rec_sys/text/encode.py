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

    Each batch is stored as soon as it is encoded: an interruption loses only the few that are
    under way. If nothing is new, the encoder's weights are not even loaded.

    Args:
        texts: n texts, repetitions and empty texts welcome.
        encoder: Encodes what the store does not hold.
        store: Opened for this encoder (`open_store`).
        show_progress: Shows a progress bar with texts/s, the time left and the share of the
            distinct texts that the store held already.

    Returns:
        The rows, in the order of `texts`.
    """
    rows = store.rows_of(texts)
    missing = np.flatnonzero(rows < 0)
    if not len(missing):
        return EncodedTexts(rows, 0)

    new_texts = list(dict.fromkeys(texts[i] for i in missing))
    distinct = len({*texts} - {""})
    with tqdm(
        total=len(new_texts),
        desc=f"encoding texts ({1 - len(new_texts) / distinct:.0%} found in the store)",
        unit="text",
        # Batches hold few long or many short texts: only their mean tells the time left.
        smoothing=0,
        disable=not show_progress,
    ) as progress:
        for batch, vectors in encoder.encode_in_batches(new_texts):
            store.append([new_texts[row] for row in batch], vectors)
            progress.update(len(batch))
    rows[missing] = store.rows_of([texts[i] for i in missing])
    return EncodedTexts(rows, len(new_texts))

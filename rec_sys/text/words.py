"""The words of texts as counts: every word has a column by its hash, so there is no vocabulary."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from unicodedata import combining, normalize
from zlib import crc32

import numpy as np
import scipy.sparse

#: Of English, as that of the text encoder: they are in every sentence, whatever it is about.
FUNCTION_WORDS = frozenset(Path(__file__).with_name("function_words.txt").read_text().split())
#: W, the number of columns. Of 100,000 distinct words about every tenth shares its column.
NUM_WORDS = 2**20

_WORD = re.compile(r"\b\w\w+\b")
_REMEMBERED = 1 << 18


def count_words(texts: Sequence[str]) -> scipy.sparse.csr_array:
    """How often each word is in each text, float32 [n, W]; case and accents do not count."""
    words = [_words(text) for text in texts]
    columns = np.fromiter((_column(each) for said in words for each in said), np.int32)
    kind = scipy.sparse.get_index_dtype(maxval=max(len(columns), NUM_WORDS))
    pointers = np.append(0, np.cumsum([len(said) for said in words])).astype(kind)
    ones = np.ones(len(columns), dtype=np.float32)
    counts = scipy.sparse.csr_array((ones, columns, pointers), (len(texts), NUM_WORDS))
    counts.sum_duplicates()
    return counts


def columns_of(text: str) -> dict[str, int]:
    """The columns of the distinct words of a text, in the order of the words."""
    return {word: _column(word) for word in _words(text)}


def as_written(text: str) -> dict[str, str]:
    """The distinct words of a text with the accents that they are written with."""
    written = _WORD.findall(normalize("NFC", text).lower())
    return {word: each for each in written for word in _words(each)}


def _words(text: str) -> list[str]:
    text = text.lower()
    if not text.isascii():
        text = "".join(each for each in normalize("NFKD", text) if not combining(each))
    return _WORD.findall(text)


@lru_cache(_REMEMBERED)
def _column(word: str) -> int:
    return crc32(word.encode("utf-8", "surrogatepass")) % NUM_WORDS


def words_by_row(texts: Sequence[str], rows: np.ndarray, num_rows: int) -> scipy.sparse.csr_array:
    """Words of n texts in their rows, int64 [n], of a store: float32 [num_rows, W], else 0."""
    kept, first = np.unique(rows, return_index=True)
    counts = count_words([texts[place] for place in first]).tocoo()
    row, column = counts.coords
    return scipy.sparse.csr_array((counts.data, (kept[row], column)), (num_rows, NUM_WORDS))

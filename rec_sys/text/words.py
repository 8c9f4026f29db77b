"""The words of texts as counts: every word has a column by its hash, so there is no vocabulary."""

import re
from collections.abc import Sequence
from functools import lru_cache
from unicodedata import combining, normalize

import numpy as np
import scipy.sparse

#: W, the number of columns. Of 100,000 distinct words about every tenth shares its column.
NUM_WORDS = 2**20

_WORD = re.compile(r"\b\w\w+\b")
_ALL = 0xFFFFFFFF
_REMEMBERED = 1 << 18


def count_words(texts: Sequence[str]) -> scipy.sparse.csr_array:
    """How often each word is in each text, float32 [n, W]; case and accents do not count. The
    columns are those of scikit-learn's ``HashingVectorizer``, which takes seconds to import."""
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


def _words(text: str) -> list[str]:
    text = text.lower()
    if not text.isascii():
        text = "".join(each for each in normalize("NFKD", text) if not combining(each))
    return _WORD.findall(text)


@lru_cache(_REMEMBERED)
def _column(word: str) -> int:
    """MurmurHash3 of 32 bits with the seed 0 (Austin Appleby, public domain), without its sign."""
    content = word.encode("utf-8", "surrogatepass")
    mixed = 0
    for first in range(0, len(content), 4):
        part = content[first : first + 4]
        block = int.from_bytes(part, "little") * 0xCC9E2D51 & _ALL
        mixed ^= (block << 15 | block >> 17) * 0x1B873593 & _ALL
        if len(part) == 4:
            mixed = ((mixed << 13 | mixed >> 19) * 5 + 0xE6546B64) & _ALL
    mixed ^= len(content)
    mixed = (mixed ^ mixed >> 16) * 0x85EBCA6B & _ALL
    mixed = (mixed ^ mixed >> 13) * 0xC2B2AE35 & _ALL
    mixed ^= mixed >> 16
    return min(mixed, _ALL + 1 - mixed) % NUM_WORDS


def words_by_row(texts: Sequence[str], rows: np.ndarray, num_rows: int) -> scipy.sparse.csr_array:
    """The words of n texts that have rows in a vector store, int64 [n], equal for equal texts:
    float32 [num_rows, W]; nothing in rows of other texts."""
    kept, first = np.unique(rows, return_index=True)
    counts = count_words([texts[place] for place in first])
    lengths = np.zeros(num_rows, dtype=np.int64)
    lengths[kept] = np.diff(counts.indptr)
    pointers = np.append(0, np.cumsum(lengths))
    return scipy.sparse.csr_array((counts.data, counts.indices, pointers), (num_rows, NUM_WORDS))

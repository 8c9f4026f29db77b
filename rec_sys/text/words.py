"""The words of texts as counts: every word has a column by its hash, so there is no vocabulary."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import HashingVectorizer

#: W, the number of columns. Of 100,000 distinct words about every tenth shares its column.
NUM_WORDS = 2**20


@cache
def _vectorizer() -> "HashingVectorizer":
    from sklearn.feature_extraction.text import HashingVectorizer  # takes a second

    return HashingVectorizer(
        n_features=NUM_WORDS, alternate_sign=False, norm=None, strip_accents="unicode"
    )


def count_words(texts: Sequence[str]) -> scipy.sparse.csr_array:
    """How often each word is in each text, float32 [n, W]; case and accents do not count."""
    if not len(texts):
        return scipy.sparse.csr_array((0, NUM_WORDS), dtype=np.float32)
    return scipy.sparse.csr_array(_vectorizer().transform(texts), dtype=np.float32)


def columns_of(text: str) -> dict[str, int]:
    """The columns of the distinct words of a text, in the order of the words."""
    words = list(dict.fromkeys(_vectorizer().build_analyzer()(text)))
    rows, columns = count_words(words).tocoo().coords
    return {words[row]: column for row, column in zip(rows.tolist(), columns.tolist(), strict=True)}


def words_by_row(texts: Sequence[str], rows: np.ndarray, num_rows: int) -> scipy.sparse.csr_array:
    """The words of n texts that have rows in a vector store, int64 [n], equal for equal texts:
    float32 [num_rows, W]; nothing in rows of other texts."""
    kept, first = np.unique(rows, return_index=True)
    counts = count_words([texts[place] for place in first])
    lengths = np.zeros(num_rows, dtype=np.int64)
    lengths[kept] = np.diff(counts.indptr)
    pointers = np.append(0, np.cumsum(lengths))
    return scipy.sparse.csr_array((counts.data, counts.indices, pointers), (num_rows, NUM_WORDS))

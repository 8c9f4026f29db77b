"""What somebody says that they want, and how well products fit it. Needs no PyTorch."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse


@dataclass(frozen=True)
class Wishes:
    """What U users say that they want. `vectors`: float32 [U, D], of the texts, zero where nothing
    is said; `words`: float32 [U, W], see `rec_sys.text.words`; `said`: bool [U], if anything is."""

    vectors: np.ndarray
    words: scipy.sparse.csr_array
    said: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, words: scipy.sparse.csr_array) -> "Wishes":
        """From a vector and words for each user; zero where nothing is said."""
        vectors = vectors.astype(np.float32)
        return cls(vectors, words, (vectors != 0).any(axis=1) | (np.diff(words.indptr) > 0))

    def of_user(self, user: int) -> "Wishes":
        one = slice(user, user + 1)
        return Wishes(self.vectors[one], self.words[one], self.said[one])


def word_weights(
    counts: scipy.sparse.csr_array, k1: float, b: float
) -> tuple[scipy.sparse.csr_array, np.ndarray, float]:
    """BM25 of documents by their own statistics. `counts`: float32 [P, W], how often each word is
    in each document; for `k1` and `b` see `bm25`. Returns float32 [W, P], what each word of a query
    adds to each document, the inverse document frequencies and the mean length."""
    documents = np.bincount(counts.indices, minlength=counts.shape[1])
    # The 1 of log1p keeps the most frequent words from counting against.
    idf = np.log1p((counts.shape[0] - documents + 0.5) / (documents + 0.5))
    idf = np.where(documents > 0, idf, 0).astype(np.float32)  # no document has it: 0
    mean_length = float(counts.sum() / max(counts.shape[0], 1))
    return bm25(counts, idf, mean_length, k1, b).T.tocsr(), idf, mean_length


def bm25(
    counts: scipy.sparse.csr_array, idf: np.ndarray, mean_length: float, k1: float, b: float
) -> scipy.sparse.csr_array:
    """Okapi BM25 (Robertson & Zaragoza, "The Probabilistic Relevance Framework", 2009).

    `counts`: float32 [P, W], how often each word is in each document; `idf`: float32 [W];
    `mean_length`: words of a document; `k1`: how much a word counts that is there again and again;
    `b`: how much long documents are held back, 0...1. Returns float32 [P, W], what each word adds.
    """
    length = counts.sum(axis=1) / max(mean_length, 1)
    weights = counts.tocsr(copy=True)
    room = np.repeat(k1 * (1 - b + b * length), np.diff(weights.indptr))
    weights.data = weights.data * (k1 + 1) / (weights.data + room) * idf[weights.indices]
    return weights.astype(np.float32)

"""What somebody says that they want, and how well products fit it. Needs no PyTorch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from rec_sys.modules.match import Towers, unit
from rec_sys.modules.product_graph import heaviest

if TYPE_CHECKING:
    from rec_sys.modules.features import Situation


@dataclass(frozen=True)
class Wishes:
    """What U users say that they want. `vectors`: float32 [U, D], of the texts, zero where nothing
    is said; `words`: float32 [U, W], see `rec_sys.text.words`; `said`: bool [U], whether anything
    is."""

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


@dataclass(frozen=True)
class MatchFeature:
    """How well a product fits what the user wants, by meaning: a logit of the towers. `products`:
    float32 [P, D], what the towers make of the products."""

    name: str
    evidence: str
    towers: Towers
    products: np.ndarray

    def values(self, situation: "Situation") -> np.ndarray:
        if situation.wishes is None:
            return np.zeros((1, len(self.products)), dtype=np.float32)
        return self.logits(situation.wishes.vectors)

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """How well each product fits some texts, float [n, D]: float32 [n, P]."""
        return self.towers.queries(vectors) @ self.products.T

    def links(self, vectors: np.ndarray, unknown: np.ndarray) -> scipy.sparse.csr_array | None:
        """The products that texts are likely about, for reviews of unknown products.

        `vectors`: float [n, D], of all reviews, zero vectors lead nowhere; `unknown`: bool [n],
        those of which something is to be told. Returns float32 [n, P], the chances of the softmax
        over all products, the likeliest of them; rows sum to at most 1. None if there is nothing to
        be told.
        """
        rows = np.flatnonzero(unknown & vectors.any(axis=1))
        if not len(rows):
            return None
        logits = self.logits(unit(vectors[rows]))
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        likely = heaviest(chances, _LINKED)
        lengths = np.zeros(len(vectors), dtype=np.int64)
        lengths[rows] = np.diff(likely.indptr)
        cells = likely.data, likely.indices, np.append(0, np.cumsum(lengths))
        return scipy.sparse.csr_array(cells, (len(vectors), likely.shape[1]))


# So many products hold nearly all of the chances.
_LINKED = 20


@dataclass(frozen=True)
class WordsFeature:
    """How well a product's words fit what the user wants: BM25, in standard deviations.

    A word that is said n times counts ``1 + log(n)`` times. BM25 grows with the length of a wish;
    divided by its standard deviation over the products it does not.

    `weights`: float32 [W, P], what each word of a wish adds to each product; `idf`: float32 [W];
    `mean_length`: words of a product, on average; a product's name counts `name_weight` times.
    """

    name: str
    evidence: str
    weights: scipy.sparse.csr_array
    idf: np.ndarray
    mean_length: float
    k1: float
    b: float
    name_weight: float

    def values(self, situation: "Situation") -> scipy.sparse.csr_array:
        if situation.wishes is None:
            empty = (situation.num_users, self.weights.shape[1])
            return scipy.sparse.csr_array(empty, dtype=np.float32)
        words = situation.wishes.words.copy()
        words.data = 1 + np.log(words.data)
        scores = words @ self.weights
        size = scores.shape[1]
        sums, squares = scores.sum(axis=1), scores.power(2).sum(axis=1)
        deviation = np.sqrt(np.maximum(squares / size - (sums / size) ** 2, 0))
        scale = np.repeat(np.where(deviation > 0, deviation, 1), np.diff(scores.indptr))
        scores.data = (scores.data / scale).astype(np.float32)
        return scores

    def words_for(self, words: scipy.sparse.csr_array, product: int) -> np.ndarray:
        """What each word of one wish, float32 [1, W], adds to a product: float32 [W']."""
        return self.weights[words.indices][:, [product]].toarray()[:, 0]


def word_weights(
    counts: scipy.sparse.csr_array, k1: float, b: float
) -> tuple[scipy.sparse.csr_array, np.ndarray, float]:
    """BM25 of documents by their own statistics. `counts`: float32 [P, W], how often each word is
    in each document; for `k1` and `b` see `bm25`. Returns float32 [W, P], what each word of a query
    adds to each document, the inverse document frequencies and the mean length."""
    idf = inverse_document_frequency(counts)
    mean_length = float(counts.sum() / max(counts.shape[0], 1))
    return bm25(counts, idf, mean_length, k1, b).T.tocsr(), idf, mean_length


def inverse_document_frequency(counts: scipy.sparse.csr_array) -> np.ndarray:
    """How telling each word is by the documents that have it, float32 [P, W] -> [W]. 0 for a word
    of no document. The 1 keeps the most frequent words from counting against (Robertson & Zaragoza,
    see `bm25`)."""
    documents = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log1p((counts.shape[0] - documents + 0.5) / (documents + 0.5))
    return np.where(documents > 0, idf, 0).astype(np.float32)


def bm25(
    counts: scipy.sparse.csr_array, idf: np.ndarray, mean_length: float, k1: float, b: float
) -> scipy.sparse.csr_array:
    """Okapi BM25 (Robertson & Zaragoza, "The Probabilistic Relevance Framework", 2009).

    `counts`: float32 [P, W], how often each word is in each document; `idf`: float32 [W];
    `mean_length`: words of a document; `k1`: how much a word counts that is there again and again;
    `b`: how much long documents are held back, 0...1. Returns float32 [P, W], what each word of a
    query adds to each document.
    """
    length = counts.sum(axis=1) / max(mean_length, 1)
    weights = counts.tocsr(copy=True)
    room = np.repeat(k1 * (1 - b + b * length), np.diff(weights.indptr))
    weights.data = weights.data * (k1 + 1) / (weights.data + room) * idf[weights.indices]
    return weights.astype(np.float32)

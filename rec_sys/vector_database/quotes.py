"""What others wrote about a product, sentence by sentence, to be quoted beside a wish."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from rec_sys.graph.review_graph import rows_to_pointers
from rec_sys.text.words import NUM_WORDS, count_words

_SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+")
_SHORTEST, _LONGEST = 20, 200


@dataclass(frozen=True)
class Quote:
    """A sentence of somebody's review, with their stars."""

    text: str
    rating: float | None


@dataclass(frozen=True)
class Quotes:
    """S sentences about P products; who wrote them is not kept. `pointers`: int64 [P + 1], those of
    product p are ``pointers[p]:pointers[p + 1]``; `texts`: str [S]; `rating`: float32 [S], NaN
    without stars; `words`: float32 [S, W], of each, see `rec_sys.text.words`."""

    pointers: np.ndarray
    texts: np.ndarray
    rating: np.ndarray
    words: scipy.sparse.csr_array

    @classmethod
    def of(
        cls, texts: Sequence[str], product: np.ndarray, rating: np.ndarray, number: int, most: int
    ) -> "Quotes":
        """Cuts n reviews of a `number` of products into sentences, at most so many a product, those
        of the first reviews first, no very short or long ones. `rating`: float32 [n], or NaN."""
        of_products: list[list[tuple[str, float]]] = [[] for _ in range(number)]
        for text, row, stars in zip(texts, product.tolist(), rating.tolist(), strict=True):
            if (room := most - len(of_products[row])) <= 0:
                continue
            sentences = [each.strip() for each in _SENTENCE.split(text)]
            sentences = [each for each in sentences if _SHORTEST <= len(each) <= _LONGEST]
            of_products[row] += [(each, stars) for each in sentences[:room]]
        found = [each for sentences in of_products for each in sentences]
        said = np.array([text for text, _ in found], dtype=object)
        words = count_words(said)
        words.data[:] = 1
        stars = np.array([stars for _, stars in found], dtype=np.float32)
        return cls(np.cumsum([0, *map(len, of_products)]), said, stars, words)

    def nearest(self, product: int, words: np.ndarray, weights: np.ndarray) -> Quote | None:
        """The sentence about a product that says most of some words, in the fewest; None without
        any. `words`: int64 [n], columns of words; `weights`: float32 [n], how much each counts."""
        start, stop = self.pointers[product : product + 2]
        ends = self.words.indptr[start : stop + 1]
        lengths, said = np.diff(ends), self.words.indices[ends[0] : ends[-1]]
        sentence = np.repeat(np.arange(len(lengths)), lengths)
        shared = np.bincount(sentence, (said[:, None] == words) @ weights, len(lengths))
        if not shared.any():
            return None
        # A long sentence has words by chance.
        place = start + int(np.argmax(shared / np.sqrt(1 + lengths)))
        stars = float(self.rating[place])
        return Quote(str(self.texts[place]), None if np.isnan(stars) else stars)

    def moved(self, rows: np.ndarray, num_rows: int) -> "Quotes":
        """The same sentences, with product p in row ``rows[p]``, int64 [P], or gone (below 0)."""
        product = np.repeat(rows, np.diff(self.pointers))
        order = np.argsort(product, kind="stable")
        order = order[product[order] >= 0]
        pointers = rows_to_pointers(product[order], num_rows)
        return Quotes(pointers, self.texts[order], self.rating[order], self.words[order])

    def arrays(self) -> dict[str, np.ndarray]:
        encoded = [text.encode() for text in self.texts]
        return {
            "pointers": self.pointers,
            "text": np.frombuffer(b"".join(encoded), dtype=np.uint8),
            "text_length": np.array(list(map(len, encoded)), dtype=np.int64),
            "rating": self.rating,
            "word": self.words.indices.astype(np.int32),
            "word_count": np.diff(self.words.indptr).astype(np.int32),
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Quotes":
        """From what `arrays` gave; KeyError if one is missing, ValueError if they do not fit."""
        ends, whole = np.cumsum(arrays["text_length"]), arrays["text"].tobytes()
        lengths = [np.diff(arrays["pointers"]), arrays["text_length"], arrays["word_count"]]
        if any((each < 0).any() for each in lengths) or int(ends[-1:].sum()) != len(whole):
            raise ValueError("sentences of other lengths")
        places = zip((ends - arrays["text_length"]).tolist(), ends.tolist(), strict=True)
        texts = np.array([whole[start:end].decode() for start, end in places], dtype=object)
        pointers = np.append(0, np.cumsum(arrays["word_count"], dtype=np.int64))
        ones = np.ones(len(arrays["word"]), dtype=np.float32)
        shape = (len(arrays["word_count"]), NUM_WORDS)
        words = scipy.sparse.csr_array((ones, arrays["word"], pointers), shape)
        words.check_format()
        sizes = {len(texts), words.shape[0], len(arrays["rating"]), int(arrays["pointers"][-1])}
        if len(sizes) != 1 or arrays["pointers"][0] or arrays["rating"].dtype != np.float32:
            raise ValueError("sentences and their words do not fit together")
        return cls(arrays["pointers"], texts, arrays["rating"], words)

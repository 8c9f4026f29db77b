"""What finds products by the words of a wish without having learned to: names, meaning, words."""

from typing import Literal

import numpy as np
import scipy.sparse

from rec_sys.foundation.settings import Positive, Share, settings_of
from rec_sys.graph.csr import read_vectors
from rec_sys.graph.ego_batch import ProductReviews
from rec_sys.graph.review_graph import PreparedReviews, ReviewGraph
from rec_sys.modules.baselines.ranking import Popularity
from rec_sys.modules.evidences import product_words
from rec_sys.modules.match import unit, word_weights

# A name counts twice in BM25, as in `rec_sys.modules.evidences.Match`.
_NAME_WEIGHT = 2.0


@settings_of("PopularWish", frozen=False)
class PopularWish(Popularity):
    """What has the most reviews, whatever is wished for."""

    def find(self, histories: ReviewGraph, asked: np.ndarray, wish: np.ndarray) -> np.ndarray:
        return self.score(histories, asked)


@settings_of("NearestTexts", frozen=False)
class NearestTexts:
    """MiniLM: cosine of the wish with name, description or mean review, or their z-scored sum."""

    source: Literal["names", "descriptions", "reviews", "all"]

    @property
    def name(self) -> str:
        return f"MiniLM, {self.source}"

    def fit(self, train: ReviewGraph, texts: PreparedReviews) -> None:
        vectors = texts.vectors
        means = ProductReviews.of(train, vectors, np.arange(train.num_edges)).summary().texts
        sources = {
            "names": read_vectors(vectors, train.product_name_text),
            "descriptions": read_vectors(vectors, train.product_info_text),
            "reviews": unit(means),
        }
        chosen = list(sources) if self.source == "all" else [self.source]
        self._vectors, self._products = vectors, [sources[name] for name in chosen]

    def find(self, histories: ReviewGraph, asked: np.ndarray, wish: np.ndarray) -> np.ndarray:
        queries = read_vectors(self._vectors, wish)
        cosines = [queries @ products.T for products in self._products]
        found = cosines[0] if len(cosines) == 1 else sum(map(_standardised, cosines))
        return np.ascontiguousarray(found, dtype=np.float32)


@settings_of("WordSearch", frozen=False)
class WordSearch:
    """BM25 over name, description and reviews of each product; for the settings see `bm25`."""

    k1: Positive
    b: Share
    name: str = "BM25"

    def fit(self, train: ReviewGraph, texts: PreparedReviews) -> None:
        names, others = product_words(train, texts.words, np.arange(train.num_edges))
        counts = scipy.sparse.csr_array(_NAME_WEIGHT * names + others)
        self._weights, _, _ = word_weights(counts, self.k1, self.b)
        self._words = texts.words

    def find(self, histories: ReviewGraph, asked: np.ndarray, wish: np.ndarray) -> np.ndarray:
        return (self._words[wish] @ self._weights).toarray().astype(np.float32)


@settings_of("FusedSearch", frozen=False)
class FusedSearch:
    """MiniLM and BM25 by reciprocal rank + `damping` (Cormack et al., SIGIR 2009)."""

    source: Literal["names", "descriptions", "reviews", "all"]
    k1: Positive
    b: Share
    damping: Positive
    name: str = "MiniLM + BM25, reciprocal ranks"

    def fit(self, train: ReviewGraph, texts: PreparedReviews) -> None:
        self._parts = (NearestTexts(source=self.source), WordSearch(k1=self.k1, b=self.b))
        for part in self._parts:
            part.fit(train, texts)

    def find(self, histories: ReviewGraph, asked: np.ndarray, wish: np.ndarray) -> np.ndarray:
        import scipy.stats  # takes a moment

        scores = (part.find(histories, asked, wish) for part in self._parts)
        # Equals in the order of the products.
        ranks = (scipy.stats.rankdata(-each, "ordinal", axis=1) for each in scores)
        gains = [1 / (self.damping + rank.astype(np.float32)) for rank in ranks]
        return np.sum(gains, axis=0, dtype=np.float32)


def _standardised(scores: np.ndarray) -> np.ndarray:
    deviation = scores.std(axis=1, keepdims=True)
    return (scores - scores.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1)

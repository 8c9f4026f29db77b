"""The match: which product a text is about, by two towers on text vectors and by BM25."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import scipy.sparse
from numpy import ndarray
from pydantic import Field

from rec_sys.foundation import settings
from rec_sys.foundation.console import progress
from rec_sys.graph.ego_batch import ProductReviews
from rec_sys.graph.review_graph import ReviewGraph, read_vectors
from rec_sys.graph.task import Split

#: The sources of a product's vector, in the order in which they are given.
SOURCES = ("name", "info", "reviews")


@dataclass(frozen=True)
class Wishes:
    """What U users say that they want. `vectors`: float32 [U, D], of the texts, zero where nothing
    is said; `words`: float32 [U, W], see `rec_sys.text.words`; `said`: bool [U], if anything is."""

    vectors: ndarray
    words: scipy.sparse.csr_array
    said: ndarray

    @classmethod
    def of(cls, vectors: ndarray, words: scipy.sparse.csr_array) -> "Wishes":
        """From a vector and words for each user; zero where nothing is said."""
        vectors = vectors.astype(np.float32)
        return cls(vectors, words, (vectors != 0).any(axis=1) | (np.diff(words.indptr) > 0))

    def of_user(self, user: int) -> "Wishes":
        one = slice(user, user + 1)
        return Wishes(self.vectors[one], self.words[one], self.said[one])


@dataclass(frozen=True)
class Towers:
    """Linear maps after which a text lies near the product that it is about. With x the vector of a
    text, and n, i, m those of a product's name, its description, and the mean of its reviews,
    scaled to unit length, the logit is the inner product of ``x Q`` and ``n N + i I + m M``, the
    latter scaled to unit length. The maps, in this order: float32 [D, D]."""

    query: ndarray
    name: ndarray
    info: ndarray
    reviews: ndarray

    @classmethod
    def untrained(cls, vector_dim: int, scale: float) -> "Towers":
        """Plain similarity: `scale` times the cosine of a text and the mean of the sources."""
        same = np.eye(vector_dim, dtype=np.float32)
        return cls(np.float32(scale) * same, same, same, same)

    def queries(self, vectors: ndarray) -> ndarray:
        """float [n, D] -> float32 [n, D]."""
        return vectors.astype(np.float32) @ self.query

    def products(self, *sources: ndarray) -> ndarray:
        """float32 [P, D], unit length, zero without a text; `sources`, float [P, D]: `SOURCES`."""
        maps = (self.name, self.info, self.reviews)
        return unit(sum(unit(source) @ each for source, each in zip(sources, maps, strict=True)))


def unit(vectors: ndarray) -> ndarray:
    """float [n, D] -> float32 [n, D] of unit length; zero stays zero."""
    vectors = vectors.astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def inner_products(users: ndarray, products: ndarray) -> ndarray:
    """float32 [U, P], of float32 [U, D] and [P, D], summed in double precision: in single
    precision the last bit goes with a product's place in a block, and ties would be none."""
    return (users.astype(np.float64) @ products.T).astype(np.float32)


@settings.settings_of("match")
class MatchFit:
    """Trains the towers to find the product of each training review by its words: a softmax over
    all products or a uniform sample, whose logits are corrected for it. A review is not in the mean
    of its own product. A learned weight of log(1 + reviews) takes up that popular products are
    meant more often. The epoch with the best loss on the validation is kept. With `source_dropout`,
    a product without reviews is found by its name. ``config/match`` tells more."""

    max_epochs: settings.PositiveCount
    patience: settings.PositiveCount
    batch_size: settings.PositiveCount
    products: settings.PositiveCount
    lr: settings.Positive
    weight_decay: settings.NotNegative
    dropout: Annotated[float, Field(ge=0, lt=1)]
    source_dropout: settings.Share
    scale: settings.Positive
    seed: settings.Count

    def fit(self, graph: ReviewGraph, vectors: ndarray, split: Split) -> Towers:
        """Learns from training reviews; validation chooses the epoch. `vectors`: float [N, D]."""
        import torch  # what is trained is applied without it

        def with_text(edges: ndarray) -> ndarray:
            return edges[(read_vectors(vectors, graph.edge_text[edges]) != 0).any(axis=1)]

        training = with_text(np.flatnonzero(split.train))
        validation = with_text(np.flatnonzero(split.validation.target))
        untrained = Towers.untrained(vectors.shape[1], self.scale)
        if not len(training):
            return untrained
        known = ProductReviews.of(graph, vectors, np.flatnonzero(split.train))
        best, least, since = untrained, np.inf, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            learner = _Learner(self, graph, vectors, known)
            with progress(self.max_epochs, "match of texts and products", "epoch") as bar:
                for _ in range(self.max_epochs):
                    learner.epoch(training)
                    bar.advance(1)
                    loss = learner.loss(validation) if len(validation) else -np.inf
                    since = 0 if loss < least or not len(validation) else since + 1
                    if not since:
                        best, least = learner.towers(), loss
                    if since >= self.patience:
                        break
        return best


class _Learner:
    """The towers while they are trained."""

    def __init__(
        self, fit: MatchFit, graph: ReviewGraph, vectors: ndarray, known: ProductReviews
    ) -> None:
        import torch

        self._torch, self._fit = torch, fit
        self._graph, self._vectors, self._known = graph, vectors, known
        self._rng = np.random.default_rng(fit.seed)
        self._popularity = torch.from_numpy(np.log1p(known.counts).astype(np.float32))
        size = vectors.shape[1]
        # What weight decay leaves of a map is the identity.
        self._maps = [torch.zeros(size, size, requires_grad=True) for _ in range(4)]
        self._scale = torch.tensor(float(np.log(fit.scale)), requires_grad=True)
        self._weights = torch.ones(len(SOURCES), requires_grad=True)
        self._popularity_weight = torch.zeros((), requires_grad=True)
        scalars = [self._scale, self._weights, self._popularity_weight]
        parts = [{"params": self._maps}, {"params": scalars, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(parts, lr=fit.lr, weight_decay=fit.weight_decay)

    def epoch(self, edges: ndarray) -> None:
        """Goes once through the training reviews, int64 [n]."""
        torch, fit = self._torch, self._fit
        shuffled = self._rng.permutation(edges)
        # With all reviews of a product in one step nothing would be left to tell it by.
        size = min(fit.batch_size, max(len(edges) // _LEAST_STEPS, 1))
        for start in range(0, len(shuffled), size):
            batch = shuffled[start : start + size]
            products, corrections = self._sample(batch)
            sources = match_sources(self._graph, self._vectors, self._known, products, batch)
            texts = torch.from_numpy(read_vectors(self._vectors, self._graph.edge_text[batch]))
            parts = [self._dropped(torch.from_numpy(unit(each))) for each in sources]
            kept = torch.rand(len(SOURCES), len(products), 1) >= fit.source_dropout
            parts = [part * given for part, given in zip(parts, kept, strict=True)]
            target = torch.from_numpy(np.searchsorted(products, self._graph.edge_product[batch]))
            logits = self._logits(self._dropped(texts), parts, products)
            # A target is there for certain, the others are drawn.
            logits = logits + torch.from_numpy(corrections)
            self._optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, target).backward()
            self._optimizer.step()

    def loss(self, edges: ndarray) -> float:
        """Mean negative log-likelihood of the products of some reviews, among all products."""
        torch, graph = self._torch, self._graph
        everything = np.arange(graph.num_products)
        sources = match_sources(graph, self._vectors, self._known, everything, edges)
        with torch.no_grad():
            parts = [torch.from_numpy(unit(each)) for each in sources]
            total = 0.0
            for start in range(0, len(edges), self._fit.batch_size):
                batch = edges[start : start + self._fit.batch_size]
                texts = torch.from_numpy(read_vectors(self._vectors, graph.edge_text[batch]))
                logits = self._logits(texts, parts, everything)
                target = torch.from_numpy(graph.edge_product[batch])
                total += float(torch.nn.functional.cross_entropy(logits, target, reduction="sum"))
        return total / len(edges)

    def towers(self) -> Towers:
        same = np.eye(len(self._maps[0]), dtype=np.float32)
        query, *others = (same + each.detach().numpy() for each in self._maps)
        weights = self._weights.detach().numpy()
        scale = np.exp(self._scale.item(), dtype=np.float32)
        return Towers(scale * query, *(w * each for w, each in zip(weights, others, strict=True)))

    def _logits(self, texts: Any, parts: list[Any], products: ndarray) -> Any:
        query, *others = self._maps
        weighted = zip(self._weights, parts, others, strict=True)
        mapped = (weight * (part + part @ each) for weight, part, each in weighted)
        found = self._torch.nn.functional.normalize(sum(mapped), dim=1, eps=_TINY)
        logits = self._scale.exp() * (texts + texts @ query) @ found.T
        return logits + self._popularity_weight * self._popularity[products]

    def _dropped(self, vectors: Any) -> Any:
        return self._torch.nn.functional.dropout(vectors, self._fit.dropout)

    def _sample(self, batch: ndarray) -> tuple[ndarray, ndarray]:
        """Products of a step, int64 [M] ascending, and what corrects their logits, float32 [M]."""
        size, own = self._graph.num_products, np.unique(self._graph.edge_product[batch])
        others = np.setdiff1d(np.arange(size), own)
        room = max(self._fit.products - len(own), 1)
        if len(others) <= room:
            return np.arange(size), np.zeros(size, np.float32)
        products = np.sort(np.concatenate([own, self._rng.choice(others, room, replace=False)]))
        each_stands_for = np.log(len(others) / room)
        return products, np.where(np.isin(products, own), 0, each_stands_for).astype(np.float32)


_TINY = 1e-6
_LEAST_STEPS = 8  # of an epoch


def match_sources(
    graph: ReviewGraph, vectors: ndarray, known: ProductReviews, products: ndarray, asked: ndarray
) -> tuple[ndarray, ndarray, ndarray]:
    """The `SOURCES` of products, int64 [M] ascending, without the reviews that are `asked` for
    their products, int64 [n], edges. `vectors`: float [N, D]. Returns float32 [M, D] each."""
    there = asked[np.isin(graph.edge_product[asked], products)]
    return (
        read_vectors(vectors, graph.product_name_text[products]),
        read_vectors(vectors, graph.product_info_text[products]),
        known.summary_without(products, graph, vectors, there).texts,
    )


def word_weights(
    counts: scipy.sparse.csr_array, k1: float, b: float
) -> tuple[scipy.sparse.csr_array, ndarray, float]:
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
    counts: scipy.sparse.csr_array, idf: ndarray, mean_length: float, k1: float, b: float
) -> scipy.sparse.csr_array:
    """Okapi BM25 (Robertson & Zaragoza, "The Probabilistic Relevance Framework", 2009). `counts`:
    float32 [P, W], how often each word is in each document; `idf`: float32 [W]; `mean_length`:
    words of a document; `k1`: how much a word counts that is there again and again; `b`: how much
    long documents are held back, 0...1. Returns float32 [P, W], what each word adds."""
    length = counts.sum(axis=1) / max(mean_length, 1)
    weights = counts.tocsr(copy=True)
    room = np.repeat(k1 * (1 - b + b * length), np.diff(weights.indptr))
    weights.data = weights.data * (k1 + 1) / (weights.data + room) * idf[weights.indices]
    return weights.astype(np.float32)

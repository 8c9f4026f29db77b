"""Products by words, and products and people among what is said about products."""

import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log

import numpy as np

from rec_sys.vector_database.vectorbase import Vectorbase

# The two directions are found on so many products at most; they settle long before.
_FITTED_ON = 20_000
# The margin of the map, so that no dot is cut in half.
_REACH = 0.95
# So many products lie within the map, strays on its edge: they must not squeeze all others.
_WITHIN = 0.99
# Nobody types more to find one product.
_MOST_WORDS = 12
_WORD = re.compile(r"\w+")
# The order of the columns: a word in the name counts most. See SQLite's bm25().
_WEIGHTS = (10.0, 2.0, 5.0)
# bm25 is negative, the best lowest; popularity decides between products that match alike.
_RANK = f"round(bm25(products, {', '.join(map(str, _WEIGHTS))}), 1), popularity"


class ProductSearch:
    """Finds products whose words begin with the words asked for, in any order."""

    def __init__(self, vectorbase: Vectorbase) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(
            "CREATE VIRTUAL TABLE products USING fts5(name, style, id, popularity UNINDEXED,"
            " tokenize='unicode61 remove_diacritics 2', prefix='1 2 3')"
        )
        there = np.flatnonzero(~vectorbase.index.removed)
        ranks = vectorbase.products["popularity_rank"].to_numpy(dtype=np.int64)
        columns = (vectorbase.names, vectorbase.styles, vectorbase.product_ids, ranks)
        self._database.executemany(
            "INSERT INTO products (rowid, name, style, id, popularity) VALUES (?, ?, ?, ?, ?)",
            zip(there.tolist(), *(column[there].tolist() for column in columns), strict=True),
        )
        self._by_popularity = vectorbase.by_popularity
        self._styles = vectorbase.styles

    def find(self, words: str, k: int, style: str | None = None) -> np.ndarray:
        """Finds products: rows of the vectorbase, int64 [at most k], the best first. Without any
        letter or digit in `words`, which were typed, the most popular products match."""
        if not (found := _WORD.findall(words)[:_MOST_WORDS]):
            rows = self._by_popularity
            return (rows if style is None else rows[self._styles[rows] == style])[:k]
        query = " ".join(f'"{word}"*' for word in found)
        with self._lock:
            answer = self._database.execute(
                "SELECT rowid FROM products WHERE products MATCH ?1 AND (?2 IS NULL OR style = ?2)"
                f" ORDER BY {_RANK} LIMIT ?3",
                (query, style, k),
            ).fetchall()
        return np.array([row for (row,) in answer], dtype=np.int64)


@dataclass(frozen=True)
class TextSpace:
    """Where products are in the space of the text encoder. `vectors`: float32 [P, D], unit length,
    zero for a product of which nothing is said; `centre`: float32 [D]; `directions`:
    float32 [D, 2], scaled to the size of the map; `places`: float32 [P, 2], within -1...1."""

    vectors: np.ndarray
    centre: np.ndarray
    directions: np.ndarray
    places: np.ndarray

    @classmethod
    def of(cls, vectorbase: Vectorbase) -> "TextSpace":
        """Draws the map by the two principal components of the products' texts."""
        vectors = vectorbase.text_vectors
        sample = vectors[:: len(vectors) // _FITTED_ON + 1]
        centre = sample.mean(axis=0)
        covariance = (sample - centre).T @ (sample - centre)
        directions = np.linalg.eigh(covariance)[1][:, :-3:-1]
        reach = np.quantile(np.abs((sample - centre) @ directions), _WITHIN, axis=0)
        directions = directions * (_REACH / np.maximum(reach, np.finfo(np.float32).tiny))
        space = cls(vectors, centre, directions.astype(np.float32), np.empty(0))
        return replace(space, places=space.place(vectors))

    def place(self, vectors: np.ndarray) -> np.ndarray:
        """Where text vectors, float [..., D], are on the map, float32 [..., 2]; zero is central."""
        said = (vectors != 0).any(axis=-1, keepdims=True)
        places = np.where(said, vectors - self.centre, 0.0) @ self.directions
        return np.clip(places, -_REACH, _REACH).astype(np.float32)

    def centre_of(self, vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The place, float32 [2], of somebody who stands for n texts, perhaps none. `vectors`:
        float [n, D]; `weights`: float [n], not negative."""
        middle = weights @ vectors
        length = np.linalg.norm(middle, axis=-1)
        return self.place((middle / (length or 1)).astype(np.float32))


@dataclass(frozen=True)
class Region:
    """A part of the map around `place`, float32 [2]. A phrase, the label, sets the names of its
    products apart; `wish` is that as somebody may say it who looks for one."""

    label: str
    wish: str
    place: np.ndarray


# What tells less, in nats, is there by chance: a brand, a model.
_TELLING = 10.0
# Shares of what a word tells: a phrase with it that tells so much is the wish, and the label.
_LONGER, _AS_MUCH = 0.3, 0.9
_SHORTEST_WORD = 3
_LETTERS = re.compile(r"[^\W\d_]+(?:[-'’.][^\W\d_]+)*")
_SIGN = re.compile(r"[^\w\s'’.-]+|\s-\s|\.(?!\w)|\d+")


def regions_of(
    names: Sequence[str], places: np.ndarray, reviews: np.ndarray, number: int
) -> list[Region]:
    """Cuts the map into parts (k-means) and labels them with the words that set them apart.

    Of n names in a region and N elsewhere, c and C have a phrase: it tells
    ``c log((c / n) / (C / N))`` (Dunning, "Accurate Methods for the Statistics of Surprise and
    Coincidence", 1993). `places`: float [n, 2]; `reviews`: int64 [n], how many each product has.
    Returns at most `number` regions that have words of their own, the most reviewed first."""
    from sklearn.cluster import KMeans  # takes a second

    if number == 0 or len(np.unique(places, axis=0)) < number:
        return []
    part = KMeans(number, n_init=4, random_state=0).fit_predict(places)
    phrases = [_phrases(name) for name in names]
    everywhere = Counter(phrase for said in phrases for phrase in said)
    regions: list[Region] = []
    taken: set[str] = set()
    for one in np.argsort(-np.bincount(part, reviews, number), kind="stable").tolist():
        said = [phrases[row] for row in np.flatnonzero(part == one)]
        tells = _telling(said, everywhere, len(names), taken)
        first = max(tells, key=tells.get, default="")
        if tells.get(first, 0) < _TELLING:
            continue
        # Of two regions of one kind the more reviewed one has the label.
        taken.add(first)
        longer = [each for each in tells if each != first and first in each.split()]
        wish = max(longer, key=tells.get, default=first)
        if tells[wish] < _LONGER * tells[first]:
            wish = first
        label = wish if tells[wish] > _AS_MUCH * tells[first] else first
        middle = np.median(places[part == one], axis=0).astype(np.float32)
        regions.append(Region(label, wish, middle))
    return regions


def _telling(
    region: Sequence[set[str]], everywhere: Counter[str], total: int, taken: set[str]
) -> dict[str, float]:
    """What each phrase of the names of a region tells, in nats; none whose words are taken."""
    here = Counter(phrase for said in region for phrase in said)
    ratio = (total - len(region) + 1) / len(region)
    return {
        phrase: count * log(ratio * count / (everywhere[phrase] - count + 1))
        for phrase, count in sorted(here.items())
        if taken.isdisjoint([phrase, *phrase.split()])
    }


def _phrases(name: str) -> set[str]:
    """The words of a name, and the pairs of them that neither sign nor number parts, lower-case."""
    parts = [_LETTERS.findall(part) for part in _SIGN.split(name.lower())]
    parts = [[word for word in part if len(word) >= _SHORTEST_WORD] for part in parts]
    return {word for part in parts for word in part} | {
        " ".join(pair) for part in parts for pair in pairwise(part)
    }

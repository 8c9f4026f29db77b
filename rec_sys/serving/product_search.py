"""Products by words: SQLite's full-text search over names, categories and ids, in memory."""

import re
import sqlite3
import threading

import numpy as np

from rec_sys.vector_database.vectorbase import Vectorbase

# Nobody types more to find one product.
_MOST_WORDS = 12
_WORD = re.compile(r"\w+")
# The order of the columns: a word in the name counts most. See SQLite's bm25().
_WEIGHTS = (10.0, 2.0, 5.0)
# bm25 is negative, the best lowest; popularity decides between products that match alike.
_RANK = f"round(bm25(products, {', '.join(map(str, _WEIGHTS))}), 1), popularity"


class ProductSearch:
    """Finds products whose words begin with the words asked for, in any order.

    Args:
        vectorbase: The products.
    """

    def __init__(self, vectorbase: Vectorbase) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(
            "CREATE VIRTUAL TABLE products USING fts5(name, style, id, popularity UNINDEXED,"
            " tokenize='unicode61 remove_diacritics 2', prefix='1 2 3')"
        )
        ranks = vectorbase.products["popularity_rank"].to_numpy(dtype=np.int64)
        removed = vectorbase.index.removed
        columns = (vectorbase.names, vectorbase.styles, vectorbase.product_ids, ranks.tolist())
        self._database.executemany(
            "INSERT INTO products (rowid, name, style, id, popularity) VALUES (?, ?, ?, ?, ?)",
            (
                (row, *values)
                for row, values in enumerate(zip(*columns, strict=True))
                if not removed[row]
            ),
        )
        self._by_popularity = vectorbase.by_popularity
        self._styles = vectorbase.styles

    def find(self, words: str, k: int, style: str | None = None) -> np.ndarray:
        """Finds products.

        Args:
            words: What was typed; without any letter or digit the most popular products match.
            k: So many at most.
            style: Only products of this category.

        Returns:
            Rows of the vectorbase, int64 [at most k], the best first.
        """
        found = _WORD.findall(words)[:_MOST_WORDS]
        if not found:
            rows = self._by_popularity
            return (rows if style is None else rows[self._styles[rows] == style])[:k]
        query = " ".join(f'"{word}"*' for word in found)
        limited, values = "", [query]
        if style is not None:
            limited, values = "AND style = ?", [query, style]
        with self._lock:
            answer = self._database.execute(
                f"SELECT rowid FROM products WHERE products MATCH ? {limited}"
                f" ORDER BY {_RANK} LIMIT ?",
                (*values, k),
            ).fetchall()
        return np.array([row for (row,) in answer], dtype=np.int64)

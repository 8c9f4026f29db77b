"""FAISS: keys of one length for inner products, and what it is told at search time."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import faiss
import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import is_number

#: What it takes a key longer: the number that fills up its length.
EXTRA_DIMENSIONS = 1


@dataclass(frozen=True)
class MipsToL2:
    """Moves keys to their centre and adds a number that makes all of them equally long.

    Graphs and inverted lists lead to what lies near, and near is not the same as a high inner
    product where some keys are longer than others. Of keys of one length the nearest are those
    with the highest inner product. A query gets a zero there, so its inner products are as before
    but for what it has with the centre, which is the same for all keys.

    Attributes:
        centre: float32 [d].
        radius: The longest distance of a key from the centre.
        width: Length of what goes into the index, at least ``d + EXTRA_DIMENSIONS``; zeros fill
            it up.

    References:
        Bachrach et al., Speeding Up the Xbox Recommender System Using a Euclidean Transformation
        for Inner-Product Spaces, RecSys 2014.
    """

    centre: np.ndarray
    radius: float
    width: int

    @classmethod
    def of(cls, keys: np.ndarray, chunk_size: int, width: int) -> "MipsToL2":
        """Measures keys, chunk by chunk.

        Args:
            keys: float32 [P, d], at least one; may be memory-mapped.
            chunk_size: Keys at once.
            width: See `MipsToL2`.
        """
        starts = range(0, len(keys), chunk_size)
        total = sum(
            keys[start : start + chunk_size].sum(axis=0, dtype=np.float64) for start in starts
        )
        centre = (total / len(keys)).astype(np.float32)
        radius = max(_lengths(keys[start : start + chunk_size] - centre).max() for start in starts)
        return cls(centre, float(radius), width)

    def of_keys(self, keys: np.ndarray) -> np.ndarray:
        """What goes into the index, float32 [n, width].

        A key that is longer than the radius, one that came later, stays longer than the others:
        its inner products are right, it may only be found less surely.

        Args:
            keys: float32 [n, d].
        """
        moved = keys - self.centre
        missing = np.sqrt(np.maximum(self.radius**2 - _lengths(moved) ** 2, 0))
        return self._filled_up(np.column_stack([moved, missing]))

    def of_queries(self, queries: np.ndarray) -> np.ndarray:
        """What is searched for, float32 [n, width].

        Args:
            queries: float32 [n, d].
        """
        return self._filled_up(queries)

    def scores(self, found: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """The inner products of queries and keys, float32 [n, k].

        Args:
            found: float32 [n, k], as the index tells them.
            queries: float32 [n, d].
        """
        return found + (queries @ self.centre)[:, None]

    def _filled_up(self, vectors: np.ndarray) -> np.ndarray:
        filled = np.zeros((len(vectors), self.width), dtype=np.float32)
        filled[:, : vectors.shape[1]] = vectors
        return filled


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors.astype(np.float64), axis=1)


# Each makes sense for one kind of index and is left aside by the others, so that one setting holds
# values for both kinds. Any other name has to fit the index.
_OF_ONE_KIND = ("nprobe", "efSearch")
_QUANTIZER = re.compile(r"PQ(\d+)")


def set_parameters(index: faiss.Index, search: Mapping[str, float]) -> dict[str, float]:
    """Tells an index how to search.

    Args:
        index: The index.
        search: FAISS's names with their values: "nprobe" for inverted lists, "efSearch" for
            graphs, and others that FAISS knows.

    Returns:
        Those that this index has.

    Raises:
        InputError: A value is no positive number, or the index has no such parameter.
    """
    applied = {}
    for name, value in search.items():
        if not is_number(value) or not value > 0:
            raise InputError(f"vector_db.search.{name}={value}: must be a number above 0")
        try:
            faiss.ParameterSpace().set_index_parameter(index, str(name), value)
        except RuntimeError:
            if name not in _OF_ONE_KIND:
                raise InputError(
                    f"vector_db.search.{name}: an index like this has no such parameter; leave it"
                    f" out, or use {' or '.join(_OF_ONE_KIND)}"
                ) from None
        else:
            applied[str(name)] = value
    return applied


def only_rows(index: faiss.Index, wanted: np.ndarray, factory: str) -> faiss.SearchParameters:
    """Search parameters that leave out rows and say otherwise what the index has been told.

    Args:
        index: The index.
        wanted: bool [P].
        factory: What it was built from, for the message.

    Raises:
        InputError: Such an index cannot leave out rows.
    """
    bits = np.packbits(wanted, bitorder="little")
    try:
        parameters = _parameters(index, faiss.IDSelectorBitmap(bits))
        # FAISS only tells by a search whether it can do it.
        index.search(np.zeros((1, index.d), dtype=np.float32), 1, params=parameters)
    except RuntimeError:
        raise InputError(
            f"vector_db.factory={factory}: FAISS cannot leave out single products of such an"
            " index; build it again without them, or with Flat, HNSW32 or IVF1024,Flat"
        ) from None
    return parameters


def index_width(key_dim: int, factory: str) -> int:
    """Length of the vectors that an index of keys of equal length takes.

    Args:
        key_dim: Length of a key, d.
        factory: What FAISS is to build: product quantizers, "PQ16", cut vectors into equal parts.
    """
    parts = math.lcm(*(int(number) for number in _QUANTIZER.findall(factory) if int(number)))
    return -(-(key_dim + EXTRA_DIMENSIONS) // parts) * parts


def _parameters(index: faiss.Index, selector: faiss.IDSelector) -> faiss.SearchParameters:
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        inner = _parameters(index.index, selector)
        return faiss.SearchParametersPreTransform(index_params=inner)
    if isinstance(index, faiss.IndexRefine):
        inner = _parameters(index.base_index, selector)
        return faiss.IndexRefineSearchParameters(k_factor=index.k_factor, base_index_params=inner)
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(sel=selector, nprobe=index.nprobe)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(sel=selector, efSearch=index.hnsw.efSearch)
    return faiss.SearchParameters(sel=selector)

"""What FAISS is told at search time: how hard to look, and which rows to leave out."""

import math
import re
from collections.abc import Mapping

import faiss
import numpy as np

from rec_sys.foundation.checks import is_number
from rec_sys.foundation.errors import InputError
from rec_sys.vector_database.equal_lengths import EXTRA_DIMENSIONS

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

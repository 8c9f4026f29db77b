"""Variants of one product that a shop lists apart: "twins", told by having the same users."""

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from rec_sys.reviews.tables import codes_of

#: One or two users who took the same two products say nothing about the products.
MIN_SHARED_USERS = 3
# So many (product, product) pairs are counted at a time; memory holds one such block.
_BLOCK_PAIRS = 1 << 22


def collapse_twins(table: pa.Table, threshold: float) -> tuple[pa.Table, list[str], int]:
    """Replaces every product by the most reviewed one of its twins, of equals the lowest id.

    Two products are twins if a share of at least `threshold`, above 0 up to 1, of the users of
    either has both (the Jaccard index of their sets of users). Twins of twins are twins: the groups
    are the connected components. Returns the table, of which a user may have several rows of a
    product now, the ids of the products that are gone, and how many others took them in.
    """
    column = table["product_id"].combine_chunks().dictionary_encode()
    products = column.indices.to_numpy()
    ids = np.array(column.dictionary.to_pylist(), dtype=object)
    groups = twin_groups(codes_of(table["user_id"]), products, threshold)
    num_reviews = np.bincount(products, minlength=len(ids))
    rank = np.unique(ids, return_inverse=True)[1]
    by_group = np.lexsort((rank, -num_reviews, groups))  # the first of each group represents it
    _, first = np.unique(groups[by_group], return_index=True)
    represented_by = by_group[first][groups]

    is_merged = represented_by != np.arange(len(ids))
    merged_ids = sorted(ids[is_merged])
    num_groups = len(np.unique(represented_by[is_merged]))
    new = column.dictionary.take(pa.array(represented_by[products]))
    table = table.set_column(table.schema.get_field_index("product_id"), "product_id", new)
    return table, merged_ids, num_groups


def twin_groups(users: np.ndarray, products: np.ndarray, threshold: float) -> np.ndarray:
    """Numbers the groups of twins, see `collapse_twins`: int64 [products], equal for twins alone.
    Users and products, int64 [N > 0] from 0, are those of each review; every pair once."""
    num_products = products.max() + 1
    num_users = np.bincount(products, minlength=num_products)
    useful = (num_users >= MIN_SHARED_USERS)[products]
    cells = np.ones(useful.sum(), dtype=np.int32), (products[useful], users[useful])
    by_product = csr_array(cells, (num_products, users.max() + 1))
    by_user = by_product.T.tocsr()
    # What a product costs: the products of its users, counted as often as they occur.
    pairs = by_product @ np.diff(by_user.indptr).astype(np.int64)
    block_of = np.cumsum(pairs) // _BLOCK_PAIRS
    starts = np.flatnonzero(np.diff(block_of, prepend=-1))
    twins = [np.empty((2, 0), dtype=np.int64)]
    for start, stop in zip(starts, [*starts[1:], num_products], strict=True):
        shared = (by_product[start:stop] @ by_user).tocoo()
        one, other, both = shared.row + start, shared.col, shared.data
        # A division of whole numbers rounds as the written threshold did: 7 of 10 is .7.
        alike = both / (num_users[one] + num_users[other] - both) >= threshold
        alike &= (both >= MIN_SHARED_USERS) & (one < other)
        twins.append(np.stack([one[alike], other[alike]]))
    one, other = np.concatenate(twins, axis=1)
    cells = np.ones(len(one), dtype=bool), (one, other)
    graph = csr_array(cells, (num_products, num_products))
    return connected_components(graph, directed=False)[1].astype(np.int64)

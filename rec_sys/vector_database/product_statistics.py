"""How often and how well each product was reviewed."""

import numpy as np
import pandas as pd
import pyarrow as pa

from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.segments import segment_sum
from rec_sys.reviews.schema import PRODUCT_SCHEMA

#: The product table of a vectorbase.
VECTORBASE_SCHEMA = pa.schema(
    [
        *PRODUCT_SCHEMA,
        ("num_reviews", pa.int64()),  # that may be known: by the training users
        ("mean_rating", pa.float32()),  # of these; missing without a rating
        ("popularity_rank", pa.int64()),  # 1 is the product with the most reviews
    ]
)


def with_statistics(products: pd.DataFrame, graph: ReviewGraph, edges: np.ndarray) -> pd.DataFrame:
    """Adds what the reviews say in numbers.

    Args:
        products: P rows, columns of `PRODUCT_SCHEMA`, in the order of the graph's products.
        graph: The graph.
        edges: int64 [n], the reviews that may be known.

    Returns:
        The table with the columns of `VECTORBASE_SCHEMA`. Equally popular products are ranked by
        mean rating, then by row.
    """
    product = graph.edge_product[edges]
    counts = np.bincount(product, minlength=graph.num_products)
    rating = graph.edge_rating[edges].astype(np.float64)
    rated = ~np.isnan(rating)
    sums = segment_sum(rating[rated], product[rated], graph.num_products)
    rated_counts = np.bincount(product[rated], minlength=graph.num_products)
    means = sums / np.maximum(rated_counts, 1)
    unrated = rated_counts == 0
    ranks = np.empty(graph.num_products, dtype=np.int64)
    ranks[np.lexsort((-means, -counts))] = np.arange(1, graph.num_products + 1)
    table = pa.Table.from_pandas(products, schema=PRODUCT_SCHEMA, preserve_index=False)
    columns = (counts, pa.array(means.astype(np.float32), mask=unrated), ranks)
    for field, column in zip(list(VECTORBASE_SCHEMA)[len(PRODUCT_SCHEMA) :], columns, strict=True):
        table = table.append_column(field, pa.array(column, field.type))
    return table.to_pandas(types_mapper=pd.ArrowDtype)

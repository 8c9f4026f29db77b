"""Recommendations as a table, for whoever goes on with those of many people."""

from collections.abc import Iterable
from dataclasses import asdict

import pyarrow as pa

from rec_sys.inference.recommendation import UserRecommendations

#: One row per person and product: what `infer` writes into the lines of its file.
RECOMMENDATION_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("nickname", pa.string()),
        ("rank", pa.int32()),  # 1 is the best
        ("product_id", pa.string()),
        ("name", pa.string()),
        ("score", pa.float32()),
        ("predicted_rating", pa.float32()),
        ("fallback", pa.string()),  # missing where the recommendations are personal
        (
            "because",
            pa.list_(
                pa.struct(
                    [
                        ("review_id", pa.string()),
                        ("product_name", pa.string()),
                        ("text", pa.string()),
                        ("weight", pa.float32()),
                        ("rating", pa.float32()),  # missing without stars
                    ]
                )
            ),
        ),
    ]
)


def as_table(results: Iterable[UserRecommendations]) -> pa.Table:
    """Recommendations as rows, columns `RECOMMENDATION_SCHEMA`."""
    rows = [
        asdict(each)
        | {
            "user_id": person.user_id,
            "nickname": person.nickname,
            "rank": rank,
            "fallback": person.fallback,
        }
        for person in results
        for rank, each in enumerate(person.recommendations, start=1)
    ]
    return pa.Table.from_pylist(rows, RECOMMENDATION_SCHEMA)

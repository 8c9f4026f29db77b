"""Cleaned tables on disk, so that a second run need not parse and clean again."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, replacing, write_json
from rec_sys.reviews.columns import fingerprint_of
from rec_sys.reviews.schema import PRODUCT_SCHEMA, REVIEW_SCHEMA, ReviewData, to_frame

#: Raise it with every change of readers or cleaning that changes a result.
FORMAT_VERSION = 3
_FOLDER = "review_tables"
_KEY_DIGITS = 24
_REVIEWS_FILE = "reviews.parquet"
_PRODUCTS_FILE = "products.parquet"
_REPORT_FILE = "report.json"


def cache_folder(cache_dir: Path, files: Iterable[Path], settings: dict[str, Any]) -> Path:
    """Where the tables of these files, read and cleaned with these settings, belong.

    Args:
        cache_dir: Folder for all that can be computed again.
        files: The input files. A file that was written since has another folder.
        settings: Everything else that decides the result, JSON-ready.
    """
    stats = [(str(file.resolve()), file.stat()) for file in files]
    known = {
        "version": FORMAT_VERSION,
        "files": [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats],
        "settings": settings,
    }
    key = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    return Path(cache_dir) / _FOLDER / key[:_KEY_DIGITS]


def save_tables(folder: Path, data: ReviewData, num_records: int) -> None:
    """Writes the data set as Parquet and JSON, whole or not at all.

    Args:
        folder: See `cache_folder`.
        data: The data set.
        num_records: Records in the review file before cleaning.
    """
    with replacing(folder) as draft:
        draft.mkdir()
        for name, frame, schema in (
            (_REVIEWS_FILE, data.reviews, REVIEW_SCHEMA),
            (_PRODUCTS_FILE, data.products, PRODUCT_SCHEMA),
        ):
            table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
            pq.write_table(table.replace_schema_metadata(None), draft / name, compression="zstd")
        about = {
            "fingerprint": data.fingerprint,
            "num_records": num_records,
            "report": data.report,
        }
        write_json(draft / _REPORT_FILE, about)


def load_tables(folder: Path) -> tuple[ReviewData, int] | None:
    """Reads what `save_tables` wrote.

    Returns:
        The data set and the number of records; None if there is none, or a damaged one.
    """
    try:
        about = read_json(folder / _REPORT_FILE)
        reviews = pq.read_table(folder / _REVIEWS_FILE, schema=REVIEW_SCHEMA)
        products = pq.read_table(folder / _PRODUCTS_FILE, schema=PRODUCT_SCHEMA)
        if fingerprint_of(reviews, products) != about["fingerprint"]:
            return None
        data = ReviewData(
            reviews=to_frame(reviews, REVIEW_SCHEMA),
            products=to_frame(products, PRODUCT_SCHEMA),
            report=list(about["report"]),
            fingerprint=about["fingerprint"],
        )
        return data, int(about["num_records"])
    # Whatever is wrong with it: it can be made again from the input files.
    except (InputError, OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None

"""The same three reviews and two products in every format that the readers know."""

import csv
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq

from rec_sys.reviews.schema import PRODUCT_SCHEMA, REVIEW_SCHEMA, to_frame

USERS = ["U1", "U1", "U2"]
PRODUCTS = ["P1", "P2", "P1"]
TEXTS = ["Great strings, «warm» sound", 'He said "5\' long"\nand left; twice', "Ünïcödé 🎸"]
RATINGS = [5.0, 1.0, 4.0]
SECONDS = [1_393_545_600, 1_393_632_000, 1_393_718_400]

NAMES = ["Strings & Things", "Drum"]
INFOS = ["Six strings. Bright tone.", ""]
STYLES = ["Guitars > Strings", "Drums"]
BRANDS = ["Smith & Co", ""]


def project_reviews():
    rows = zip(USERS, PRODUCTS, TEXTS, RATINGS, SECONDS, strict=True)
    return [
        {
            "reviewID": f"R{number}",
            "userID": user,
            "nickname": f"nick {user}",
            "asin": product,
            "ProductName": NAMES[PRODUCTS.index(product)],
            "TextReview": text,
            "Style": "Black",
            "rating": rating,
            "time": seconds,
        }
        for number, (user, product, text, rating, seconds) in enumerate(rows)
    ]


def amazon_2014_reviews():
    return [
        {
            "reviewerID": review["userID"],
            "asin": review["asin"],
            "reviewerName": review["nickname"],
            "helpful": [0, 1],
            "reviewText": review["TextReview"],
            "overall": review["rating"],
            "summary": "in short",
            "unixReviewTime": review["time"],
        }
        for review in project_reviews()
    ]


def amazon_2018_reviews():
    old = amazon_2014_reviews()
    extras = {"verified": True, "vote": "1,234", "style": {"Color:": " Black"}}
    return [{k: v for k, v in review.items() if k != "helpful"} | extras for review in old]


def amazon_2023_reviews():
    return [
        {
            "user_id": review["userID"],
            "parent_asin": review["asin"],
            "asin": "variant",
            "rating": review["rating"],
            "title": "in short",
            "text": review["TextReview"],
            "timestamp": review["time"] * 1000 + 7,
            "helpful_vote": 3,
            "verified_purchase": True,
            "images": [],
        }
        for review in project_reviews()
    ]


REVIEWS = {
    "project": project_reviews,
    "amazon_2014": amazon_2014_reviews,
    "amazon_2018": amazon_2018_reviews,
    "amazon_2023": amazon_2023_reviews,
}

PRODUCT_RECORDS = {
    "project": [
        {
            "asin": "P1",
            "ProductName": NAMES[0],
            "ProductInfo": INFOS[0],
            "Style": STYLES[0],
            "Brand": BRANDS[0],
        },
        {
            "asin": "P2",
            "ProductName": NAMES[1],
            "ProductInfo": None,
            "Style": STYLES[1],
            "Brand": None,
        },
    ],
    "amazon_2014": [
        {
            "asin": "P1",
            "title": "Strings &amp; Things",
            "description": INFOS[0],
            "categories": [["Instruments", "Guitars", "Strings"]],
            "salesRank": {"Instruments": 3},
            "brand": "Smith &amp; Co",
        },
        {"asin": "P2", "title": NAMES[1], "categories": [["Instruments", "Drums"]], "price": 1.5},
    ],
    "amazon_2018": [
        {
            "asin": "P1",
            "title": "<b>Strings</b> &amp; Things",
            "description": ["Six strings."],
            "feature": ["Bright tone."],
            "category": ["Instruments", "Guitars", "Strings", "</span>", "Best of all."],
            "rank": [],
            "brand": "Smith\n & Co",
        },
        {"asin": "P2", "title": NAMES[1], "description": [], "category": ["Instruments", "Drums"]},
    ],
    "amazon_2023": [
        {
            "parent_asin": "P1",
            "title": NAMES[0],
            "description": ["Six strings."],
            "features": ["Bright tone."],
            "categories": ["Instruments", "Guitars", "Strings"],
            "main_category": "Instruments",
            "store": BRANDS[0],
        },
        {
            "parent_asin": "P2",
            "title": NAMES[1],
            "description": [],
            "features": [],
            "categories": [],
            "main_category": "Drums",
        },
    ],
}


def as_lines(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def as_array(records):
    return json.dumps(records, ensure_ascii=False).encode()


def as_pretty_array(records):
    return json.dumps(records, indent=2).encode()


def as_python_lines(records):
    return "".join(f"{record!r}\n" for record in records).encode()


def as_csv(records, delimiter=","):
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(records[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue().encode()


def as_parquet(records):
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), buffer)
    return buffer.getvalue()


#: File name and how to write it.
LAYOUTS = {
    "lines.jsonl": as_lines,
    "lines.json": as_lines,
    "array.json": as_array,
    "pretty.json": as_pretty_array,
    "python.json": as_python_lines,
    "packed.json.gz": lambda records: gzip.compress(as_lines(records)),
    "packed_array.json.gz": lambda records: gzip.compress(as_array(records)),
    "table.parquet": as_parquet,
}
FLAT_LAYOUTS = {
    "table.csv": as_csv,
    "semicolons.csv": lambda records: as_csv(records, ";"),
    "tabs.csv": lambda records: as_csv(records, "\t"),
    "packed.csv.gz": lambda records: gzip.compress(as_csv(records)),
}


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def review_frame(rows):
    """Raw reviews from dicts; ids count up, what is not given is missing."""
    columns = {name: [row.get(name) for row in rows] for name in REVIEW_SCHEMA.names}
    columns["review_id"] = [row.get("review_id", f"r{at}") for at, row in enumerate(rows)]
    columns["text"] = [row.get("text", "fine") for row in rows]
    return to_frame(columns, REVIEW_SCHEMA)


def product_frame(rows):
    columns = {name: [row.get(name, "") for row in rows] for name in PRODUCT_SCHEMA.names}
    return to_frame(columns, PRODUCT_SCHEMA)


def json_lines(folder, records, name="reviews.jsonl"):
    return write(folder, name, as_lines(records))

"""What holds of every clean table."""

import hashlib
import json

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.cleaning import CleaningOptions, clean_reviews
from rec_sys.reviews.schema import REVIEW_SCHEMA
from rec_sys.reviews.tables import fingerprint_of
from tests.helpers.cleaning_by_hand import at, clean, review, step
from tests.helpers.review_samples import product_frame, review_frame

USERS, PRODUCTS = st.sampled_from("abcd"), st.sampled_from("pqrs")
ROWS = st.lists(
    st.builds(
        review,
        USERS,
        PRODUCTS,
        rating=st.sampled_from([None, 1.0, 3.0, 4.0, 5.0]),
        time=st.one_of(st.none(), st.integers(0, 3)),
        text=st.one_of(st.text(), st.sampled_from(["", "&amp;lt;b&gt;", "<br>", " x"])),
        style=st.one_of(st.none(), st.text()),
        product_name=st.one_of(st.none(), st.text(max_size=3)),
    ),
    min_size=1,
    max_size=25,
)
OPTIONS = st.builds(
    CleaningOptions,
    drop_without_text=st.booleans(),
    drop_without_rating=st.booleans(),
    min_reviews_per_user=st.integers(1, 3),
    min_reviews_per_product=st.integers(1, 3),
    only_two_sided_users=st.booleans(),
    keep_unreviewed_products=st.booleans(),
)
METADATA = st.one_of(
    st.none(),
    st.just(product_frame([{"product_id": "p", "name": "P"}, {"product_id": "z"}])),
)


@given(ROWS, METADATA, OPTIONS)
def test_a_clean_table_stays_as_it_is(rows, metadata, options):
    try:
        once = clean_reviews(review_frame(rows), metadata, options)
    except InputError as error:
        assert "no reviews are left after the step" in str(error) and "\n" not in str(error)
        return
    twice = clean_reviews(once.reviews, once.products, options)
    pd.testing.assert_frame_equal(once.reviews, twice.reviews)
    pd.testing.assert_frame_equal(once.products, twice.products)
    assert once.fingerprint == twice.fingerprint

    reviews = once.reviews
    assert not reviews.duplicated(["user_id", "product_id"]).any()
    assert reviews.user_id.value_counts().min() >= options.min_reviews_per_user
    assert reviews.product_id.value_counts().min() >= options.min_reviews_per_product
    assert set(reviews.product_id) <= set(once.products.product_id)
    assert once.products.product_id.is_unique and once.products.notna().all(axis=None)
    assert step(once, "clean reviews")["rows"] == len(reviews)
    json.dumps(once.report)


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_file_does_not_matter_where_times_are_known(rows, random):
    distinct = {(row["user_id"], row["product_id"]): row for row in rows}.values()
    known = {"timestamp": at(0)}
    rows = [
        row
        | {"review_id": f"{row['user_id']}{row['product_id']}"}
        | (known if row["timestamp"] is None else {})
        for row in distinct
    ]
    one = clean(rows)
    random.shuffle(rows)
    two = clean(rows)
    pd.testing.assert_frame_equal(one.reviews, two.reviews)


def test_the_fingerprint_is_of_the_content():
    rows = [review("u", "p", text="ä"), review("u", "q", rating=None), review("v", "p", time=9)]
    one, two = clean(rows), clean(rows)
    assert one.fingerprint == two.fingerprint and len(one.fingerprint) == 64
    for name, value in (("text", "a"), ("rating", 4.0), ("nickname", ""), ("timestamp", at(1))):
        changed = [rows[0] | {name: value}, *rows[1:]]
        assert clean(changed).fingerprint != one.fingerprint, name
    table = pa.Table.from_pandas(one.reviews, schema=REVIEW_SCHEMA, preserve_index=False)
    pieces = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert fingerprint_of(pieces) == fingerprint_of(table)
    # Texts that run together differently are other texts.
    texts = [pa.table({"a": ["ab", "c"]}), pa.table({"a": ["a", "bc"]})]
    assert fingerprint_of(texts[0]) != fingerprint_of(texts[1])


def test_the_fingerprint_is_computed_as_documented():
    table = pa.table({"a": ["x", None], "b": pa.array([1.0, None], pa.float32())})
    expected = hashlib.sha256(b"2")
    expected.update(b"a:string" + bytes([1, 0]) + (1).to_bytes(8, "little") + bytes(8) + b"x")
    expected.update(b"b:float" + bytes([1, 0]) + b"\x00\x00\x80?" + bytes(4))
    assert fingerprint_of(table) == expected.hexdigest()


@pytest.mark.parametrize("change", [lambda i: i.lstrip("0"), lambda i: f"{int(i)}.0"])
def test_metadata_of_other_products_are_a_warning_with_its_reason(change):
    rows = [review(f"u{n}", f"000{n}7") for n in range(4)]
    products = [{"product_id": change(row["product_id"]), "name": "x"} for row in rows]
    warning = step(clean(rows, products), "warning")["note"]
    assert "4 of 4 reviewed products are not in the metadata" in warning
    assert "4 ids differ in leading zeros or a trailing .0" in warning
    others = step(clean(rows, [{"product_id": "z", "name": "x"}]), "warning")["note"]
    assert others == "4 of 4 reviewed products are not in the metadata"
    known = clean(rows, [{"product_id": row["product_id"]} for row in rows])
    assert not [each for each in known.report if each["step"] == "warning"]

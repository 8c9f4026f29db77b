import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.formats import PRODUCT_FORMATS, REVIEW_FORMATS, choose_format
from rec_sys.reviews.schema import REVIEW_SCHEMA
from tests.helpers.review_samples import PRODUCT_RECORDS, REVIEWS

REQUIRED = [("product_id",), ("user_id",)]


def fields_of(records):
    return list(dict.fromkeys(name for record in records for name in record))


@pytest.mark.parametrize("name", REVIEWS)
def test_review_formats_are_told_apart(name):
    assert choose_format(fields_of(REVIEWS[name]()), REVIEW_FORMATS, REQUIRED).name == name


@pytest.mark.parametrize("name", PRODUCT_RECORDS)
def test_product_formats_are_told_apart(name):
    found = fields_of(PRODUCT_RECORDS[name])
    assert choose_format(found, PRODUCT_FORMATS, [("product_id",)]).name == name


def test_our_own_tables_are_a_format():
    assert choose_format(REVIEW_SCHEMA.names, REVIEW_FORMATS, REQUIRED).name == "table"


def test_the_public_six_fields_are_enough():
    found = ["reviewID", "nickname", "ProductName", "TextReview", "Style", "asin"]
    chosen = choose_format(found, REVIEW_FORMATS, REQUIRED)
    assert chosen.name == "project" and chosen.columns["user_id"] == ("userID", "nickname")


def test_wrong_names_list_what_was_found_and_what_is_known():
    with pytest.raises(InputError) as caught:
        choose_format(["customer", "stars\nout of five"], REVIEW_FORMATS, REQUIRED)
    message = str(caught.value)
    assert "customer, stars out of five" in message and "\n" not in message
    assert all(name in message for name in ("TextReview", "reviewerID", "parent_asin"))


def test_a_message_does_not_list_a_thousand_names():
    with pytest.raises(InputError, match="and 980 more"):
        choose_format([f"column {number}" for number in range(1000)], REVIEW_FORMATS, REQUIRED)


def test_a_format_can_be_forced_and_must_exist():
    both = ["reviewerID", "asin", "overall", "vote"]
    assert choose_format(both, REVIEW_FORMATS, REQUIRED, "amazon_2014").name == "amazon_2014"
    with pytest.raises(InputError, match="no format 'amazon'; known: auto, project"):
        choose_format(both, REVIEW_FORMATS, REQUIRED, "amazon")

import json

import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, write_json
from rec_sys.reviews.field_names import COLUMNS, choose_format, known_formats, unused_fields
from rec_sys.reviews.reading import Notation, read_products, read_reviews
from rec_sys.reviews.schema import REVIEW_SCHEMA
from rec_sys.reviews.sources import LocalReviews
from tests.helpers.review_samples import PRODUCT_RECORDS, REVIEWS, json_lines, write

REQUIRED = [("product_id",), ("user_id",)]


def fields_of(records):
    return list(dict.fromkeys(name for record in records for name in record))


@pytest.mark.parametrize("name", REVIEWS)
def test_review_formats_are_told_apart(name):
    assert choose_format(fields_of(REVIEWS[name]()), "reviews", REQUIRED).name == name


@pytest.mark.parametrize("name", PRODUCT_RECORDS)
def test_product_formats_are_told_apart(name):
    found = fields_of(PRODUCT_RECORDS[name])
    assert choose_format(found, "products", [("product_id",)]).name == name


def test_our_own_tables_are_a_format():
    assert choose_format(REVIEW_SCHEMA.names, "reviews", REQUIRED).name == "table"


def test_the_public_six_fields_are_enough():
    found = ["reviewID", "nickname", "ProductName", "TextReview", "Style", "asin"]
    chosen = choose_format(found, "reviews", REQUIRED)
    assert chosen.name == "project" and chosen.columns["user_id"] == ("userID", "nickname")


def test_wrong_names_list_what_was_found_and_what_is_known():
    with pytest.raises(InputError) as caught:
        choose_format(["customer", "stars\nout of five"], "reviews", REQUIRED)
    message = str(caught.value)
    assert "customer, stars out of five" in message and "\n" not in message
    assert all(name in message for name in ("userID", "asin", "data.columns."))
    # All that would be missed is named at once; a header only where there may be none.
    for column in ("user_id", "product_id", "rating", "text", "timestamp"):
        assert f"data.columns.{column}=" in message
    assert "data.header=" not in message
    with pytest.raises(InputError, match="data.header="):
        choose_format(["u1", "p1", "4.5"], "reviews", REQUIRED)


def test_a_message_does_not_list_a_thousand_names():
    with pytest.raises(InputError, match="and 980 more"):
        choose_format([f"column {number}" for number in range(1000)], "reviews", REQUIRED)


def test_a_format_can_be_forced_and_must_exist():
    both = ["reviewerID", "asin", "overall", "vote"]
    assert choose_format(both, "reviews", REQUIRED, "amazon_2014").name == "amazon_2014"
    with pytest.raises(InputError, match="no format 'amazon'; known: auto, project"):
        choose_format(both, "reviews", REQUIRED, "amazon")


@pytest.mark.parametrize("what", ["reviews", "products"])
def test_formats_are_told_apart_by_their_own_names(what):
    required = REQUIRED if what == "reviews" else REQUIRED[:1]
    for each in known_formats(what):
        found = [*each.fields, *each.also, *each.only_with]
        assert set(each.columns) <= set(COLUMNS[what])
        chosen = choose_format(found, what, required)
        assert chosen.columns == each.columns, each.name


def test_a_format_of_common_names_needs_one_of_its_own():
    found = ["user_id", "product_id", "date", "stars"]
    assert choose_format(found, "reviews", REQUIRED).name == "table"
    assert choose_format([*found, "hours"], "reviews", REQUIRED).name == "steam"
    assert choose_format(found, "reviews", REQUIRED, "steam").name == "steam"


@pytest.mark.parametrize(
    ("field", "setting"),
    [
        ("review_text", "data.columns.text=review_text"),
        ("textReview", "data.columns.text=textReview"),
        ("Rating", "data.columns.rating=Rating"),
        ("review text", "'data.columns.text=review text'"),
        ("$rating", "'data.columns.rating=$rating'"),
        ("review.stars", "data.columns.rating=review.stars"),
        ("stars", "data.columns.rating=stars"),
        ("date_added", "data.columns.timestamp=date_added"),
        ("TimeStamp", "data.columns.timestamp=TimeStamp"),
    ],
)
def test_a_field_that_is_not_read_is_named_with_what_it_may_be(field, setting, tmp_path):
    records = [{"user_id": "u", "product_id": "p", field: 4, "colour": "red"}]
    _, report = read_reviews(json_lines(tmp_path, records))
    assert "not used: colour" in report.notes
    assert f"not used: {field} (did you mean " in report.warnings[0]
    assert setting in report.warnings[0]


def test_an_id_in_capitals_is_the_id_and_nothing_like_it(tmp_path):
    records = [{"user_id": "u", "PRODUCT_ID": "p", "product_name": "Flute"}]
    _, report = read_reviews(json_lines(tmp_path, records))
    assert "set data.columns.product_id=PRODUCT_ID" in report.warnings[0]


def test_fields_at_any_depth_are_found_and_named(tmp_path):
    path = json_lines(tmp_path, [{"by": {"user": {"id": "u"}}, "asin": "p", "extra": {"a": 1}}])
    with pytest.raises(InputError, match=r"data.columns.user_id=by.user.id"):
        read_reviews(path)
    table, _ = read_reviews(path, notation=Notation(columns={"user_id": "by.user.id"}))
    assert table["user_id"].tolist() == ["u"]


def test_a_name_with_a_dot_is_no_nested_field(tmp_path):
    _, report = read_reviews(json_lines(tmp_path, [{"user_id": "u", "asin": "p", "x.y": 1}]))
    assert "not used: x.y" in report.notes


def test_columns_that_pandas_numbered(tmp_path):
    path = write(tmp_path, "a.csv", "0,1\nu,p\n")
    source = LocalReviews(path, columns={"user_id": 0, "product_id": 1})
    table, _ = source.read(path)
    assert table[["user_id", "product_id"]].values.tolist() == [["u", "p"]]


def test_what_the_format_knows_is_no_mistake():
    found = fields_of(REVIEWS["amazon_2018"]())
    layout = choose_format(found, "reviews", REQUIRED)
    assert unused_fields(found, layout, "reviews") == {"verified": (), "vote": ()}


def test_what_no_review_says_is_a_warning(tmp_path):
    records = [{"user_id": "u", "product_id": f"p{n}"} for n in range(3)]
    _, report = read_reviews(json_lines(tmp_path, records))
    fields = {"text": "text", "rating": "rating", "time": "timestamp"}
    assert report.warnings == [
        f"no review has a {what}; data.columns.{field}=FIELD reads it"
        for what, field in fields.items()
    ]


def test_any_names_can_be_given(tmp_path):
    record = {
        "author": {"id": 7},
        "item": "p",
        "body": {"en": "", "de": "warm"},
        "verdict": "4",
        "ProductName": "Drum",
    }
    columns = {
        "user_id": "author.id",
        "product_id": "item",
        "text": ["body.en", "body.de"],
        "rating": "verdict",
        "style": None,
    }
    path = json_lines(tmp_path, [record])
    table, report = read_reviews(path, notation=Notation(columns=columns))
    [row] = table.to_dict("records")
    assert (row["user_id"], row["product_id"], row["text"], row["rating"]) == ("7", "p", "warm", 4)
    assert row["product_name"] == "Drum" and report.warnings[0].startswith("no review has a time; ")
    for wrong, message in {
        "user": "data.columns.user: no such column; choose from review_id",
        "text": "data.columns.text=bodi: there is no such field; choose from body",
    }.items():
        with pytest.raises(InputError, match=message):
            read_reviews(path, notation=Notation(columns={wrong: "bodi"}))
    products, _ = read_products(path, notation=Notation(columns={"product_id": "item"}))
    assert products.product_id.tolist() == ["p"]


def test_names_for_a_table_that_has_none(tmp_path):
    path = write(tmp_path, "u.data", "u1\tp1\t5\t1393545600\nu2\tp1\t3\t1393545601\n")
    with pytest.raises(InputError, match=r"data.header=\[user_id,product_id,rating,timestamp\]"):
        read_reviews(path)
    names = ["user_id", "product_id", "rating", "timestamp"]
    by_name, _ = read_reviews(path, notation=Notation(header=names))
    by_format, _ = read_reviews(path, format="movielens")
    assert by_name.user_id.tolist() == by_format.user_id.tolist() == ["u1", "u2"]
    assert by_name.rating.tolist() == by_format.rating.tolist() == [5, 3]


EXAMPLES = {
    "yelp": {"review_id": "r", "user_id": "u", "business_id": "p", "stars": 4.0, "text": "t"},
    "goodreads": {"user_id": "u", "book_id": "p", "rating": 4, "review_text": "t"},
    "fine_foods": {"UserId": "u", "ProductId": "p", "Score": 4, "Text": "t"},
    "datafiniti": {"asins": "p", "reviews.username": "u", "reviews.rating": 4, "reviews.text": "t"},
    "steam": {"username": "u", "product_id": "p", "text": "t", "hours": 2.5},
    "recbole": {"user_id:token": "u", "item_id:token": "p", "rating:float": 4},
    "amazon_us": {"customer_id": "u", "product_id": "p", "star_rating": 4, "review_body": "t"},
    "book_crossing": {"User-ID": "u", "ISBN": "p", "Book-Rating": 10},
    "movielens": {"userId": "u", "movieId": "p", "rating": 4},
}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_files_of_others_are_recognised(name, tmp_path):
    table, report = read_reviews(json_lines(tmp_path, [EXAMPLES[name]]))
    [row] = table.to_dict("records")
    assert report.format == name and (row["user_id"], row["product_id"]) == ("u", "p")
    assert row["text"] == ("t" if "t" in EXAMPLES[name].values() else "")


def test_a_product_may_be_told_by_its_name_alone():
    found = ["Customer", "Item", "Stars"]
    given = {"user_id": "Customer", "product_name": "Item", "rating": "Stars"}
    told = choose_format(found, "reviews", REQUIRED, given=given)
    assert told.tells(["product_id"], found) and told.columns["product_id"][-1] == "Item"
    assert "Item" not in choose_format(["asin", "userID"], "reviews", REQUIRED).fields


def test_a_heading_that_people_use_for_texts_is_advised():
    found = ["Customer", "Item", "Comment", "Stars", "Date"]
    with pytest.raises(InputError, match="data.columns.text=Comment"):
        choose_format(found, "reviews", [("user_id",), ("product_id",)])


def test_a_name_with_half_a_surrogate_pair(tmp_path):
    rows = [
        {"nickname": "ann", "ProductName": "Oud", "TextReview": "Warm."} | {"k\ud800": "x"}
        for _ in range(3)
    ]
    _, report = read_reviews(write(tmp_path, "odd.jsonl", "\n".join(map(json.dumps, rows))))
    write_json(tmp_path / "report.json", list(report.notes))
    assert read_json(tmp_path / "report.json")

import logging

import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.cleaning import CleaningOptions, clean_reviews, require_learnable, show_report
from rec_sys.reviews.reading import read_products, read_reviews
from rec_sys.reviews.schema import PRODUCT_SCHEMA, REVIEW_SCHEMA
from tests.helpers.cleaning_by_hand import clean, ids, pairs, review, step


def test_exact_duplicates_are_removed():
    rows = [
        review("u", "p", time=1, nickname="first"),
        review("u", "p", time=1, nickname="again"),
        review("u", "q", rating=None, text=""),
        review("u", "q", rating=None, text=""),
        review("v", "p", time=1),
    ]
    data = clean(rows)
    # By user, unknown time first; there the later row is the newer one.
    assert ids(data) == ["r3", "r0", "r4"]
    assert step(data, "exact duplicates")["rows"] == 3
    assert step(data, "exact duplicates")["note"].startswith("2 removed")
    assert step(data, "several reviews of a user on a product")["note"].startswith("0 older")


def test_the_newest_review_of_a_product_is_kept():
    rows = [
        review("u", "p", time=3, text="newest"),
        review("u", "p", time=1, text="oldest"),
        review("u", "q", time=None, text="unknown time, later row"),
        review("u", "q", time=0, text="known"),
        review("u", "s", time=5, text="same time"),
        review("u", "s", time=5, text="same time, later row"),
        review("u", "t", time=None, text="unknown"),
        review("u", "t", time=None, text="unknown, later row"),
    ]
    rows.insert(4, review("u", "q", time=None, text="unknown again"))
    data = clean(rows)
    kept = dict(zip(data.reviews.product_id, data.reviews.text, strict=True))
    assert kept == {
        "p": "newest",
        "q": "known",
        "s": "same time, later row",
        "t": "unknown, later row",
    }
    assert step(data, "several reviews of a user on a product")["note"].startswith("5 older")


def test_missing_texts_and_ratings_are_kept_unless_asked():
    rows = [review("u", "p", text=""), review("u", "q", rating=None), review("u", "r")]
    rows += [review("u", "s", text="<br/>")]  # nothing is left of it
    kept = clean(rows)
    assert len(kept.reviews) == 4
    assert step(kept, "missing text")["note"] == "2 kept as history"
    assert step(kept, "missing rating")["note"] == "1 kept as history"
    dropped = clean(rows, drop_without_text=True, drop_without_rating=True)
    assert ids(dropped) == ["r2"]
    assert step(dropped, "missing text") == {
        "step": "missing text",
        "rows": 2,
        "note": "2 removed",
    }


def test_html_is_removed_and_counted():
    rows = [
        review("u", "p", text="5&#34; <b>drum</b>", product_name="Drum &amp; stick", style="&#32;"),
        review("u", "q", text="a  <  b"),
    ]
    data = clean(rows)
    assert data.reviews.text.tolist() == ['5" drum', "a < b"]
    assert data.reviews.product_name[0] == "Drum & stick"
    assert data.reviews.product_name.isna().tolist() == [False, True]
    assert data.reviews["style"].isna().all()
    note = step(data, "HTML in reviews")["note"]
    assert note == "1 texts freed from tags and entities, 2 names, infos and styles"


def test_products_of_the_metadata_and_of_the_reviews():
    metadata = [
        {"product_id": "known", "name": "Drum", "info": "A drum", "style": "Drums", "brand": "B"},
        {"product_id": "bare"},
        {"product_id": "unseen", "name": "Harp"},
        {"product_id": "known", "name": "a repetition"},
    ]
    rows = [
        review("u", "known", product_name="Other name", style="Color: Red"),
        review("u", "bare", time=2, product_name="Old name", style="Color: Red"),
        review("v", "bare", time=3, product_name="New name"),
        review("w", "bare", time=4),
        review("u", "new", time=5, product_info="An info"),
    ]
    data = clean(rows, metadata)
    assert data.products.to_dict("list") == {
        "product_id": ["bare", "known", "new"],
        "name": ["New name", "Drum", ""],
        "info": ["", "A drum", "An info"],
        "style": ["Color: Red", "Drums", ""],
        "brand": ["", "B", ""],
    }
    note = step(data, "unknown products")["note"]
    assert note.startswith("1 not in the metadata") and "1 names, 1 styles missing there" in note
    assert step(data, "products without a name")["note"].startswith("1 described by their style")
    note = step(data, "products without reviews")["note"]
    assert (
        note.startswith("1 of") and "dropped (data.cleaning.keep_unreviewed_products=true" in note
    )

    data = clean(rows, metadata, keep_unreviewed_products=True)
    assert data.products.product_id.tolist() == ["bare", "known", "new", "unseen"]
    assert step(data, "products without reviews")["note"].endswith("kept")


def test_without_metadata():
    data = clean([review("u", "p", product_name="Drum", style="Black"), review("u", "q")])
    assert data.products.name.tolist() == ["Drum", ""]
    assert data.products["style"].tolist() == ["Black", ""]
    assert step(data, "products of the reviews")["note"].startswith("no metadata")
    note = step(data, "products without a name")["note"]
    assert note == "1 described by their style and their reviews only"


def test_k_core_by_hand():
    # u1, u2 on p1, p2 are a 2-core; u3 hangs on by p3, p3 by u4: they fall one after the other.
    edges = [("u1", "p1"), ("u1", "p2"), ("u2", "p1"), ("u2", "p2"), ("u3", "p1"), ("u3", "p3")]
    edges += [("u4", "p3")]
    data = clean(
        [review(*edge) for edge in edges], min_reviews_per_user=2, min_reviews_per_product=2
    )
    assert pairs(data) == set(edges[:4])
    assert step(data, "k-core") == {
        "step": "k-core",
        "rows": 4,
        "note": "3 removed; at least 2 per user, 2 per product",
    }
    assert data.products.product_id.tolist() == ["p1", "p2"]


def test_two_sided_users_by_hand():
    likes = {"both": [5, 1], "fan": [5, 4], "critic": [1, 3], "uneven": [5, 5, 5, 5, 1]}
    likes |= {"edge": [5, 5, 5, 2], "unrated": [5, None, 2]}
    rows = [
        review(user, f"p{number}", rating)
        for user, ratings in likes.items()
        for number, rating in enumerate(ratings)
    ]
    data = clean(rows, only_two_sided_users=True)
    assert set(data.reviews.user_id) == {"both", "edge", "unrated"}
    assert step(data, "two-sided users")["note"].startswith("9 removed; liked is above 3")
    data = clean(rows, only_two_sided_users=True, max_liked_difference=3, liked_above=4)
    assert set(data.reviews.user_id) == {"both", "fan", "uneven", "edge", "unrated"}


def test_both_rules_hold_in_the_end():
    # Without q, which only w reviews, w is one-sided; without w, p has one review.
    rows = [review("w", "p", 5), review("w", "q", 1), review("v", "p", 5), review("v", "r", 1)]
    rows += [review("x", "r", 5), review("x", "s", 1), review("y", "r", 1), review("y", "s", 5)]
    data = clean(rows, only_two_sided_users=True, min_reviews_per_product=2)
    assert pairs(data) == {("x", "r"), ("x", "s"), ("y", "r"), ("y", "s")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_reviews_per_user": 3}, "'k-core' .*lower data.cleaning.min_reviews_per_user"),
        ({"only_two_sided_users": True}, "'two-sided users' .*only_two_sided_users=false"),
        ({"drop_without_text": True}, "'missing text' .*data.cleaning.drop_without_text=false"),
        ({"drop_without_rating": True}, "'missing rating' .*drop_without_rating=false"),
    ],
)
def test_nothing_left(options, message):
    with pytest.raises(InputError, match=message):
        clean([review("u", "p", rating=None, text="")], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_reviews_per_user": 0}, "data.cleaning.min_reviews_per_user=0: must be at least 1"),
        ({"min_reviews_per_product": 1.5}, "min_reviews_per_product=1.5: must be a whole"),
        ({"max_liked_difference": -1}, "data.cleaning.max_liked_difference=-1: must be"),
        ({"drop_without_text": "yes"}, "drop_without_text=yes: must be true or false"),
        ({"liked_above": 5}, "data.cleaning.liked_above=5: must be below 5"),
        ({"liked_above": "x"}, "data.cleaning.liked_above=x: must be a number"),
        ({"k_core": 5}, "data.cleaning.k_core: no such setting; choose from "),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        CleaningOptions(**options)


def test_show_report(capsys, caplog):
    data = clean([review("u", "p"), review("u", "p")])
    with caplog.at_level(logging.INFO):
        show_report(data)
    assert "exact duplicates" in capsys.readouterr().out
    assert "cleaning: exact duplicates: 1 rows left; 1 removed" in caplog.text


def test_schemas():
    data = clean([review("u", "p")])
    assert list(data.reviews.columns) == REVIEW_SCHEMA.names
    assert list(data.products.columns) == PRODUCT_SCHEMA.names
    assert [dtype.pyarrow_dtype for dtype in data.reviews.dtypes] == REVIEW_SCHEMA.types


def test_real_files(real_data):
    folder = real_data / "musical_instruments_2014"
    reviews, _ = read_reviews(folder / "reviews_Musical_Instruments_5.json.gz")
    products, _ = read_products(folder / "meta_Musical_Instruments.json.gz")
    data = clean_reviews(reviews, products)
    assert len(data.reviews) == 10_261 and data.reviews.user_id.nunique() == 1429
    assert len(data.products) == 900
    core = CleaningOptions(min_reviews_per_user=5, min_reviews_per_product=5)
    assert clean_reviews(reviews, products, core).fingerprint == data.fingerprint  # it is a 5-core
    two_sided = clean_reviews(reviews, products, CleaningOptions(only_two_sided_users=True))
    assert 0 < len(two_sided.reviews) < 2000

    folder = real_data / "gift_cards_2018"
    reviews, _ = read_reviews(folder / "Gift_Cards_5.json.gz")
    products, _ = read_products(folder / "meta_Gift_Cards.json.gz")
    data = clean_reviews(reviews, products)
    assert len(data.reviews) == 2965 and data.reviews.user_id.nunique() == 458
    assert len(data.products) == 148 and (data.products.name != "").all()


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        ("ap aq ar", "all reviews are by one person"),
        ("ap bp cp", "all reviews are of one product"),
        ("ap bq cp", "nobody has reviewed two products"),
        ("ap aq br bs", "no two people have a product in common"),
    ],
)
def test_what_cannot_be_learned_from_is_said_at_once(pairs, why):
    data = clean([review(user, product) for user, product in pairs.split()])
    with pytest.raises(InputError, match=f"[34] reviews cannot be learned from: {why}"):
        require_learnable(data)


def test_a_single_class_of_ratings_is_a_warning(capsys):
    pairs = ["ap", "aq", "bp"]
    require_learnable(
        clean([review(*pair, rating=rating) for pair, rating in zip(pairs, (5, 4, 5), strict=True)])
    )
    assert not capsys.readouterr().out
    require_learnable(clean([review(*pair, rating=5) for pair in pairs]))
    assert "warning: every rating is 5" in capsys.readouterr().out

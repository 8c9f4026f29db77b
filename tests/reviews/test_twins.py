import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.reviews import cleaning
from rec_sys.reviews.cleaning import MIN_SHARED_USERS, CleaningOptions, clean_reviews, twin_groups
from tests.helpers.review_samples import product_frame, review_frame


def rows_of(users_of):
    """Reviews without times, from every product to its users: "abc"."""
    return [
        {"user_id": user, "product_id": product, "text": "", "rating": None, "timestamp": None}
        for product, users in users_of.items()
        for user in users
    ]


def clean(users_of, threshold, products=None, **options):
    options = CleaningOptions(collapse_twins=threshold, **options)
    return clean_reviews(review_frame(rows_of(users_of)), products, options)


def report_of(data):
    [step] = [step for step in data.report if step["step"] == "variant twins"]
    return step


def users_by_product(data):
    grouped = data.reviews.groupby("product_id").user_id
    return {product: "".join(sorted(users)) for product, users in grouped}


def test_twins_become_the_most_reviewed_one():
    data = clean({"small": "abcd", "big": "abcde", "other": "axyz"}, 0.8)
    assert users_by_product(data) == {"big": "abcde", "other": "axyz"}
    assert report_of(data)["rows"] == 9
    assert report_of(data)["note"].startswith("1 products merged into 1 others that share 0.8")
    assert "4 older reviews" in report_of(data)["note"]
    assert data.products.product_id.tolist() == ["big", "other"]


def test_the_threshold_belongs_to_the_twins_and_equals_go_to_the_lowest_id():
    users_of = {"q": "abcd", "p": "abcde"}  # 4 of 5
    assert set(users_by_product(clean(users_of, 0.8))) == {"p"}
    assert set(users_by_product(clean(users_of, 0.81))) == {"p", "q"}
    assert set(users_by_product(clean(users_of, False))) == {"p", "q"}
    assert set(users_by_product(clean({"q": "abcd", "p": "abcd"}, 1))) == {"p"}
    seven_of_ten = {"q": "abcdefg", "p": "abcdefghij"}  # .7 * 10 is more than 7 for a computer
    assert set(users_by_product(clean(seven_of_ten, 0.7))) == {"p"}


def test_twins_of_twins_are_twins():
    chain = {"p": "abcdefghi", "q": "bcdefghij", "r": "cdefghijk"}  # p and r share 7 of 11
    data = clean(chain, 0.8)
    assert users_by_product(data) == {"p": "abcdefghijk"}
    assert report_of(data)["note"].startswith("2 products merged into 1 others")


def test_two_people_with_the_same_products_make_no_twins():
    assert MIN_SHARED_USERS == 3
    assert set(users_by_product(clean({"p": "ab", "q": "ab", "r": "a"}, 0.5))) == {"p", "q", "r"}


def test_the_newest_of_the_merged_stays_and_sparse_ones_go_after_it():
    users_of = {"p": "abcd", "x": "ab", "q": "abcd"}
    data = clean(users_of, 0.8)
    assert data.reviews[data.reviews.user_id == "a"].product_id.tolist() == ["x", "p"]
    data = clean(users_of, 0.8, min_reviews_per_user=2)
    assert set(data.reviews.user_id) == {"a", "b"}  # c and d had two products, now one


def test_merged_products_do_not_come_back_from_the_metadata():
    known = product_frame([{"product_id": name, "name": name} for name in ("p", "q", "new")])
    data = clean({"p": "abcd", "q": "abcd"}, 0.8, known, keep_unreviewed_products=True)
    assert data.products.product_id.tolist() == ["new", "p"]


@given(
    st.sets(st.tuples(st.integers(0, 5), st.integers(0, 7)), min_size=1, max_size=40),
    st.sampled_from([0.3, 0.5, 0.8, 1.0]),
)
def test_groups_agree_with_sets(pairs, threshold):
    users, products = (
        np.array([pair[side] for pair in sorted(pairs)], dtype=np.int64) for side in (0, 1)
    )
    sets = [
        {u for u, p in pairs if p == product} for product in range(products.max(initial=-1) + 1)
    ]
    expected = list(range(len(sets)))
    for one, left in enumerate(sets):
        for other, right in enumerate(sets):
            both = len(left & right)
            if both >= MIN_SHARED_USERS and both / len(left | right) >= threshold:
                low, high = sorted((expected[one], expected[other]))
                expected = [low if group == high else group for group in expected]
    for block in (1, 7, 1 << 22):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cleaning, "_BLOCK_PAIRS", block)
            found = twin_groups(users, products, products.max() + 1, threshold)
        assert len(found) == len(sets)
        same = np.equal.outer(found, found)
        assert (same == np.equal.outer(expected, expected)).all()


@pytest.mark.parametrize("threshold", [True, None, 0, 1.1, -1, "0.8", float("nan")])
def test_bad_thresholds(threshold):
    with pytest.raises(InputError, match="data.cleaning.collapse_twins=.*: must be false"):
        CleaningOptions(collapse_twins=threshold)

import numpy as np
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.inference.histories import UNKNOWN, build_history_batch, read_histories
from tests.helpers.tiny_models import FakeEncoder, review_table


def rows_by_user(histories):
    return {
        user: histories.catalogue_row[start:stop].tolist()
        for user, start, stop in zip(
            histories.user_ids, histories.user_ptr[:-1], histories.user_ptr[1:], strict=True
        )
    }


def batch_of(histories, built):
    return build_history_batch(histories, built, FakeEncoder().encode)


def test_products_are_found_by_id_or_by_a_name_of_their_own(built):
    names = ["", "Harp", "Harp", "Strings", "Harp", "&lt;b&gt;Harp&lt;/b&gt;", None]
    products = ["p1", None, "Harp", None, "B0042", None, None]
    rows = [(f"u{i}", product, f"text {i}", 4, i) for i, product in enumerate(products)]
    histories = read_histories(review_table(rows, product_name=names), built)
    found = {user: each[0] for user, each in rows_by_user(histories).items()}
    assert found == {
        "u0": 0,  # by id
        "u1": 3,  # by name
        "u2": 3,  # by the name that the reader took for the id
        "u3": UNKNOWN,  # two products have this name
        "u4": 3,  # by name, as nobody knows the id
        "u5": 3,  # the name in markup
        "u6": UNKNOWN,  # neither
    }


def test_one_review_per_product_and_the_newest_of_them(built):
    rows = [
        ("u", "p4", "old", 1, 10),
        ("u", None, "new", 5, 20),  # the same product, by its name
        ("u", None, "first", 5, 1),
        ("u", None, "second", 5, 2),
        ("u", None, "second", 5, 2),  # told twice
    ]
    names = [None, "Harp", None, None, None]
    histories = read_histories(review_table(rows, product_name=names), built)
    assert histories.texts.tolist() == ["first", "second", "new"]
    assert histories.catalogue_row.tolist() == [UNKNOWN, UNKNOWN, 3]


def test_people_keep_their_order_and_their_newest_nickname(built):
    rows = [
        ("zoë", "p1", "x", 4, 2),
        ("amy", "p1", "", None, 1),
        ("zoë", "p2", "y", 4, 1),
        ("amy", None, "", None, 1),
    ]
    nicknames = ["new", None, "old", None]
    histories = read_histories(review_table(rows, nickname=nicknames), built)
    assert histories.user_ids.tolist() == ["zoë", "amy"]
    assert histories.nicknames.tolist() == ["new", None]
    assert histories.says_nothing.sum() == 1  # a bought product does say something


def test_inputs_of_known_values(built):
    rows = [
        ("amy", "p4", "loud", 2, 86_400),
        ("amy", "new", "soft", None, 0),
        ("bea", None, "", None, None),
    ]
    more = {"product_name": [None, "Lute", None], "style": [None, "Size: 4", None]}
    histories = read_histories(review_table(rows, **more), built)
    batch = batch_of(histories, built)
    inputs, encode = batch.inputs, FakeEncoder().encode
    assert batch.review.tolist() == [0, 1] and batch.user.tolist() == [0, 0]
    close = {"atol": 1e-3}
    review_vectors = encode(["soft", "loud"])
    np.testing.assert_allclose(inputs["edge_attr"], review_vectors, **close)
    np.testing.assert_allclose(inputs["user_features"][0], review_vectors.mean(axis=0), **close)
    assert not inputs["user_features"][1].any()
    assert inputs["edge_rating"].tolist() == [0, 2]
    assert inputs["edge_age"].tolist() == [1, 0]
    lute, harp = inputs["edge_index"][0]
    names, infos = inputs["product_name_features"], inputs["product_info_features"]
    np.testing.assert_allclose(names[[lute, harp]], encode(["Lute", "Harp"]), **close)
    np.testing.assert_allclose(infos[[lute, harp]], encode(["Size: 4", "A harp"]), **close)
    assert not inputs["product_review_features"][lute].any()
    np.testing.assert_array_equal(inputs["product_review_features"][harp], built.reviews.texts[3])


@pytest.mark.parametrize("letters", ["ab", "aB", "zé", "é€", "a\U0001f600"])
def test_edges_belong_to_their_reviews_whatever_the_ids(built, letters):
    rng = np.random.default_rng(0)
    users = ["".join(rng.choice(list(letters), 3)) for _ in range(30)]
    rows = [(user, f"x{i}", f"text {i}", 4, i % 3) for i, user in enumerate(users)]
    everybody = read_histories(review_table(rows), built)
    histories = everybody.part(1, len(everybody))
    batch = batch_of(histories, built)
    texts = histories.texts[batch.review]
    np.testing.assert_allclose(
        batch.inputs["edge_attr"], FakeEncoder().encode(list(texts)), atol=1e-3
    )
    owners = np.repeat(histories.user_ids, np.diff(histories.user_ptr))[batch.review]
    assert owners.tolist() == histories.user_ids[batch.user].tolist()


def test_an_empty_text_is_never_encoded_and_a_repeated_one_once(built):
    rows = [("u", "p1", "same", 4, 1), ("v", "p2", "same", 4, 1), ("v", "p3", "", 4, 1)]
    encoder = FakeEncoder()
    histories = read_histories(review_table(rows), built)
    build_history_batch(histories, built, encoder.encode)
    assert encoder.encoded == ["same"]


def test_nobody(built):
    with pytest.raises(InputError, match="nobody"):
        read_histories(review_table([("u", "p1", "x", 4, 1)]).iloc[:0], built)

import gzip
import json
from itertools import pairwise

import numpy as np
import pytest
from full_size_set import (
    BLOCK_USERS,
    full_size_set,
    make_products,
    make_reviews,
    read_parts,
    resampled_texts,
    sentences_of,
)

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.sources import LocalReviews

TEXTS = {
    ("ann", 10): "Good strings. They last! Would I buy them again?",
    ("ann", 30): "Broke at once.",
    ("bob", 20): "Loud, and I like it.  My neighbours do not.",
}
KNOWN = [
    {
        "asin": "K1",
        "title": "Red Solid Guitar Strap",
        "description": "Red. Soft.",
        "categories": [["Music", "Straps"]],
    },
    {
        "asin": "K2",
        "title": "Steel Strings",
        "description": "Six of them.",
        "categories": [["Music", "Strings"]],
    },
    {"asin": "K3", "title": "Tuner", "description": "", "categories": [["Music", "Tuners"]]},
]
SEQUENCES = {str(user): [user % 3, 3 + user % 2, 5] for user in range(BLOCK_USERS + 40)}


@pytest.fixture
def data(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    (folder / "musical_instruments_2014").mkdir(parents=True)
    (folder / "instruments_2018_sequences").mkdir()
    reviews = [
        {
            "reviewerID": user,
            "asin": "K1",
            "reviewText": text,
            "overall": 4.0 if user == "ann" else 2.0,
            "unixReviewTime": day * 86_400,
        }
        for (user, day), text in TEXTS.items()
    ]
    write(folder / "musical_instruments_2014/reviews_Musical_Instruments_5.json.gz", reviews)
    write(folder / "musical_instruments_2014/meta_Musical_Instruments.json.gz", KNOWN)
    sequences = folder / "instruments_2018_sequences/Instruments"
    write(f"{sequences}.inter.json.gz", [SEQUENCES])
    for name, count in (("user2id", len(SEQUENCES)), ("item2id", 6)):
        with gzip.open(f"{sequences}.{name}.gz", "wt") as file:
            file.writelines(f"{name[0]}{number}\t{number}\n" for number in range(count))
    monkeypatch.setenv("REC_SYS_DATA_DIR", str(folder))
    return folder


def write(path, records):
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def lines_of(path):
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def test_texts_are_cut_after_full_stops_and_the_like():
    assert sentences_of(" One. Two!  Three? four ") == ["One.", "Two!", "Three?", "four"]
    assert sentences_of("3.5 stars") == ["3.5 stars"]
    assert sentences_of("  ") == []


def test_a_text_has_as_many_sentences_as_some_text_that_there_is():
    sentences = np.array(["A.", "B.", "C."], dtype=object)
    texts = resampled_texts(sentences, np.array([0, 2, 3]), 200, np.random.default_rng(0))
    assert {len(sentences_of(text)) for text in texts} == {0, 2, 3}
    assert {one for text in texts for one in sentences_of(text)} == {"A.", "B.", "C."}
    assert resampled_texts(sentences, np.array([2]), 0, np.random.default_rng(0)) == []


def test_reviews_keep_the_order_of_the_sequence_and_the_days_of_somebody(data):
    parts = read_parts(data / "musical_instruments_2014/reviews_Musical_Instruments_5.json.gz")
    assert parts.lengths.tolist() == [3, 1, 2]
    block = [("x", list("abcd")), ("y", ["a"]), ("z", list("dcba"))]
    reviews = list(make_reviews(block, parts, np.random.default_rng(0)))
    assert [(each["reviewerID"], each["asin"]) for each in reviews] == [
        (user, product) for user, products in block for product in products
    ]
    for first, second in pairwise(reviews):
        if first["reviewerID"] == second["reviewerID"]:
            assert first["unixReviewTime"] < second["unixReviewTime"]
    assert {each["unixReviewTime"] // 86_400 for each in reviews} <= {10, 20, 30}
    assert {each["overall"] for each in reviews} <= {2.0, 4.0}


def test_names_of_products_are_different():
    products = make_products(list("abcdefg"), KNOWN, seed=0)
    assert [each["asin"] for each in products] == list("abcdefg")
    assert len({each["title"] for each in products}) == 7
    assert all(each["category"][0] == "Music" for each in products)


def test_the_same_seed_makes_the_same_files(data, tmp_path):
    made = [full_size_set(0.5, seed, tmp_path / name) for seed, name in ((0, "a"), (0, "b"))]
    assert made[0].reviews.read_bytes() == made[1].reviews.read_bytes()
    assert made[0].products.read_bytes() == made[1].products.read_bytes()
    other = full_size_set(0.5, 1, tmp_path / "a")
    assert other.reviews.read_bytes() != made[0].reviews.read_bytes()


def test_a_set_is_not_written_again(data, tmp_path):
    made = full_size_set(0.1, 0, tmp_path)
    made.reviews.write_bytes(b"touched")
    assert full_size_set(0.1, 0, tmp_path).reviews.read_bytes() == b"touched"


def test_a_smaller_set_is_the_beginning_of_a_larger_one(data, tmp_path):
    whole = lines_of(full_size_set(1, 0, tmp_path).reviews)
    half = lines_of(full_size_set(0.5, 0, tmp_path).reviews)
    assert len(whole) == 3 * len(SEQUENCES)
    assert half == whole[: len(half)]
    assert len(half) == 3 * len(SEQUENCES) / 2


def test_copies_of_users_say_something_else_about_the_same_products(data, tmp_path):
    made = full_size_set(2, 0, tmp_path)
    lines = lines_of(made.reviews)
    first, second = lines[: len(lines) // 2], lines[len(lines) // 2 :]
    assert [f"{each['reviewerID']}-1" for each in first] == [each["reviewerID"] for each in second]
    assert [each["asin"] for each in first] == [each["asin"] for each in second]
    assert [each["reviewText"] for each in first] != [each["reviewText"] for each in second]
    assert made.numbers["users"] == 2 * len(SEQUENCES)


def test_our_readers_know_the_format(data, tmp_path):
    made = full_size_set(0.1, 0, tmp_path)
    clean = LocalReviews(made.reviews, made.products).load()
    assert len(clean.reviews) == made.numbers["reviews"]
    assert len(clean.products) == made.numbers["products"] == 6
    assert (clean.products["name"] != "").all()


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_shares_that_mean_nothing_are_refused(share, tmp_path):
    with pytest.raises(InputError, match="--share"):
        full_size_set(share, 0, tmp_path)

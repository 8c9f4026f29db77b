import json

from rec_sys.reviews.demo import write_demo


def records(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_demo_is_deterministic_and_plausible(tmp_path):
    one = write_demo(tmp_path / "a", 200, 100, 8, 7)
    two = write_demo(tmp_path / "b", 200, 100, 8, 7)
    other = write_demo(tmp_path / "c", 200, 100, 8, 8)
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]
    assert one[0].read_bytes() != other[0].read_bytes()

    reviews, products = records(one[0]), records(one[1])
    known = {product["asin"] for product in products}
    pairs = {(review["userID"], review["asin"]) for review in reviews}
    assert len(pairs) == len(reviews) and {asin for _, asin in pairs} <= known
    ratings = [review["rating"] for review in reviews]
    assert set(ratings) == {1, 2, 3, 4, 5}
    assert 0.7 < sum(rating > 3 for rating in ratings) / len(ratings) < 0.92
    texts = [review["TextReview"] for review in reviews if review["TextReview"]]
    assert len(set(texts)) > 0.9 * len(texts)
    assert all(each["ProductName"].startswith(f"{each['Brand']} ") for each in products)
    assert 1 < len({each["Brand"] for each in products}) < len(products)

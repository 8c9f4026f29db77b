import json
import threading
import time

import numpy as np
import pytest

from rec_sys.inference.recommender import Recommender
from rec_sys.serving.schemas import reason_in_words
from tests.helpers.tiny_models import review_table

ANN = [
    {"reviewID": "r0", "asin": "p1", "TextReview": "good tone", "rating": 5, "time": 30},
    {"reviewID": "r1", "asin": "p2", "TextReview": "fell apart", "rating": 1, "time": 10},
]


def asins(person):
    return [each["asin"] for each in person["recommendations"]]


def ask(client, **body):
    answer = client.post("/recommendations", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["people"]


def test_the_same_as_the_recommender(service, text):
    client, components = service()
    served = components.service.served
    graph = served._connected().graph
    rows = [("ann", "p1", "good tone", 5, 30), ("ann", "p2", "fell apart", 1, 10)]
    (expected,) = Recommender(graph, served.vectorbase, text.encode).recommend(
        review_table(rows), k=3
    )
    answer = client.post("/recommendations", json={"reviews": ANN, "k": 3}).json()
    (person,) = answer["people"]
    assert (answer["backend"], answer["degraded"]) == ("onnx", False)
    assert answer["model"] == components.service.bundle.model_fingerprint[:12]
    for found, wanted in zip(person["recommendations"], expected.recommendations, strict=True):
        assert (found["asin"], found["ProductName"]) == (wanted.product_id, wanted.name)
        assert found["score"] == pytest.approx(wanted.score, abs=1e-6)
        assert found["predicted_rating"] == pytest.approx(wanted.predicted_rating, abs=1e-6)
        for reason, same in zip(found["because"], wanted.because, strict=True):
            assert reason["reviewID"] == same.review_id
            assert reason["weight"] == pytest.approx(same.weight, abs=1e-6)
        assert len(found["because"]) == len(wanted.because)
        assert found["reason"] == reason_in_words(wanted, turned=expected.reversed_evidences)
        assert found["contributions"] == pytest.approx(wanted.contributions, abs=1e-6)
        assert sum(found["contributions"].values()) == pytest.approx(found["score"], abs=1e-5)
        assert -1 <= found["place"]["x"] <= 1 and -1 <= found["place"]["y"] <= 1


def test_many_people_at_once_and_their_order(client):
    people = [
        {"id": "zoe", "nickname": "Zoe", "reviews": ANN},
        {"id": "amy", "reviews": [{"TextReview": "warm", "nickname": "Amy"}]},
        {"reviews": []},
    ]
    zoe, amy, nobody = ask(client, people=people, k=2)
    assert [each["id"] for each in (zoe, amy, nobody)] == ["zoe", "amy", None]
    assert [each["nickname"] for each in (zoe, amy, nobody)] == ["Zoe", "Amy", None]
    assert asins(zoe) == asins(ask(client, reviews=ANN, k=2)[0])
    assert (zoe["fallback"], nobody["fallback"]) == (None, "popular")
    assert nobody["explanation"].endswith("the same for everybody: by popularity and trend")
    first = nobody["recommendations"][0]
    assert first["because"] == [] and first["reason"] == "Popular: many people have reviewed it."


def test_only_a_category_and_without_some(client):
    assert asins(ask(client, reviews=ANN, style="Strings")[0]) in (["p5", "p6"], ["p6", "p5"])
    assert asins(ask(client, reviews=ANN, style="Strings", exclude=["p5", "p99"])[0]) == ["p6"]
    assert asins(ask(client, reviews=[], style="Strings", exclude=["p5"])[0]) == ["p6"]
    answer = client.post("/recommendations", json={"reviews": ANN, "style": "Brass"})
    assert answer.status_code == 422 and answer.json()["detail"][0]["field"] == "style"


def test_what_is_written_counts_in_the_next_answer(client, text):
    first = client.get("/users/ann/recommendations", params={"k": 6}).json()["people"][0]
    assert first["fallback"] == "popular"
    kept = client.post("/users/ann/reviews", json={"reviews": ANN, "nickname": "Ann"})
    assert kept.status_code == 201
    assert kept.json() == {"user": "ann", "stored": 2, "reviews": 2}
    encoded = len(text.encoder.encoded)
    second = client.get("/users/ann/recommendations", params={"k": 6}).json()["people"][0]
    assert (second["fallback"], second["nickname"], second["id"]) == (None, "Ann", "ann")
    assert second["recommendations"] == ask(client, reviews=ANN, k=6)[0]["recommendations"]
    assert len(text.encoder.encoded) == encoded  # both by what is stored and what is cached
    # One more, and the same one again: it replaces itself.
    again = {"reviews": [{"reviewID": "r0", "asin": "p4", "TextReview": "loud", "rating": 2}]}
    assert client.post("/users/ann/reviews", json=again).json()["reviews"] == 2
    reviews = client.get("/users/ann/reviews").json()["reviews"]
    assert [each["asin"] for each in reviews] == ["p2", "p4"]
    third = client.get("/users/ann/recommendations", params={"k": 6, "exclude": ["p3"]})
    assert not {"p2", "p4", "p3"} & set(asins(third.json()["people"][0]))
    assert client.delete("/users/ann").status_code == 204
    assert client.delete("/users/ann").status_code == client.get("/users/ann/reviews").status_code
    assert client.get("/users/ann/reviews").status_code == 404


def test_two_reviews_of_one_request_do_not_replace_each_other(client):
    reviews = [{"reviewID": each, "TextReview": each + "x"} for each in ("r", " r")]
    refused = client.post("/users/ann/reviews", json={"reviews": reviews})
    assert refused.status_code == 422 and "reviewID" in refused.json()["detail"][0]["message"]
    assert client.get("/users/ann/reviews").status_code == 404


def test_digits_that_are_a_date_are_no_seconds(client):
    told = {"20240517": "2024-05-17", "2024": "2024-01-01", "1715941800": "2024-05-17"}
    for number, given in enumerate(told):
        reviews = [{"reviewID": f"r{number}", "TextReview": "x", "time": given}]
        assert client.post("/users/ann/reviews", json={"reviews": reviews}).status_code == 201
    kept = client.get("/users/ann/reviews").json()["reviews"]
    assert {each["reviewID"]: each["time"][:10] for each in kept} == {
        f"r{number}": expected for number, expected in enumerate(told.values())
    }


def test_a_review_without_a_time_was_written_now(client):
    client.post("/users/bob/reviews", json={"reviews": [{"TextReview": "first"}]})
    (review,) = client.get("/users/bob/reviews").json()["reviews"]
    assert review["time"].startswith(time.strftime("%Y-%m", time.gmtime()))
    assert len(review["reviewID"]) == 32


def test_products(client):
    found = client.get("/products/search", params={"q": "str"}).json()["products"]
    assert {each["asin"] for each in found} == {"p5", "p6"}
    assert found[0] == {
        **{"asin": "p5", "ProductName": "Strings", "Style": "Strings"},
        **{"num_reviews": 1, "mean_rating": 5.0},
    }
    similar = client.get("/products/p5/similar", params={"k": 2}).json()
    assert similar["ProductName"] == "Strings" and len(similar["products"]) == 2
    assert similar["products"][0]["asin"] == "p6"
    assert client.get("/products/p99/similar").status_code == 404
    assert client.get("/styles").json()["styles"][0] == "Strings"
    answer = client.get("/map").json()
    assert (answer["shown"], answer["of"]) == (6, 6)
    assert all(abs(dot["x"]) <= 1 and abs(dot["y"]) <= 1 for dot in answer["products"])
    # Six names tell nothing of their regions.
    assert answer["regions"] == client.get("/wishes").json()["wishes"] == []
    assert client.get("/people").json()["people"][0]["nickname"] == "Ann"


@pytest.mark.parametrize(
    ("body", "field", "word"),
    [
        ({"reviews": [{"TextReview": "x", "rating": 9}]}, "reviews.0.rating", "5"),
        ({"reviews": [{"TextReview": "x", "Rating": 4}]}, "reviews.0.Rating", "no such field"),
        ({"reviews": [{"rating": 4}]}, "reviews.0", "TextReview"),
        ({"reviews": [{"TextReview": "x", "rating": True}]}, "reviews.0.rating", "number"),
        ({"reviews": [{"asin": "x\ud800"}]}, "reviews.0.asin", "surrogate"),
        ({"reviews": [{"TextReview": "x\ud800"}]}, "reviews.0.TextReview", "surrogate"),
        ({"reviews": [{"TextReview": "x\0"}]}, "reviews.0.TextReview", "NUL"),
        ({"reviews": [{"asin": "x" * 257}]}, "reviews.0.asin", "256"),
        ({"reviews": [{"TextReview": "x", "asin": "null"}]}, "reviews.0.asin", "names nothing"),
        ({"reviews": [{"TextReview": "x", "Style": " NA "}]}, "reviews.0.Style", "'NA' names"),
        ({"reviews": [{"TextReview": "x", "time": "nan"}]}, "reviews.0.time", "not a time"),
        ({"reviews": [{"TextReview": "x", "time": "1e400"}]}, "reviews.0.time", "not a time"),
        ({"reviews": [{"TextReview": "x", "time": " "}]}, "reviews.0.time", "not a time"),
        ({"reviews": [{f"f{n}": 1 for n in range(40)}]}, "reviews.0", "too many fields"),
        ({"reviews": [], "k": True}, "k", "integer"),
        ({"reviews": [], "k": "3"}, "k", "integer"),
        ({"reviews": [{"TextReview": "x", "time": "noon"}]}, "reviews.0.time", "2024"),
        ({"reviews": [{"TextReview": "x", "time": "03/04/2024"}]}, "reviews.0.time", "write it"),
        ({"reviews": [{"TextReview": "x" * 41}]}, "reviews.0.TextReview", "40"),
        ({"reviews": [{"TextReview": "x"}] * 4}, "reviews", "3"),
        ({"people": [{"reviews": [{"TextReview": "x" * 41}]}]}, "people.0.reviews.0.Text", "40"),
        ({"people": [{"reviews": []}] * 3}, "people", "2"),
        ({"people": []}, "people", "1"),
        ({"reviews": [], "k": 8}, "k", "7"),
        ({"reviews": [], "k": 0}, "k", "1"),
        ({"reviews": [], "exclude": ["a", "b", "c"]}, "exclude", "2"),
        ({}, "", "either"),
        ({"reviews": [], "people": [{"reviews": []}]}, "", "either"),
    ],
)
def test_what_is_refused_names_its_field(service, body, field, word):
    limits = {"text_characters": 40, "reviews": 3, "people": 2, "k": 7, "exclude": 2}
    client, _ = service(*(f"serving.limits.{name}={value}" for name, value in limits.items()))
    # Not the client's own way: it cannot write half of a surrogate pair.
    content = json.dumps({"k": 5} | body)
    answer = client.post(
        "/recommendations", content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    (trouble,) = answer.json()["detail"]
    assert trouble["field"].startswith(field) and word in trouble["message"]
    assert "data." not in trouble["message"]  # a setting, which whoever asks has none of


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"wish": "a", "wish": "b"}', "wish"),
        ('{"reviews": [{"asin": "p1", "rating": 1, "rating": 5}]}', "rating"),
        ('{"people": [{"wish": "a"}], "k": 1, "k": 1}', "k"),
        ('{"\\ud83d": 1, "\\ud83d": 2}', "?"),
    ],
)
def test_a_field_that_is_given_twice_is_told(client, body, field):
    headers = {"Content-Type": "application/json"}
    refused = client.post("/recommendations", content=body, headers=headers)
    assert refused.status_code == 422, refused.text
    assert refused.json() == {
        "detail": [{"field": field, "message": "is given more than once; give it once"}]
    }


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/products/search?q=drum&stile=Drums", "stile"),
        ("/products/search?q=drum&k=3&k=4", "k"),
        ("/products/p1/similar?K=3", "K"),
        ("/users/ann/recommendations?k=3&user_id=bob", "user_id"),
        ("/users/ann/reviews?newest=3", "newest"),
        ("/styles?%F0%9F%8E%B8", "🎸"),
        ("/map?map=", "map"),
    ],
)
def test_a_parameter_that_is_unknown_or_given_twice_is_told(client, path, field):
    refused = client.get(path)
    assert refused.status_code == 422, refused.text
    (trouble,) = refused.json()["detail"]
    assert trouble["field"] == field and ("no such" in trouble["message"]) == (field != "k")


def test_a_list_may_be_given_by_several_parameters(client):
    found = client.get("/users/ann/recommendations?k=6&exclude=p1&exclude=p2").json()
    ids = {each["asin"] for each in found["people"][0]["recommendations"]}
    assert len(ids) == 4 and not ids & {"p1", "p2"}


def test_control_characters_and_markup_are_data(client):
    odd = "<b>loud</b>\x01\x07 &amp; \u202eproud"
    body = {"reviews": [{"reviewID": "<i>", "TextReview": odd, "ProductName": "<script>x"}]}
    body["reviews"][0]["asin"] = "p1"
    (person,) = ask(client, **body)
    assert person["recommendations"][0]["because"][0]["reviewID"] == "<i>"
    assert client.post("/users/<i>/reviews", json=body).status_code == 201
    (review,) = client.get("/users/<i>/reviews").json()["reviews"]
    assert review["TextReview"] == odd
    (stored,) = client.get("/users/<i>/recommendations").json()["people"]
    assert stored["recommendations"] == person["recommendations"]


def test_the_key(service):
    client, _ = service("serving.api_key=secret")
    assert client.get("/styles").status_code == 401
    assert client.get("/styles", headers={"X-API-Key": "guess"}).status_code == 401
    assert client.get("/styles", headers={"X-API-Key": "secret"}).status_code == 200
    assert client.get("/health/live").status_code == client.get("/").status_code == 200


def test_too_large_a_body_is_not_read(service):
    client, _ = service("serving.limits.body_bytes=1000")
    small = {"reviews": [{"TextReview": "x" * 900}]}
    large = {"reviews": [{"TextReview": "x" * 1900}]}
    assert client.post("/recommendations", json=small).status_code == 200
    assert client.post("/recommendations", json=large).status_code == 413
    # Nothing tells its length beforehand.
    parts = (b"x" * 100 for _ in range(100))
    answer = client.post("/recommendations", content=parts)
    assert answer.status_code == 413
    assert "1000 bytes" in answer.json()["detail"][0]["message"]


def test_too_many_at_once_are_told_to_come_back(service, text):
    client, components = service("serving.limits.requests_at_once=1")
    asked, go_on = threading.Event(), threading.Event()
    encode = text.encode

    def slow(texts):
        asked.set()
        go_on.wait(30)
        return encode(texts)

    text.encode = slow
    answers = []
    first = threading.Thread(
        target=lambda: answers.append(client.post("/recommendations", json={"reviews": ANN}))
    )
    first.start()
    assert asked.wait(30)
    refused = client.get("/styles")
    assert client.get("/health/live").status_code == client.get("/metrics").status_code == 200
    go_on.set()
    first.join()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert answers[0].status_code == client.get("/styles").status_code == 200


def test_numbers_for_prometheus_hold_no_names(client):
    client.post("/users/somebody/reviews", json={"reviews": ANN})
    client.get("/users/somebody/recommendations")
    client.get("/products/search", params={"q": "secretword"})
    text = client.get("/metrics").text
    assert 'route="/users/{user_id}/recommendations",status="200"' in text
    for stage in ("encode", "graph", "search"):
        assert f'rec_sys_stage_seconds_bucket{{le="+Inf",stage="{stage}"}}' in text
    assert 'rec_sys_people_total{fallback="none"} 1.0' in text
    assert "somebody" not in text and "secretword" not in text


def test_nothing_that_people_write_is_logged(client, caplog):
    caplog.set_level("DEBUG")
    client.post("/users/somebody/reviews", json={"reviews": [{"TextReview": "my secret words"}]})
    client.get("/products/search", params={"q": "secretword"})
    client.post("/recommendations", json={"reviews": [{"TextReview": "my secret", "rating": 7}]})
    own = [record.getMessage() for record in caplog.records if record.name.startswith("rec_sys")]
    assert any("POST /users/{user_id}/reviews 201" in line for line in own)
    assert not any("secret" in line or "somebody" in line for line in own)


def test_the_page_loads_nothing_from_elsewhere(client):
    page = client.get("/")
    assert page.status_code == 200 and "<html" in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert client.get("/static/app.js").status_code == 200
    assert client.get("/static/../api.py").status_code == 404
    assert client.get("/nowhere").json()["detail"][0]["message"] == "Not Found"


def test_places_follow_what_is_liked(service):
    client, components = service()
    space = components.service.served.space
    (person,) = ask(client, reviews=[{"asin": "p4", "rating": 5}])
    place = [person["place"]["x"], person["place"]["y"]]
    np.testing.assert_allclose(place, space.places[3], atol=1e-3)
    (middle,) = ask(client, reviews=[])
    assert middle["place"] == {"x": 0, "y": 0}


def test_other_sites_and_odd_methods(service):
    client, _ = service()
    foreign = client.get("/styles", headers={"Host": "evil.example"})
    assert foreign.status_code == 400
    assert client.get("/styles", headers={"Host": "127.0.0.1:8000"}).status_code == 200
    assert client.get("/styles", headers={"Host": "[::1]:8000"}).status_code == 200
    assert client.request("BREW", "/styles").status_code == 405
    assert 'method="unknown"' in client.get("/metrics").text
    shared, _ = service("serving.host=0.0.0.0", "serving.api_key=1")
    named = {"Host": "shop.example", "X-API-Key": "1"}
    assert shared.get("/styles", headers=named).status_code == 200
    assert shared.get("/styles", headers=named | {"X-API-Key": ""}).status_code == 401


def test_ids_that_look_alike_are_not_one(client):
    alike = ["caf\u00e9", "cafe\u0301", "order1", "order\u200b1"]
    people = [{"id": each, "wish": "drum"} for each in alike]
    told = client.post("/recommendations", json={"people": people, "k": 1}).json()["people"]
    assert [each["id"] for each in told] == alike
    reviews = [{"reviewID": each, "TextReview": "fine"} for each in alike]
    assert client.post("/users/ann/reviews", json={"reviews": reviews}).json()["stored"] == 4
    kept = client.get("/users/ann").json()["reviews"]
    assert sorted(each["reviewID"] for each in kept) == sorted(alike)
    nothing = client.post("/recommendations", json={"people": [{"id": " ", "wish": "drum"}]})
    assert nothing.json()["people"][0]["id"] is None


def test_what_is_no_json_and_what_is_no_category(client):
    headers = {"Content-Type": "application/json"}
    broken = client.post("/recommendations", content=b'{"reviews": [', headers=headers)
    (trouble,) = broken.json()["detail"]
    assert trouble == {"field": "", "message": "not JSON: Expecting value at character 13"}
    for unreadable in (b"[" * 100_000, b'{"wish": "\xff"}', b'{"k": %s}' % (b"9" * 5000)):
        broken = client.post("/recommendations", content=unreadable, headers=headers)
        (trouble,) = broken.json()["detail"]
        assert broken.status_code == 422 and "cannot be read" in trouble["message"]
    answer = client.get("/products/search", params={"q": "drum", "style": "Brass"})
    assert answer.status_code == 422 and answer.json()["detail"][0]["field"] == "style"


def test_a_fault_is_told_in_the_same_form(service, monkeypatch):
    client, components = service()
    monkeypatch.setattr(components.service.served, "search", None)
    answer = client.get("/products/search")
    assert answer.status_code == 500 and "fault" in answer.json()["detail"][0]["message"]

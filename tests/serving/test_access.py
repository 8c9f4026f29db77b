"""Who may do what: clients, administrators and people; how often; and what is noted of it."""

import gzip
import hashlib
import http.client
import json
import os
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from queue import SimpleQueue

import jwt
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.inference.histories import WrittenReview
from rec_sys.serving.access import RequestRate
from rec_sys.serving.server import _reload_when, build_components, listen
from rec_sys.serving.user_store import UserStore
from tests.helpers.tiny_service import becomes, config_with

SECRET = "s" * 32
REVIEW = {"reviews": [{"TextReview": "my own words"}]}


def key(text):
    return {"X-API-Key": text}


def token(user, secret=SECRET, seconds=60, algorithm="HS256", **more):
    said = {"sub": user, "exp": int(time.time()) + seconds} | more
    return {"Authorization": f"Bearer {jwt.encode(said, secret, algorithm)}"}


def line_of(role, name, text):
    return f"{role} {name} {hashlib.sha256(text.encode()).hexdigest()}\n"


def test_a_client_may_not_administrate_and_an_administrator_may_all(service):
    client, _ = service("serving.api_key=ours", "serving.admin_key=boss")
    for headers, styles, reload in (
        ({}, 401, 401),
        (key("guess"), 401, 401),
        (key("ours"), 200, 403),
        (key("boss"), 200, 200),
    ):
        assert client.get("/styles", headers=headers).status_code == styles
        assert client.post("/admin/reload", headers=headers).status_code == reload
    refused = client.get("/styles")
    assert refused.headers["WWW-Authenticate"] and "X-API-Key" in refused.text
    for public in ("/", "/health/live", "/openapi.json", "/static/app.js", "/metrics"):
        assert client.get(public).status_code == 200


def test_the_key_is_asked_for_before_a_body_is_read(service):
    client, _ = service("serving.api_key=ours")
    answer = client.post("/recommendations", content=b"{" * 999_999)
    assert answer.status_code == 401


def test_keys_are_rotated_without_a_restart(service, tmp_path):
    path = tmp_path / "keys"
    path.write_text("# of the shop\n" + line_of("client", "shop", "old"))
    client, _ = service(f"serving.keys_file={path}")

    def statuses():
        return [client.get("/styles", headers=key(each)).status_code for each in ("old", "new")]

    assert statuses() == [200, 401]
    path.write_text(
        line_of("client", "nobody", "")
        + line_of("client", "shop", "old")
        + line_of("admin", "boss", "new")
    )
    assert statuses() == [200, 200]
    assert client.get("/styles", headers=key("")).status_code == 401
    assert client.post("/admin/reload", headers=key("new")).status_code == 200
    path.write_text("client shop half")  # of a line: whoever was admitted stays so
    assert statuses() == [200, 200]
    path.write_text(line_of("admin", "boss", "new"))
    assert statuses() == [401, 200]
    before = path.stat()
    path.write_text(line_of("admin", "boss", "old"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as `cp -p` does
    assert statuses() == [200, 401]
    path.write_text(line_of("admin", "boss", "new"))
    assert statuses() == [401, 200]
    path.unlink()
    assert statuses() == [401, 200]
    os.mkfifo(path)  # opening it would wait for a writer
    assert statuses() == [401, 200]


def test_the_line_that_the_command_prints_admits_its_key(service, tmp_path):
    command = [sys.executable, "-m", "rec_sys.serving.access", "client", "shop"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    made, line = (each.split(":", 1)[1].strip() for each in printed.splitlines())
    (tmp_path / "keys").write_text(line)
    assert made not in line
    client, _ = service(f"serving.keys_file={tmp_path / 'keys'}")
    assert client.get("/styles", headers=key(made)).status_code == 200


def test_people_reach_only_their_own_data(service):
    client, _ = service("serving.api_key=ours", f"serving.person_secret={SECRET}")
    ann, bob = token("ann"), token("bob")
    assert client.post("/users/ann/reviews", json=REVIEW, headers=ann).status_code == 201
    for method, path in (
        ("GET", "/users/ann"),
        ("GET", "/users/ann/reviews"),
        ("GET", "/users/ann/recommendations"),
        ("POST", "/users/ann/reviews"),
        ("DELETE", "/users/ann"),
    ):
        body = {"json": REVIEW} if method == "POST" else {}
        assert client.request(method, path, headers=bob, **body).status_code == 403, path
        assert client.request(method, path, **body).status_code == 401
    assert client.get("/users/ann", headers=ann).status_code == 200
    assert client.get("/users/ann", headers=key("ours")).status_code == 200
    assert client.post("/recommendations", json=REVIEW, headers=bob).status_code == 200
    assert client.post("/admin/reload", headers=ann).status_code == 403
    strange = "a/ж%2F"
    path = "/users/a%2F%D0%B6%252F"
    assert client.get(path, headers=token(strange)).status_code == 404
    assert client.get(path, headers=ann).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        token("ann", seconds=-60),
        token("ann", "t" * 32),
        token("ann", exp=None) | {},
        token("ann", algorithm="HS512", secret=SECRET * 2),
        {"Authorization": f"Bearer {jwt.encode({'sub': 'ann', 'exp': 9e9}, None, 'none')}"},
        {"Authorization": f"Bearer {jwt.encode({'sub': 'ann'}, SECRET, 'HS256')}"},
        {"Authorization": f"Bearer {jwt.encode({'exp': 9e9}, SECRET, 'HS256')}"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic YW5uOmFubg=="},
        {"Authorization": ""},
    ],
)
def test_tokens_that_nobody_signed(service, headers):
    client, _ = service(f"serving.person_secret={SECRET}")
    answer = client.get("/users/ann/recommendations", headers=headers)
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"


def test_who_asks_too_often_waits(service):
    client, _ = service(
        "serving.api_key=ours",
        f"serving.person_secret={SECRET}",
        "serving.limits.person_requests_per_minute=5",
    )
    answers = [client.get("/styles", headers=token("ann")) for _ in range(7)]
    assert [each.status_code for each in answers] == [200] * 5 + [429] * 2
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 13
    assert client.get("/styles", headers=token("bob")).status_code == 200
    assert client.get("/styles", headers=key("ours")).status_code == 200


def test_requests_may_come_evenly_or_at_once_after_a_pause(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("rec_sys.serving.access.monotonic", lambda: now[0])
    rate = RequestRate(6)  # one in 10 s
    assert [rate.seconds_to_wait("a") for _ in range(8)] == [0] * 6 + [10, 10]
    assert rate.seconds_to_wait("b") == 0
    now[0] += 10
    assert [rate.seconds_to_wait("a") for _ in range(2)] == [0, 10]
    now[0] += 1000
    assert [rate.seconds_to_wait("a") for _ in range(7)] == [0] * 6 + [10]


def test_the_audit_log_says_who_did_what_to_whom_without_texts_and_ids(service, caplog):
    caplog.set_level("INFO", "rec_sys.audit")
    client, _ = service("serving.api_key=ours", f"serving.person_secret={SECRET}")
    client.post("/users/ann/reviews", json=REVIEW, headers=key("ours"))
    client.get("/users/ann", headers=token("bob"))
    client.delete("/users/ann", headers=token("ann"))
    client.delete("/users/ann")
    client.get("/styles", headers=key("ours"))
    ann, bob = (hashlib.sha256(each).hexdigest()[:16] for each in (b"ann", b"bob"))
    noted = [each.getMessage() for each in caplog.records if each.name == "rec_sys.audit"]
    assert noted == [
        f"POST /users/{{user_id}}/reviews 201 by client api_key about {ann}",
        f"GET /users/{{user_id}} 403 by person {bob} about {ann}",
        f"DELETE /users/{{user_id}} 204 by person {ann} about {ann}",
        "DELETE unknown 401 by nobody known",
    ]


def test_all_that_is_kept_is_handed_over_and_deleted(service):
    client, _ = service("serving.limits.reviews=2")
    for number in range(3):
        review = {"reviewID": f"r{number}", "TextReview": f"words {number}", "rating": 4}
        client.post("/users/ann/reviews", json={"reviews": [review], "nickname": "Ann"})
    assert len(client.get("/users/ann/reviews").json()["reviews"]) == 2
    everything = client.get("/users/ann").json()
    assert everything["nickname"] == "Ann"
    assert {each["TextReview"] for each in everything["reviews"]} == {
        "words 0",
        "words 1",
        "words 2",
    }
    assert client.delete("/users/ann").status_code == 204
    assert client.get("/users/ann").status_code == 404


def test_all_that_is_kept_is_handed_over_piece_by_piece(server, tmp_path, caplog):
    path = tmp_path / "users.db"
    text = "[] words \u00e9" * 2000
    given = [WrittenReview(f"r{number}", text=f"{number} {text}") for number in range(600)]
    store = UserStore(f"sqlite:///{path}")
    store.add("ann", given, {}, "e", 'A "[]" nn')
    store.close()
    port = server(f"serving.store=sqlite:///{path}")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/users/ann")
    told = json.loads(connection.getresponse().read())
    assert (told["user"], told["nickname"]) == ("ann", 'A "[]" nn')
    assert [each["TextReview"] for each in told["reviews"]] == [each.text for each in given]
    del told
    tracemalloc.start()
    try:
        connection.request("GET", "/users/ann")
        answer, size = connection.getresponse(), 0
        while part := answer.read(65536):
            size += len(part)
        assert tracemalloc.get_traced_memory()[1] < size / 3
    finally:
        tracemalloc.stop()
    connection.request("GET", "/users/ann")
    answer = connection.getresponse()
    answer.read(1000)
    path.rename(tmp_path / "elsewhere.db")
    with pytest.raises(http.client.IncompleteRead):  # and not a short answer that looks whole
        answer.read()
    assert "emptied or replaced" in caplog.text and "Traceback" not in caplog.text
    connection.close()


def test_who_goes_away_amid_several_answers_is_sent_nothing_more(server, tmp_path, caplog):
    path = tmp_path / "users.db"
    store = UserStore(f"sqlite:///{path}")
    store.add("ann", [WrittenReview(f"r{n}", text=f"{n} " * 5000) for n in range(500)], {}, "e")
    store.close()
    port = server(f"serving.store=sqlite:///{path}")
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /users/ann HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
        assert connection.recv(1000)
        aborts = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, aborts)
    time.sleep(1.5)
    assert caplog.text.count("socket.send() raised") < 5


@pytest.mark.parametrize("host", ["é..x", "x\0y", "a..b", "256.1.1.1", "no such host"])
def test_what_is_no_host_is_told(host):
    with pytest.raises(InputError, match="serving.host=.*cannot be listened on"):
        listen(host, 0)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_times_come_out_as_they_went_in(service, moment):
    client, _ = service()
    review = {"asin": "B1", "TextReview": "words", "rating": 4, "time": moment}
    assert client.post("/users/ann/reviews", json={"reviews": [review]}).status_code == 201
    assert client.get("/users/ann").json()["reviews"][0]["time"] == moment


def test_what_is_kept_too_long_is_deleted(service, monkeypatch):
    client, _ = service()
    with monkeypatch.context() as past:
        past.setattr("rec_sys.serving.user_store.time", lambda: time.time() - 86_400 * 9)
        client.post("/users/ann/reviews", json=REVIEW)
    client, _ = service("serving.retention_days=8")
    for _ in range(100):
        if client.get("/users/ann").status_code == 404:
            break
        time.sleep(0.05)
    assert client.get("/users/ann").status_code == 404


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["serving.host=0.0.0.0"], "could read and delete what everybody wrote"),
        (["serving.host=::"], "REC_SYS_API_KEY"),
        (["serving.person_secret=short"], "at least 32"),
        (["serving.keys_file=/no/such/file"], "keys_file=/no/such/file: cannot be read"),
        (["serving.limits.texts=100"], "at least 3 times"),
        (["serving.limits.threads=2", "serving.api_key=k"], "threads=2: with keys 3 at least"),
        (["serving.retention_days=0"], "above 0"),
        (["serving.api_key='ключ'"], "serving.api_key: must be printable ASCII"),
        (["serving.admin_key=' a b '"], "serving.admin_key: must be .* without spaces"),
        (["serving.limits.seconds=1e-9"], r"limits\.seconds=1e-09: must be at least 0\.1"),
        (["serving.limits.header_bytes=1"], r"limits\.header_bytes=1: must be at least 256"),
        (["serving.api_key=[1]"], "serving.api_key=.*must be text"),
        (["serving.threads=5000"], r"serving\.threads=5000: must be at most 1024"),
    ],
)
def test_what_would_not_be_safe_does_not_start(bundle, overrides, message):
    with pytest.raises(InputError, match=message):
        build_components(config_with(bundle, *overrides))


def test_a_keys_file_names_the_line_that_is_wrong(bundle, tmp_path):
    path = tmp_path / "keys"
    path.write_text("\n" + line_of("owner", "me", "x"))
    with pytest.raises(InputError, match=r"keys:2: must be `client NAME SHA256`"):
        build_components(config_with(bundle, f"serving.keys_file={path}"))


def test_names_of_the_shop(service):
    client, _ = service("serving.hosts=[shop.example,'*.shop.example']")
    for host, status in (
        ("shop.example", 200),
        ("www.SHOP.example:8000", 200),
        ("LOCALHOST:8000", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("localhost:80:80", 400),
        ("localhost:port", 400),
        ("user@localhost", 400),
        ("", 400),
    ):
        answer = client.get("/styles", headers={"Host": host})
        assert answer.status_code == status, host
        if status == 400:
            assert answer.json()["detail"][0]["message"].startswith("this service has another name")


@pytest.mark.parametrize("name", ["a*b", "*shop.example", "**", "*.*.example"])
def test_a_name_of_the_shop_that_matches_nothing(service, name):
    with pytest.raises(InputError, match=r"serving.hosts=.*a \* stands alone"):
        service(f"serving.hosts=['{name}']")


@pytest.mark.parametrize(
    "setting", ["limits.seconds=1e20", "store_seconds=1e20", "retention_days=1e15"]
)
def test_times_beyond_what_clocks_count(service, setting):
    with pytest.raises(InputError, match=f"serving.{setting.partition('=')[0]}=.*must be at most"):
        service(f"serving.{setting}")


def test_many_wishes_to_reload_are_one(service, monkeypatch):
    _, components = service()
    loads, go_on = [], threading.Event()
    monkeypatch.setattr(
        type(components.service),
        "reload",
        lambda self: (loads.append(1), go_on.wait(10), self.bundle)[2],
    )
    wanted = SimpleQueue()
    threading.Thread(target=_reload_when, args=[wanted, components], daemon=True).start()
    wanted.put(None)
    while not loads:
        time.sleep(0.01)
    for _ in range(200):
        wanted.put(None)
    go_on.set()
    time.sleep(0.2)
    assert len(loads) == 2


def test_a_reload_does_not_wait_for_another(service, monkeypatch):
    client, components = service("serving.admin_key=boss")
    with components.service._loading:
        busy = client.post("/admin/reload", headers=key("boss"))
    assert busy.status_code == 503 and "Retry-After" in busy.headers
    assert client.post("/admin/reload", headers=key("boss")).status_code == 200


def test_a_service_that_cannot_keep_anything_is_not_ready(service, tmp_path):
    client, _ = service()
    assert client.get("/health/ready").status_code == 200
    os.rename(tmp_path / "users.db", tmp_path / "elsewhere.db")
    answer = client.post("/users/ann/reviews", json=REVIEW)
    assert answer.status_code == 503 and "Retry-After" not in answer.headers
    assert becomes(client, 503)
    assert client.post("/recommendations", json=REVIEW).status_code == 200
    os.rename(tmp_path / "elsewhere.db", tmp_path / "users.db")
    assert client.get("/health/ready").status_code == 200


def test_ids_are_what_they_are(client):
    body = json.dumps(REVIEW)
    headers = {"Content-Type": "application/json"}
    for raw, user in (
        ("a%2Fb", "a/b"),
        ("a%2Freviews", "a/reviews"),
        ("a%252Fb", "a%2Fb"),
        ("%C3%A9", "é"),
        ("a+b%20c", "a+b c"),
        ("..%2F..", "../.."),
    ):
        kept = client.post(f"/users/{raw}/reviews", content=body, headers=headers)
        assert kept.status_code == 201 and kept.json()["user"] == user
        assert client.get(f"/users/{raw}").json()["user"] == user
        assert client.delete(f"/users/{raw}").status_code == 204
    for raw in ("%ff", "%fe", "a%C3", "%zz", "a%", "%2"):
        assert (
            client.post(f"/users/{raw}/reviews", content=body, headers=headers).status_code == 400
        )
    assert client.get("/products/search?q=%ff").status_code == 400
    assert client.get("/users/a%00b").status_code == 422
    assert client.get(f"/users/{'x' * 257}").status_code == 422


def test_what_kind_of_request_it_is(client):
    text = client.post("/recommendations", content="{}", headers={"Content-Type": "text/plain"})
    assert text.status_code == 415
    assert client.post("/recommendations", content="{}").status_code == 415
    same = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post("/recommendations", content='{"reviews": []}', headers=same).is_success
    for path in ("/styles", "/health/ready", "/", "/openapi.json", "/users/nobody"):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["Content-Type"] == get.headers["Content-Type"]
    packed = gzip.compress(b'{"reviews": []}')
    for kind in ("gzip", "identity, gzip", "br"):
        named = same | {"Content-Encoding": kind}
        assert client.post("/recommendations", content=packed, headers=named).status_code == 415
    named = same | {"Content-Encoding": "Identity"}
    assert client.post("/recommendations", content='{"reviews": []}', headers=named).is_success
    taken = {"/recommendations": "POST", "/users/a/reviews": "GET, HEAD, POST"}
    taken |= {"/users/a": "GET, HEAD, DELETE", "/health/live": "GET, HEAD"}
    for path, methods in taken.items():
        wrong = client.put(path, json={})
        assert (wrong.status_code, wrong.headers["Allow"]) == (405, methods)


def test_a_kept_vector_of_another_length_is_made_again(service, tmp_path):
    client, _ = service()
    assert client.post("/users/ann/reviews", json=REVIEW).status_code == 201
    before = client.get("/users/ann/recommendations").json()
    with sqlite3.connect(tmp_path / "users.db") as connection:
        connection.execute("UPDATE reviews SET vector = x'0102'")
    assert client.get("/users/ann/recommendations").json() == before


def test_a_long_answer_may_be_taken_slowly_but_not_for_ever(server, tmp_path):
    path = tmp_path / "users.db"
    store = UserStore(f"sqlite:///{path}")
    store.add("ann", [WrittenReview(f"r{n}", text=f"{n} " * 5000) for n in range(500)], {}, "e")
    store.close()
    limits = ("serving.limits.seconds=2", f"serving.store=sqlite:///{path}")
    for speed, is_whole in ((100_000, True), (1_000_000_000, False)):
        port = server(*limits, f"serving.limits.taken_per_second={speed}")
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                b"GET /users/ann HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            started, said = time.monotonic(), b""
            while part := connection.recv(65536):
                said += part
                time.sleep(0.02)  # some 3 MB a second
        assert time.monotonic() > started + 2
        assert said.endswith(b"]}\r\n0\r\n\r\n") == is_whole

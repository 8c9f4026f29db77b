import gc
import shutil
import threading
import time

import numpy as np
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.inference.bundle import CREATE_COMMAND, GRAPH_MODEL, VECTORBASE
from rec_sys.modules.inference_backends import BackendUnavailable, OnnxBackend
from rec_sys.serving import service as service_module
from rec_sys.serving.server import build_components, reload_service
from tests.helpers.tiny_service import FakeText, becomes, config_with
from triton_utils.backends import TritonModels

BODY = {"reviews": [{"asin": "p1", "TextReview": "good tone", "rating": 5}], "k": 3}


class FakeTriton:
    """Stands in for `triton_utils.backends.connect`."""

    text = None
    connections = 0
    has_wrong_models = False

    @classmethod
    def connect(cls, url, encoder_folder, model_fingerprint, **settings):
        cls.connections += 1
        if cls.text.is_down:
            raise BackendUnavailable("nobody answers", 0.05)
        if cls.has_wrong_models:
            raise InputError("the server has another model")
        graph = OnnxBackend(encoder_folder.parent / GRAPH_MODEL, threads=1)
        assert graph.model_fingerprint == model_fingerprint
        return TritonModels(graph, cls.text, lambda: not cls.text.is_down)


@pytest.fixture
def triton(monkeypatch):
    """Overrides of a service that uses a fake Triton; `triton.text.is_down` stops it."""
    monkeypatch.setattr(FakeTriton, "text", FakeText())
    monkeypatch.setattr(FakeTriton, "connections", 0)
    monkeypatch.setattr(FakeTriton, "has_wrong_models", False)
    return FakeTriton


TRITON = ("serving.backend=triton", f"serving.triton._target_={__name__}.FakeTriton.connect")


def replace_bundle(bundle, other):
    shutil.rmtree(bundle)
    shutil.copytree(other, bundle)


def test_a_bundle_that_is_replaced_while_its_models_are_opened(
    service, bundle, two_bundles, monkeypatch
):
    client, components = service("serving.admin_key=secret")
    old, open_models = components.service.bundle, service_module.in_process
    others = [two_bundles[1]]

    def open_late(opened, settings):
        while others:
            replace_bundle(bundle, others.pop())
        return open_models(opened, settings)

    monkeypatch.setattr(service_module, "in_process", open_late)
    reloaded = client.post("/admin/reload", headers={"X-API-Key": "secret"})
    assert reloaded.status_code == 200, reloaded.text
    assert components.service.bundle.model_fingerprint != old.model_fingerprint


def test_a_new_bundle_is_taken_up_and_no_request_is_lost(service, bundle, two_bundles):
    client, components = service("serving.admin_key=secret")
    headers = {"X-API-Key": "secret"}
    old = components.service.bundle.model_fingerprint[:12]
    answers, done = [], threading.Event()

    def keep_asking():
        while not done.is_set():
            answers.append(client.post("/recommendations", json=BODY, headers=headers))

    threads = [threading.Thread(target=keep_asking) for _ in range(3)]
    for thread in threads:
        thread.start()
    replace_bundle(bundle, two_bundles[1])
    reloaded = client.post("/admin/reload", headers=headers)
    enough = len(answers) + 10
    while len(answers) < enough:
        time.sleep(0.01)
    done.set()
    for thread in threads:
        thread.join()
    assert reloaded.status_code == 200
    new = reloaded.json()["model"]
    assert new == components.service.bundle.model_fingerprint[:12] != old
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["model"] for answer in answers} == {old, new}
    assert f'rec_sys_model_info{{model="{new}"}} 1.0' in client.get("/metrics").text


def test_a_bundle_that_does_not_fit_changes_nothing(service, bundle):
    client, components = service("serving.admin_key=secret")
    before = client.post("/recommendations", json=BODY, headers={"X-API-Key": "secret"}).json()
    (bundle / GRAPH_MODEL).write_bytes(b"half a file")
    refused = client.post("/admin/reload", headers={"X-API-Key": "secret"})
    assert refused.status_code == 409
    assert "old bundle stays" in refused.json()["detail"][0]["message"]
    reload_service(components)  # what SIGHUP does
    after = client.post("/recommendations", json=BODY, headers={"X-API-Key": "secret"}).json()
    assert [p["recommendations"] for p in after["people"]] == [
        p["recommendations"] for p in before["people"]
    ]


def test_a_bundle_whose_encoder_gives_no_numbers_is_not_taken_up(service, text, monkeypatch):
    client, components = service("serving.admin_key=secret", "serving.cached_texts=0")
    encode = text.encode
    with monkeypatch.context() as patch:
        patch.setattr(text, "encode", lambda texts: encode(texts) * np.float32("nan"))
        refused = client.post("/admin/reload", headers={"X-API-Key": "secret"})
    assert refused.status_code == 409 and "is no number" in refused.text
    assert components.service.reload()


class _Panicking(BaseException):
    """As a library in Rust raises it."""


_Panicking.__name__ = "PanicException"


@pytest.mark.parametrize("fault", [_Panicking, ValueError])
def test_a_text_at_which_the_encoder_fails_is_503_and_kept(service, text, monkeypatch, fault):
    client, _ = service("serving.cached_texts=0")
    encode = text.encode

    def failing(texts):
        if any("fatal" in each for each in texts):
            raise fault("at this one")
        return encode(texts)

    monkeypatch.setattr(text, "encode", failing)
    fatal = {"reviews": [{"reviewID": "f", "TextReview": "fatal"}]}
    assert client.post("/recommendations", json=fatal).status_code == 503
    assert client.post("/users/ann/reviews", json=fatal).status_code == 201
    assert client.get("/users/ann").json()["reviews"][0]["TextReview"] == "fatal"
    assert client.post("/recommendations", json=BODY).status_code == 200


def test_a_reload_waits_for_who_is_answered_by_the_bundle_before_the_last(service):
    for seconds, ends_after in ((2, None), (60, 0.5)):
        _, components = service(f"serving.limits.seconds={seconds}")
        reload, answered = components.service.reload, [components.service.served]
        reload()
        if ends_after:
            threading.Timer(ends_after, answered.clear).start()
        started = time.monotonic()
        reload()
        waited = time.monotonic() - started
        # Nobody is answered for longer than the time of a request.
        assert waited >= seconds if ends_after is None else ends_after <= waited < seconds


def test_a_reload_does_not_wait_for_what_only_garbage_holds(service):
    """As the error of a request that took too long holds its future, and that the error."""
    _, components = service("serving.limits.seconds=20")
    circle = [components.service.served]
    circle.append(circle)
    components.service.reload()
    gc.disable()
    try:
        del circle
        started = time.monotonic()
        components.service.reload()
        assert time.monotonic() < started + 10
    finally:
        gc.enable()


def test_reloading_over_http_needs_a_key(client):
    assert client.post("/admin/reload").status_code == 403


def test_triton_answers_like_the_process_itself(service, triton):
    (own, _), (remote, _) = service(), service(*TRITON)
    one = own.post("/recommendations", json=BODY).json()
    two = remote.post("/recommendations", json=BODY).json()
    assert (one["backend"], two["backend"]) == ("onnx", "triton")
    ids = [[item["asin"] for item in each["people"][0]["recommendations"]] for each in (one, two)]
    assert ids[0] == ids[1]


def test_triton_down_is_503_and_what_is_written_is_kept(service, triton):
    client, components = service(*TRITON)
    assert client.post("/recommendations", json=BODY).status_code == 200
    triton.text.is_down = True
    new = {"reviews": [{"TextReview": "another text"}]}
    refused = client.post("/recommendations", json=new)
    assert refused.status_code == 503 and int(refused.headers["Retry-After"]) >= 1
    assert client.get("/health/live").status_code == 200
    assert becomes(client, 503)
    assert client.post("/users/ann/reviews", json=new).status_code == 201
    triton.text.is_down = False
    (person,) = client.get("/users/ann/recommendations").json()["people"]
    assert person["fallback"] is None


def test_who_asks_whether_it_is_ready_waits_for_no_look(service, monkeypatch):
    client, components = service()
    assert becomes(client, 200)
    looks, check = [], components.store.check

    def slow_check():
        looks.append(time.monotonic())
        time.sleep(0.3)
        check()

    monkeypatch.setattr(components.store, "check", slow_check)
    time.sleep(1.5)  # the service looks by itself
    asked = len(looks)
    answers = [client.get("/health/ready").status_code for _ in range(50)]
    assert set(answers) == {200} and asked >= 1 and len(looks) <= asked + 2


def test_a_look_that_fails_does_not_end_the_service(service, monkeypatch):
    client, components = service()
    assert becomes(client, 200)

    def broken():
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(components.store, "check", broken)
    assert becomes(client, 503)
    assert client.post("/recommendations", json=BODY).status_code == 200
    monkeypatch.undo()
    assert becomes(client, 200)


def test_the_spare_answers_while_triton_is_down_and_says_so(service, triton, text):
    client, _ = service(*TRITON, "serving.fallback=true")
    good = client.post("/recommendations", json=BODY).json()
    assert (good["backend"], good["degraded"]) == ("triton", False)
    triton.text.is_down = True
    body = {"reviews": [{"TextReview": "another text"}]}
    worse = client.post("/recommendations", json=body).json()
    assert (worse["backend"], worse["degraded"]) == ("onnx", True)
    assert "rec_sys_degraded_total 1.0" in client.get("/metrics").text
    triton.text.is_down = False
    time.sleep(0.3)  # left alone for a while
    assert not client.post("/recommendations", json=BODY).json()["degraded"]


def test_the_spare_answers_for_a_triton_of_other_models(service, triton, text):
    triton.has_wrong_models = True
    client, _ = service(*TRITON, "serving.fallback=true")
    answer = client.post("/recommendations", json=BODY).json()
    assert (answer["backend"], answer["degraded"]) == ("onnx", True)
    assert client.get("/health/ready").status_code == 200


def test_vectors_of_another_encoder_are_not_used(service, bundle, two_bundles, text):
    client, components = service()
    client.post("/users/ann/reviews", json={"reviews": [{"TextReview": "warm"}]})
    assert set(components.store.find("ann", 1, text.encoder_fingerprint).vectors) == {"warm"}
    assert components.store.find("ann", 1, "another").vectors == {}


def test_a_service_waits_for_triton(service, triton):
    triton.text.is_down = True
    client, components = service(*TRITON, wait=False)
    assert client.get("/health/live").status_code == 200
    ready = client.get("/health/ready")
    assert ready.status_code == 503 and "Retry-After" in ready.headers
    assert client.post("/recommendations", json=BODY).status_code == 503
    assert client.get("/people").status_code == client.get("/").status_code == 200
    triton.text.is_down = False
    assert becomes(client, 200)
    assert client.post("/recommendations", json=BODY).status_code == 200
    assert triton.connections >= 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("serving.backend=tensorflow", "must be .onnx. or .triton."),
        ("serving.port=-1", "serving.port"),
        ("serving.limits.k=0", "serving.limits.k=0"),
        ("serving.retry_after=0.5", "serving.retry_after=0.5: must be a whole number"),
        ("serving.port=70000", "65535"),
        ("serving.store=nosuchdb://x", "serving.store"),
        ("serving.store=sqlite:////no/such/folder/users.db", "cannot be opened"),
    ],
)
def test_settings_that_make_no_sense(bundle, override, message):
    with pytest.raises(InputError, match=message):
        build_components(config_with(bundle, override))


def test_what_is_served_is_told_and_that_there_is_a_newer_index(two_bundles, bundle, capsys):
    for built, is_other in zip(two_bundles, (False, True), strict=True):
        build_components(config_with(bundle, f"paths.vectorbase_dir={built / VECTORBASE}"))
        printed = capsys.readouterr().out
        assert f"bundle: {bundle} (6 products, tiny0.ckpt)" in printed
        assert ("holds another index" in printed) is is_other
        assert (CREATE_COMMAND in printed) is is_other


def test_what_the_models_do_not_take_is_not_the_askers_fault(service, text, monkeypatch):
    client, _ = service()

    def refuse(texts):
        raise InputError("Triton: other inputs")

    monkeypatch.setattr(text, "encode", refuse)
    answer = client.post("/recommendations", json={"wish": "something never heard of"})
    assert answer.status_code == 503 and "Retry-After" in answer.headers

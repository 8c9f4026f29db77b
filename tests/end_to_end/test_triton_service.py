"""The web service over a real Triton that serves the bundle's models."""

import time
from urllib.error import HTTPError

import pytest

from tests.helpers.commands import TIMEOUT, Running
from tests.helpers.triton_server import TritonServer


@pytest.fixture(scope="module")
def triton(triton_wheel, served_shop, tmp_path_factory):
    """A Triton with the models that create_bundle put into its repository."""
    printed = served_shop.ok("serving.create_bundle", "bundle.triton_repository=triton_models")
    assert "triton_models/graph_model/1/model.onnx: written" in printed
    repository = served_shop.folder / "triton_models"
    server = TritonServer(triton_wheel, repository, tmp_path_factory.mktemp("triton"))
    server.start()
    yield server
    server.stop()


def overrides(triton, *more):
    return "serving.backend=triton", f"serving.triton.url={triton.url}", *more


def wait_for(service, body, degraded=False):
    for _ in range(TIMEOUT * 5):
        try:
            answer = service.ask("/recommendations", body)
        except HTTPError as error:
            assert error.code == 503
        else:
            if answer["degraded"] is degraded:
                return answer
        time.sleep(0.2)
    pytest.fail("the service did not recover")


def test_both_backends_agree_and_triton_may_come_and_go(served_shop, triton):
    own, remote = Running(served_shop), Running(served_shop, *overrides(triton))
    spared = Running(served_shop, *overrides(triton, "serving.fallback=true"))
    try:
        people = own.ask("/people")["people"]
        body = {"people": [*people, {"reviews": [{"TextReview": "small and warm"}]}], "k": 8}
        one, two = own.ask("/recommendations", body), remote.ask("/recommendations", body)
        assert (one["backend"], two["backend"]) == ("onnx", "triton")
        for here, there in zip(one["people"], two["people"], strict=True):
            for mine, other in zip(here["recommendations"], there["recommendations"], strict=True):
                assert mine["asin"] == other["asin"]
                for name in ("score", "predicted_rating"):
                    assert mine[name] == pytest.approx(other[name], abs=1e-5)
                for why, also in zip(mine["because"], other["because"], strict=True):
                    assert why["weight"] == pytest.approx(also["weight"], abs=1e-5)

        triton.stop()
        with pytest.raises(HTTPError) as refused:
            remote.ask("/recommendations", {"reviews": [{"TextReview": "never seen before"}]})
        assert refused.value.code == 503 and int(refused.value.headers["Retry-After"]) >= 1
        assert remote.ask("/health/live") == {"status": "live"}
        assert wait_for(spared, body, degraded=True)["backend"] == "onnx"

        triton.start()
        again = wait_for(remote, body)
        assert again["people"][0]["recommendations"] == two["people"][0]["recommendations"]
        assert wait_for(spared, body)["backend"] == "triton"
    finally:
        for each in (own, remote, spared):
            each.stop()


def test_the_same_models_make_no_new_version(served_shop, triton):
    printed = served_shop.ok("serving.create_bundle", "bundle.triton_repository=triton_models")
    assert "graph_model/1/model.onnx: is this model already" in printed
    assert "text_encoder/1/model.onnx: is this model already" in printed

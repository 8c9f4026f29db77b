"""A service over the tiny shop, in this process, without a real text encoder."""

import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from rec_sys.inference.backends import OnnxBackend
from rec_sys.serving import service as service_module
from rec_sys.serving.api import create_app
from rec_sys.serving.app import build_components, start_service
from rec_sys.serving.service import Backends
from tests.helpers.tiny_service import FakeText, config_with, make_bundle


@pytest.fixture(scope="session")
def two_bundles(tmp_path_factory):
    """Bundles of two models; copy them before you change them."""
    return [make_bundle(tmp_path_factory.mktemp(f"bundle{seed}"), seed) for seed in (0, 1)]


@pytest.fixture
def bundle(two_bundles, tmp_path):
    """A bundle that a test may spoil."""
    return Path(shutil.copytree(two_bundles[0], tmp_path / "bundle"))


@pytest.fixture
def text(monkeypatch):
    """Stands in for the text encoder of every service in this process."""
    text = FakeText()

    def in_process(bundle, threads, parallel_texts):
        return Backends("onnx", OnnxBackend(bundle.graph_model, threads), text)

    monkeypatch.setattr(service_module, "in_process", in_process)
    return text


@pytest.fixture
def service(bundle, text):
    """A service over the bundle: `service("serving.api_key=secret")` -> client and components."""
    clients = []

    def start(*overrides: str, wait: bool = True):
        components = build_components(config_with(bundle, *overrides))
        if wait:
            start_service(components, "")
        client = TestClient(
            create_app(components, lambda: start_service(components, "")),
            base_url="http://localhost",
            raise_server_exceptions=False,
        )
        client.__enter__()
        clients.append(client)
        return client, components

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(service):
    """A client of a service with the default settings."""
    return service()[0]

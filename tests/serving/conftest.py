"""A service over the tiny shop, in this process, without a real text encoder."""

import shutil
import threading
import uuid
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from rec_sys.modules.inference_backends import OnnxBackend
from rec_sys.serving import service as service_module
from rec_sys.serving.api import create_app
from rec_sys.serving.encoding import TextTurns
from rec_sys.serving.server import build_components, listen, server_of
from rec_sys.serving.service import Backends
from tests.helpers.postgresql import PostgresMissing, postgresql
from tests.helpers.tiny_service import FakeText, config_with, make_bundle


@pytest.fixture(scope="session")
def two_bundles(tmp_path_factory):
    """Bundles of two models; copy them before you change them."""
    return [make_bundle(tmp_path_factory.mktemp(f"bundle{seed}"), seed) for seed in (0, 1)]


@pytest.fixture(scope="session")
def postgresql_server():
    """The URL of a PostgreSQL, without a database."""
    with ExitStack() as stack:
        try:
            yield stack.enter_context(postgresql())
        except PostgresMissing as reason:
            pytest.skip(f"PostgreSQL is not tested: {reason}")


@pytest.fixture
def postgresql_url(postgresql_server):
    """A fresh database."""
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(f"{postgresql_server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{postgresql_server}/{name}".replace("postgresql:", "postgresql+psycopg:")


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request, tmp_path):
    """A database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'users.db'}"
    return request.getfixturevalue("postgresql_url")


@pytest.fixture
def bundle(two_bundles, tmp_path):
    """A bundle that a test may spoil."""
    return Path(shutil.copytree(two_bundles[0], tmp_path / "bundle"))


@pytest.fixture
def text(monkeypatch):
    """Stands in for the text encoder of every service in this process."""
    text = FakeText()

    def in_process(bundle, settings):
        limits = settings.limits
        turns = (limits.characters_per_turn, limits.bulk_turns, limits.bulk_at_once)
        return Backends(
            "onnx", OnnxBackend(bundle.graph_model, settings.threads), TextTurns(text, 1, *turns)
        )

    monkeypatch.setattr(service_module, "in_process", in_process)
    return text


@pytest.fixture
def service(bundle, text):
    """A service over the bundle: `service("serving.api_key=secret")` -> client and components."""
    clients = []

    def start(*overrides: str, wait: bool = True):
        components = build_components(config_with(bundle, *overrides))
        if wait:
            components.service.start()
        client = TestClient(
            create_app(components, components.service.start),
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
def server(service):
    """A real server of the service: `server("serving.limits.k=7")` -> its port on 127.0.0.1."""
    running = []

    def start(*overrides: str):
        client, components = service(*overrides)
        listener = listen("127.0.0.1", 0)
        server = server_of(client.app, components.settings.limits)
        server.config.lifespan = "off"  # the client runs it
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        running.append((server, thread))
        return listener.getsockname()[1]

    yield start
    for server, thread in running:
        server.force_exit = server.should_exit = True
        thread.join()


@pytest.fixture
def client(service):
    """A client of a service with the default settings."""
    return service()[0]

"""A bundle of the tiny shop, and a service over it without a real text encoder."""

import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hydra import compose, initialize_config_dir

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.files import write_json
from rec_sys.inference.backends import BackendUnavailable, OnnxBackend
from rec_sys.serving import service as service_module
from rec_sys.serving.api import create_app
from rec_sys.serving.app import build_parts, start_service
from rec_sys.serving.backends import Backends
from rec_sys.serving.bundle import GRAPH_MODEL, PEOPLE, TEXT_ENCODER, VECTORBASE, seal

PEOPLE_OF_THE_SHOP = [{"nickname": "Ann", "reviews": [{"asin": "p1", "TextReview": "good tone"}]}]


class FakeText:
    """Vectors out of a hash; can be told to be down; counts what it encodes."""

    def __init__(self) -> None:
        from tiny_models import FakeEncoder

        self.encoder = FakeEncoder()
        self.encoder_fingerprint = self.encoder.model_fingerprint
        self.vector_dim = self.encoder.dimension
        self.is_down = False

    def encode(self, texts):
        if self.is_down:
            raise BackendUnavailable("nobody answers", 0.2)
        return self.encoder.encode(list(texts))


def make_bundle(folder: Path, seed: int = 0) -> Path:
    """A bundle in `folder`/bundle of a tiny model with random weights."""
    from tiny_models import config_of, save_checkpoint

    from rec_sys.modules.checkpoint import load_trained
    from rec_sys.modules.model_export import export_onnx
    from rec_sys.vector_database.create_vectorbase import create_vectorbase

    path = save_checkpoint(folder / "checkpoint_dir", seed, f"tiny{seed}")
    vectorbase = create_vectorbase(config_of("vectorbase_config", folder, f"checkpoint={path}"))
    bundle = folder / "bundle"
    (bundle / GRAPH_MODEL).parent.mkdir(parents=True)
    export_onnx(load_trained(path), bundle / GRAPH_MODEL)
    (bundle / TEXT_ENCODER).mkdir()
    (bundle / TEXT_ENCODER / "model.onnx").write_bytes(b"the tests encode by a hash")
    shutil.copytree(vectorbase.folder, bundle / VECTORBASE)
    write_json(bundle / PEOPLE, PEOPLE_OF_THE_SHOP)
    seal(bundle, vectorbase)
    return bundle


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


def config_with(bundle: Path, *overrides: str):
    store = bundle.parent / "users.db"
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return compose(
            "serve_config",
            [f"paths.bundle_dir={bundle}", f"serving.store=sqlite:///{store}", *overrides],
        )


@pytest.fixture
def service(bundle, text):
    """Starts a service over the bundle: `service("serving.api_key=secret")` -> client, parts."""
    clients = []

    def start(*overrides: str, wait: bool = True):
        parts = build_parts(config_with(bundle, *overrides))
        if wait:
            start_service(parts, "")
        client = TestClient(
            create_app(parts, lambda: start_service(parts, "")),
            base_url="http://localhost",
            raise_server_exceptions=False,
        )
        client.__enter__()
        clients.append(client)
        return client, parts

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(service):
    """A client of a service with the default settings."""
    return service()[0]

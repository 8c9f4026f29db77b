"""A bundle of the tiny shop, and a service over it without a real text encoder."""

import shutil
import time
from pathlib import Path

from rec_sys.foundation.files import write_json
from rec_sys.inference.bundle import GRAPH_MODEL, PEOPLE, TEXT_ENCODER, VECTORBASE, seal_bundle
from rec_sys.modules.inference_backends import BackendUnavailable
from tests.helpers.configs import composed, config_of
from tests.helpers.tiny_models import FakeEncoder, export_tiny, save_checkpoint

PEOPLE_OF_THE_SHOP = [{"nickname": "Ann", "reviews": [{"asin": "p1", "TextReview": "good tone"}]}]


class FakeText:
    """Vectors out of a hash; can be told to be down; counts what it encodes."""

    def __init__(self) -> None:
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
    from rec_sys.modules.checkpoint import load_trained
    from rec_sys.vector_database.create_vectorbase import create_vectorbase

    path = save_checkpoint(folder / "checkpoint_dir", seed, f"tiny{seed}")
    vectorbase = create_vectorbase(config_of("vectorbase_config", folder, f"checkpoint={path}"))
    bundle = folder / "bundle"
    (bundle / GRAPH_MODEL).parent.mkdir(parents=True)
    export_tiny(load_trained(path), bundle / GRAPH_MODEL)
    (bundle / TEXT_ENCODER).mkdir()
    (bundle / TEXT_ENCODER / "model.onnx").write_bytes(b"the tests encode by a hash")
    shutil.copytree(vectorbase.folder, bundle / VECTORBASE)
    write_json(bundle / PEOPLE, PEOPLE_OF_THE_SHOP)
    seal_bundle(bundle, vectorbase)
    return bundle


def config_with(bundle: Path, *overrides: str):
    store = bundle.parent / "users.db"
    places = {"paths.bundle_dir": bundle, "serving.store": f"sqlite:///{store}"}
    return composed("serve_config", *overrides, places=places)


def becomes(client, status: int) -> bool:
    """Whether the service's readiness, which it looks at now and then, becomes this status."""
    until = time.monotonic() + 10
    while client.get("/health/ready").status_code != status:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True

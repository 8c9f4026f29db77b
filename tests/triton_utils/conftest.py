"""One Triton for all tests here, serving what the export commands wrote."""

import importlib.util
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

_BELOW = Path(__file__).parents[1] / "vector_database" / "conftest.py"
_spec = importlib.util.spec_from_file_location("vector_database_conftest", _BELOW)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

built = _module.built


@pytest.fixture(scope="session")
def export_tiny(tmp_path_factory):
    """Exports a tiny model by the command's function: (seed, output path) -> TrainedModel."""
    from tiny_models import MODEL_CONFIG, save_checkpoint

    from rec_sys.modules.checkpoint import load_trained
    from rec_sys.modules.model_export import export_model

    folder = tmp_path_factory.mktemp("tiny")
    settings = folder / "tiny.yaml"
    OmegaConf.save(MODEL_CONFIG, settings)

    def export(seed: int, output: Path):
        checkpoint = save_checkpoint(folder / str(seed), seed)
        export_model(checkpoint, settings, output, [f"paths.cache_dir={folder / 'cache'}"])
        return load_trained(checkpoint)

    return export


@pytest.fixture(scope="session")
def repository(exported_encoder, export_tiny):
    """A model repository as it goes to production; the graph model is a tiny one."""
    folder = exported_encoder.parent.parent
    export_tiny(0, folder / "graph_model" / "1" / "model.onnx")
    return folder


@pytest.fixture(scope="session")
def server(repository, tmp_path_factory):
    """A real Triton, ready; skipped only if its wheel is nowhere to be had."""
    from tests.triton_utils.triton_server import TritonServer, WheelMissing

    if shutil.which("uv") is None:
        pytest.skip("uv is not installed, which fetches Triton")
    try:
        server = TritonServer(repository, tmp_path_factory.mktemp("triton"))
    except WheelMissing as reason:
        pytest.skip(str(reason))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def connection(server):
    from triton_utils.connection import TritonConnection

    connection = TritonConnection(server.url, request_timeout=30.0)
    yield connection
    connection.close()

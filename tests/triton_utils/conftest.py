"""One Triton for all tests here, serving what the export commands wrote."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf


@pytest.fixture(scope="session")
def repository(exported_encoder, tmp_path_factory):
    """A model repository as the export commands write it; the graph model is a tiny one."""
    from rec_sys.modules.model_export import export_model
    from tests.helpers.tiny_models import MODEL_CONFIG, save_checkpoint

    folder = tmp_path_factory.mktemp("tiny")
    OmegaConf.save(MODEL_CONFIG, folder / "tiny.yaml")
    repository = exported_encoder.parents[1]
    export_model(
        save_checkpoint(folder),
        folder / "tiny.yaml",
        repository / "graph_model" / "1" / "model.onnx",
        [f"paths.cache_dir={folder / 'cache'}"],
    )
    return repository


@pytest.fixture(scope="session")
def put_model(repository):
    """Puts another model into a repository: (number, path of the ONNX file) -> OnnxBackend.

    It is the tiny model with other weights and another fingerprint; exporting takes seconds.
    """
    import numpy as np
    import onnx

    from rec_sys.foundation.onnx import save_onnx
    from rec_sys.graph.ego_batch import MODEL_FINGERPRINT_KEY
    from rec_sys.modules.inference_backends import OnnxBackend
    from rec_sys.text.encoder import ENCODER_FINGERPRINT_KEY
    from triton_utils.repository import write_config

    def put(number: int, path: Path):
        content = onnx.load(repository / "graph_model" / "1" / "model.onnx")
        for weights in content.graph.initializer:
            array = onnx.numpy_helper.to_array(weights)
            if array.dtype == np.float32 and array.ndim == 2:
                other = np.random.default_rng(number).normal(size=array.shape)
                new = onnx.numpy_helper.from_array(other.astype(np.float32), weights.name)
                weights.CopyFrom(new)
        path.parent.mkdir(parents=True, exist_ok=True)
        names = {MODEL_FINGERPRINT_KEY: f"{number}" * 64, ENCODER_FINGERPRINT_KEY: "encoder"}
        onnx.helper.set_model_props(content, names)
        save_onnx(content, path)
        write_config(path)
        return OnnxBackend(path, threads=1)

    return put


@pytest.fixture(scope="session")
def server(triton_wheel, repository, tmp_path_factory):
    """A real Triton, ready."""
    from tests.helpers.triton_server import TritonServer

    server = TritonServer(triton_wheel, repository, tmp_path_factory.mktemp("triton"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def connection(server):
    from triton_utils.connection import TritonConnection

    connection = TritonConnection(server.url, request_timeout=30.0)
    yield connection
    connection.close()

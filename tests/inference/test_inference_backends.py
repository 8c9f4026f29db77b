"""What every `GraphBackend` must do, on one tiny model."""

import subprocess
import sys

import numpy as np
import onnx
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.onnx import save_onnx
from rec_sys.modules.checkpoint import load_trained
from rec_sys.modules.inference_backends import OnnxBackend, TorchBackend
from rec_sys.modules.model_export import random_inputs
from tests.helpers.tiny_models import VECTOR_DIM, export_tiny, save_checkpoint

SHAPES = [(1, 0, 0), (1, 1, 0), (1, 1, 1), (3, 5, 7), (40, 60, 200)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return load_trained(save_checkpoint(tmp_path_factory.mktemp("checkpoints")))


@pytest.fixture(scope="module")
def onnx_path(trained, tmp_path_factory):
    return export_tiny(trained, tmp_path_factory.mktemp("onnx") / "model.onnx")


@pytest.fixture(scope="module", params=["torch", "onnx"])
def backend(request, trained):
    if request.param == "torch":
        return TorchBackend(trained)
    return OnnxBackend(request.getfixturevalue("onnx_path"), threads=1)


def test_it_says_which_model_it_is(backend, trained):
    assert backend.model_fingerprint == trained.fingerprint
    assert (backend.vector_dim, backend.embedding_dim) == (8, 8)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_computes_what_the_model_computes(backend, trained, shape):
    users, products, edges = shape
    inputs = random_inputs(VECTOR_DIM, *shape, seed=users)
    outputs = backend.embed(inputs)
    assert outputs.user_embeddings.shape == (users, 8)
    assert outputs.product_embeddings.shape == (products, 8)
    assert outputs.user_queries.shape == (users, 9)
    assert outputs.product_keys.shape == (products, 9)
    assert outputs.attention.shape == (edges, 2)
    for array in outputs:
        assert array.dtype == np.float32
    expected = TorchBackend(trained).embed(inputs)
    for found, wanted in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(outputs.user_embeddings, axis=1), 1, atol=1e-5)


def test_weights_that_are_no_numbers_are_refused(onnx_path, tmp_path):
    model = onnx.load(onnx_path)
    for each in model.graph.initializer:
        values = onnx.numpy_helper.to_array(each).copy()
        if values.dtype == np.float32 and values.ndim == 2:
            each.CopyFrom(onnx.numpy_helper.from_array(values * np.float32("nan"), each.name))
    save_onnx(model, tmp_path / "model.onnx")
    with pytest.raises(InputError, match="answers are no numbers.*export it"):
        OnnxBackend(tmp_path / "model.onnx")


def test_a_weight_that_was_damaged_is_told(onnx_path, tmp_path):
    content = bytearray(onnx_path.read_bytes())
    weights = max(onnx.load(onnx_path).graph.initializer, key=lambda each: len(each.raw_data))
    at = content.index(weights.raw_data) + 3  # the first one's exponent
    content[at] ^= 1
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(InputError, match="model.onnx: damaged.*export it again"):
        OnnxBackend(tmp_path / "model.onnx")
    model = onnx.load(onnx_path)
    onnx.helper.set_model_props(model, {})
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(InputError, match="model.onnx: damaged, or of another version"):
        OnnxBackend(tmp_path / "model.onnx")


def test_files_that_are_no_exported_model(tmp_path):
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(InputError, match="not a readable ONNX model"):
        OnnxBackend(tmp_path / "empty.onnx")
    with pytest.raises(InputError, match="export one with"):
        OnnxBackend(tmp_path / "model.onnx")
    with pytest.raises(InputError, match="threads=2147483648: must be below"):
        OnnxBackend(tmp_path / "empty.onnx", 1 << 31)
    (tmp_path / "model.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not a readable ONNX model") as error:
        OnnxBackend(tmp_path / "model.onnx")
    assert "\n" not in str(error.value)


def test_a_foreign_onnx_model(tmp_path):
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    same = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "foreign", [value], [same])
    opset = onnx.helper.make_opsetid("", 18)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    save_onnx(model, tmp_path / "model.onnx")
    with pytest.raises(InputError, match="not a graph model of this version"):
        OnnxBackend(tmp_path / "model.onnx")


def test_serving_needs_no_pytorch():
    program = (
        "import sys, rec_sys.inference.recommender, rec_sys.modules.inference_backends,"
        " rec_sys.inference.results, rec_sys.vector_database.vectorbase,"
        " rec_sys.reviews.reading;"
        "slow = {'torch', 'torch_geometric', 'pytorch_lightning', 'sentence_transformers'};"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_bad_settings_are_reported_before_pytorch_is_imported():
    program = (
        "import sys, rec_sys.inference.infer, rec_sys.vector_database.create_vectorbase;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"

"""The exported repository, exactly as it stands, on a real Triton."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests

from rec_sys.foundation.errors import InputError
from rec_sys.graph.ego_batch import MODEL_INPUTS, GraphOutputs
from rec_sys.inference.recommender import Recommender
from rec_sys.modules.checkpoint import load_trained
from rec_sys.modules.inference_backends import BackendUnavailable, OnnxBackend, TorchBackend
from rec_sys.modules.model_export import random_inputs
from rec_sys.text.onnx import OnnxTextEncoder
from tests.helpers.tiny_models import (
    REVIEWS,
    VECTOR_DIM,
    FakeEncoder,
    review_table,
    save_checkpoint,
)
from triton_utils.backends import TritonGraphBackend, TritonTextBackend, connect
from triton_utils.connection import TritonConnection

SHAPES = [(1, 0, 0), (1, 1, 0), (3, 5, 0), (1, 1, 1), (5, 2, 1), (3, 5, 7), (40, 60, 2000)]
OUTPUTS = GraphOutputs._fields
TEXTS = ["", "Good.", "It holds its tuning. " * 4, "Ça sonne bien — 很好 🎸", "too long " * 500]


@pytest.fixture(scope="module")
def onnx_backend(repository):
    return OnnxBackend(repository / "graph_model" / "1" / "model.onnx", threads=1)


@pytest.fixture
def backend(connection):
    return TritonGraphBackend(connection)


def assert_equal(found, expected, atol):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=atol, rtol=0)


def test_it_is_ready_and_tells_what_it_serves(server, connection, backend, onnx_backend):
    assert connection.is_live() and connection.is_ready()
    assert backend.model_fingerprint == onnx_backend.model_fingerprint
    assert (backend.vector_dim, backend.embedding_dim) == (VECTOR_DIM, 8)
    assert backend.model_version == "1"
    metadata = requests.get(f"{server.http_url}/v2/models/graph_model", timeout=10).json()
    assert [each["name"] for each in metadata["inputs"]] == list(MODEL_INPUTS)
    assert [each["name"] for each in metadata["outputs"]] == list(OUTPUTS)
    metrics = requests.get(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=10).text
    assert 'nv_inference_count{model="graph_model"' in metrics


@pytest.mark.parametrize("shape", SHAPES)
def test_it_computes_what_the_model_computes(backend, onnx_backend, repository, shape, tmp_path):
    inputs = random_inputs(VECTOR_DIM, *shape, seed=sum(shape))
    found = backend.embed(inputs)
    assert_equal(found, onnx_backend.embed(inputs), atol=1e-6)
    trained = load_trained(save_checkpoint(tmp_path))
    assert_equal(found, TorchBackend(trained).embed(inputs), atol=1e-5)


def test_users_without_reviews_are_asked_about_once(server, backend, onnx_backend):
    def count():
        metrics = requests.get(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=10).text
        (line,) = re.findall(r'nv_inference_count\{model="graph_model".*\} (\d+)', metrics)
        return int(line)

    somebody, somebody_else = (random_inputs(VECTOR_DIM, 1, 0, 0, seed=seed) for seed in (1, 2))
    before = count()
    for inputs, asked in ((somebody, 1), (somebody, 1), (somebody_else, 2), (somebody, 3)):
        assert_equal(backend.embed(inputs), onnx_backend.embed(inputs), atol=1e-6)
        assert count() == before + asked


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: {"user_features": x["user_features"][:, :7]}, r"'user_features'.*\[3,7\]"),
        (lambda x: {"edge_rating": x["edge_rating"][:, None]}, r"'edge_rating'.*\[7,1\]"),
        (lambda x: {"edge_index": x["edge_index"][:1]}, r"'edge_index'.*\[1,7\]"),
        (lambda x: {"edge_index": x["edge_index"].astype(np.int32)}, "'edge_index'.*'INT32'"),
        (lambda x: {"edge_attr": x["edge_attr"].astype(np.float64)}, "'edge_attr'.*'FP64'"),
        (lambda x: {"edge_attr": x["edge_attr"].astype(np.complex64)}, "edge_attr: Triton has no"),
        (lambda x: {"more": x["edge_age"]}, "expected 11 inputs but got 12"),
    ],
)
def test_what_does_not_fit_is_refused(connection, change, message):
    inputs = random_inputs(VECTOR_DIM, 3, 5, 7, seed=0)
    with pytest.raises(InputError, match=message):
        connection.infer("graph_model", inputs | change(inputs), OUTPUTS)


def test_what_is_not_there_is_refused(connection):
    inputs = random_inputs(VECTOR_DIM, 3, 5, 7, seed=0)
    with pytest.raises(InputError, match="missing required input.*edge_age"):
        few = {name: array for name, array in inputs.items() if name != "edge_age"}
        connection.infer("graph_model", few, OUTPUTS)
    with pytest.raises(InputError, match="unknown model: 'none'"):
        connection.infer("none", inputs, OUTPUTS)
    with pytest.raises(InputError, match="unknown model: 'none'"):
        TritonGraphBackend(connection, "none")
    with pytest.raises(InputError, match="no version of graph_model is the model ffffffffffff"):
        TritonGraphBackend(connection, model_fingerprint="f" * 64)
    with pytest.raises(InputError, match="does not tell its model_fingerprint"):
        TritonGraphBackend(connection, "text_encoder")
    with pytest.raises(InputError, match="failed to load 'none'"):
        connection.load_model("none")


def test_an_edge_to_nowhere_does_not_end_the_server(connection, backend):
    inputs = random_inputs(VECTOR_DIM, 3, 5, 7, seed=0)
    with pytest.raises(BackendUnavailable, match="out of data bounds"):
        backend.embed(inputs | {"edge_index": inputs["edge_index"] + 100})
    assert connection.is_ready()


def test_eight_clients_at_once(server, backend, onnx_backend):
    def one_client(number):
        connection = TritonConnection(server.url, request_timeout=30.0)
        own = TritonGraphBackend(connection)
        rng = np.random.default_rng(number)
        for _ in range(20):
            users, products, edges = rng.integers([1, 1, 0], [5, 8, 30])
            inputs = random_inputs(VECTOR_DIM, users, products, edges, seed=number)
            each = own if rng.random() < 0.5 else backend  # one of these is everybody's
            assert_equal(each.embed(inputs), onnx_backend.embed(inputs), atol=1e-6)
        connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one_client, range(8)))


def test_thirty_two_callers_share_a_backend(backend, onnx_backend):
    def one_caller(number):
        inputs = random_inputs(VECTOR_DIM, 1 + number % 3, number % 4, 0, seed=number)
        assert_equal(backend.embed(inputs), onnx_backend.embed(inputs), atol=1e-6)
        return True

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(one_caller, range(128)))


def test_texts_of_many_people_are_joined(server, connection, exported_encoder):
    backend = TritonTextBackend(connection, exported_encoder, batch_size=2)
    reference = OnnxTextEncoder(exported_encoder, threads=1)
    assert backend.encoder_fingerprint == reference.encoder_fingerprint
    assert backend.encode([]).shape == (0, 384)
    expected = reference.encode(TEXTS)
    np.testing.assert_allclose(backend.encode(TEXTS), expected, atol=1e-5)

    def one_person(number):
        order = np.random.default_rng(number).permutation(len(TEXTS) - 1)
        found = backend.encode([TEXTS[text] for text in order])
        np.testing.assert_allclose(found, expected[order], atol=1e-5)
        return True

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(one_person, range(32)))
    url = f"{server.http_url}/v2/models/text_encoder/stats"
    (stats,) = requests.get(url, timeout=10).json()["model_stats"]
    requested = stats["inference_stats"]["success"]["count"]
    assert stats["execution_count"] < requested  # warm-up aside, several requests in one run


@pytest.mark.parametrize("model", ["graph_model", "text_encoder"])
def test_ready_is_who_computes(server, connection, backend, exported_encoder, monkeypatch, model):
    told = {"encoder_folder": exported_encoder, "model_fingerprint": backend.model_fingerprint}
    models = connect(server.url, **told)
    assert models.is_ready()
    infer = TritonConnection.infer

    def failing(self, name, *args, **more):
        if name == model:
            raise BackendUnavailable("does not answer", 1.0)
        return infer(self, name, *args, **more)

    monkeypatch.setattr(TritonConnection, "infer", failing)
    assert connection.is_ready() and not models.is_ready()


def test_texts_of_another_encoder_are_refused(connection, exported_encoder, tmp_path):
    shutil.copy(exported_encoder / "tokenizer.json", tmp_path)
    settings = json.loads((exported_encoder / "encoder.json").read_text())
    other = settings | {"encoder_fingerprint": "e" * 64}
    (tmp_path / "encoder.json").write_text(json.dumps(other))
    with pytest.raises(InputError, match="no version of text_encoder is the model eeeeeeeeeeee"):
        TritonTextBackend(connection, tmp_path)


def test_whole_recommendations_are_the_same(built, backend, onnx_backend):
    table = review_table([*REVIEWS, ("new", "never seen", "a fine lute", 4, 1)])
    found = Recommender(backend, built, FakeEncoder().encode).recommend(table, k=4)
    expected = Recommender(onnx_backend, built, FakeEncoder().encode).recommend(table, k=4)
    for one, other in zip(found, expected, strict=True):
        assert (one.user_id, one.fallback) == (other.user_id, other.fallback)
        for each, wanted in zip(one.recommendations, other.recommendations, strict=True):
            assert each.product_id == wanted.product_id
            assert each.score == pytest.approx(wanted.score, abs=1e-5)
            assert each.predicted_rating == pytest.approx(wanted.predicted_rating, abs=1e-5)
            assert [r.review_id for r in each.because] == [r.review_id for r in wanted.because]


def raises(error):
    raise error


@pytest.mark.parametrize(
    "lie",
    [
        lambda array: np.full_like(array, np.nan),
        lambda array: np.full_like(array, np.inf),
        lambda array: np.full_like(array, 3e38),
        lambda array: array[:-1],
        lambda array: array[:, :-1],
        lambda array: array[None],
        lambda array: array.astype(np.float64),
        lambda array: None,
        lambda array: raises(ValueError("of other bytes")),
    ],
)
def test_answers_that_are_no_numbers_of_the_right_shape_reach_nobody(
    connection, backend, exported_encoder, monkeypatch, lie
):
    infer = TritonConnection.infer

    def lying(self, *args, **more):
        one, *others = infer(self, *args, **more)
        return [lie(one), *others]

    inputs = random_inputs(VECTOR_DIM, *SHAPES[5], seed=0)
    text = TritonTextBackend(connection, exported_encoder)
    backend.embed(inputs)
    monkeypatch.setattr(TritonConnection, "infer", lying)
    with pytest.raises(BackendUnavailable, match="graph_model returned no finite numbers of the"):
        backend.embed(inputs)
    with pytest.raises(BackendUnavailable, match="text_encoder returned no finite numbers of the"):
        text.encode(TEXTS)

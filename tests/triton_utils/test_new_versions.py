"""New versions on a running Triton, and a Triton that goes and comes back."""

import shutil
import time

import numpy as np
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.graph.ego_batch import GraphOutputs
from rec_sys.modules.inference_backends import BackendUnavailable
from rec_sys.modules.model_export import random_inputs
from tests.helpers.tiny_models import VECTOR_DIM
from triton_utils.backends import TritonGraphBackend
from triton_utils.connection import TritonConnection
from triton_utils.served_model import CHECK_EVERY_SECONDS, ServedModel

INPUTS = random_inputs(VECTOR_DIM, 3, 5, 7, seed=0)


def is_model(backend, reference) -> bool:
    found, expected = backend.embed(INPUTS), reference.embed(INPUTS)
    return np.allclose(found.user_queries, expected.user_queries, atol=1e-5)


def test_a_new_version_is_taken_up_and_the_old_one_kept(connection, repository, put_model):
    name = "renewed"
    folder = repository / name
    first = put_model(1, folder / "1" / "model.onnx")
    connection.load_model(name)
    old = TritonGraphBackend(connection, name)
    assert is_model(old, first)

    second = put_model(2, folder / "2" / "model.onnx")
    assert is_model(old, first)
    connection.load_model(name)
    new = TritonGraphBackend(connection, name)
    assert (new.model_version, new.model_fingerprint) == ("2", second.model_fingerprint)
    assert is_model(new, second) and not is_model(new, first)
    # Whose products were embedded by the first model still gets the first model.
    assert old.model_version == "1" and is_model(old, first)
    assert is_model(TritonGraphBackend(connection, name, first.model_fingerprint), first)

    # The same model once more, as another version, while its version goes.
    for version in (3, 4):
        put_model(2, folder / str(version) / "model.onnx")
    connection.load_model(name)
    assert is_model(new, second) and new.model_version == "4"
    with pytest.raises(BackendUnavailable, match=f"no version of {name} is the model") as error:
        old.embed(INPUTS)
    assert error.value.retry_after > 0

    # What cannot be loaded does not end what is served.
    (folder / "5").mkdir()
    (folder / "5" / "model.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match="load failed for model 'renewed': version 5"):
        connection.load_model(name)
    assert is_model(new, second)
    shutil.rmtree(folder / "5")


def test_a_version_that_was_overwritten_is_noticed(connection, repository, put_model):
    path = repository / "overwritten" / "1" / "model.onnx"
    first = put_model(1, path)
    connection.load_model("overwritten")
    model = ServedModel(connection, "overwritten", "model_fingerprint", first.model_fingerprint)
    model.infer(INPUTS, GraphOutputs._fields)
    put_model(2, path)
    connection.load_model("overwritten")
    time.sleep(CHECK_EVERY_SECONDS + 0.1)
    with pytest.raises(BackendUnavailable, match="no version of overwritten is the model"):
        model.infer(INPUTS, GraphOutputs._fields)
    put_model(1, path)
    connection.load_model("overwritten")
    model.infer(INPUTS, GraphOutputs._fields)


def test_a_server_that_goes_and_comes_back(server, connection):
    backend = TritonGraphBackend(connection)
    before = backend.embed(INPUTS)
    server.stop()
    try:
        for _ in range(2):
            with pytest.raises(BackendUnavailable, match="UNAVAILABLE"):
                backend.embed(INPUTS)
        assert not connection.is_live() and not connection.is_ready()
        with pytest.raises(BackendUnavailable):
            TritonGraphBackend(TritonConnection(server.url))
    finally:
        server.start()
    np.testing.assert_array_equal(backend.embed(INPUTS).user_queries, before.user_queries)
    assert connection.is_ready()

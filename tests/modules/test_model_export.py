import json

import onnx
import onnxruntime
import pytest

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.onnx import MAX_DIFFERENCE
from rec_sys.graph.ego_batch import MODEL_FINGERPRINT_KEY, MODEL_INPUTS
from rec_sys.modules.checkpoint import load_trained
from rec_sys.modules.inference_backends import OnnxBackend
from rec_sys.modules.model_export import (
    PARITY_SHAPES,
    check_parity,
    export_model,
    parity_batches,
)
from tests.helpers.tiny_models import export_tiny, save_checkpoint

VECTOR_DIM = 8


def config_file(settings):
    name = "gat" if "GATv2" in settings["conv"]["_target_"] else "model_config"
    return CONFIG_DIR / "model" / f"{name}.yaml"


def test_the_export_computes_the_same_and_parity_sees_a_difference(checkpoint, settings, tmp_path):
    output = tmp_path / "repository" / "graph_model" / "1" / "model.onnx"
    rows = export_model(checkpoint, config_file(settings), output)
    assert [(row.users, row.products, row.edges) for row in rows] == list(PARITY_SHAPES)
    assert max(row.difference for row in rows) <= MAX_DIFFERENCE
    assert sorted(path.name for path in output.parent.iterdir()) == ["model.onnx"]

    session = onnxruntime.InferenceSession(str(output))
    assert [tensor.name for tensor in session.get_inputs()] == list(MODEL_INPUTS)
    properties = session.get_modelmeta().custom_metadata_map
    assert properties[MODEL_FINGERPRINT_KEY] == load_trained(checkpoint).fingerprint
    assert onnx.load(output).ir_version <= 10
    assert b".py" not in output.read_bytes()  # where this machine keeps its packages

    config = (output.parent.parent / "configs" / "rec_sys.pbtxt").read_text()
    assert properties[MODEL_FINGERPRINT_KEY] in config
    assert 'backend: "onnxruntime"' in config and "max_batch_size: 0" in config
    assert "KIND_GPU" not in config
    for tensor in [*session.get_inputs(), *session.get_outputs()]:
        assert f'"{tensor.name}"' in config

    trained = load_trained(checkpoint)
    trained.model.product_head.bias.data += 0.1
    rows = check_parity(trained.model, output, parity_batches(VECTOR_DIM))
    assert min(row.difference for row in rows) > MAX_DIFFERENCE


def test_an_export_in_several_files_is_refused(tmp_path, monkeypatch):
    """They would be missing wherever it is copied to."""
    output = export_tiny(load_trained(save_checkpoint(tmp_path)), tmp_path / "model.onnx")
    whole = onnx.load(output)
    kept = dict(save_as_external_data=True, location="weights.bin", size_threshold=10)
    onnx.save(whole, output, **kept)
    assert (tmp_path / "weights.bin").stat().st_size
    monkeypatch.chdir(tmp_path)  # where they would be found
    with pytest.raises(InputError, match=r"model\.onnx: not a readable ONNX model"):
        OnnxBackend(output)


@pytest.mark.parametrize("settings", ["model_config"], indirect=True)
def test_a_model_that_differs_is_not_left_behind(checkpoint, settings, tmp_path, monkeypatch):
    monkeypatch.setattr("rec_sys.foundation.onnx.MAX_DIFFERENCE", -1.0)
    with pytest.raises(RuntimeError, match="differs from PyTorch"):
        export_model(checkpoint, config_file(settings), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_bad_arguments_are_named(checkpoint, settings, tmp_path):
    with pytest.raises(InputError, match="none.yaml: no such model config"):
        export_model(checkpoint, tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(InputError, match="bad.yaml: cannot be used"):
        export_model(checkpoint, tmp_path / "bad.yaml")
    (tmp_path / "empty.yaml").write_text("a: 1")
    with pytest.raises(InputError, match="empty.yaml: not a model config"):
        export_model(checkpoint, tmp_path / "empty.yaml")
    (tmp_path / "deep.yaml").write_text("a: " + "[" * 5000)
    with pytest.raises(InputError, match="deep.yaml: cannot be used"):
        export_model(checkpoint, tmp_path / "deep.yaml")
    for told in ("5", "true", "[a]", "text", ""):
        (tmp_path / "other.yaml").write_text(told)
        with pytest.raises(InputError, match="other.yaml: not a model config"):
            export_model(checkpoint, tmp_path / "other.yaml")
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9)]
    (tmp_path / "many.yaml").write_text("\n".join(["l0: &l0 [1, 2]", *levels]))
    with pytest.raises(InputError, match="many.yaml: its settings hold too many"):
        export_model(checkpoint, tmp_path / "many.yaml")
    code = {"_target_": "builtins.open", "file": str(tmp_path / "made"), "mode": "w"}
    model = {"_target_": "rec_sys.modules.graph_model.GraphModel", "x": code}
    (tmp_path / "foreign.yaml").write_text(json.dumps(model))
    with pytest.raises(InputError, match="foreign.yaml: its settings"):
        export_model(checkpoint, tmp_path / "foreign.yaml")
    assert not (tmp_path / "made").exists()
    with pytest.raises(InputError, match="none.ckpt: no such checkpoint"):
        export_model(tmp_path / "none.ckpt", config_file(settings))
    other = "model_config" if config_file(settings).stem == "gat" else "gat"
    with pytest.raises(InputError, match="do not fit the model's settings"):
        export_model(checkpoint, CONFIG_DIR / "model" / f"{other}.yaml", tmp_path / "m.onnx")

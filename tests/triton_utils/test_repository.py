"""What is written beside the exported files of both models."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.onnx import save_onnx
from rec_sys.modules.model_export import export_onnx
from tests.helpers.configs import model_settings
from triton_utils.repository import versions_of, write_config

SHIPPED = Path(__file__).resolve().parents[2] / "triton_utils" / "model_repository"


def require_shipped(onnx_path, fingerprint):
    """The default settings are those that are shipped; the others tell the fingerprint as well."""
    told = write_config(onnx_path)
    default = onnx_path.parents[1] / "config.pbtxt"
    assert told == onnx_path.parents[1] / "configs" / "rec_sys.pbtxt"
    assert default.read_text() == (SHIPPED / default.parent.name / default.name).read_text()
    parameters = told.read_text().removeprefix(default.read_text())
    assert parameters.startswith("parameters {") and fingerprint in parameters
    assert fingerprint not in default.read_text()


def test_the_shipped_config_is_the_text_encoders(exported_encoder, encoder):
    require_shipped(exported_encoder / "model.onnx", encoder.model_fingerprint)
    assert "dynamic_batching" in (SHIPPED / "text_encoder" / "config.pbtxt").read_text()


def test_settings_that_are_there_are_left_alone(exported_encoder, tmp_path):
    """They stand in the checkout; an export must not change it."""
    folder = tmp_path / "text_encoder"
    shutil.copytree(exported_encoder, folder / "1", copy_function=shutil.os.link)
    (folder / "config.pbtxt").write_text("# mine")
    write_config(folder / "1" / "model.onnx")
    assert (folder / "config.pbtxt").read_text() == "# mine"


def test_the_shipped_config_is_the_default_models(tmp_path):
    model = instantiate(OmegaConf.create(model_settings("model_config")), vector_dim=384)
    record = {"encoder": {"model_fingerprint": "its encoder"}}
    trained = SimpleNamespace(model=model, fingerprint="its own", record=record)
    path = export_onnx(trained, tmp_path / "graph_model" / "1" / "model.onnx")
    require_shipped(path, "its own")


def test_every_version_tells_its_fingerprint(exported_encoder, encoder, tmp_path):
    folder = tmp_path / "text_encoder"
    for version in ("1", "2", "10"):
        shutil.copytree(exported_encoder, folder / version, copy_function=shutil.os.link)
    assert list(versions_of(folder)) == [1, 2, 10]
    config = write_config(folder / "10" / "model.onnx").read_text()
    for key in ("", ".1", ".2", ".10"):
        assert (
            f'"encoder_fingerprint{key}" value: {{ string_value: "{encoder.model_fingerprint}"'
            in config
        )


def test_a_version_that_does_not_tell_is_refused(repository, tmp_path):
    exported = repository / "graph_model" / "1" / "model.onnx"
    for version, metadata in ((1, {}), (2, None)):
        path = tmp_path / "graph_model" / str(version) / "model.onnx"
        path.parent.mkdir(parents=True)
        shutil.copy(exported, path)
        if metadata is not None:
            content = onnx.load(path)
            onnx.helper.set_model_props(content, metadata)
            save_onnx(content, path)
    with pytest.raises(InputError, match="1/model.onnx: does not tell its model_fingerprint"):
        write_config(path)


def test_files_that_are_no_version_are_left_alone(tmp_path, repository):
    exported = repository / "graph_model" / "1" / "model.onnx"
    assert write_config(tmp_path / "model.onnx") is None
    assert write_config(tmp_path / "graph_model" / "1" / "other.onnx") is None
    other = onnx.load(exported)
    other.graph.input[0].name = "something_else"
    for node in other.graph.node:
        for position, name in enumerate(node.input):
            if name == "user_features":
                node.input[position] = "something_else"
    (tmp_path / "graph_model" / "1").mkdir(parents=True)
    save_onnx(other, tmp_path / "graph_model" / "1" / "model.onnx")
    with pytest.raises(InputError, match="not a model of this version"):
        write_config(tmp_path / "graph_model" / "1" / "model.onnx")

"""A small network of each kind, and a checkpoint of it."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.modules.checkpoint import RECORD_FORMAT, RECORD_KEY

VECTOR_DIM = 8


def model_settings(name: str) -> dict:
    with initialize_config_dir(str(CONFIG_DIR / "model"), version_base="1.3"):
        return OmegaConf.to_container(compose(name))


@pytest.fixture(params=["model_config", "gat"])
def settings(request) -> dict:
    return model_settings(request.param)


@pytest.fixture
def model(settings):
    torch.manual_seed(0)
    model = instantiate(OmegaConf.create(settings), vector_dim=VECTOR_DIM)
    for parameter in model.parameters():  # the heads start at zero: trained ones do not
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture
def checkpoint(model, settings, tmp_path) -> Path:
    record = {
        "format": RECORD_FORMAT,
        "run_name": "tiny",
        "config": {"model": settings, "data": {}, "encoder": {"model": "fake"}},
        "vector_dim": VECTOR_DIM,
        "encoder": {"model_fingerprint": "fake"},
    }
    weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    path = tmp_path / "tiny.ckpt"
    torch.save({"state_dict": weights, RECORD_KEY: record, "epoch": 0}, path)
    return path

"""A small network of each kind, and a checkpoint of it."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from rec_sys.modules.checkpoint import RECORD_FORMAT, RECORD_KEY
from tests.helpers.configs import model_settings

VECTOR_DIM = 8


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
    data = {"_target_": "rec_sys.reviews.sources.LocalReviews", "reviews_path": "gone.jsonl"}
    record = {
        "format": RECORD_FORMAT,
        "run_name": "tiny",
        "config": {"model": settings, "data": data, "encoder": {"model": "fake"}},
        "vector_dim": VECTOR_DIM,
        "encoder": {"model_fingerprint": "fake"},
        "split": {"fingerprint": "fake", "validation_user_ids": []},
        "data": {"fingerprint": "fake"},
    }
    weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    path = tmp_path / "tiny.ckpt"
    torch.save({"state_dict": weights, RECORD_KEY: record, "epoch": 0}, path)
    return path

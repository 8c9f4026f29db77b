"""A small network of each kind, and a checkpoint of it."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from rec_sys.modules.checkpoint import RECORD_FORMAT, RECORD_KEY, SEEN_KEY
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
    none = torch.zeros(0, dtype=torch.int64)
    seen = dict(users=none, products=none, roles=none.byte(), has_test=False)
    seen |= dict(edge_user=none.int(), edge_product=none.int())
    seen |= dict(begins=[None, None], earlier=[none] * 3)
    path = tmp_path / "tiny.ckpt"
    content = {"state_dict": weights, RECORD_KEY: record, SEEN_KEY: seen, "epoch": 0}
    torch.save(content, path)
    return path

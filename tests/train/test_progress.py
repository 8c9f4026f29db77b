from types import SimpleNamespace

import pytest
from pytorch_lightning.callbacks import RichProgressBar

from rec_sys.train.trainer import EpochProgress


@pytest.fixture
def bar(monkeypatch):
    monkeypatch.setattr(
        RichProgressBar, "get_metrics", lambda *_: {"v_num": "eded", "val/loss": 0.5}
    )
    bar = EpochProgress()
    bar._trainer = SimpleNamespace(max_epochs=30)
    return bar


def test_epochs_count_from_one_and_results_stand_alone(bar):
    assert bar._get_train_description(0) == "Epoch 1/30"
    assert bar._get_train_description(29) == "Epoch 30/30"
    assert bar.get_metrics(None, None) == {"val/loss": 0.5}

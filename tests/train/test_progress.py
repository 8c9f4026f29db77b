import pytest
import pytorch_lightning as pl
import rich
import torch
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader

from rec_sys.train.trainer import EpochProgress


class OneWeight(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, _):
        loss = self.layer(batch).square().mean()
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        self.log("told", float(self.current_epoch), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def terminal():
    """Settings of a console that draws although nobody watches; rich has one for all."""
    yield {"force_terminal": True, "width": 150}
    rich.reconfigure()


def test_epochs_count_from_one_and_results_stand_alone(terminal, tmp_path, capsys):
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=CSVLogger(tmp_path),  # has a version, which Lightning would show
        callbacks=[EpochProgress(console_kwargs=terminal)],
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(OneWeight(), DataLoader(torch.ones(4, 1)))
    drawn = capsys.readouterr().out
    assert "Epoch 1/2" in drawn and "Epoch 2/2" in drawn and "Epoch 0" not in drawn
    assert "train/loss" in drawn and "v_num" not in drawn


def test_a_log_gets_a_line_for_each_epoch(tmp_path, capsys):
    """Nothing is drawn over, so that what is written can be read while it grows."""
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        callbacks=[EpochProgress()],
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(OneWeight(), DataLoader(torch.ones(4, 1)))
    written = capsys.readouterr().out
    epochs = [line for line in written.splitlines() if line.startswith("epoch ")]
    assert [line.partition(",")[0] for line in epochs] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert all("train/loss " in line for line in epochs)
    # What the module logs at the end of an epoch stands in that epoch's line.
    assert [line.partition("told ")[2] for line in epochs] == ["0.0000", "1.0000"]
    assert "\r" not in written and "\x1b" not in written

import signal

import pytest
import torch
from pytorch_lightning import LightningModule
from torch.utils.data import DataLoader

from roots_kg.training.fit import fit, trainer_options
from roots_kg.training.runs import Run


class Interrupted(LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def train_dataloader(self):
        return DataLoader([1.0, 2.0])

    def training_step(self, batch, number):
        raise KeyboardInterrupt

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_an_interruption_stays_one_and_nothing_is_printed(capfd, recwarn):
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(), Run(), trainer_options(Run(), steps=2, accelerator="cpu", max_epochs=1))
    signal.signal(signal.SIGINT, handler)  # which Lightning has turned off
    assert "workers" not in capfd.readouterr().err
    assert not [warning for warning in recwarn if "workers" in str(warning.message)]

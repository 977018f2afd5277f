"""Where trainings run in tests."""

import pytest
import torch

from roots_kg.training.trainer_config import TrainerConfig


@pytest.fixture(
    params=[
        "cpu",
        pytest.param(
            "gpu", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
        ),
    ]
)
def on(request):
    """A device that a training runs on."""
    return TrainerConfig(accelerator=request.param)

import pytest
import torch

from roots_kg.errors import ConfigError
from roots_kg.training.fusion_config import FusionTrainingConfig
from roots_kg.training.generation_config import GenerationTrainingConfig
from roots_kg.training.meta_config import MetaTrainingConfig
from roots_kg.training.pretraining_config import AdapterConfig, Objectives, PretrainingConfig
from roots_kg.training.trainer_config import TrainerConfig

TWO, DIVIDED = TrainerConfig(devices=2), TrainerConfig(devices=2, strategy="fsdp")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrainerConfig(devices=0), "devices must be at least 1, found 0"),
        (lambda: TrainerConfig(strategy="fsdp"), "divides the weights among devices, and there is 1"),
        (lambda: PretrainingConfig(batch_size=1, trainer=TWO), "at least the 2 devices that share it"),
        (lambda: FusionTrainingConfig(batch_size=9, trainer=TWO), "a multiple of the 2 devices"),
        (lambda: MetaTrainingConfig(tasks=3, trainer=TWO), "a multiple of the 2 devices"),
        (lambda: FusionTrainingConfig(trainer=DIVIDED), "fsdp is for pretraining; use ddp"),
        (lambda: MetaTrainingConfig(trainer=DIVIDED), "fsdp is for pretraining; use ddp"),
        (lambda: GenerationTrainingConfig(trainer=DIVIDED), "fsdp is for pretraining; use ddp"),
        (lambda: PretrainingConfig(base="b", adapter=AdapterConfig(), trainer=DIVIDED), "adapter"),
        (lambda: PretrainingConfig(objectives=Objectives(next_sentence=1), trainer=DIVIDED), "next_sentence"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_anything_is_built(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error_that_says_so():
    assert TrainerConfig().chosen_accelerator() == "cpu"
    with pytest.raises(ConfigError, match="GPUs wanted: 2, found on this computer: 0"):
        TrainerConfig(accelerator="gpu", devices=2).chosen_accelerator()

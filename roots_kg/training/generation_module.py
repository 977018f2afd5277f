"""What Lightning trains to write texts: cross-entropy on the targets, and an average of the weights."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from roots_kg.adaptation.generation.writer import Writer
from roots_kg.encoding.pairs import Pair, parts_of_similar_length, written
from roots_kg.training.generation_config import GenerationTrainingConfig
from roots_kg.training.sharing import Share, zero_of

__all__ = ["GenerationModule"]

OPENING = 10
"""The average forgets faster over its first steps, which are far from where it shall be."""


class GenerationModule(lightning.LightningModule):
    """One step: a batch of rows of similar length.

    Args:
        writer: the model.
        rows: to train on.
        config: how.

    `averaged` is the model with the moving average of the weights, θ̄ ← θ̄ + (1 − a)(θ − θ̄), with a =
    min(average, (t + 1) / (t + `OPENING`)) after step t.
    """

    def __init__(self, writer: Writer, rows: Sequence[Pair], config: GenerationTrainingConfig) -> None:
        super().__init__()
        self.writer, self.rows, self.config = writer, rows, config
        self.trunk, self.head = writer.trunk, writer.head
        self.averaged_trunk = copy.deepcopy(writer.trunk).eval().requires_grad_(False)
        self.averaged_head = copy.deepcopy(writer.head).eval().requires_grad_(False)
        self.averaged = replace(writer, trunk=self.averaged_trunk, head=self.averaged_head)

    def train_dataloader(self) -> DataLoader[list[int]]:
        """The numbers of the rows of each batch, in random order; a resumed run goes on where it stopped."""
        batches = _Batches(self.rows, self.config, lambda: self.global_step)
        numbers = cast("Dataset[list[int]]", _Numbers(len(self.rows)))
        return DataLoader(numbers, sampler=batches, batch_size=None, collate_fn=_as_it_is)

    def training_step(self, batch: list[int], number: int) -> Tensor:
        """Return the mean loss over the tokens that are written in a batch."""
        torch.manual_seed(hash((self.config.seed, self.global_step)) % 2**62)  # of dropout, resumed or not
        share, rows = Share.of(self), [self.rows[row] for row in batch]
        own = share.own(rows)
        loss = self.writer.loss(own, self.config.smoothing) if own else zero_of(self)
        if share.processes > 1:
            loss = loss * share.weight(written(own), written(rows))
        self.log("loss", loss.detach(), batch_size=len(batch), sync_dist=share.processes > 1)
        return loss

    def optimizer_step(self, *args: Any, **options: Any) -> None:
        """Take a step, and move the average towards the weights."""
        super().optimizer_step(*args, **options)
        step = self.trainer.global_step
        decay = min(self.config.average, (step + 1) / (step + OPENING)) if self.config.average else 0.0
        pairs = ((self.averaged_trunk, self.trunk), (self.averaged_head, self.head))
        with torch.no_grad():
            for averaged, module in pairs:
                torch._foreach_lerp_(list(averaged.parameters()), list(module.parameters()), 1 - decay)

    def configure_optimizers(self) -> Any:
        """AdamW; matrices decay, vectors don't."""
        settings = self.config.optimizer
        trained = [weight for weight in self.parameters() if weight.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [weight for weight in trained if weight.dim() > 1]},
            {"params": [weight for weight in trained if weight.dim() <= 1], "weight_decay": 0.0},
        ]
        betas = (settings.betas[0], settings.betas[1])
        optimizer = torch.optim.AdamW(groups, lr=1.0, betas=betas, weight_decay=settings.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: settings.rate(step, self.config.steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Batches(Sampler[list[int]]):
    """The numbers of the rows of each batch, without an end.

    Rows are shuffled each time through, sorted by length, cut into batches, and the batches shuffled: so the
    rows of equal length that stand together are others each time.
    """

    def __init__(
        self, rows: Sequence[Pair], config: GenerationTrainingConfig, taken: Callable[[], int]
    ) -> None:
        self.rows, self.config, self.taken = rows, config, taken

    def __iter__(self) -> Iterator[list[int]]:
        skipped, time = self.taken(), 0
        while True:
            batches = self._time(time)
            yield from batches[skipped:]
            skipped, time = max(0, skipped - len(batches)), time + 1

    def _time(self, time: int) -> list[list[int]]:
        draw = random.Random(f"{self.config.seed} {time}")
        order = draw.sample(range(len(self.rows)), len(self.rows))
        parts = parts_of_similar_length([self.rows[number] for number in order], self.config.batch_tokens)
        batches = [[order[place] for place in part] for part in parts]
        draw.shuffle(batches)
        return batches


class _Numbers:
    """What a data loader asks for rows: it gets back the numbers that it asks with."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __getitem__(self, numbers: list[int]) -> list[int]:
        return numbers

    def __len__(self) -> int:
        return self.count


def _as_it_is(batch: list[int]) -> list[int]:
    return batch

"""What Lightning trains in pretraining: a step of the objectives, and a look at text that was held out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from roots_kg.encoding import objectives
from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.language_model import IGNORE, LanguageModelHead
from roots_kg.encoding.objectives import Masking, Targets
from roots_kg.encoding.transformer import Transformer
from roots_kg.metrics import bits_per_byte
from roots_kg.training.sharded import ShardedStrategy, shard
from roots_kg.training.sharing import ALONE, Share, zero_of
from roots_kg.training.token_file import ShuffledRows, TokenFile

__all__ = ["LanguageModelModule", "ObjectiveName", "OptimizerConfig", "shares"]

ObjectiveName = Literal["causal", "masked", "masked_next", "next_sentence"]

GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with a warm-up and a cosine decay.

    Args:
        learning_rate: at the end of the warm-up.
        final: the share of it that is left at the end.
        warmup: over how many steps it rises from 0.
        weight_decay: of matrices; vectors have none.
        betas: the decay of the two moments.
        clip: the largest norm of the gradient.
    """

    learning_rate: float = 1e-3
    final: float = 0.1
    warmup: int = 100
    weight_decay: float = 0.01
    betas: tuple[float, ...] = (0.9, 0.98)
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.clip <= 0:
            raise ValueError("learning_rate and clip must be above 0")
        if not 0 <= self.final <= 1 or self.warmup < 0 or self.weight_decay < 0:
            raise ValueError("final must be between 0 and 1, warmup and weight_decay at least 0")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas are two numbers from 0 to below 1, found {self.betas}")

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, from 0, of so many."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = min(1.0, (step - self.warmup) / max(1, steps - self.warmup))
        return self.learning_rate * (self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * done)))


class LanguageModelModule(lightning.LightningModule):
    """One step: rows of tokens, each read for one of the objectives.

    Args:
        trunk: the trunk that is trained, or kept as it is if there is an adapter.
        head: its output.
        rows: the text to train on.
        validation: the text that is held out, or None.
        masking: how tokens are hidden.
        weights: of the objectives, by name.
        optimizer: how it is trained.
        batch_size: B, rows a step.
        accumulate: batches whose gradients are added up in one step of the optimizer.
        steps: steps of the optimizer.
        sampled: see `LanguageModelHead.loss`.
        adapter: trained in place of the trunk, if given.
        separator_id: between the segments of next-sentence prediction.
        seed: of the order and of what is hidden.
    """

    def __init__(
        self,
        trunk: Transformer,
        head: LanguageModelHead,
        rows: TokenFile,
        validation: TokenFile | None,
        masking: Masking,
        weights: Mapping[ObjectiveName, float],
        optimizer: OptimizerConfig,
        *,
        batch_size: int,
        accumulate: int,
        steps: int,
        sampled: int = 0,
        adapter: LowRankAdapter | None = None,
        separator_id: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.trunk, self.head, self.adapter = trunk, head, adapter
        if adapter is not None:
            trunk.requires_grad_(False)
        self.next_sentence = nn.Linear(trunk.config.hidden_size, 2) if weights.get("next_sentence") else None
        self.text, self.held_out, self.masking, self.weights = rows, validation, masking, dict(weights)
        self.settings, self.batch_size, self.accumulate, self.steps = optimizer, batch_size, accumulate, steps
        self.sampled, self.separator_id, self.seed = sampled, separator_id, seed

    def configure_model(self) -> None:
        """Take the weights apart, where the processes keep a part of them each."""
        if isinstance(self.trainer.strategy, ShardedStrategy):
            shard(self.trunk, self.head, self.trainer.strategy.root_device.type, self.trainer.world_size)

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Rows of token ids, (B, L), in a random order."""
        rows = ShuffledRows(len(self.text), self.batch_size, self.seed, lambda: self.batches_taken)
        return DataLoader(cast("Dataset[Tensor]", _Rows(self.text)), sampler=rows, batch_size=None)

    @property
    def batches_taken(self) -> int:
        """How many batches the steps that are done have taken."""
        return self.global_step * self.accumulate

    def training_step(self, batch: Tensor, number: int) -> Tensor:
        """Return the loss of rows, (B, L): the mean over them, whatever the objective of each."""
        place = self.batches_taken + number % self.accumulate
        # Of dropout, so that a resumed run goes on as it would have.
        torch.manual_seed(self._seed(place, self.global_rank))
        names, share = shares(self.weights, place * self.batch_size, len(batch)), Share.of(self)
        losses = self.losses(batch, names, self._generator(place), share)
        total: Tensor = torch.stack([loss * part for loss, part in losses.values()]).sum()
        if self.next_sentence is not None and "next_sentence" not in losses:
            total = total + zero_of(self)  # so that every step trains the same weights
        for name, (loss, _) in losses.items():
            self.log(f"{name}_loss", loss.detach().float(), sync_dist=share.processes > 1)
        return total

    def losses(
        self, batch: Tensor, names: list[ObjectiveName], generator: torch.Generator, share: Share = ALONE
    ) -> dict[str, tuple[Tensor, float]]:
        """Return the mean loss of each objective, and the part of the rows, (B, L), that it has.

        Of a process that shares the batch with others, a loss is that of its own rows, weighted such that the
        mean over the processes is that of the whole batch.
        """
        results, adapted = {}, self._adapted_weights()
        rows = batch.cpu()  # where numbers are drawn, so that they are the same on every device
        for name in dict.fromkeys(names):
            chosen = torch.tensor([other == name for other in names])
            whole = self._targets(name, rows[chosen], generator)
            own = whole.rows(share.rows)
            targets = (own if len(own) else whole.rows(slice(1))).to(batch.device)
            hidden, embedding = self._read(targets, adapted)
            if targets.follows is None:
                loss = self.head.loss(
                    hidden,
                    embedding,
                    targets.labels,
                    sampled=self.sampled,
                    among=whole.labels.to(batch.device),
                    generator=generator,
                )
            else:
                assert self.next_sentence is not None
                loss = functional.cross_entropy(self.next_sentence(hidden[:, 0]), targets.follows)
            if share.processes > 1:  # one without rows of an objective reads one, which counts nothing
                loss = loss * share.weight(own.predicted, whole.predicted)
            results[str(name)] = (loss, len(whole) / len(batch))
        return results

    @torch.no_grad()
    def evaluate(self, text: TokenFile, most_rows: int, batch_size: int = 16) -> dict[str, float]:
        """Judge the model on held-out rows: of each objective of the mix, the loss in nats and the accuracy.

        Args:
            text: the rows.
            most_rows: how many are looked at, spread evenly over the text.
            batch_size: rows at a time.

        Returns:
            `<objective>_loss` and `<objective>_accuracy`, over all tokens that are predicted, and of the
            causal objective the bits per byte of the text.
        """
        self.eval()
        adapted = self._adapted_weights()
        numbers = torch.linspace(0, len(text) - 1, min(most_rows, len(text))).long()
        results: dict[str, float] = {}
        for name in (name for name, weight in self.weights.items() if weight and name != "next_sentence"):
            generator = torch.Generator().manual_seed(self.seed)
            loss = right = predicted = 0.0
            for part in torch.split(numbers, batch_size):
                targets = self._targets(name, text.rows(part), generator).to(self.device)
                wanted = targets.labels != IGNORE
                states, embedding = self._read(targets, adapted)
                hidden, labels = states[wanted], targets.labels[wanted]
                for rows, answers in zip(torch.split(hidden, 1024), torch.split(labels, 1024), strict=True):
                    logits = self.head(rows, embedding).float()
                    loss += float(functional.cross_entropy(logits, answers, reduction="sum"))
                    right += float((logits.argmax(dim=-1) == answers).sum())
                predicted += len(labels)
            results[f"{name}_loss"] = loss / max(1, predicted)
            results[f"{name}_accuracy"] = right / max(1, predicted)
            if name == "causal" and text.text_bytes and predicted:
                nats = loss / predicted * len(text.tokens)
                results["causal_bits_per_byte"] = bits_per_byte(nats, text.text_bytes)
        self.train()
        return results

    def configure_optimizers(self) -> Any:
        """AdamW; matrices decay, vectors don't."""
        trained = [weight for weight in self.parameters() if weight.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [weight for weight in trained if weight.dim() > 1]},
            {"params": [weight for weight in trained if weight.dim() <= 1], "weight_decay": 0.0},
        ]
        settings = self.settings
        betas = (settings.betas[0], settings.betas[1])
        optimizer = torch.optim.AdamW(groups, lr=1.0, betas=betas, weight_decay=settings.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: settings.rate(step, self.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _adapted_weights(self) -> dict[str, Tensor] | None:
        return None if self.adapter is None else self.adapter.weights(self.trunk)

    def _read(self, targets: Targets, adapted: dict[str, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Return the hidden states of rows, (B, L, d), and the embedding that they were read with, (V, d)."""
        options = {"causal": targets.causal, "token_types": targets.token_types}
        if adapted is not None:
            hidden: Tensor = functional_call(self.trunk, adapted, (targets.input_ids,), options)[0]
            return hidden, adapted["token_embedding.weight"]
        hidden = self.trunk(targets.input_ids, **options)[0]
        return hidden, self.trunk.token_embedding.weight  # whole now, should it have been taken apart

    def _targets(self, name: ObjectiveName, rows: Tensor, generator: torch.Generator) -> Targets:
        if name == "causal":
            return objectives.causal(rows)
        if name == "masked":
            return objectives.masked(rows, self.masking, generator)
        if name == "masked_next":
            return objectives.masked_next(rows, self.masking, generator)
        start_id = self.text.start_id
        if start_id is None or self.separator_id is None:
            raise ValueError("next-sentence prediction needs a start token and a separator")
        return objectives.next_sentence(rows, start_id, self.separator_id, generator)

    def _seed(self, place: int, rank: int = 0) -> int:
        return hash((self.seed, place, rank)) % 2**62

    def _generator(self, place: int) -> torch.Generator:
        return torch.Generator().manual_seed(self._seed(place))


def shares(weights: Mapping[ObjectiveName, float], first: int, rows: int) -> list[ObjectiveName]:
    """Give each row of a batch an objective, in proportion to the weights.

    Row n of a run takes the objective in whose share of [0, 1) the fractional part of n φ falls, φ the golden
    ratio: of any rows in a row, the objectives get their shares as evenly as can be.

    Args:
        weights: of the objectives.
        first: the number of the batch's first row in the run.
        rows: B.
    """
    names = [name for name, weight in weights.items() if weight > 0]
    bounds = torch.tensor([weights[name] for name in names], dtype=torch.float64).cumsum(0)
    places = (torch.arange(first, first + rows, dtype=torch.float64) * GOLDEN) % 1 * bounds[-1]
    return [names[index] for index in torch.searchsorted(bounds, places, right=True).tolist()]


class _Rows:
    """What a data loader asks for rows by their numbers."""

    def __init__(self, text: TokenFile) -> None:
        self.text = text

    def __getitem__(self, numbers: Tensor) -> Tensor:
        return self.text.rows(numbers)

    def __len__(self) -> int:
        return len(self.text)

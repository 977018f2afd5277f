"""What Lightning trains in meta-training: a step over episodes, and how it is judged on held-out labels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from roots_kg.adaptation.episodes import Draw, EpisodeSampler, Pool
from roots_kg.adaptation.heads.base import Head
from roots_kg.adaptation.meta_learning.engine import outcomes
from roots_kg.adaptation.meta_learning.learner import Episode, MetaLearner, Outcome
from roots_kg.adaptation.meta_learning.prototypes import prototype_logits
from roots_kg.fusion.encoder import KnowledgeEncoder
from roots_kg.training.meta_config import MetaTrainingConfig
from roots_kg.training.meta_data import Material, Vectors, encode, episode_batch, texts_of
from roots_kg.training.runs import log_now
from roots_kg.training.sharing import Share, move

__all__ = ["EpisodeModule", "LearnerModule", "TrunkModule"]

Judgement = tuple[int, float, float]
"""After so many steps, the mean accuracy on held-out episodes and half of its 95% interval."""


class EpisodeModule(lightning.LightningModule):
    """A step is the mean loss over some episodes; what is kept is what was best on held-out labels.

    `curve` is the loss of each step, `judgements` what came out on held-out labels.

    Args:
        trained: what is trained in place.
        material: texts and labels.
        train: pools to learn from.
        held_out: pools to judge by; may be empty.
        config: how.
    """

    def __init__(
        self,
        trained: torch.nn.Module,
        material: Material,
        train: Sequence[Pool],
        held_out: Sequence[Pool],
        config: MetaTrainingConfig,
    ) -> None:
        super().__init__()
        self.trained, self.settings = trained, config
        self._material = [material]  # in a list, so that Lightning sees only what is trained
        self.sampler = self._sampler(train, config.seed)
        self.judge = self._sampler(held_out, config.seed + 1) if held_out else None
        self.curve: list[float] = []
        self.judgements: list[Judgement] = []
        self._best: dict[str, Tensor] = {}

    @property
    def material(self) -> Material:
        """The texts and labels."""
        return self._material[0]

    @abstractmethod
    def outcomes(self, draws: Sequence[Draw], pools: Sequence[Pool]) -> Outcome:
        """Return what comes of each episode."""

    def train_dataloader(self) -> DataLoader[int]:
        """As many items as there are steps; which step it is, also in a resumed run, Lightning knows."""
        return DataLoader(range(self.settings.steps), batch_size=None)  # type: ignore[arg-type]

    def training_step(self, batch: int, number: int) -> Tensor:
        """Return the mean loss over the episodes of a step."""
        draws = Share.of(self).own(self.sampler.step(self.global_step, self.settings.tasks))
        loss = self.outcomes(draws, self.sampler.pools).loss.mean()
        self.curve.append(float(self.trainer.strategy.reduce(loss.detach(), reduce_op="mean")))
        self.log("loss", self.curve[-1], batch_size=1)
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW, its learning rate rising, then falling linearly to 0."""
        trained = [weight for weight in self.trained.parameters() if weight.requires_grad]
        settings = self.settings
        optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        warm = max(1, round(settings.warmup * settings.steps))

        def factor(step: int) -> float:
            return min((step + 1) / warm, (settings.steps - step) / max(1, settings.steps - warm), 1.0)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Judge before the first step, and then every so many."""
        done, every = self.global_step, self.settings.validate_every
        if done == 0 or (every and done % every == 0):
            self._judge(done)

    def on_train_end(self) -> None:
        """Judge after the last step, and put the best weights back."""
        if self.global_step == self.settings.steps:
            self._judge(self.global_step)
        if self._best:
            self._load(self._best)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save what was best so far, and what led there."""
        checkpoint["best"] = self._best
        checkpoint["judgements"] = [list(judgement) for judgement in self.judgements]
        checkpoint["curve"] = list(self.curve)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up what was best so far."""
        self._best = dict(checkpoint["best"])
        self.judgements = [(int(step), mean, half) for step, mean, half in checkpoint["judgements"]]
        self.curve = list(checkpoint["curve"])

    def _sampler(self, pools: Sequence[Pool], seed: int) -> EpisodeSampler:
        """Return what draws from pools, from those of the graph at their share."""
        made = {pool.name for pool in self.material.graph_pools}
        sizes = [len(pool.labels) for pool in pools]
        total = {True: 0, False: 0}
        for pool, size in zip(pools, sizes, strict=True):
            total[pool.name in made] += size
        share = self.settings.graph.share if all(total.values()) else 0.5
        part = {True: share, False: 1 - share}
        weights = [
            part[pool.name in made] * size / total[pool.name in made]
            for pool, size in zip(pools, sizes, strict=True)
        ]
        return EpisodeSampler(pools, self.settings.episodes, seed, weights)

    @torch.no_grad()
    def _judge(self, step: int) -> None:
        if self.judge is None:
            return
        found = []
        for number in range(self.settings.validation):
            draws = self.judge.step(number, 1)
            found.append(self.outcomes(draws, self.judge.pools).accuracy)
        accuracy = torch.cat(found).double()
        best = max((mean for _, mean, _ in self.judgements), default=-1.0)
        half = 1.96 * float(accuracy.std()) / len(accuracy) ** 0.5 if len(accuracy) > 1 else 0.0
        self.judgements.append((step, float(accuracy.mean()), half))
        log_now(self.trainer, {"held_out_accuracy": float(accuracy.mean())})
        if float(accuracy.mean()) > best:
            self._best = {name: weight.detach().clone() for name, weight in self._trained().items()}

    def _trained(self) -> dict[str, Tensor]:
        return {name: weight for name, weight in self.trained.named_parameters() if weight.requires_grad}

    @torch.no_grad()
    def _load(self, weights: dict[str, Tensor]) -> None:
        for name, weight in self._trained().items():
            weight.copy_(weights[name])


class LearnerModule(EpisodeModule):
    """Trains a `MetaLearner` on the vectors of a frozen encoder.

    Args:
        learner: what is trained.
        vectors: of all texts of the material.
        material, train, held_out, config: those of `EpisodeModule`.
    """

    def __init__(
        self,
        learner: MetaLearner,
        vectors: Vectors,
        material: Material,
        train: Sequence[Pool],
        held_out: Sequence[Pool],
        config: MetaTrainingConfig,
    ) -> None:
        super().__init__(learner, material, train, held_out, config)
        self._vectors = [vectors]

    def outcomes(self, draws: Sequence[Draw], pools: Sequence[Pool]) -> Outcome:
        """Return what comes of each episode."""
        learner: MetaLearner = self.trained  # type: ignore[assignment]
        batch = episode_batch(draws, pools, self.material, self._vectors[0], graph=learner.knowledge_size > 0)
        batch = Episode(*(values.to(self.device) for values in batch))
        return outcomes(learner, batch, self.settings.backend)


class TrunkModule(EpisodeModule):
    """Trains the trunk of an encoder, or an adapter of it, by prototypes (Snell et al. 2017).

    Args:
        trained: the trunk or the adapter.
        layers: an encoder that reads with it.
        head: says what texts are compared by.
        material, train, held_out, config: those of `EpisodeModule`.
    """

    def __init__(
        self,
        trained: torch.nn.Module,
        layers: KnowledgeEncoder,
        head: Head,
        material: Material,
        train: Sequence[Pool],
        held_out: Sequence[Pool],
        config: MetaTrainingConfig,
    ) -> None:
        super().__init__(trained, material, train, held_out, config)
        self._layers, self._head = [layers], [head]

    def on_fit_start(self) -> None:
        """Bring the trunk that an adapter adapts to the device, too."""
        move(self._layers[0].encoder, self.device)

    def on_fit_end(self) -> None:
        """Bring it back."""
        move(self._layers[0].encoder, torch.device("cpu"))

    def outcomes(self, draws: Sequence[Draw], pools: Sequence[Pool]) -> Outcome:
        """Return what comes of each episode, whose texts are all read in one go."""
        parts = [texts_of(draw, pools, self.material) for draw in draws]
        texts = [text for examples, names in parts for text in (*examples, *names)]
        vectors = encode(self._layers[0], self._head[0], texts).text
        sizes = [len(examples) + len(names) for examples, names in parts]
        found = [
            self._outcome(draw, part) for draw, part in zip(draws, torch.split(vectors, sizes), strict=True)
        ]
        return Outcome(*(torch.stack(values) for values in zip(*found, strict=True)))

    def _outcome(self, draw: Draw, vectors: Tensor) -> Outcome:
        way, shots = draw.support.shape
        examples = vectors[:-way].view(way, -1, vectors.shape[1])
        query = examples[:, shots:]
        learner = self.settings.learner
        logits = prototype_logits(
            examples[:, :shots],
            query.flatten(0, 1),
            vectors[-way:],
            scale=learner.scale,
            name_weight=learner.name_weight,
        )
        labels = torch.arange(way, device=logits.device).repeat_interleave(query.shape[1])
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return Outcome(functional.cross_entropy(logits, labels), accuracy)

"""What Lightning trains of a fusion layer: a step on texts made from the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from roots_kg.encoding.text_encoder import pool_tokens
from roots_kg.fusion.augmentation.base import Augmentation
from roots_kg.fusion.encoder import KnowledgeEncoder, Surroundings
from roots_kg.training.fusion_config import FusionTrainingConfig
from roots_kg.training.fusion_losses import distance_from_start, gate_loss, recovery_loss
from roots_kg.training.fusion_texts import FusionText, FusionTexts
from roots_kg.training.sharing import Share, averaged_gradient, gathered, move, zero_of

__all__ = ["Augment", "FusionModule"]

Augment = Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]
"""From the vectors of a batch's nodes, (U, k), and what computes a loss from such vectors, to the loss to
train with."""


class FusionModule(lightning.LightningModule):
    """One step of a fusion layer: names that are missing from texts are recovered through the graph.

    The text side is frozen. Every step draws its texts with a generator of its own. `openness` is, of the
    last step, how much of the graph texts let in whose links are right, and those whose links are wrong;
    `curve` has the loss and both of them for each step.

    Args:
        layers: the encoder, the graph, and the layer, which is trained in place.
        texts: where texts are drawn from.
        config: how.
        augment: what is done to the vectors of entities, or None.
        virtual: the augmentation behind it, whose state belongs into a checkpoint, or None.
    """

    def __init__(
        self,
        layers: KnowledgeEncoder,
        texts: FusionTexts,
        config: FusionTrainingConfig,
        augment: Augment | None = None,
        virtual: Augmentation | None = None,
    ) -> None:
        super().__init__()
        assert layers.fusion is not None
        self.fusion, self.texts, self.settings, self.augment = layers.fusion, texts, config, augment
        self._layers = [layers]  # in a list, so that Lightning sees only what is trained
        self.openness = (0.0, 0.0)
        self.curve: list[tuple[float, float, float]] = []
        self._virtual = virtual
        self._start = {name: value.detach().clone() for name, value in self.fusion.named_parameters()}

    @property
    def layers(self) -> KnowledgeEncoder:
        """Layers 1 and 2."""
        return self._layers[0]

    def train_dataloader(self) -> DataLoader[int]:
        """As many items as there are steps; which step it is, also in a resumed run, Lightning knows."""
        return DataLoader(range(self.settings.steps), batch_size=None)  # type: ignore[arg-type]

    def on_fit_start(self) -> None:
        """Bring what is not trained to the device, too; the vectors of entities stay where they are."""
        self._start = {name: value.to(self.device) for name, value in self._start.items()}
        move(self.layers.encoder, self.device)

    def on_fit_end(self) -> None:
        """Bring the encoder back."""
        move(self.layers.encoder, torch.device("cpu"))

    def training_step(self, batch: int, number: int) -> Tensor:
        """Return the loss of a step."""
        generator = np.random.default_rng([self.settings.seed, self.global_step])
        drawn = self.texts.batch(self.settings.batch_size, generator)
        candidates, answer, counted = self._candidates(drawn, generator)
        share = Share.of(self)
        # Virtual vectors are those of all nodes of the batch, so every process must know all of them.
        read = drawn if self.augment is not None else list(share.own(drawn))
        own = range(len(read))[share.rows] if self.augment is not None else range(len(read))
        found = list(self.layers.surroundings([each.text for each in read], [each.without for each in read]))
        around = found[0][1].of(own) if found else None
        knowledge = self.layers.knowledge
        assert knowledge is not None
        vectors = knowledge.entities[around.nodes if around is not None else torch.zeros(0).long()]

        def loss(vectors: Tensor) -> Tensor:
            states = self._states(read, around, averaged_gradient(self, vectors.to(self.device)))[list(own)]
            return self._loss(drawn, gathered(self, states), candidates, answer, counted)

        total = loss(vectors) if self.augment is None else self.augment(vectors, loss)
        held = self.settings.held * distance_from_start(self.fusion.named_parameters(), self._start)
        told = float((total + held).detach()), *self.openness
        self.curve.append(told)
        named = zip(("loss", "gate", "gate_where_a_link_is_wrong"), told, strict=True)
        self.log_dict(dict(named), batch_size=1)
        return total + held

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save where the training started, what it went through, and what its augmentation learned."""
        checkpoint["start"] = self._start
        checkpoint["curve"] = [list(told) for told in self.curve]
        checkpoint["virtual"] = self._virtual.state_dict() if self._virtual is not None else {}
        assert self.layers.knowledge is not None
        checkpoint["names"] = self.layers.knowledge.remembered()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take that up again."""
        self._start = dict(checkpoint["start"])
        self.curve = [(loss, right, wrong) for loss, right, wrong in checkpoint["curve"]]
        if self._virtual is not None:
            self._virtual.load_state_dict(checkpoint["virtual"])
        assert self.layers.knowledge is not None
        self.layers.knowledge.remember(checkpoint["names"], self.layers.encoder, self.layers.reading)

    def configure_optimizers(self) -> Any:
        """Adam, its learning rate falling linearly to 0."""
        trained = [weight for weight in self.fusion.parameters() if weight.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=self.settings.learning_rate)
        steps = self.settings.steps
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _states(self, drawn: list[FusionText], around: Surroundings | None, vectors: Tensor) -> Tensor:
        """Return what the loss is made of, for each text: (B, 2d + 1).

        It is the state of the masked name, what all tokens took from the graph, and how open the gate was.
        """
        size = len(drawn), self.layers.encoder.hidden_size
        masked, pooled = torch.zeros(2, *size, device=self.device)
        opened, length = torch.zeros(2, len(drawn), device=self.device)
        if self.trainer.world_size > 1:  # a process whose texts use less than those of others waits for none
            opened = opened + zero_of(self.fusion) + vectors.sum() * 0
        for part, fused in self.layers.fuse(around, vectors) if around is not None and around.rows else ():
            owners = torch.tensor([row.text for row in part.rows], device=self.device)
            pooled = pooled.index_add(0, owners, pool_tokens(fused.knowledge.float(), part.mask))
            share = fused.gate.float().mean(dim=-1) * fused.attention.float().sum(dim=-1) * part.mask
            opened = opened.index_add(0, owners, share.sum(dim=1))
            length = length.index_add(0, owners, part.mask.sum(dim=1).float())
            places = torch.zeros(part.mask.shape)
            for index, row in enumerate(part.rows):
                where = drawn[row.text].masked
                if where is not None:
                    start, end = row.offsets.T
                    within = (start < where[1]) & (end > where[0]) & (end > start)
                    places[index, : len(within)] = torch.from_numpy(within)
            places = places.to(self.device)
            masked = masked.index_add(0, owners, pool_tokens(fused.states.float(), places))
        return torch.cat([masked, pooled, (opened / length.clamp_min(1))[:, None]], dim=1)

    def _loss(
        self,
        drawn: list[FusionText],
        states: Tensor,
        candidates: Tensor,
        answer: Tensor,
        counted: Tensor,
    ) -> Tensor:
        size = self.layers.encoder.hidden_size
        masked, pooled, opened = states[:, :size], states[:, size:-1], states[:, -1]
        settings, wrong = self.settings, torch.tensor([each.wrong for each in drawn], device=self.device)
        right, false = (opened.detach()[which] for which in (~wrong, wrong))
        self.openness = float(right.sum() / max(1, len(right))), float(false.sum() / max(1, len(false)))
        stands = masked.detach().any(dim=1)
        tells = ~wrong & pooled.detach().any(dim=1)
        return (
            settings.masked
            * recovery_loss(masked[stands], candidates, answer[stands], counted[stands], settings.temperature)
            + settings.pooled
            * recovery_loss(pooled[tells], candidates, answer[tells], counted[tells], settings.temperature)
            + gate_loss(opened, wrong, settings.closing, settings.opening)
        )

    def _candidates(
        self, drawn: list[FusionText], generator: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the names of the candidates, (C, d), which one answers each text, and which ones count."""
        knowledge = self.layers.knowledge
        assert knowledge is not None
        extra = [self.texts.negatives(each.direction, self.settings.negatives, generator) for each in drawn]
        ids = np.unique(np.concatenate([[each.answer for each in drawn], *extra]))
        names = knowledge.names(ids.tolist(), self.layers.encoder, self.layers.reading)[torch.from_numpy(ids)]
        counted = np.ones((len(drawn), len(ids)), dtype=bool)
        answer = np.searchsorted(ids, [each.answer for each in drawn])
        for row, each in enumerate(drawn):
            if each.direction >= 0:
                counted[row] = ~np.isin(ids, self.texts.answers(each.kept, each.direction))
            counted[row, answer[row]] = True
        return (
            names.to(self.device),
            torch.from_numpy(answer).to(self.device),
            torch.from_numpy(counted).to(self.device),
        )

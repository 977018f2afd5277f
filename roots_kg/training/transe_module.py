"""What Lightning trains: a step of TransE, the order of the triples, and a look at validation triples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from roots_kg.graph.losses import transe_loss
from roots_kg.graph.negatives import NegativeSampler
from roots_kg.graph.ranking import filtered_ranks, ranking_metrics
from roots_kg.graph.tables import MakeTable, RowwiseAdagrad
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import Ids, KnowledgeGraph
from roots_kg.training.runs import log_now

__all__ = ["TransEModule", "TripleBatches", "Validation", "new_transe"]

Triples = tuple[Ids, Ids, Ids]


class TripleBatches(Sampler[Tensor]):
    """The numbers of a graph's triples in a new random order each epoch, a batch at a time.

    Args:
        num_triples: T.
        batch_size: B; the last batch of an epoch may be smaller.
        seed: of the order.
        step: tells how many batches were taken before, also in a run that this one takes up; one that was
            stopped in the middle of an epoch goes on there.
    """

    def __init__(self, num_triples: int, batch_size: int, seed: int, step: Callable[[], int]) -> None:
        self.num_triples, self.batch_size, self.seed, self.step = num_triples, batch_size, seed, step

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return -(-self.num_triples // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield (B,) numbers of triples."""
        epoch, taken = divmod(self.step(), len(self))
        order = torch.randperm(self.num_triples, generator=_generator(self.seed, epoch))
        yield from torch.split(order, self.batch_size)[taken:]


class TransEModule(lightning.LightningModule):
    """One step of TransE: a batch of triples against negatives that the batch shares.

    Where there are several processes, each takes its share of the batch's queries.

    Args:
        graph: the triples.
        config: how.
        make_table: says where the vectors lie.
    """

    def __init__(self, graph: KnowledgeGraph, config: TransEConfig, make_table: MakeTable) -> None:
        super().__init__()
        self.graph, self.settings, self.make_table = graph, config, make_table
        self.triples = tuple(map(torch.from_numpy, (graph.head_id, graph.relation_id, graph.tail_id)))
        self.sampler = NegativeSampler(graph, config)

    def configure_model(self) -> None:
        """Make the vectors, in the process that will train them."""
        if not hasattr(self, "model"):
            with torch.device("cpu"):  # Lightning calls this on the accelerator, numbers are drawn on the CPU
                self.model = new_transe(self.graph, self.settings, self.make_table)

    def train_dataloader(self) -> DataLoader[Tensor]:
        """The numbers of the triples, in batches."""
        batches = TripleBatches(
            len(self.triples[0]), self.settings.batch_size, self.settings.seed, lambda: self.global_step
        )
        return DataLoader(_Numbers(), sampler=batches, batch_size=None)

    def training_step(self, batch: Tensor, number: int) -> Tensor:
        """Return the loss of the triples whose numbers are in `batch`, (B,)."""
        negatives = self.sampler.draw(batch.cpu(), _generator(self.settings.seed + 1, self.global_step))
        mine = negatives.share(self.global_rank, self.trainer.world_size)
        share = len(mine.queries) / len(negatives.queries)
        loss = transe_loss(self.model, self.triples, mine, self.settings) * share
        often: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if (self.global_step + 1) % often == 0:  # logging costs a tenth of a step
            self.log("loss", loss, sync_dist=True, reduce_fx="sum")
        return loss

    def configure_optimizers(self) -> Any:
        """Row-wise Adagrad, its learning rate falling linearly to 0."""
        entity = self.model.entity.weight
        others = [weight for weight in self.model.parameters() if weight is not entity]
        groups: list[dict[str, Any]] = [
            {"params": [entity], "weight_decay": self.settings.weight_decay},
            {"params": others},
        ]
        optimizer = RowwiseAdagrad(groups, lr=self.settings.learning_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Validation(Callback):
    """Ranks validation triples every few epochs, keeps the best vectors, and may stop the training early.

    Args:
        graph: the training triples, which are left out of the ranking.
        triples: heads, relations and tails, (V,) each, −1 for what the graph does not know.
        config: how often, and how patient.

    After training, `best_mrr` and `best_epoch` say which vectors were kept.
    """

    def __init__(self, graph: KnowledgeGraph, triples: Triples, config: TransEConfig) -> None:
        self.known = [(graph.head_id, graph.relation_id, graph.tail_id)]
        self.triples, self.config = triples, config
        self.best_mrr, self.best_epoch = -1.0, 0
        self._looks_since = 0
        self._vectors: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return what was found so far."""
        found = {"best_mrr": self.best_mrr, "best_epoch": self.best_epoch, "looks_since": self._looks_since}
        return {**found, "vectors": self._vectors}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what another validation of the same triples found."""
        self.best_mrr, self.best_epoch = state_dict["best_mrr"], state_dict["best_epoch"]
        self._looks_since, self._vectors = state_dict["looks_since"], state_dict["vectors"]

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: TransEModule) -> None:  # type: ignore[override]
        """Rank the validation triples."""
        epoch = trainer.current_epoch + 1
        if epoch % self.config.validate_every and epoch != trainer.max_epochs:
            return
        mrr = ranking_metrics(filtered_ranks(pl_module.model, self.triples, self.known)).mrr
        log_now(trainer, {"held_out_mrr": mrr})
        self._looks_since += 1
        if mrr > self.best_mrr:
            self.best_mrr, self.best_epoch, self._looks_since = mrr, epoch, 0
            self._vectors = {name: value.clone() for name, value in pl_module.model.state_dict().items()}
        elif self._looks_since == self.config.patience:
            trainer.should_stop = True

    def on_train_end(self, trainer: lightning.Trainer, pl_module: TransEModule) -> None:  # type: ignore[override]
        """Put the best vectors back."""
        pl_module.model.load_state_dict(self._vectors)


class _Numbers(Dataset[Tensor]):
    """The numbers themselves: a batch of them is what the sampler yields."""

    def __getitem__(self, numbers: Tensor) -> Tensor:
        return numbers


def new_transe(graph: KnowledgeGraph, config: TransEConfig, make_table: MakeTable) -> TransE:
    """Return the vectors that a training starts from."""
    return TransE(
        graph.num_entities,
        graph.num_relations,
        config.dimension,
        reciprocal=config.reciprocal,
        norm=config.norm,
        initial_scale=config.initial_scale,
        generator=torch.Generator().manual_seed(config.seed),
        make_table=make_table,
    )


def _generator(seed: int, number: int) -> torch.Generator:
    """A generator of its own for each epoch or step, so that a run can be taken up anywhere."""
    return torch.Generator().manual_seed((seed * 1_000_003 + number) % 2**63)

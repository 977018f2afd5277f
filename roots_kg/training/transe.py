"""Training TransE with Lightning."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from roots_kg.errors import GraphError
from roots_kg.graph.transe import RowwiseAdagrad, TransE, TransEConfig, TrueAnswers, transe_loss
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.threads import one_thread
from roots_kg.training.progress import RichProgress

__all__ = ["TransEModule", "TripleBatches", "train_transe"]


def train_transe(
    graph: KnowledgeGraph, config: TransEConfig, *, progress: bool = False, **trainer: Any
) -> TransE:
    """Learn vectors for a graph.

    Args:
        graph: at least two entities and one triple.
        config: how.
        progress: show a bar with the loss and the triples a second.
        trainer: further arguments of `pytorch_lightning.Trainer`.

    Returns:
        The trained vectors, on the CPU.

    Raises:
        GraphError: if the graph has nothing to learn from.
    """
    if graph.num_entities < 2 or not len(graph):
        raise GraphError(
            f"a graph needs two entities and a triple to learn from, this one has {graph.num_entities} "
            f"and {len(graph)}",
            path=graph.sources[0] or None,
        )
    generator = torch.Generator().manual_seed(config.seed)
    model = TransE(
        graph.num_entities,
        graph.num_relations,
        config.dimension,
        reciprocal=config.reciprocal,
        initial_scale=config.initial_scale,
        generator=generator,
    )
    module = TransEModule(model, graph, config)
    batches = TripleBatches(len(graph), config.batch_size, config.seed)
    options: dict[str, Any] = {
        "accelerator": "cuda" if torch.cuda.is_available() else "cpu",  # other devices lack sparse gradients
        "max_epochs": config.epochs,
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": progress,
        "callbacks": [RichProgress("TransE", unit="triples")] if progress else [],
        **trainer,
    }
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its notes on hardware and tips
    with (
        one_thread(),
        warnings.catch_warnings(),
    ):  # about Lightning's own insides and about workers that are not wanted
        warnings.filterwarnings("ignore", message=".*(does not have many workers|__len__|LeafSpec).*")
        lightning.Trainer(**options).fit(module, DataLoader(batches, batch_size=None))
    return model.cpu().eval().requires_grad_(False)


class TripleBatches(IterableDataset[Tensor]):
    """The numbers of a graph's triples in a new random order each epoch, a batch at a time.

    Args:
        num_triples: T.
        batch_size: B; the last batch of an epoch may be smaller.
        seed: of the order.
    """

    def __init__(self, num_triples: int, batch_size: int, seed: int) -> None:
        self.num_triples, self.batch_size = num_triples, batch_size
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return -(-self.num_triples // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield (B,) numbers of triples."""
        order = torch.randperm(self.num_triples, generator=self.generator)
        return iter(torch.split(order, self.batch_size))


class TransEModule(lightning.LightningModule):
    """One step of TransE: a batch of triples against negatives that the batch shares.

    Args:
        model: the vectors to train.
        graph: the triples.
        config: how.
    """

    def __init__(self, model: TransE, graph: KnowledgeGraph, config: TransEConfig) -> None:
        super().__init__()
        self.model, self.settings = model, config
        self.triples = tuple(map(torch.from_numpy, (graph.head_id, graph.relation_id, graph.tail_id)))
        self.true_answers = TrueAnswers(graph)
        self.generator = torch.Generator().manual_seed(config.seed + 1)
        self.column = torch.full((graph.num_entities,), -1)

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        """Return the loss of the triples whose numbers are in `batch`, (B,)."""
        numbers = batch.cpu()
        drawn = torch.randint(len(self.column), (self.settings.negatives,), generator=self.generator)
        candidates = torch.unique(drawn)
        self.column[candidates] = torch.arange(len(candidates))
        queries = torch.cat([numbers, numbers + len(self.triples[0])])
        row, column = self.true_answers.among(queries, self.column)
        self.column[candidates] = -1
        head_id, relation_id, tail_id = (part[numbers].to(self.device) for part in self.triples)
        loss = transe_loss(
            self.model,
            head_id,
            relation_id,
            tail_id,
            candidates.to(self.device),
            (row.to(self.device), column.to(self.device)),
            self.settings.temperature,
        )
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        """Row-wise Adagrad, its learning rate falling linearly to 0."""
        optimizer = RowwiseAdagrad(self.model.parameters(), lr=self.settings.learning_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

"""Training TransE with Lightning, in one process or in several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import Callback

from roots_kg.errors import GraphError, UsageError
from roots_kg.graph.tables import mapped_tables, table_in_memory
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.threads import some_threads
from roots_kg.training.fit import fit, quiet
from roots_kg.training.processes import train_in_processes
from roots_kg.training.progress import RichProgress
from roots_kg.training.transe_module import TransEModule, Validation

__all__ = ["train_transe"]


def train_transe(
    graph: KnowledgeGraph,
    config: TransEConfig,
    *,
    threads: int = 1,
    processes: int = 1,
    mapped: Path | None = None,
    validation: Validation | None = None,
    progress: bool = False,
    checkpoint: Path | None = None,
    **trainer: Any,
) -> TransE:
    """Learn vectors for a graph.

    Args:
        graph: at least two entities and one triple.
        config: how.
        threads: of a process; on an idle computer two train half as fast again, on a busy one they wait
            for each other.
        processes: how many share the work and hold a part of the vectors each, on this computer's processors;
            they learn what one would.
        mapped: an empty folder for the vectors to lie in while they are trained, where they are more than the
            memory holds; for one process.
        validation: ranks other triples during the training, and the best vectors are kept.
        progress: show a bar with the loss and the triples a second.
        checkpoint: take up the training that Lightning saved here.
        trainer: further arguments of `pytorch_lightning.Trainer`.

    Returns:
        The trained vectors, on the CPU.

    Raises:
        GraphError: if the graph has nothing to learn from.
        UsageError: if these choices do not go together.
    """
    if graph.num_entities < 2 or not len(graph):
        raise GraphError(
            f"a graph needs two entities and a triple to learn from, this one has {graph.num_entities} "
            f"and {len(graph)}",
            path=graph.sources[0] or None,
        )
    if processes > 1 and (mapped is not None or checkpoint is not None):
        raise UsageError("a folder for the vectors and a checkpoint are for one process")
    callbacks: list[Callback] = [RichProgress("TransE", unit="triples")] if progress else []
    callbacks += [validation] if validation is not None else []
    callbacks += trainer.pop("callbacks", [])
    options: dict[str, Any] = {
        "accelerator": "cuda" if torch.cuda.is_available() else "cpu",  # other devices lack sparse gradients
        "max_epochs": config.epochs,
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": progress,
        "use_distributed_sampler": False,
        "callbacks": callbacks,
        **trainer,
    }
    with some_threads(threads):
        if processes > 1:
            with quiet():
                return train_in_processes(graph, config, processes, validation, options)
        module = TransEModule(graph, config, mapped_tables(mapped) if mapped else table_in_memory)
        fit(module, options, checkpoint)
    return module.model.cpu().eval().requires_grad_(False)

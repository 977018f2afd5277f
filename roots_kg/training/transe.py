"""Training TransE with Lightning, in one process or in several."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from roots_kg.errors import GraphError, UsageError
from roots_kg.graph.tables import mapped_tables, table_in_memory
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.threads import some_threads
from roots_kg.training.fit import fit, trainer_options
from roots_kg.training.processes import train_in_processes
from roots_kg.training.progress import RichProgress
from roots_kg.training.runs import Run
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
    run: Run | None = None,
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
        run: where it keeps its checkpoint and its log; with several processes or `mapped` it writes no
            checkpoint.
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
    run = run or Run()
    if processes > 1 and mapped is not None:
        raise UsageError("a folder for the vectors is for one process")
    if processes > 1 or mapped is not None:
        if run.resume:
            raise UsageError("only a run in one process whose vectors are in memory can be resumed")
        run = replace(run, every=None)
    options = trainer_options(
        run,
        config.epochs * math.ceil(len(graph) / config.batch_size),
        RichProgress("TransE", unit="triples", added_up=True) if progress else None,
        [validation] if validation is not None else [],
        max_epochs=config.epochs,
        **trainer,
    )
    with some_threads(threads):
        if processes > 1:
            return train_in_processes(graph, config, processes, validation, run, options)
        module = TransEModule(graph, config, mapped_tables(mapped) if mapped else table_in_memory)
        fit(module, run, options)
    return module.model.cpu().eval().requires_grad_(False)

"""Training TransE in several processes that hold a part of the vectors each."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DDPStrategy
from safetensors.torch import load_file, save_file

from roots_kg.files import reserve
from roots_kg.graph.sharding import sharded_table
from roots_kg.graph.tables import table_in_memory
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.training.fit import fit
from roots_kg.training.runs import Run
from roots_kg.training.transe_module import TransEModule, Validation, new_transe

__all__ = ["OwnedRows", "train_in_processes"]

HEADER_BYTES = 1024
"""More than a safetensors file of these tables needs beside their rows."""


def train_in_processes(
    graph: KnowledgeGraph,
    config: TransEConfig,
    processes: int,
    validation: Validation | None,
    run: Run,
    options: Mapping[str, Any],
) -> TransE:
    """Learn vectors for a graph in several processes of this computer.

    Args:
        graph: the triples.
        config: how.
        processes: how many.
        validation: is told what the processes found.
        run: where it keeps its log.
        options: arguments of `pytorch_lightning.Trainer`.

    Returns:
        The vectors of all processes together.

    Raises:
        DataError: if there is no space for the vectors in the folder of temporary files, or a process fails.
    """
    with tempfile.TemporaryDirectory(prefix="roots-kg-") as scratch:
        options = {
            **options,
            "accelerator": "cpu",
            "devices": processes,
            "strategy": OwnedRows(process_group_backend="gloo", start_method="fork"),
            "callbacks": [*options["callbacks"], _SaveRows(Path(scratch), validation)],
        }
        _reserve_rows(Path(scratch), graph, config, processes)
        fit(TransEModule(graph, config, sharded_table), run, options)
        model = new_transe(graph, config, table_in_memory).requires_grad_(False)
        for rank in range(processes):
            for name, rows in load_file(_rows_file(Path(scratch), rank)).items():
                model.get_parameter(name)[rank::processes] = rows
        if validation is not None:
            found = json.loads((Path(scratch) / "validation.json").read_text("utf-8"))
            validation.best_mrr, validation.best_epoch = found
    return model.eval()


class OwnedRows(DDPStrategy):
    """Processes that keep parameters of their own; nothing is broadcast or averaged between them."""

    def configure_ddp(self) -> None:
        """Leave the module as it is."""


class _SaveRows(Callback):
    """Puts every process's rows into a file, and takes the model away, which is not wanted any more."""

    def __init__(self, folder: Path, validation: Validation | None) -> None:
        self.folder, self.validation = folder, validation

    def on_train_end(self, trainer: lightning.Trainer, pl_module: TransEModule) -> None:  # type: ignore[override]
        save_file(pl_module.model.state_dict(), _rows_file(self.folder, trainer.global_rank))
        del pl_module.model
        if self.validation is not None and trainer.is_global_zero:
            found = self.validation.best_mrr, self.validation.best_epoch
            (self.folder / "validation.json").write_text(json.dumps(found), "utf-8")


def _reserve_rows(folder: Path, graph: KnowledgeGraph, config: TransEConfig, processes: int) -> None:
    """See that there is space for what the processes will save, before hours of training."""
    tables = [graph.num_entities, *[graph.num_relations] * (1 + config.reciprocal)]
    for rank in range(processes):
        rows = sum(len(range(rank, count, processes)) for count in tables)
        reserve(_rows_file(folder, rank), 4 * rows * config.dimension + HEADER_BYTES)


def _rows_file(folder: Path, rank: int) -> Path:
    return folder / f"{rank}.safetensors"

"""ROOTS-KG: a language model that uses your knowledge graph, adapted from a handful of examples.

The public names are imported when they are first used, so that `import roots_kg` is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from roots_kg.adaptation.heads.base import Example, Head, Prediction
    from roots_kg.adaptation.sample_tasks import SampleTask
    from roots_kg.adaptation.task import Record, Task
    from roots_kg.errors import RootsError
    from roots_kg.explain import Evidence, Explanation
    from roots_kg.graph.store import GraphBundle
    from roots_kg.graph.transe import TransE, TransEConfig
    from roots_kg.graph.triples import KnowledgeGraph
    from roots_kg.model import RootsModel
    from roots_kg.registry import register_head
    from roots_kg.training.transe import train_transe

__version__ = "0.1.0"

_HOME = {
    "Evidence": "roots_kg.explain",
    "Example": "roots_kg.adaptation.heads.base",
    "Explanation": "roots_kg.explain",
    "GraphBundle": "roots_kg.graph.store",
    "Head": "roots_kg.adaptation.heads.base",
    "KnowledgeGraph": "roots_kg.graph.triples",
    "Prediction": "roots_kg.adaptation.heads.base",
    "Record": "roots_kg.adaptation.task",
    "RootsError": "roots_kg.errors",
    "RootsModel": "roots_kg.model",
    "SampleTask": "roots_kg.adaptation.sample_tasks",
    "Task": "roots_kg.adaptation.task",
    "TransE": "roots_kg.graph.transe",
    "TransEConfig": "roots_kg.graph.transe",
    "register_head": "roots_kg.registry",
    "train_transe": "roots_kg.training.transe",
}

__all__ = [
    "Evidence",
    "Example",
    "Explanation",
    "GraphBundle",
    "Head",
    "KnowledgeGraph",
    "Prediction",
    "Record",
    "RootsError",
    "RootsModel",
    "SampleTask",
    "Task",
    "TransE",
    "TransEConfig",
    "register_head",
    "train_transe",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'roots_kg' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]

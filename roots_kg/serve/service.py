"""What a server does with a model, without HTTP: read inputs, answer them in batches, edit the graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from roots_kg.adaptation.task import Record
from roots_kg.errors import GraphError, UsageError
from roots_kg.explain import Explanation
from roots_kg.files import is_text
from roots_kg.fusion.encoder import Text
from roots_kg.graph.editing import add_triples, remove_triples
from roots_kg.graph.readers import RawTriple
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.model import RootsModel
from roots_kg.viz.selection import neighbourhood

__all__ = ["Service"]

SOURCE = "added over HTTP"
WHERE = Path("texts")
"""What stands for a file where a text of a request is at fault."""


class Service:
    """A model, and what is asked of it.

    `answer` and `edit` are for one thread; all else is safe from any.

    Args:
        model: the model.
        name: what it is called.
    """

    def __init__(self, model: RootsModel, name: str) -> None:
        self.model, self.name = model, name
        self._text_only: RootsModel | None = None

    @property
    def bundle(self) -> GraphBundle:
        """The model's graph with its vectors.

        Raises:
            UsageError: if it has none.
        """
        if self.model.knowledge is None:
            raise UsageError("this model has no graph")
        return self.model.knowledge.bundle

    def about(self) -> dict[str, Any]:
        """Return the name of the model, its tasks with their labels, and the size of its graph."""
        tasks = [
            {
                "name": head.task.name,
                "head": head.task.head,
                "description": head.task.description,
                "labels": list(getattr(head, "labels", ())),
            }
            for head in self.model.heads.values()
        ]
        knowledge = self.model.knowledge
        graph = (
            None
            if knowledge is None
            else {
                "entities": knowledge.graph.num_entities,
                "relations": knowledge.graph.num_relations,
                "triples": len(knowledge.graph),
            }
        )
        return {"name": self.name, "tasks": tasks, "graph": graph}

    def read(self, texts: Sequence[str | dict[str, Any]], task: str | None) -> list[Text]:
        """Return texts as a task's head takes them; a mapping is a line of an examples file.

        Raises:
            UsageError: if there is no such task, or if a line is given and it is not clear for which task.
            TaskError: if a text or a line does not fit the head.
        """
        if task is not None or not self.model.heads:
            self.model.head_of(task)
        read: list[Text] = []
        for number, text in enumerate(texts, start=1):
            record = Record({"text": text} if isinstance(text, str) else text, WHERE, number)
            read.append(record.text("text") if isinstance(text, str) else self.model.read(record, task))
        return read

    def read_plain(self, texts: Sequence[str]) -> list[str]:
        """Return texts that no task has a part in.

        Raises:
            TaskError: if one of them is no text.
        """
        return [Record({"text": text}, WHERE, number).text("text") for number, text in enumerate(texts, 1)]

    def warm_up(self) -> None:
        """Do once what is slower the first time."""
        self.model.encode(["."])
        for task in self.model.heads:
            self.answer(("predict", task, True), [])

    def answer(self, kind: tuple[str, str | None, bool], inputs: Sequence[Any]) -> list[Any]:
        """Return an answer for each input.

        Args:
            kind: what is asked ("predict", "explain" or "encode"), of which task, and whether with the graph.
            inputs: texts.
        """
        asked, task, with_graph = kind
        with torch.no_grad():
            if asked == "encode":
                return [row.tolist() for row in self.model.encode(inputs)]
            model = self.model if with_graph else self._without_graph()
            if asked == "explain":
                return [_explained(found) for found in model.explain(inputs, task)]
            if task is None and len(model.heads) > 1:
                found = model.predict_all(inputs)
            else:
                found = {"": model.predict(inputs, task)}
            rows = {
                name: [prediction.stated(text) for text, prediction in zip(inputs, predictions, strict=True)]
                for name, predictions in found.items()
            }
            return [{name: row[number] for name, row in rows.items()} for number in range(len(inputs))]

    def around(self, entity: str, hops: int, limit: int) -> dict[str, Any]:
        """Return the entities and triples around an entity, as `roots kg show` chooses them.

        Raises:
            GraphError: if the graph does not have it.
            UsageError: if there is no graph.
        """
        graph = self.bundle.graph
        if not is_text(entity):
            raise GraphError("half a surrogate pair is no character")
        found = neighbourhood(graph, [entity], hops=hops, max_nodes=limit)
        centre = found.centres[0]
        return {
            "entity": graph.entities[centre],
            "name": graph.label(centre),
            "aliases": list(graph.aliases.get(graph.entities[centre], ()))[:limit],
            "nodes": [
                {"entity": graph.entities[number], "name": graph.label(number)}
                for number in found.entities.tolist()
            ],
            "triples": [
                {
                    "head": graph.entities[graph.head_id[number]],
                    "relation": graph.relations[graph.relation_id[number]],
                    "tail": graph.entities[graph.tail_id[number]],
                    "source": _shown(graph.sources[graph.source_id[number]]),
                }
                for number in found.triples.tolist()
            ],
            "left_out": found.left_out,
        }

    def edit(self, add: Sequence[RawTriple], remove: Sequence[RawTriple]) -> dict[str, Any]:
        """Take triples out of the graph and put others in, all of them or, if one cannot be, none.

        The model is another one afterwards; what is being answered is answered by the one that was there.

        Raises:
            GraphError, UsageError: if a triple is not there, or if a name is not clear.
        """
        bundle = self.bundle
        removed = added = new = 0
        if remove:
            bundle, removal = remove_triples(bundle, KnowledgeGraph.from_triples(remove))
            removed = len(removal.triples)
        if add:
            bundle, addition = add_triples(bundle, KnowledgeGraph.from_triples(add, source=SOURCE))
            added, new = len(addition.triples), len(addition.entities)
        if removed or added:
            self.model, self._text_only = self.model.with_graph(bundle), None
        return {"added": added, "removed": removed, "new_entities": new, "triples": len(bundle.graph)}

    def stream(self, prompt: str, settings: dict[str, Any]) -> Iterator[str]:
        """Yield pieces of a generated text, the prompt first; see `RootsModel.stream`."""
        if not is_text(prompt):
            raise UsageError("the prompt holds half a surrogate pair, which is no character")
        return self.model.stream(prompt, **settings)

    def _without_graph(self) -> RootsModel:
        """Return the model as it answers texts of which the graph says nothing."""
        if self._text_only is None:
            self._text_only = self.model.without_graph()
        return self._text_only


def _explained(found: Explanation) -> dict[str, Any]:
    """Return an explanation as plain data; where triples come from is told by the names of files alone."""
    told = asdict(found)
    for item in told["evidence"]:
        item["source"] = _shown(item["source"])
    return told


def _shown(source: str) -> str:
    return Path(source).name

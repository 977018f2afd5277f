"""The card of a model: what it learned from, how good it is, what its graph is worth, and its limits.

It is written by the code, from what adapting, `roots evaluate --record` and `roots report --record` found;
what was not measured, it says was not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from roots_kg.config import from_mapping, to_mapping
from roots_kg.graph.card import Card

__all__ = [
    "Described",
    "GraphFacts",
    "Judgement",
    "ModelCard",
    "TaskCard",
    "markdown_cell",
    "markdown_table",
    "render_card",
]

SHOWN_LABELS = 40
FEW = 30
"""Of fewer test examples than this, the card says that they are few."""

PIPELINES = {
    "classification": "text-classification",
    "multilabel": "text-classification",
    "relation": "text-classification",
    "tagging": "token-classification",
    "answer": "question-answering",
    "span": "question-answering",
    "generation": "text-generation",
}
"""What the kinds of heads are called on model hubs."""

REPORTS = {"knowledge": "What the graph is worth", "robustness": "Robustness", "bias": "Bias"}

SWAPPED = ("classification", "multilabel", "answer")
"""The heads that a report of bias is for."""


@dataclass(frozen=True)
class Judgement:
    """How good a model was on labelled examples.

    Args:
        data: the file they are in.
        n: how many they are.
        metrics: by name.
        intervals: the ends of the 95% interval of a metric over examples, where there is one.
    """

    data: str
    n: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskCard:
    """What is known of one task of a model.

    Args:
        examples: how many it was learned from.
        labels: how many of them have each label, for heads with labels.
        fit: what the head told of its fit.
        judgements: of the saved model, the latest of each file.
        reports: by name, see `REPORTS`, in Markdown.
    """

    examples: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    judgements: tuple[Judgement, ...] = ()
    reports: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Described:
    """A task as the card tells of it."""

    name: str
    head: str
    description: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class GraphFacts:
    """A graph as the card tells of it."""

    triples: int
    entities: int
    relations: int
    cards: Sequence[Card]


@dataclass
class ModelCard:
    """What is known of a model, task by task.

    Args:
        tasks: by name.
    """

    tasks: dict[str, TaskCard] = field(default_factory=dict)

    def learned(self, task: str, targets: Iterable[Any], fit: Mapping[str, Any]) -> None:
        """Write down what a task was learned from; what was measured before holds no more."""
        targets = list(targets)
        labels = Counter(target for target in targets if isinstance(target, str))
        self.tasks[task] = TaskCard(len(targets), dict(labels), json.loads(json.dumps(dict(fit))))

    def learned_more(self, task: str, label: str, examples: int) -> None:
        """Write down that a label was added to a task; what was measured before holds no more."""
        known = self.tasks.get(task, TaskCard())
        labels = {**known.labels, label: examples}
        self.tasks[task] = TaskCard(known.examples + examples, labels, known.fit)

    def judged(self, task: str, judgement: Judgement) -> None:
        """Write down how good the model is on a file, in place of what was known of that file."""
        known = self.tasks.get(task, TaskCard())
        others = tuple(each for each in known.judgements if each.data != judgement.data)
        self.tasks[task] = replace(known, judgements=(*others, judgement))

    def reported(self, task: str, name: str, text: str) -> None:
        """Write down a report, in place of an earlier one."""
        known = self.tasks.get(task, TaskCard())
        self.tasks[task] = replace(known, reports={**known.reports, name: text})

    def to_json(self) -> str:
        """Return it as text that `from_json` reads."""
        return json.dumps(to_mapping(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, path: Path) -> ModelCard:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: if it is no card.
        """
        try:
            stated = json.loads(text)
        except (ValueError, RecursionError):
            stated = None
        return from_mapping(cls, stated, path=path)


def render_card(
    card: ModelCard,
    tasks: Sequence[Described],
    encoder: str,
    graph: GraphFacts | None,
    longest: int | None = None,
) -> str:
    """Return the card as Markdown, with the fields that model hubs read in front.

    Args:
        card: what is known.
        tasks: those that the model has.
        encoder: what reads the texts, in words.
        graph: what it knows, if it has a graph.
        longest: the tokens that it reads at a time.
    """
    parts = [_front(card, tasks, graph), f"# {_title(tasks)}\n"]
    parts += [_task_section(task, card.tasks.get(task.name, TaskCard())) for task in tasks]
    parts += ["## Encoder\n", f"{encoder}\n", "## Graph\n", _graph_section(graph), "## Limits\n"]
    parts += ["".join(f"* {limit}\n" for limit in _limits(card, tasks, graph, longest)), USE]
    return "\n".join(parts)


USE = """## Use

```console
$ roots predict FOLDER "a text" --explain
$ roots serve FOLDER
```

In Python, `roots_kg.RootsModel.from_pretrained("FOLDER")`. The folder holds tensors in safetensors files and
text; nothing in it is run.
"""


def _front(card: ModelCard, tasks: Sequence[Described], graph: GraphFacts | None) -> str:
    pipelines = {PIPELINES[task.head] for task in tasks if task.head in PIPELINES}
    results = [
        {
            "task": {"type": PIPELINES.get(task.head, task.head)},
            "dataset": {"name": markdown_cell(task.name), "type": markdown_cell(Path(judgement.data).name)},
            "metrics": [{"type": name, "value": value} for name, value in judgement.metrics.items()],
        }
        for task in tasks
        for judgement in card.tasks.get(task.name, TaskCard()).judgements
    ]
    fields: dict[str, Any] = {
        "library_name": "roots-kg",
        "tags": ["few-shot", *(["knowledge-graph"] if graph is not None else [])],
    }
    if len(pipelines) == 1:
        fields["pipeline_tag"] = pipelines.pop()
    if results:
        fields["model-index"] = [{"name": _title(tasks), "results": results}]
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)}---\n"


def _task_section(task: Described, known: TaskCard) -> str:
    told = markdown_cell(task.description) or "No description."
    lines = [f"## {markdown_cell(task.name)}\n", f"{told} Head: `{task.head}`.\n"]
    if known.examples:
        lines.append(f"Learned from {known.examples:,} examples.\n")
    labels = dict.fromkeys([*task.labels, *known.labels])
    if labels:
        rows = [
            (
                f"`{markdown_cell(label)}`",
                markdown_cell(task.labels.get(label, "")),
                str(known.labels.get(label, 0)) if known.examples else "",
            )
            for label in list(labels)[:SHOWN_LABELS]
        ]
        lines.append(markdown_table(("label", "stands for", "examples"), rows))
        if len(labels) > SHOWN_LABELS:
            lines.append(f"… and {len(labels) - SHOWN_LABELS:,} more labels.\n")
    if known.fit:
        lines += ["What adapting told:\n", markdown_table(("figure", "value"), _figures(known.fit))]
    for judgement in known.judgements:
        lines.append(f"On the {judgement.n:,} examples of `{judgement.data}`:\n")
        rows = [
            (name, f"{value:.4f}", " to ".join(f"{end:.4f}" for end in judgement.intervals.get(name, ())))
            for name, value in judgement.metrics.items()
        ]
        lines.append(markdown_table(("metric", "value", "95% interval over examples"), rows))
    for name, text in known.reports.items():
        lines += [f"### {REPORTS.get(name, name)}\n", f"{text.strip()}\n"]
    return "\n".join(lines)


def _graph_section(graph: GraphFacts | None) -> str:
    if graph is None:
        return "None: it reads the text alone.\n"
    counts = f"{graph.triples:,} triples, {graph.entities:,} entities and {graph.relations:,} relations"
    lines = [f"A copy of a graph lies in `knowledge/`: {counts} when this was written.\n"]
    for card in graph.cards:
        lines.append(f"* {card.name or 'A graph'}: {card.source}. Licence: {card.licence}.")
    if not graph.cards:
        lines.append(
            "Its source and its licence are not stated; a `card.yaml` beside the triples states them."
        )
    return "\n".join([*lines, ""])


def _limits(
    card: ModelCard, tasks: Sequence[Described], graph: GraphFacts | None, longest: int | None
) -> Iterable[str]:
    for task in tasks:
        known = card.tasks.get(task.name, TaskCard())
        unseen = [label for label in task.labels if known.examples and not known.labels.get(label)]
        if unseen and known.labels:
            yield f"`{task.name}`: {len(unseen):,} labels have no example and are known by their names alone."
        if not known.judgements:
            yield (
                f"`{task.name}`: it was not judged on examples that are held out; "
                "`roots evaluate --record` does."
            )
        for judgement in known.judgements:
            if judgement.n < FEW:
                yield f"`{task.name}`: {judgement.n} examples are few to judge by."
        if graph is not None and "knowledge" not in known.reports:
            yield f"`{task.name}`: what its graph is worth was not measured; `roots report --record` does."
        if graph is not None and "robustness" not in known.reports:
            way = "`roots report --robustness --record` does"
            yield f"`{task.name}`: how it stands up to noise was not measured; {way}."
        if "bias" not in known.reports:
            way = "; `roots report --bias --record` does" if task.head in SWAPPED else ""
            yield f"`{task.name}`: whether it treats groups of people alike was not measured{way}."
        if "temperature" in known.fit:
            yield f"`{task.name}`: probabilities are calibrated on what was learned from, for texts like it."
    if graph is not None:
        yield (
            "What the graph does not name is not linked, and what it states is taken for true: "
            "an answer is as good as its triples."
        )
    if longest is not None:
        yield f"Texts are read {longest:,} tokens at a time; longer ones in parts whose results are averaged."


def _figures(fit: Mapping[str, Any]) -> list[tuple[str, str]]:
    shown = []
    for name, value in fit.items():
        if isinstance(value, float):
            value = f"{value:.4f}"
        elif isinstance(value, list) and all(isinstance(item, float) for item in value):
            value = " to ".join(f"{item:.4f}" for item in value)
        shown.append((name.replace("_", " "), markdown_cell(str(value))))
    return shown


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; what may hold a `|` or a line break goes through `markdown_cell` first."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _title(tasks: Sequence[Described]) -> str:
    return ", ".join(markdown_cell(task.name) for task in tasks)


def markdown_cell(text: str) -> str:
    """Return a text on one line, which ends no cell of a table."""
    return " ".join(text.replace("|", "\\|").split())

"""What meta-training draws its episodes from: texts with labels, from task folders and from the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from roots_kg.adaptation.episodes import Draw, EpisodeConfig, Pool, make_pool
from roots_kg.adaptation.heads.base import Head
from roots_kg.adaptation.meta_learning.learner import Episode
from roots_kg.adaptation.task import Task, read_records
from roots_kg.errors import TaskError, UsageError
from roots_kg.fusion.encoder import TEXTS_AT_A_TIME, KnowledgeEncoder, Text
from roots_kg.registry import get_head
from roots_kg.training.meta_config import GraphEpisodes
from roots_kg.training.meta_texts import graph_task

__all__ = ["Material", "Vectors", "episode_batch", "read_material"]


@dataclass
class Material:
    """Texts, and the pools that say which of them have which label.

    Args:
        head: reads texts and says what they are compared by.
        texts: the examples, then the names of labels and the descriptions of tasks.
        pools: of the task folders.
        graph_pools: of the graph, one a relation.
        names: for each pool's name and label, the number of the text that stands for it.
        descriptions: for each pool's name, the number of the text that describes it; none without one.
    """

    head: Head
    texts: list[Text] = field(default_factory=list)
    pools: list[Pool] = field(default_factory=list)
    graph_pools: list[Pool] = field(default_factory=list)
    names: dict[tuple[str, str], int] = field(default_factory=dict)
    descriptions: dict[str, int] = field(default_factory=dict)

    def add(self, text: Text) -> int:
        """Add a text and return its number."""
        self.texts.append(text)
        return len(self.texts) - 1


@dataclass(frozen=True, eq=False)
class Vectors:
    """The vectors of texts: (M, f), and of what the graph says of them, (M, k)."""

    text: Tensor
    knowledge: Tensor


def read_material(
    tasks: Sequence[Task], layers: KnowledgeEncoder, episodes: EpisodeConfig, graph: GraphEpisodes, seed: int
) -> Material:
    """Read labelled examples of tasks, and make some from the graph, if there is one.

    Args:
        tasks: with training examples, whose heads have labels; all of one head.
        layers: the encoder and the graph.
        episodes: how many examples a label needs.
        graph: how examples are made from the graph.
        seed: of what is drawn for those.

    Raises:
        TaskError: if a task has no training examples, or another head, or its head has no labels.
        UsageError: if there are neither tasks nor a graph.
    """
    if not tasks and layers.knowledge is None:
        raise UsageError(
            "there is nothing to learn from", hint="name tasks with `--data`, or a graph with `--knowledge`"
        )
    size = layers.encoder.hidden_size
    knowledge = layers.knowledge
    name = tasks[0].head if tasks else "classification"
    first = Task("graph", name) if not tasks else tasks[0]
    material = Material(get_head(name)(first, size, knowledge))
    taken: set[str] = set()
    for task in tasks:
        where = task.folder and task.folder / "task.yaml"
        if task.head != name:
            raise TaskError(
                f"its head is {task.head!r}, and another task's is {name!r}",
                path=where,
                hint="meta-train on tasks of one head at a time",
            )
        if task.name in taken:
            raise TaskError(f"two tasks are called {task.name!r}", path=where)
        taken.add(task.name)
        _add_task(material, task, get_head(name)(task, size, knowledge), episodes)
    if knowledge is not None and (graph.share or not tasks):
        if name != "classification":
            raise UsageError(
                f"episodes from the graph are read by the head 'classification', not {name!r}",
                hint="set `graph: {share: 0}`, or leave the graph out",
            )
        for made in graph_task(knowledge.graph, graph, episodes.examples, seed):
            first_text = len(material.texts)
            material.texts += made.texts
            pool = make_pool(made.name, made.labels, episodes.examples, first_text)
            material.graph_pools.append(pool)
            material.descriptions[pool.name] = material.add(made.description)
            for label in pool.labels:
                material.names[pool.name, label] = material.add(label)
    return material


def encode(layers: KnowledgeEncoder, head: Head, texts: Sequence[Text]) -> Vectors:
    """Return the vectors of texts as a head compares them; with gradients, if the encoder has them."""
    found = []
    for begin in range(0, len(texts), TEXTS_AT_A_TIME):
        encoded = layers(texts[begin : begin + TEXTS_AT_A_TIME], **head.asks)
        found.append((head.vectors(encoded), encoded.knowledge))
    return Vectors(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def episode_batch(
    draws: Sequence[Draw], pools: Sequence[Pool], material: Material, vectors: Vectors, *, graph: bool
) -> Episode:
    """Return episodes as tensors, with the number of the episode in front.

    Args:
        draws: of one way and one number of shots.
        pools: what the draws number.
        material: which texts stand for names and descriptions.
        vectors: of all its texts.
        graph: whether to give knowledge, too.
    """
    support = torch.stack([torch.from_numpy(draw.support) for draw in draws])  # (T, N, K)
    query = torch.stack([torch.from_numpy(draw.query) for draw in draws])
    names = torch.tensor([_name_texts(draw, pools, material) for draw in draws])
    knowledge = vectors.knowledge if graph else vectors.knowledge[:, :0]
    classes = torch.arange(support.shape[1])[:, None]
    descriptions = []
    for draw in draws:
        number = material.descriptions.get(pools[draw.pool].name)
        zero = vectors.text.new_zeros(vectors.text.shape[1])
        descriptions.append(zero if number is None else vectors.text[number])
    return Episode(
        support=vectors.text[support.flatten(1)],
        support_labels=classes.expand(support.shape).flatten(1),
        query=vectors.text[query.flatten(1)],
        query_labels=classes.expand(query.shape).flatten(1),
        names=vectors.text[names],
        description=torch.stack(descriptions),
        support_knowledge=knowledge[support.flatten(1)],
        query_knowledge=knowledge[query.flatten(1)],
        name_knowledge=knowledge[names],
    )


def texts_of(draw: Draw, pools: Sequence[Pool], material: Material) -> tuple[list[Text], list[Text]]:
    """Return an episode's examples, label by label with its support first, and its names."""
    examples = [
        material.texts[number]
        for support, query in zip(draw.support.tolist(), draw.query.tolist(), strict=True)
        for number in (*support, *query)
    ]
    return examples, [material.texts[number] for number in _name_texts(draw, pools, material)]


def _name_texts(draw: Draw, pools: Sequence[Pool], material: Material) -> list[int]:
    pool = pools[draw.pool]
    return [material.names[pool.name, pool.labels[label]] for label in draw.classes.tolist()]


def _add_task(material: Material, task: Task, head: Head, episodes: EpisodeConfig) -> None:
    where = task.folder and task.folder / "task.yaml"
    if task.train is None:
        raise TaskError("it has no training examples", path=where)
    examples = [head.example(record) for record in read_records(task.train)]
    if not all(isinstance(example.target, str) for example in examples):
        raise TaskError(
            f"the head {task.head!r} has no single label a text, and episodes are made of labels", path=where
        )
    pool = make_pool(
        task.name, [example.target for example in examples], episodes.examples, len(material.texts)
    )
    material.texts += [example.text for example in examples]
    material.pools.append(pool)
    if task.description:
        material.descriptions[task.name] = material.add(task.description)
    for label in pool.labels:
        material.names[task.name, label] = material.add(head.name_text(label))

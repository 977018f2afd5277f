"""Linking MetaQA's questions: speed and the topics found, then what context and spelling add.

The brackets around the topic are removed from every question. A topic is found if it is the best candidate
of a mention, and first if that mention is the strongest of its text (`roots_kg.graph.linking.strongest`).
"Plain" is a linker for ASCII alone: words cut by a regular expression, one text at a time, leftmost-longest,
a score for the case. CPU seconds on one thread, the median of several runs.

The other two tables are about development questions and sentences of SST-2, which are in lower case and
mention the graph's names only by chance, and never see the test questions. In the second, a topic is
written in lower case, and a film gets the name of another: the text, from a template, mentions one of its
neighbours. In the third, names have a slip in them; what is found in sentences in which the linker found
nothing is taken to be false.

    OMP_NUM_THREADS=1 python benchmarks/linking.py --data DIR [--split dev|test] [--json]
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import time
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from ahocorasick_rs import AhoCorasick, MatchKind
from common import report
from torch import Tensor

from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.graph.dense_linking import THRESHOLD, DenseLinker
from roots_kg.graph.disambiguation import PLAIN, Disambiguator
from roots_kg.graph.linking import FUNCTION_WORDS, NO_LINK, Link, Linker, Mention, names_of, strongest
from roots_kg.graph.spelling import spelling_vectors
from roots_kg.graph.triples import KnowledgeGraph

RUNS, HOPS = 5, (1, 2, 3)
QUESTIONS, SENTENCES, PAIRS, NAMES = 2100, 4000, 500, 250
TEMPLATES = (
    "{name} with {neighbour} is on tonight",
    "{neighbour} was so good in {name}",
    "I saw {name} because {neighbour} is in it",
    "have you heard of {name} ? {neighbour} !",
    "my favourite is {name} by {neighbour}",
)
CARRIER = "do you know {} ?"

Question = tuple[str, str]
"""Its text, with brackets around the topic, and the topic."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder that holds metaqa and sst2")
    parser.add_argument(
        "--split", choices=("dev", "test"), default="test", help="the first table's questions"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    graph = KnowledgeGraph.from_file(options.data / "metaqa" / "kb.txt")
    linker = Linker(graph)
    random.seed(0)

    plain = Plain(graph)
    rows = []
    for hops in HOPS:
        asked = questions(options.data, hops, options.split)
        rows.append({"hops": hops, "linker": "ours", **measured(linker.link_all, asked, graph)})
        one_by_one = measured(lambda texts: [plain.link(text) for text in texts], asked, graph)
        rows.append({"hops": hops, "linker": "plain", **one_by_one})
    title = f"MetaQA {options.split} questions against {graph.num_entities:,} entities"
    report(title, rows, options.json)

    encoder = TextEncoder.from_pretrained()
    encoded = encoder.encode([graph.name(entity) for entity in range(graph.num_entities)])
    asked = [question for hops in HOPS for question in questions(options.data, hops, "dev")]
    report(
        "Context: what is kept, and what is chosen (roots-base)",
        context(graph, linker, encoder, encoded, random.sample(asked, QUESTIONS), options.data),
        options.json,
    )
    named = encoded[[name.entity_id for name in names_of(graph)]]
    report(
        f"Names with a slip, found (and another found), dense linking above {THRESHOLD}",
        slips(
            graph, linker, encoder, named, [topic for _, topic in random.sample(asked, NAMES)], options.data
        ),
        options.json,
    )


def questions(data: Path, hops: int, split: str) -> list[Question]:
    lines = (data / "metaqa" / f"{hops}-hop" / f"qa_{split}.txt").read_text(encoding="utf-8").splitlines()
    texts = [line.split("\t")[0] for line in lines]
    return [(text, text[text.index("[") + 1 : text.rindex("]")]) for text in texts]


def sentences(data: Path, part: str) -> list[str]:
    lines = (data / "sst2" / f"stsa.binary.{part}").read_text(encoding="utf-8").splitlines()
    return [line[2:].strip() for line in lines]


def measured(
    link_all: Callable[[Sequence[str]], list[list[Mention]]], asked: Sequence[Question], graph: KnowledgeGraph
) -> dict[str, Any]:
    texts = [text.replace("[", "").replace("]", "") for text, _ in asked]
    seconds, mentions = [], []
    for _ in range(RUNS):
        begin = time.process_time()
        mentions = link_all(texts)
        seconds.append(time.process_time() - begin)
    found = first = 0
    for part, (_, topic) in zip(mentions, asked, strict=True):
        keys = [graph.entities[mention.best.entity_id] for mention in part]
        found += topic in keys
        best = strongest(part)
        first += best is not None and graph.entities[best.best.entity_id] == topic
    return {
        "texts": len(texts),
        "texts/s": f"{len(texts) / statistics.median(seconds):,.0f}",
        "topic found": f"{100 * found / len(texts):.2f}",
        "topic first": f"{100 * first / len(texts):.2f}",
    }


class Plain:
    """What a linker needs at least: the leftmost and longest names that stand in a text as words."""

    word = re.compile(r"[^\W_]+|[^\w\s]|_")

    def __init__(self, graph: KnowledgeGraph) -> None:
        self.names: dict[str, list[tuple[int, str]]] = {}
        for entity, key in enumerate(graph.entities):
            wrapped = "".join(f"\x02{word.casefold()}\x03" for word in self.word.findall(key))
            self.names.setdefault(wrapped, []).append((entity, key))
        self.entities = list(self.names.values())
        self.automaton = AhoCorasick(list(self.names), matchkind=MatchKind.LeftmostLongest)

    def link(self, text: str) -> list[Mention]:
        words = list(self.word.finditer(text))
        wrapped = [f"\x02{word.group().casefold()}\x03" for word in words]
        place, position = {}, 0
        for index, word in enumerate(wrapped):
            place[position] = index
            position += len(word)
        place[position] = len(wrapped)
        mentions = []
        for pattern, begin, end in self.automaton.find_matches_as_indexes("".join(wrapped)):
            start, stop = words[place[begin]].start(), words[place[end] - 1].end()
            scores = {
                entity: self.score(text[start:stop], key, start) for entity, key in self.entities[pattern]
            }
            kept = sorted(
                (entity for entity in scores if scores[entity] > NO_LINK), key=lambda one: -scores[one]
            )
            if kept:
                links = [Link(start, stop, text[start:stop], entity, scores[entity]) for entity in kept]
                mentions.append(Mention(tuple(links)))
        return mentions

    def score(self, surface: str, name: str, start: int) -> float:
        same_case = unicodedata.normalize("NFKC", surface) == unicodedata.normalize("NFKC", name)
        if surface.casefold() in FUNCTION_WORDS:
            return 0.7 if same_case and start and surface[0].isupper() else 0.3
        return 1.0 if same_case else 0.8


def context(
    graph: KnowledgeGraph,
    linker: Linker,
    encoder: TextEncoder,
    encoded: Tensor,
    asked: Sequence[Question],
    data: Path,
) -> list[dict[str, Any]]:
    disambiguator = Disambiguator(graph)

    def choose(texts: Sequence[str], mentions: Sequence[list[Mention]]) -> list[list[Mention]]:
        return disambiguator.choose(mentions, encoder.encode(texts), lambda ids: encoded[ids])

    def kept(texts: Sequence[str], mentions: Sequence[list[Mention]]) -> str:
        left = [bool(found) for found in choose(texts, mentions)]
        return f"{100 * sum(left) / len(left):.1f} % of {len(left)}"

    def unsure(texts: Sequence[str], topics: Sequence[str | None]) -> tuple[list[str], list[list[Mention]]]:
        alone = [
            (text, [mention])
            for text, topic, found in zip(texts, topics, linker.link_all(texts), strict=True)
            for mention in found
            if len(mention.candidates) == 1
            and mention.best.score < PLAIN
            and topic in (None, graph.entities[mention.best.entity_id])
        ]
        return [text for text, _ in alone], [mentions for _, mentions in alone]

    lowered = [text.replace("[", "").replace("]", "").lower() for text, _ in asked]
    ordinary = sentences(data, "dev")
    rows = [
        {"what": "topics in lower case", "result": kept(*unsure(lowered, [topic for _, topic in asked]))},
        {"what": "chance mentions in SST-2", "result": kept(*unsure(ordinary, [None] * len(ordinary)))},
    ]
    adjacency, relations = graph.adjacency, graph.num_relations
    around = [
        range(int(begin), int(end))
        for begin, end in zip(adjacency.start[:-1], adjacency.start[1:], strict=True)
    ]
    films = [
        entity
        for entity, edges in enumerate(around)
        if 5 <= len(edges) <= 40 and (adjacency.direction[edges.start : edges.stop] < relations).all()
    ]
    texts, mentions, meant = [], [], []
    for _ in range(PAIRS):
        one, other = random.sample(films, 2)
        names = [graph.name(int(adjacency.neighbour[edge])) for edge in around[one]]
        neighbour = random.choice([name for name in names if not name.isdigit()])
        texts.append(random.choice(TEMPLATES).format(name="The Stranger", neighbour=neighbour))
        links = [Link(0, 12, "The Stranger", entity, 1.0) for entity in sorted((one, other))]
        mentions.append([Mention(tuple(links))])
        meant.append(one)
    chosen = choose(texts, mentions)
    right = sum(found[0].best.entity_id == one for found, one in zip(chosen, meant, strict=True))
    rows.append({"what": "one of two films of one name", "result": f"{100 * right / PAIRS:.1f} % right"})
    return rows


def slips(
    graph: KnowledgeGraph,
    linker: Linker,
    encoder: TextEncoder,
    encoded: Tensor,
    topics: Sequence[str],
    data: Path,
) -> list[dict[str, Any]]:
    ordinary = unlinked(linker, [(text, "") for text in sentences(data, "train")[:SENTENCES]])
    variants = {
        "a letter dropped": dropped,
        "two letters swapped": swapped,
        "the first word last": reordered,
    }
    changed = {}
    for name, change in variants.items():
        pairs = [(change(topic), topic) for topic in topics]
        told = [(CARRIER.format(variant), topic) for variant, topic in pairs if variant != topic]
        changed[f"{name} ({len(told)})"] = unlinked(linker, told), len(told)
    known = [encoded]

    def encode(texts: Sequence[str]) -> Tensor:
        return known.pop() if known else encoder.encode(texts)

    rows = []
    for name, vectors in (("spelling", spelling_vectors), ("roots-base", encode)):
        dense = DenseLinker(graph, vectors)
        row = {"vectors": name}
        for kind, (told, _) in changed.items():
            found = dense.link_all([text for text, _ in told])
            keys = [{graph.entities[mention.best.entity_id] for mention in part} for part in found]
            right = sum(topic in part for part, (_, topic) in zip(keys, told, strict=True))
            wrong = sum(bool(part - {topic}) for part, (_, topic) in zip(keys, told, strict=True))
            row[f"{kind}, unlinked {len(told)}"] = f"{right} ({wrong})"
        begin = time.process_time()
        false = sum(map(bool, dense.link_all([text for text, _ in ordinary])))
        row[f"false, of {len(ordinary)} sentences"] = f"{false} ({100 * false / len(ordinary):.1f} %)"
        row["CPU ms a sentence"] = f"{1e3 * (time.process_time() - begin) / len(ordinary):.1f}"
        rows.append(row)
    return rows


def unlinked(linker: Linker, told: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    found = linker.link_all([text for text, _ in told])
    return [pair for pair, mentions in zip(told, found, strict=True) if not mentions]


def dropped(name: str) -> str:
    places = [at for at in range(1, len(name)) if name[at].isalpha()]
    if not places:
        return name
    at = random.choice(places)
    return name[:at] + name[at + 1 :]


def swapped(name: str) -> str:
    places = [
        at
        for at in range(1, len(name) - 1)
        if name[at : at + 2].isalpha() and name[at].lower() != name[at + 1].lower()
    ]
    if not places:
        return name
    at = random.choice(places)
    return name[:at] + name[at + 1] + name[at] + name[at + 2 :]


def reordered(name: str) -> str:
    first, *rest = name.split()
    return " ".join([*rest, first])


if __name__ == "__main__":
    main()

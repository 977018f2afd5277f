"""FewRel: five and ten relations that were never seen, from one and five examples of each.

An encoder is meta-trained on the 64 training relations by `roots train`. Then the relation head is fitted to
episodes of the 16 relations of val_wiki, whose questions are 5 more examples of each relation. Text only, the
same head on the encoder as it was before stands beside it.

With the WD50K graph, every triple that links the two entities of any example, in either direction, is removed
before anything is trained on the graph. A question is covered where both of its entities are still in the
graph. The gain over text only is that of the same episodes, and its 95% interval is over episodes. Of the two
controls, one has a graph whose triples and vectors are shuffled, and one takes random vectors for what the
graph says of a pair.

    python benchmarks/fewrel.py --data DIR [--episodes N] [--encoder FOLDER] [--graph FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from common import parsed, report, roots, write_task
from torch import Tensor
from torch.nn import functional

from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.base import Example
from roots_kg.adaptation.heads.relation import RelationHead
from roots_kg.adaptation.pair_knowledge import PairKnowledge
from roots_kg.adaptation.task import Record, Task
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.evaluation.controls import shuffled_graph
from roots_kg.fusion.encoder import EncodedTexts, Knowledge, KnowledgeEncoder, Text
from roots_kg.fusion.texts import plain_text
from roots_kg.graph.store import GraphBundle
from roots_kg.intervals import over_draws

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "meta_fewrel.yaml"
WAYS_AND_SHOTS = ((5, 1), (5, 5), (10, 1), (10, 5))
QUESTIONS = 5
AT_A_TIME = 256

Lines = dict[str, list[dict[str, Any]]]
Names = dict[str, tuple[str, str]]


class Remembered(RelationHead):
    """A relation head that reads each text once, however many episodes it is in.

    `texts` holds the vectors of texts and names, `told` what the graph says of a text's two entities.
    """

    texts: dict[Text, Tensor]
    told: dict[Text, Tensor] | None = None

    @property
    def knowledge_size(self) -> int:
        """The size of what the graph says."""
        return 0 if self.told is None else len(next(iter(self.told.values())))

    def vectors(self, encoded: EncodedTexts) -> Tensor:
        """Return the vectors that are kept."""
        return torch.stack([self.texts[text] for text in encoded.texts])

    def knowledge_vectors(self, encoded: EncodedTexts) -> Tensor:
        """Return what is kept of what the graph says; of names it says nothing."""
        if self.told is None:
            return torch.zeros(len(encoded.texts), 0)
        nothing = torch.zeros(self.knowledge_size)
        return torch.stack([self.told.get(text, nothing) for text in encoded.texts])


class Unread:
    """Texts that stand for themselves, as `Remembered` knows what would be read from them."""

    def __init__(self, texts: Sequence[Text]) -> None:
        self.texts, self.second = list(texts), None


def main() -> None:
    options = _options()
    names: Names = json.loads((options.data / "fewrel" / "pid2name.json").read_text(encoding="utf-8"))
    training = {name: list(found) for name, found in _training(options.data / "fewrel")}
    unseen = {name: list(found) for name, found in _validation(options.data / "fewrel")}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        trained_in = "given"
        trained = options.encoder
        if trained is None:
            trained = scratch / "encoder"
            task = write_task(
                scratch / "relations",
                {"head": "relation", "labels": {name: _label(names, name) for name in training}}
                | {"train": "train.jsonl"},
                train=[line for lines in training.values() for line in lines],
            )
            run = roots("train", "--config", CONFIG, "--data", task, "--out", trained)
            trained_in = f"{run.cpu_seconds:.0f}"
        bundle = GraphBundle.load(options.graph or _train_graph(options.data, scratch, training, unseen))
        rows = []
        for encoder, seconds in (("roots-base", "0"), (str(trained), trained_in)):
            episodes = Episodes(TextEncoder.from_pretrained(encoder), unseen, names)
            judged = {
                f"{way} way {shots} shot": over_draws(episodes.accuracies(way, shots, options.episodes))
                for way, shots in WAYS_AND_SHOTS
            }
            cells = {name: f"{100 * e.value:.1f} ± {50 * (e.high - e.low):.1f}" for name, e in judged.items()}
            rows.append({"encoder": "meta-trained" if rows else "roots-base", **cells, "CPU s": seconds})
        report("FewRel val_wiki, text only", rows, options.json)
        rows = [row for shots in (1, 5) for row in episodes.with_graphs(5, shots, options.episodes, bundle)]
        print()
        report("FewRel val_wiki with WD50K, 5 way, meta-trained encoder", rows, options.json)


class Episodes:
    """Draws episodes and judges the relation head on them.

    Args:
        encoder: what reads texts.
        lines: of each relation.
        names: and descriptions of relations.
    """

    def __init__(self, encoder: TextEncoder, lines: Lines, names: Names) -> None:
        self.size, self.names = encoder.hidden_size, names
        head = self._head(sorted(lines), None)
        records = {name: [Record(line, Path(name), 0) for line in found] for name, found in lines.items()}
        self.examples = {name: [head.example(record) for record in found] for name, found in records.items()}
        self.texts = [example.text for found in self.examples.values() for example in found]
        read = [*self.texts, *(head.name_text(name) for name in self.examples)]
        layers = KnowledgeEncoder(encoder).eval()
        self.vectors: dict[Text, Tensor] = {}
        with torch.inference_mode():
            for start in range(0, len(read), AT_A_TIME):
                part = read[start : start + AT_A_TIME]
                found = RelationHead.vectors(head, layers(part, **head.asks))
                self.vectors.update(zip(part, found, strict=True))

    def accuracies(self, way: int, shots: int, count: int) -> list[float]:
        """Return the accuracy of each of so many episodes, text only."""
        return [
            float(self._correct(support, questions, None).float().mean())
            for support, questions in self._drawn(way, shots, count)
        ]

    def with_graphs(self, way: int, shots: int, count: int, bundle: GraphBundle) -> list[dict[str, str]]:
        """Return a row for the graph and for each control."""
        true = self._pairs(bundle)
        graphs = {
            "WD50K": true,
            "shuffled": self._pairs(shuffled_graph(bundle, seed=0)),
            "random vectors": {text: _noise(text, vector) for text, vector in true.items()},
        }
        gains: dict[str, list[list[float]]] = {name: [] for name in graphs}
        text_only = []
        for support, questions in self._drawn(way, shots, count):
            covered = torch.tensor([bool(true[example.text].any()) for example in questions])
            without = self._correct(support, questions, None).float()
            text_only.append([float(without.mean()), *without[covered].tolist()])
            for name, pairs in graphs.items():
                gain = self._correct(support, questions, pairs).float() - without
                inside = [float(gain[covered].mean())] if bool(covered.any()) else []
                gains[name].append([float(gain.mean()), *inside])
        rows = []
        for name, found in gains.items():
            everywhere = over_draws([100 * gain[0] for gain in found])
            covered_gain = over_draws([100 * gain[1] for gain in found if len(gain) > 1])
            hits = [hit for row in text_only for hit in row[1:]]
            rows.append(
                {
                    "shots": str(shots),
                    "graph": name,
                    "covered": f"{100 * len(hits) / (count * way * QUESTIONS):.0f}%",
                    "text only, covered": f"{100 * sum(hits) / len(hits):.1f}",
                    "gain, covered": f"{covered_gain.value:+.2f} "
                    f"[{covered_gain.low:+.2f}, {covered_gain.high:+.2f}]",
                    "gain, all": f"{everywhere.value:+.2f} [{everywhere.low:+.2f}, {everywhere.high:+.2f}]",
                }
            )
        return rows

    def _drawn(self, way: int, shots: int, count: int) -> Iterator[tuple[list[Example], list[Example]]]:
        draw = random.Random(0)
        for _ in range(count):
            support, questions = [], []
            for name in draw.sample(sorted(self.examples), way):
                drawn = draw.sample(self.examples[name], shots + QUESTIONS)
                support += drawn[:shots]
                questions += drawn[shots:]
            yield support, questions

    def _correct(
        self, support: Sequence[Example], questions: Sequence[Example], pairs: dict[Text, Tensor] | None
    ) -> Tensor:
        """Fit a head to the support, and tell which questions it answers rightly."""
        head = self._head(sorted({example.target for example in support}), pairs)
        head.fit(support, _unread, FewShotConfig())
        chosen = head(_unread([example.text for example in questions])).argmax(dim=1)
        right = torch.tensor([head.labels.index(example.target) for example in questions])
        return chosen == right

    def _head(self, relations: Sequence[str], pairs: dict[Text, Tensor] | None) -> Remembered:
        labels = {name: _label(self.names, name) for name in relations}
        head = Remembered(Task("fewrel", "relation", labels=labels), self.size, None)
        head.texts, head.told = getattr(self, "vectors", {}), pairs
        return head

    def _pairs(self, bundle: GraphBundle) -> dict[Text, Tensor]:
        """Return what a graph says of the two entities of each text; zero where it has not both."""
        told, known = PairKnowledge(Knowledge(bundle)), bundle.graph.entity_ids
        found: dict[Text, Tensor] = {}
        for examples in self.examples.values():
            pairs = [_pair(example.record.fields, known) for example in examples]
            vectors = told.vectors(pairs, [()] * len(pairs))
            found.update(zip((example.text for example in examples), vectors, strict=True))
        return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--episodes", type=int, default=1000, help="of each kind")
    parser.add_argument("--encoder", type=Path, help="a meta-trained one, in place of training it")
    parser.add_argument("--graph", type=Path, help="a graph with vectors, in place of training them")
    return parsed(parser, "fewrel")


def _unread(texts: Sequence[Text], *, read: bool = True) -> Any:
    return Unread(texts)


def _noise(text: Text, vector: Tensor) -> Tensor:
    """Return a random vector as long as another, which depends on the text and nothing else."""
    seed = int.from_bytes(hashlib.sha256(plain_text(text).encode()).digest()[:7], "big")
    noise = torch.randn(vector.shape, generator=torch.Generator().manual_seed(seed))
    return vector.norm() * functional.normalize(noise, dim=0)


def _label(names: Names, relation: str) -> str:
    return ": ".join(names[relation])


def _pair(line: dict[str, Any], known: Mapping[str, int]) -> tuple[int, int] | None:
    head, tail = (known.get(line[role]["id"]) for role in ("head", "tail"))
    return None if head is None or tail is None else (head, tail)


def _training(folder: Path) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """Yield the training relations, each with its lines, which have spans of characters."""
    read = json.loads((folder / "train_wiki_64.json").read_text(encoding="utf-8"))
    for relation, sentences in read.items():
        yield (
            relation,
            (
                {"text": found["text"], "label": relation}
                | {
                    role: {"span": _whole(found[role]["span"]), "id": found[role]["id"]}
                    for role in ("head", "tail")
                }
                for found in sentences
            ),
        )


def _whole(span: list[int]) -> list[int]:
    """Return a span with the first character of its text, which those that begin with it lack."""
    return [0 if span[0] == 1 else span[0], span[1]]


def _validation(folder: Path) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """Yield the validation relations, each with its lines, which have positions of words."""
    read = json.loads((folder / "val_wiki.json").read_text(encoding="utf-8"))
    for relation, sentences in read.items():
        yield relation, (_joined(found, relation) for found in sentences)


def _joined(sentence: dict[str, Any], relation: str) -> dict[str, Any]:
    ends = list(accumulate(len(word) + 1 for word in sentence["tokens"]))
    line: dict[str, Any] = {"text": " ".join(sentence["tokens"]), "label": relation}
    for role, key in (("head", "h"), ("tail", "t")):
        _, entity, places = sentence[key]
        first, last = places[0][0], places[0][-1]
        start = ends[first] - len(sentence["tokens"][first]) - 1
        line[role] = {"span": [start, ends[last] - 1], "id": entity}
    return line


def _train_graph(data: Path, scratch: Path, *sets: Lines) -> Path:
    """Train vectors on WD50K without the triples that link the two entities of an example."""
    linked = {
        frozenset((line["head"]["id"], line["tail"]["id"]))
        for lines in sets
        for found in lines.values()
        for line in found
    }
    kept = []
    for split in ("train", "valid", "test"):
        for line in (data / "kg" / "WD50K" / f"{split}.txt").read_text(encoding="utf-8").splitlines():
            head, relation, tail = line.split(",")
            if frozenset((head, tail)) not in linked:
                kept.append(f"{head}\t{relation}\t{tail}\n")
    (scratch / "wd50k.tsv").write_text("".join(kept), encoding="utf-8")
    roots("kg", "train", scratch / "wd50k.tsv", "--out", scratch / "graph")
    return scratch / "graph"


if __name__ == "__main__":
    main()

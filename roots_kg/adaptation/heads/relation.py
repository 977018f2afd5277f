"""The relation head: which relation a text states between two of its entities.

Both entities are marked in the text, the head "@ like this @" and the tail "# like this #" (Zhou and Chen
2022, arXiv:2102.01373, section 3.1: markers of punctuation, which every vocabulary has), and what the encoder
makes of the two spans and of the whole is compared. A relation's name and description are read in the same
way, between a stand-in for the head and one for the tail, and so come to lie where the texts do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from roots_kg.adaptation import sample_tasks
from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.base import Encode, Example
from roots_kg.adaptation.heads.classification import RANKED, ClassificationHead
from roots_kg.adaptation.pair_knowledge import Pair, PairKnowledge
from roots_kg.adaptation.task import Record, Task
from roots_kg.errors import GraphError, TaskError, nearest
from roots_kg.fusion.encoder import EncodedTexts, Knowledge, MarkedText, TokenStates
from roots_kg.fusion.texts import Span
from roots_kg.graph.linking import Link, Mention

__all__ = ["RelationHead", "mark_pair"]

MARKERS = ("@", "#")
"""What stands on either side of the head, and of the tail."""

STAND_INS = ("subject", "object")
"""What stands for head and tail in the name of a relation."""

_MARKED = tuple(re.compile(rf"(?:(?<=\s)|^){marker} (\S(?:.*?\S)?) {marker}(?=\s|$)") for marker in MARKERS)


class RelationHead(ClassificationHead):
    """One relation a text, by pooled spans, the whole text, names, and the graph's say on the pair.

    Weights are fitted as the classification head fits them. What the graph says of a pair is that of
    `roots_kg.adaptation.pair_knowledge.PairKnowledge`; a text of whose entities one is not in the graph is
    classified by weights that were fitted to the text alone, and so exactly as it would be without a graph.
    """

    reads_tokens = True
    reads_fusion = False
    compares_features = False
    sample_task = sample_tasks.RELATION

    def __init__(
        self, task: Task, size: int, knowledge: Knowledge | None, settings: Mapping[str, Any] | None = None
    ) -> None:
        relations = (settings or {}).get("relations")
        self._pairs = PairKnowledge(knowledge, relations) if knowledge is not None and relations else None
        super().__init__(task, size, knowledge, settings)

    def settings(self) -> dict[str, Any]:
        """Return what a classification head returns, and the graph's relations in their order."""
        return {**super().settings(), "relations": [] if self._pairs is None else self._pairs.relations}

    def fit(self, support: Sequence[Example], encode: Encode, config: FewShotConfig) -> dict[str, Any]:
        """Fit as a classification head does; what the graph says is kept only if it is trusted."""
        self._pairs = None if self.knowledge is None else PairKnowledge(self.knowledge)
        told = super().fit(support, encode, config)
        if not self.knowledge_weight:
            self._pairs, self.weight = None, self.text_weight.clone()
        return told

    @property
    def vector_size(self) -> int:
        """The size f of what `vectors` returns."""
        return 6 * self.size

    @property
    def knowledge_size(self) -> int:
        """The size of what `knowledge_vectors` returns."""
        return 0 if self._pairs is None else self._pairs.size

    @property
    def reads_vectors(self) -> bool:
        """Whether the graph is trusted, whose vectors are a part of what it says."""
        return self.knowledge_weight > 0

    def text(self, record: Record) -> MarkedText:
        """Read {"text", "head": {"span", "id"}, "tail": {"span", "id"}}; an id is an entity's key or name.

        With an id for either, the graph's linker is not asked. An entity that the graph does not have is one
        of which it says nothing.
        """
        text = record.text("text")
        given = {role: record.fields.get(role) for role in ("head", "tail")}
        spans = tuple(_span(record, role, value, text) for role, value in given.items())
        (start, end), (other, other_end) = spans
        if max(start, other) < min(end, other_end):
            raise record.error(
                f"head {text[start:end]!r:.60} and tail {text[other:other_end]!r:.60} overlap",
                hint="a relation holds between two spans that share no character",
            )
        marked, spans = mark_pair(text, *spans)
        ids = [value.get("id") for value in given.values() if isinstance(value, dict)]
        if ids == [None, None]:
            return MarkedText(marked, spans=spans)
        mentions = [self._mention(name, span, marked) for name, span in zip(ids, spans, strict=True)]
        return MarkedText(marked, tuple(found for found in mentions if found), spans)

    def example(self, record: Record) -> Example:
        """Read a line as `text` does, and its "label"."""
        return Example(self.text(record), self._label(record), record)

    def name_text(self, label: str) -> MarkedText:
        """Return the name and the description of a relation between stand-ins for its head and its tail."""
        name = super().name_text(label)
        assert isinstance(name, str)
        head, tail = STAND_INS
        text = f"{head} {name} {tail}"
        marked, spans = mark_pair(text, (0, len(head)), (len(text) - len(tail), len(text)))
        return MarkedText(marked, (), spans)

    def vectors(self, encoded: EncodedTexts) -> Tensor:
        """Return head, tail and whole, each in two depths of the trunk: (B, 6d), of length 1.

        Each of the six parts is the normalised mean of hidden states, and all weigh the same.

        Raises:
            TaskError: if a text has no marked head or no marked tail.
        """
        if not encoded.texts:
            return encoded.features.new_zeros(0, self.vector_size)
        spans = self._spans(encoded)
        pooled = [_pool(tokens, pair) for tokens, pair in zip(encoded.tokens, spans, strict=True)]
        parts = torch.cat([torch.stack(pooled), encoded.features[:, None]], dim=1)
        halves = functional.normalize(parts.view(len(parts), 6, self.size), dim=2)
        return functional.normalize(halves.flatten(1), dim=1)

    def knowledge_vectors(self, encoded: EncodedTexts) -> Tensor:
        """Return what the graph says of each pair, of length 1, or zero where it has not both entities."""
        if self._pairs is None:
            return encoded.features.new_zeros(len(encoded.texts), 0)
        return self._pairs.vectors(self._entities(encoded), encoded.without)

    def _evidence(self, encoded: EncodedTexts, index: int, label: int) -> tuple[tuple[int, float], ...]:
        """Return the triples around the two entities that speak most for a label, with how much."""
        pair = self._entities(encoded)[index]
        if self._pairs is None or pair is None or not self.knowledge_weight:
            return ()
        weights = self.weight[label, self.vector_size :]
        found = self._pairs.evidence(pair, encoded.without[index], weights)
        return tuple(found[:RANKED])

    def _entities(self, encoded: EncodedTexts) -> list[Pair | None]:
        """Return head and tail entity of each text, of which None is not in the graph."""
        pairs: list[Pair | None] = []
        for mentions, spans in zip(encoded.mentions, self._spans(encoded), strict=True):
            head, tail = (_linked(mentions, span) for span in spans)
            pairs.append(None if head is None or tail is None else (head, tail))
        return pairs

    def _spans(self, encoded: EncodedTexts) -> list[tuple[Span, ...]]:
        """Return where head and tail of each text are: as it was given, or else by the markers in it."""
        return [
            spans or _marked_spans(text) for text, spans in zip(encoded.texts, encoded.spans, strict=True)
        ]

    def _mention(self, name: Any, span: Span, text: str) -> Mention | None:
        if name is None or self.knowledge is None:
            return None
        try:
            entity = self.knowledge.graph.entity_id(name)
        except GraphError:
            return None
        return Mention((Link(*span, text[slice(*span)], entity, 1.0),))


def mark_pair(text: str, head: Span, tail: Span) -> tuple[str, tuple[Span, Span]]:
    """Put markers around two spans that do not overlap.

    Returns:
        The marked text, and where head and tail stand in it, their markers left out.
    """
    marked, done = "", 0
    found: dict[str, Span] = {}
    for (start, end), marker in sorted(zip((head, tail), MARKERS, strict=True)):
        marked += f"{text[done:start]}{marker} "
        found[marker] = len(marked), len(marked) + end - start
        marked += f"{text[start:end]} {marker}"
        done = end
    return marked + text[done:], (found[MARKERS[0]], found[MARKERS[1]])


def _marked_spans(text: str) -> tuple[Span, Span]:
    """Return where a person has marked head and tail in a text."""
    found = [[match.span(1) for match in marked.finditer(text)] for marked in _MARKED]
    if [len(places) for places in found] != [1, 1]:
        raise TaskError(
            f"head and tail are not marked in the text {text!r:.60}",
            hint='write "@ the head @" and "# the tail #" in it, or give lines with "head" and "tail"',
        )
    return found[0][0], found[1][0]


def _span(record: Record, role: str, value: Any, text: str) -> Span:
    """Read {"span": [s, e], "id"}, the head or the tail of a line."""
    if not isinstance(value, dict) or "span" not in value:
        raise record.error(f'{role!r} is {{"span": [start, end]}}, found {value!r:.80}')
    for key in value:
        if key not in ("span", "id"):
            raise record.error(f"{role!r} has an unknown key {key!r:.60}", hint=nearest(key, ("span", "id")))
    if "id" in value and (not isinstance(value["id"], str) or not value["id"]):
        raise record.error(f"the id of {role!r} is a text, found {value['id']!r:.80}")
    span = value["span"]
    whole = isinstance(span, list) and all(type(number) is int for number in span)
    if not whole or len(span) != 2:
        raise record.error(f"the span of {role!r} is two whole numbers, found {span!r:.80}")
    start, end = span
    if not 0 <= start <= len(text) or not 0 <= end <= len(text):
        raise record.error(f"the span {start}–{end} of {role!r} lies outside of the text of {len(text)}")
    if end <= start:
        raise record.error(
            f"the span {start}–{end} of {role!r} is empty", hint="it ends behind its last character"
        )
    found = text[start:end]
    if found != found.strip():
        raise record.error(f"the span {start}–{end} of {role!r} begins or ends with a space: {found!r:.60}")
    return start, end


def _pool(tokens: TokenStates, spans: Sequence[Span]) -> Tensor:
    """Return the sum of the states of each span's tokens, (spans, 2d)."""
    inside = torch.stack([(tokens.starts < end) & (tokens.ends > start) for start, end in spans])
    return inside.to(tokens.states) @ tokens.states


def _linked(mentions: Sequence[Mention], span: Span) -> int | None:
    """Return the entity of the mention that shares most with a span, by the longest of those."""
    best: tuple[int, int] | None = None
    for mention in mentions:
        link = mention.best
        shared = min(link.end, span[1]) - max(link.start, span[0])
        if shared > 0 and (best is None or shared > best[0]):
            best = shared, link.entity_id
    return None if best is None else best[1]

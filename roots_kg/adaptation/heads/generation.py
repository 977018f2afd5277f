"""The generation head: a text for a text, for triples, or for both, such as a translation or a summary."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from roots_kg.adaptation import few_shot, sample_tasks
from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.generation.adapting import adapt_trunk, mean_loss
from roots_kg.adaptation.generation.facts import Fact, linked_facts
from roots_kg.adaptation.generation.slots import Source, contains
from roots_kg.adaptation.generation.triples import Triple, read_triples, write_triples
from roots_kg.adaptation.generation.writer import SourceTokens, Writer
from roots_kg.adaptation.heads.base import Encode, Example, Head, Prediction
from roots_kg.adaptation.task import Record, Task
from roots_kg.config import from_mapping, to_mapping
from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.pairs import Pair, PairLayout
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.errors import TaskError, UsageError
from roots_kg.files import is_text
from roots_kg.fusion.encoder import EncodedTexts, Knowledge, Text
from roots_kg.metrics import TEXT, text_metrics
from roots_kg.threads import one_thread

__all__ = ["GenerationHead", "Wanted"]

BEAMS, RANKED = 5, 5
MOST_TOKENS, MOST_BEAMS = 1_000_000, 100
HELD_OUT = 0.2
"""The share of the support set that tells when adapting should stop."""

MARGIN, SPARE = 1.25, 8
"""Texts may become longer than the longest target by this factor and so many tokens."""

LAYOUTS = (
    PairLayout(prefix=True, segments=True),
    PairLayout(prefix=True, segments=False),
    PairLayout(False, False),
)
NAMES = ("names", "names_of_all")


@dataclass(frozen=True)
class Wanted:
    """What is right for a source.

    Args:
        references: texts that people wrote for it, at least one.
        names: of its triples, as they stand in a sentence.
    """

    references: tuple[str, ...]
    names: tuple[str, ...] = ()


class GenerationHead(Head):
    """Writes texts with the encoder's own trunk, its language-model head, and an adapter if there is one.

    What is read is the source with its triples behind it, a line each as `head | relation | tail`. Where a
    source brings no triples and there is a graph, those around the entities that it mentions stand there.

    The probability of a text is the geometric mean over its tokens, see `Writer.score`; those of several
    texts do not exclude each other, and may add up to more than 1.
    """

    reads_texts = False
    reads_fusion = False
    exclusive = False
    judges_fast = False
    writes = True
    default_metrics = ("bleu", "chrf")
    metric_names = (*TEXT, *NAMES)
    sample_task = sample_tasks.GENERATION

    def __init__(
        self, task: Task, size: int, knowledge: Knowledge | None, settings: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(task, size, knowledge, settings)
        settings = settings or {}
        self.layout = from_mapping(PairLayout, settings.get("layout", to_mapping(LAYOUTS[-1])))
        self.longest, self.beams = int(settings.get("longest", 64)), int(settings.get("beams", BEAMS))
        self.orders = int(settings.get("orders", 1))
        for name, most in (("longest", MOST_TOKENS), ("beams", MOST_BEAMS), ("orders", MOST_BEAMS)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be from 1 to {most:,}, found {getattr(self, name):,}")
        self.adapter: LowRankAdapter | None = None
        self._trunk_shape: dict[str, Any] | None = settings.get("trunk")
        if self._trunk_shape is not None:
            with torch.device("meta"):
                trunk = Transformer(from_mapping(TransformerConfig, self._trunk_shape))
                adapter = LowRankAdapter(trunk, int(settings["rank"]), 0)
            self.adapter = adapter.to_empty(device="cpu").requires_grad_(False)
        self._writers: list[tuple[TextEncoder, Writer]] = []  # in a list, as it is no part of the state

    def settings(self) -> dict[str, Any]:
        """Return how rows are read, how long texts may be, and the shape of the adapter if there is one."""
        found: dict[str, Any] = {
            "layout": to_mapping(self.layout),
            "longest": self.longest,
            "beams": self.beams,
            "orders": self.orders,
        }
        if self.adapter is not None:
            found |= {"trunk": self._trunk_shape, "rank": self.adapter.shape.rank}
        return found

    def text(self, record: Record) -> Text:
        """Read {"source"}, {"triples"} or both into one text, with a line for each triple."""
        triples = _triples(record) if "triples" in record.fields else []
        source = record.text("source").strip() if "source" in record.fields or not triples else ""
        if not source and not triples:
            raise record.error(
                "'source' is empty and there are no triples, so there is nothing to write from"
            )
        return write_triples(source, triples)

    def example(self, record: Record) -> Example:
        """Read a source as `text` does, and {"target"}: a text, or a list of texts that are all right."""
        text = self.text(record)
        given = record.fields.get("target")
        targets = [record.text("target")] if not isinstance(given, list) else record.texts("target")
        for target in targets:
            if not is_text(target):
                raise record.error("'target' holds half a surrogate pair, which is no character")
            if not target.strip():
                raise record.error("'target' is empty", hint="leave the line out, or say what to write")
        assert isinstance(text, str)
        names = Source("", tuple(read_triples(text)[1]), ()).names
        return Example(text, Wanted(tuple(" ".join(target.split()) for target in targets), names), record)

    def sample(self, examples: Sequence[Example], shots: int, seed: int) -> list[Example]:
        """Draw `shots` examples in all."""
        return [examples[index] for index in few_shot.sample_any(len(examples), shots, seed)]

    def fit(self, support: Sequence[Example], encode: Encode, config: FewShotConfig) -> dict[str, Any]:
        """Choose how rows are read by their loss, and fit an adapter of the trunk to the examples."""
        encoded = encode([example.text for example in support], read=False)
        self.adapter = None
        self._writers.clear()
        writer, sources = self._writer(encoded), self._sources(encoded)
        owners = [number for number, example in enumerate(support) for _ in example.target.references]
        targets = [text for example in support for text in example.target.references]

        def rows(layout: PairLayout) -> list[Pair]:
            return writer.tokens.pairs([sources[owner] for owner in owners], targets, layout)

        with one_thread():
            writer = replace(writer, layout=self._best_layout(writer, rows))
            made = rows(writer.layout)
            fitting = [number for number, row in enumerate(made) if writer.tokens.fits(row, writer.layout)]
            if not fitting:
                raise TaskError(
                    f"every example is longer than the {writer.tokens.positions} tokens that are read",
                    path=support[0].record.path,
                )
            held = _held_out(len(support))
            learned = [made[number] for number in fitting if owners[number] not in held]
            judged = [made[number] for number in fitting if owners[number] in held]
            learned, judged = learned or judged, judged or learned
            found = adapt_trunk(writer, learned, judged)
        self.adapter, self.layout = found.adapter, writer.layout
        self._trunk_shape = to_mapping(writer.trunk.config)
        self.longest = longest(made)
        self._writers.clear()
        return {
            "examples": len(support),
            "too_long": len(made) - len(fitting),
            "held_out": len(held),
            "steps": found.steps,
            "held_out_loss_before": found.before,
            "held_out_loss": found.after,
            "reading": "prefix" if self.layout.prefix else "causal",
            "segments": 2 if self.layout.segments else 1,
        }

    def forward(self, encoded: EncodedTexts) -> Tensor:
        """Return the logits of the first token that is written for each text, (B, V)."""
        return self._writer(encoded).first_logits(self._sources(encoded))

    def loss(self, encoded: EncodedTexts, targets: Sequence[Any]) -> Tensor:
        """Return the mean of −log p over the tokens of all references; targets are `Wanted`."""
        writer, sources = self._writer(encoded), self._sources(encoded)
        pairs = [
            (source, text)
            for source, target in zip(sources, targets, strict=True)
            for text in target.references
        ]
        rows = writer.tokens.pairs(
            [source for source, _ in pairs], [text for _, text in pairs], writer.layout
        )
        return writer.loss(rows)

    def decode(self, encoded: EncodedTexts) -> list[Prediction]:
        """Write a text for each text, with the triples of the graph that it was written from."""
        facts = self._facts(encoded)
        written = self._writer(encoded).write(self._sources(encoded, facts), self.text_rules)
        return [
            Prediction(*ranked[0], tuple(ranked[:RANKED]), tuple((fact.number, fact.weight) for fact in own))
            for ranked, own in zip(written, facts, strict=True)
        ]

    def support_of(self, encoded: EncodedTexts, value: Any) -> list[float]:
        """Return how probable the text `value` is to be written for each text."""
        sources = self._sources(encoded)
        return self._writer(encoded).score(sources, [value] * len(sources))

    def value_of(self, target: Any) -> str:
        """Return the first of the texts that are right."""
        first: str = target.references[0]
        return first

    def metrics(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> dict[str, float]:
        """Judge texts by BLEU, chrF and ROUGE, and by their names.

        `names` is, of the names of the triples that a reference writes exactly, the share that the text has
        exactly; `names_of_all` is the share of all names. Each is 1 where there are no such names.
        """
        texts = [prediction.value for prediction in predictions]
        found = text_metrics(texts, [target.references for target in targets])
        written, kept, every = 0, 0, 0
        everywhere = 0
        for text, target in zip(texts, targets, strict=True):
            for name in target.names:
                has = contains(text, name)
                possible = any(contains(reference, name) for reference in target.references)
                written, kept = written + possible, kept + (possible and has)
                every, everywhere = every + 1, everywhere + has
        shares = (kept / written if written else 1.0, everywhere / every if every else 1.0)
        return {**found, **dict(zip(NAMES, shares, strict=True))}

    def train(self, mode: bool = True) -> GenerationHead:
        """Set training or evaluation mode."""
        if hasattr(self, "_writers"):
            self._writers.clear()
        return super().train(mode)

    def _writer(self, encoded: EncodedTexts) -> Writer:
        """Return what writes with the encoder that read the texts, made once for each encoder."""
        encoder = encoded.encoder
        if not isinstance(encoder, TextEncoder):
            raise UsageError(
                "this head writes with the encoder's own trunk, and one of transformers does not give it",
                hint="load it with `TextEncoder.from_pretrained`, if it is of a family known there",
            )
        for known, writer in self._writers:
            if known is encoder:
                return writer
        trunk, head = encoder.language_model()
        if self.adapter is not None:
            trunk = self.adapter.merged(trunk).eval()
        tokens = SourceTokens(encoder.tokenizer.to_json(), trunk.config.max_positions)
        shape = (self.layout, self.longest, self.beams, self.orders)
        self._writers = [(encoder, Writer(trunk, head, tokens, *shape))]
        return self._writers[0][1]

    def _sources(self, encoded: EncodedTexts, facts: Sequence[Sequence[Fact]] | None = None) -> list[Source]:
        tokens, facts = self._writer(encoded).tokens, facts or self._facts(encoded)
        return [
            tokens.source(text, [fact.triple for fact in own])
            for text, own in zip(encoded.texts, facts, strict=True)
        ]

    def _facts(self, encoded: EncodedTexts) -> list[list[Fact]]:
        if self.knowledge is None:
            return [[] for _ in encoded.texts]
        return [
            [] if read_triples(text)[1] else linked_facts(self.knowledge, mentions, without)
            for text, mentions, without in zip(encoded.texts, encoded.mentions, encoded.without, strict=True)
        ]

    @staticmethod
    def _best_layout(writer: Writer, rows: Any) -> PairLayout:
        """Return the layout in which the rows are likeliest, before anything is learned from them."""
        losses = {}
        for layout in LAYOUTS:
            if layout.segments and writer.trunk.config.token_types < 2:
                continue
            fitting = [row for row in rows(layout) if writer.tokens.fits(row, layout)]
            if fitting:
                losses[layout] = mean_loss(replace(writer, layout=layout), fitting)
        return min(losses, key=lambda layout: losses[layout], default=LAYOUTS[-1])


def longest(rows: Sequence[Pair]) -> int:
    """Return how many tokens a text may have, judging by the targets of some rows."""
    return int(MARGIN * max(len(row.target) for row in rows)) + SPARE


def _held_out(count: int) -> set[int]:
    """Return which of the support set's examples are held out: none of a single one."""
    wanted = max(1, int(HELD_OUT * count)) if count > 1 else 0
    return set(random.Random(0).sample(range(count), wanted))


def _triples(record: Record) -> list[Triple]:
    """Return the triples of a line."""
    given = record.fields["triples"]
    if not isinstance(given, list):
        raise record.error(f"'triples' must be a list of [head, relation, tail], found {given!r:.80}")
    triples = []
    for number, triple in enumerate(given, start=1):
        names = triple if isinstance(triple, list) else []
        whole = len(names) == 3 and all(
            isinstance(name, str) and name.strip() and is_text(name) for name in names
        )
        if not whole:
            raise record.error(
                f"triple {number} must be [head, relation, tail], three texts, found {triple!r:.80}"
            )
        triples.append((names[0], names[1], names[2]))
    return triples

"""Sources to texts and back: a trunk, its output and its tokenizer, as the generation head uses them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from roots_kg.adaptation.generation.slots import Source, contains, slots_of
from roots_kg.encoding.decoding.config import GenerationConfig
from roots_kg.encoding.decoding.reader import CausalReader
from roots_kg.encoding.decoding.text import Continuation, TextCodec
from roots_kg.encoding.decoding.text_rules import TextChecks, TextRule
from roots_kg.encoding.generation import generate_tokens
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.pairs import (
    Pair,
    PairLayout,
    Sources,
    batch_pairs,
    log_probabilities,
    make_pair,
    parts_of_similar_length,
    target_states,
)
from roots_kg.encoding.transformer import Transformer
from roots_kg.errors import UsageError

__all__ = ["SourceTokens", "Writer"]

TOKENS_AT_A_TIME = 16_384  # of which the keys and values are kept at once

NAMED = 1.5
"""What a text gains in beam search for each name of its triples that it writes, in nats."""

CHOSEN = 3.0
"""The same where the best of the texts that were found is chosen."""

FOUND = 3
"""The texts that are taken from each of several orders."""


class SourceTokens:
    """Sources and targets to rows of tokens.

    Args:
        tokenizer: in the JSON of the library tokenizers.
        positions: the most tokens of a row, or of each of its segments.

    `slots` are the tokens that may stand for names, `slot_ids` their numbers.

    Raises:
        UsageError: if the tokenizer has no token that ends a text.
    """

    def __init__(self, tokenizer: str, positions: int) -> None:
        self.codec, self.slots, self.positions = TextCodec(tokenizer), slots_of(tokenizer), positions
        self.slot_ids = [ids[0] for ids in self._ids(self.slots)]
        if self.codec.end_id is None:
            raise UsageError(
                "this encoder's tokenizer has no token that ends a text, so it cannot tell where one stops",
                hint="use another encoder",
            )

    def source(self, text: str, more: Sequence[tuple[str, str, str]] = ()) -> Source:
        """Read a source text; see `Source.read`."""
        return Source.read(text, self.slots, more)

    def pairs(
        self,
        sources: Sequence[Source],
        targets: Sequence[str],
        layout: PairLayout,
        *,
        loosely: bool = False,
    ) -> list[Pair]:
        """Return a row for each source and its target, in which slots stand for names; see `Source.hide`."""
        written = [
            source.hide(target, loosely=loosely) for source, target in zip(sources, targets, strict=True)
        ]
        read, following = self._ids([source.prompt for source in sources]), self._ids(written)
        start, end = self.codec.start_id, self._end
        return [
            make_pair(source, target, layout, start, end)
            for source, target in zip(read, following, strict=True)
        ]

    def fits(self, row: Pair, layout: PairLayout) -> bool:
        """Tell whether the trunk has a position for each token of a row."""
        if layout.segments:
            return max(len(row.source), len(row.target)) <= self.positions
        return len(row) <= self.positions

    def forbidden(self, vocab_size: int) -> Tensor:
        """Return which tokens are never written, (V,)."""
        forbidden = self.codec.forbidden(vocab_size)
        forbidden[self.slot_ids] = False
        return forbidden

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of the tokens of a target, without white space around it."""
        decoded = Continuation(self.codec, "", [], ())
        return ("".join(map(decoded.add, ids)) + decoded.finish()).strip()

    @property
    def _end(self) -> int:
        assert self.codec.end_id is not None
        return self.codec.end_id

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return self.codec.tokens(texts)


@dataclass(frozen=True)
class Writer:
    """Writes texts for sources.

    Args:
        trunk: the trunk.
        head: its output.
        tokens: sources and targets to tokens.
        layout: how the trunk reads the two together.
        longest: the most tokens that are written.
        beams: continuations that beam search follows at once.
        orders: in how many orders of its triples a source is read. Texts are written from each, and judged by
            the mean of their log-probabilities over all of them, as by an ensemble.
    """

    trunk: Transformer
    head: LanguageModelHead
    tokens: SourceTokens
    layout: PairLayout
    longest: int
    beams: int
    orders: int = 1

    @torch.inference_mode()
    def write(
        self, sources: Sequence[Source], text_rules: Sequence[TextRule] = ()
    ) -> list[list[tuple[str, float]]]:
        """Return for each source the best texts with their probabilities, best first, without repeats.

        The probability is that of `score`. What is best is the likeliest as a whole, where each name that it
        writes counts for `CHOSEN` nats; texts that are likelier are not among those that follow it. Rules are
        asked about texts with the names in their slots.
        """
        if not sources:
            return []
        ordered = [(number, each) for number, source in enumerate(sources) for each in self._orders(source)]
        written = self._search([each for _, each in ordered], text_rules)
        found: list[list[str]] = [[] for _ in sources]
        for (number, _), texts in zip(ordered, written, strict=True):
            found[number] += texts if self.orders == 1 else texts[:FOUND]
        return self._ranked(sources, [list(dict.fromkeys(texts)) for texts in found])

    def _orders(self, source: Source) -> list[Source]:
        """Return a source with its triples in several orders, its own first, none twice."""
        draw = random.Random(source.prompt)
        others = [source.reordered(draw) for _ in range(self.orders - 1)] if len(source.triples) > 1 else []
        return list(dict.fromkeys([source, *others]))

    def _search(self, sources: Sequence[Source], text_rules: Sequence[TextRule]) -> list[list[str]]:
        """Return what beam search finds for each source, best first."""
        rows = self._prompts(sources)
        limits = [self._limit(row) for row in rows]
        config = GenerationConfig(num_beams=self.beams, num_return_sequences=self.beams, max_new_tokens=1)
        found: list[list[str]] = [[] for _ in sources]
        for part in parts_of_similar_length(rows, TOKENS_AT_A_TIME // (2 * self.beams)):
            written = generate_tokens(
                self.trunk,
                self.head,
                [rows[number].prompt for number in part],
                [limits[number] for number in part],
                config,
                end_id=self.tokens.codec.end_id,
                forbidden=self._forbidden,
                sources=Sources([len(rows[number].source) for number in part], self.layout),
                copied=self.tokens.slot_ids,
                checks=self._checks([sources[number] for number in part], text_rules),
                bonus=NAMED,
            )
            for number, continuations in zip(part, written, strict=True):
                found[number] = self._texts(sources[number], continuations)
        return found

    def _checks(self, sources: Sequence[Source], text_rules: Sequence[TextRule]) -> TextChecks | None:
        if not text_rules:
            return None

        def filled(number: int, text: str) -> str:
            return sources[number].fill(text.strip())

        return TextChecks(self.tokens.codec, text_rules, [("", [])] * len(sources), shown=filled)

    def score(self, sources: Sequence[Source], texts: Sequence[str]) -> list[float]:
        """Return how probable a text is to be written for a source.

        It is exp(log p / n), the geometric mean over the n tokens of the text and its end, which does not
        depend on how long a text is as the probability of the whole does; with several orders the mean of
        log p and n over them.
        """
        return [math.exp(total / count) for total, count in self._likelihoods(sources, texts)]

    @torch.inference_mode()
    def _likelihoods(self, sources: Sequence[Source], texts: Sequence[str]) -> list[tuple[float, float]]:
        """Return the log-probability of each text and its number of tokens, the means over the orders."""
        known = {source: self._orders(source) for source in dict.fromkeys(sources)}
        orders = [known[source] for source in sources]
        flat = [(each, text) for own, text in zip(orders, texts, strict=True) for each in own]
        rows = self.tokens.pairs([each for each, _ in flat], [text for _, text in flat], self.layout)
        found = iter(log_probabilities(self.trunk, self.head, rows, self.layout))
        means = []
        for own in orders:
            totals, counts = zip(*(next(found) for _ in own), strict=True)
            means.append((sum(totals) / len(own), sum(counts) / len(own)))
        return means

    def loss(self, rows: Sequence[Pair], smoothing: float = 0.0) -> Tensor:
        """Return the mean of −log p over the tokens that are written in some rows.

        Args:
            rows: at once in one batch.
            smoothing: the share of the probability that is spread over all tokens (label smoothing, Szegedy
                et al. 2016, arXiv:1512.00567, section 7).
        """
        embedding = self.trunk.token_embedding.weight
        batch = batch_pairs(rows).to(embedding.device)
        logits = self.head(target_states(self.trunk, batch, self.layout), embedding).float()
        return functional.cross_entropy(logits, batch.labels, label_smoothing=smoothing)

    def first_logits(self, sources: Sequence[Source]) -> Tensor:
        """Return the logits of the first token that is written, (B, V)."""
        if not sources:
            return torch.zeros(0, self.trunk.config.vocab_size)
        rows = self._prompts(sources)
        read = Sources([len(row.source) for row in rows], self.layout)
        return CausalReader(self.trunk, self.head, [row.prompt for row in rows], 1, read).logits

    def _prompts(self, sources: Sequence[Source]) -> list[Pair]:
        rows = self.tokens.pairs(sources, [""] * len(sources), self.layout)
        for number, row in enumerate(rows, start=1):
            if self._room(row) < 1:
                raise UsageError(
                    f"source {number} of {len(rows)} has {len(row.source)} tokens; this model reads and "
                    f"writes at most {self.tokens.positions}",
                    hint="shorten the source, or train a model with more max_positions",
                )
        return rows

    def _room(self, row: Pair) -> int:
        """Return how many tokens can be written after the prompt of a row."""
        positions = self.tokens.positions
        if self.layout.segments:
            return positions - row.given if len(row.source) <= positions else 0
        return positions - len(row.prompt)

    def _limit(self, row: Pair) -> int:
        return min(self.longest, self._room(row))

    @cached_property
    def _forbidden(self) -> Tensor:
        return self.tokens.forbidden(self.trunk.config.vocab_size)

    def _texts(self, source: Source, continuations: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts of tokens, without those that use a slot for which there is no name, if any is."""
        written = [self.tokens.text(ids) for ids in continuations]
        complete = [text for text in written if source.is_complete(text)] or written[:1]
        return list(dict.fromkeys(map(source.fill, complete)))

    def _ranked(
        self, sources: Sequence[Source], found: Sequence[Sequence[str]]
    ) -> list[list[tuple[str, float]]]:
        flat = [source for source, texts in zip(sources, found, strict=True) for _ in texts]
        likelihoods = iter(self._likelihoods(flat, [text for texts in found for text in texts]))
        ranked = []
        for source, texts in zip(sources, found, strict=True):
            named = bool(source.slots and source.names)
            judged: list[tuple[str, float]] = []
            merits = []
            for text in texts:
                total, count = next(likelihoods)
                judged.append((text, math.exp(total / count)))
                names = sum(contains(text, name) for name in source.names) if named else 0
                merits.append(total + CHOSEN * names if named else judged[-1][1])
            best = judged[merits.index(max(merits))]
            others = sorted(judged, key=lambda item: -item[1])
            ranked.append([best, *(each for each in others if each != best and each[1] <= best[1])])
        return ranked

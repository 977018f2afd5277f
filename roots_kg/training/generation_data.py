"""Examples of a generation task as rows of tokens, with a tokenizer that was trained on them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tokenizers

from roots_kg.adaptation.generation.slots import MOST_SLOTS, Source, add_slots, slot_tokens, without_slots
from roots_kg.adaptation.generation.writer import SourceTokens
from roots_kg.adaptation.heads.base import Example
from roots_kg.adaptation.heads.generation import Wanted
from roots_kg.encoding.pairs import Pair, PairLayout
from roots_kg.encoding.tokenizer_training import TokenizerConfig, train_tokenizer
from roots_kg.errors import TaskError

__all__ = ["LAYOUT", "Rows", "make_rows", "split", "train_pair_tokenizer"]

LAYOUT = PairLayout(prefix=True, segments=True)
"""How a model that is trained from nothing reads rows."""


@dataclass(frozen=True)
class Rows:
    """Examples as rows, one for each reference and order.

    Args:
        pairs: the rows that fit the trunk, in the order of the examples, and then in other orders of triples.
        sources: of the examples that have such a row.
        wanted: what is right for them.
        left_out: how many rows are too long in the first order.
    """

    pairs: list[Pair]
    sources: list[Source]
    wanted: list[Wanted]
    left_out: int


def split(examples: Sequence[Example], held_out: int, seed: int) -> tuple[list[Example], list[Example]]:
    """Hold out some examples, at most a tenth of them; return those to learn from, and those held out.

    Examples with the same source stay together, so that none is learned from that is judged.
    """
    by_text: dict[str, list[Example]] = {}
    for example in examples:
        by_text.setdefault(str(example.text), []).append(example)
    texts = list(by_text)
    if len(texts) < 2:
        raise TaskError(
            "there are too few different sources to hold one out",
            path=examples[0].record.path,
            hint="give more examples, or a validation file",
        )
    count = max(1, min(held_out, len(texts) // 10))
    chosen = set(random.Random(seed).sample(texts, count))
    return (
        [example for text in texts if text not in chosen for example in by_text[text]],
        [example for text in texts if text in chosen for example in by_text[text]],
    )


def train_pair_tokenizer(
    examples: Sequence[Example], config: TokenizerConfig, most_slots: int, path: Path
) -> tokenizers.Tokenizer:
    """Train a tokenizer on sources and targets together, give it slots, and write it to a file.

    Args:
        examples: to learn from.
        config: how; its `vocab_size` counts the slots.
        most_slots: how many slots there may be; no more than a source has names.
        path: the file.
    """
    plain = [Source.read(str(example.text), ()) for example in examples]
    count = min(most_slots, MOST_SLOTS, max((len(source.names) for source in plain), default=0))
    slots, texts = slot_tokens(count), []
    for example in examples:
        source = Source.read(str(example.text), slots)
        texts += [source.prompt, *(source.hide(text, loosely=True) for text in example.target.references)]
    smaller = TokenizerConfig(config.kind, config.vocab_size - count, config.min_frequency, config.lowercase)
    trained = train_tokenizer([without_slots(text, slots) for text in texts], smaller)
    add_slots(trained, count)
    trained.save(str(path))
    return trained


def make_rows(
    examples: Sequence[Example],
    tokens: SourceTokens,
    orders: int = 1,
    plain_names: float = 0.0,
    seed: int = 0,
) -> Rows:
    """Return examples as rows of tokens, without those that are too long.

    Args:
        examples: to learn from or to judge by.
        tokens: sources and targets to tokens.
        orders: in how many orders of its triples each comes; the first is its own, the others are drawn.
        plain_names: the share of the names that a target writes in other words that have no slots.
        seed: of what is drawn.

    Raises:
        TaskError: if none is left.
    """
    sources = [tokens.source(str(example.text)) for example in examples]
    owners = [number for number, example in enumerate(examples) for _ in example.target.references]
    targets = [text for example in examples for text in example.target.references]

    draw = random.Random(seed)

    def rows(ordered: Sequence[Source]) -> list[Pair]:
        asking = [ordered[owner] for owner in owners]
        if plain_names:
            asking = [
                source.asking_for(source.hide(target, loosely=True), plain_names, draw)
                for source, target in zip(asking, targets, strict=True)
            ]
        return tokens.pairs(asking, targets, LAYOUT, loosely=True)

    pairs = rows(sources)
    fitting = [number for number, row in enumerate(pairs) if tokens.fits(row, LAYOUT)]
    if not fitting:
        raise TaskError(
            f"every example is longer than the {tokens.positions} tokens that the model reads",
            path=examples[0].record.path,
            hint="raise max_positions of the model",
        )
    kept = sorted({owners[number] for number in fitting})
    others = [
        row
        for _ in range(orders - 1)
        for row in rows([source.reordered(draw) for source in sources])
        if tokens.fits(row, LAYOUT)
    ]
    return Rows(
        [*(pairs[number] for number in fitting), *others],
        [sources[owner] for owner in kept],
        [examples[owner].target for owner in kept],
        len(pairs) - len(fitting),
    )

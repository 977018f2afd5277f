"""Names that come out exactly: in a target they are slots, which are filled with the names at the end.

A slot is one token, whatever the name that it stands for, so a name that was never seen is copied as surely
as one that was (delexicalisation, as in the baseline of the WebNLG challenge, Gardent et al. 2017; copying by
numbered slots, Gulcehre et al. 2016, arXiv:1603.08148, in spirit). In the source a name stands with its slot
where it comes first, so that what it is called is known too, and the slot stands alone after that.

A name that a target writes in other words ("American" for "United States") may stand in the source without
its slot. A model that learns from such sources takes a slot as a request to copy: where a share p of these
names have none, the odds that a name with a slot is copied rise by 1 / (1 − p).
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import tokenizers

from roots_kg.adaptation.generation.triples import Triple, read_triples, relation_words, surface
from roots_kg.encoding.tokenization import library_tokenizer

__all__ = ["MOST_SLOTS", "Source", "add_slots", "contains", "slot_tokens", "slots_of", "without_slots"]

MOST_SLOTS = 32
"""How many names of one source can be copied."""

_SLOT = "[slot{}]"
_WORD = re.compile(r"(?<!\w)\d+\.0+(?!\w)|\w+")


def slot_tokens(count: int) -> tuple[str, ...]:
    """Return the first `count` slots."""
    return tuple(_SLOT.format(number) for number in range(count))


def add_slots(tokenizer: tokenizers.Tokenizer, count: int) -> None:
    """Give a tokenizer `count` tokens that stand for names, in place."""
    tokens = slot_tokens(count)
    tokenizer.add_tokens([tokenizers.AddedToken(token, normalized=False, special=False) for token in tokens])


def slots_of(tokenizer: str) -> tuple[str, ...]:
    """Return the slots that `add_slots` gave a tokenizer, here in JSON, in order; it may have none."""
    library = library_tokenizer(tokenizer)
    return tuple(token for token in slot_tokens(MOST_SLOTS) if library.token_to_id(token) is not None)


def contains(text: str, name: str) -> bool:
    """Tell whether a name stands in a text exactly, and not within a longer word."""
    return _pattern([name]).search(text) is not None


@dataclass(frozen=True)
class Source:
    """What a text is written from, and the names in it that can be copied.

    Args:
        text: the source without its triples.
        triples: of it.
        slots: the tokens that may stand for names, in order.
        plain: the names that stand in the prompt without their slots.
    """

    text: str
    triples: tuple[Triple, ...]
    slots: tuple[str, ...]
    plain: frozenset[str] = frozenset()

    @classmethod
    def read(cls, text: str, slots: tuple[str, ...], more: Sequence[Triple] = ()) -> Source:
        """Read a text with lines of triples in it, and add more triples."""
        text, triples = read_triples(without_slots(text, slots))
        return cls(text, tuple(dict.fromkeys([*triples, *more])), slots)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the triples, as they stand in a sentence, in order and without repeats."""
        found = [surface(name) for head, _, tail in self.triples for name in (head, tail)]
        return tuple(dict.fromkeys(found))

    @cached_property
    def prompt(self) -> str:
        """The text that the trunk reads: the source, then each triple as a line, with names marked."""
        lines = [
            " | ".join((surface(head), relation_words(relation), surface(tail)))
            for head, relation, tail in self.triples
        ]
        parts = [self.text] if self.text else []
        return self._replaced("\n".join([*parts, *lines]), named=True)

    def hide(self, target: str, *, loosely: bool = False) -> str:
        """Put slots in place of the names that stand in a target.

        Args:
            target: the text.
            loosely: take a name for itself too where it is written with other accents or punctuation, or, if
                it has several words, other capitals. A model that learns from such targets writes names as
                they are in the triples.
        """
        target = without_slots(target, self.slots)
        if not loosely or not self._slot_of:
            return self._replaced(target, named=False)
        slots, pattern = self._loose
        return pattern.sub(lambda found: slots[(found.lastindex or 1) - 1], target)

    def reordered(self, draw: random.Random) -> Source:
        """Return the same source with its triples, and so its slots, in another order."""
        return replace(self, triples=tuple(draw.sample(self.triples, len(self.triples))))

    def asking_for(self, hidden: str, share: float, draw: random.Random) -> Source:
        """Return the same source, in whose prompt some names have no slots.

        Args:
            hidden: a target as `hide` returns it; names whose slots are in it keep them.
            share: of the other names, how many lose theirs, in the mean.
            draw: which.
        """
        absent = [name for name, slot in self._slot_of.items() if slot not in hidden]
        return replace(self, plain=frozenset(name for name in absent if draw.random() < share))

    def fill(self, written: str) -> str:
        """Put the names in place of their slots; a slot without a name goes.

        Without slots, names that are there in other capitals, as of a tokenizer without any, get their own.
        """
        if self.slots:
            names = dict(zip(self.slots, self.names, strict=False))
            return re.sub(
                "|".join(map(re.escape, self.slots)), lambda found: names.get(found[0], ""), written
            )
        folded = {name.casefold(): name for name in reversed(self.names)}
        if not folded:
            return written
        pattern = re.compile(_pattern(self.names).pattern, re.IGNORECASE)
        return pattern.sub(lambda found: folded.get(found[0].casefold(), found[0]), written)

    def is_complete(self, written: str) -> bool:
        """Tell whether there is a name for every slot in what was written."""
        return not any(slot in written for slot in self.slots[len(self.names) :])

    @cached_property
    def _slot_of(self) -> dict[str, str]:
        return dict(zip(self.names, self.slots, strict=False))

    @cached_property
    def _loose(self) -> tuple[list[str], re.Pattern[str]]:
        """Slots, and a pattern with a group for each of them."""
        names = sorted(self._slot_of, key=lambda name: (-len(name), name))
        pattern = re.compile("|".join(f"({_loosely(name)})" for name in names))
        return [self._slot_of[name] for name in names], pattern

    def _replaced(self, text: str, *, named: bool) -> str:
        slots = self._slot_of
        seen: set[str] = set()

        def replace(found: re.Match[str]) -> str:
            name, slot = found[0], slots[found[0]]
            if named and name in self.plain:
                return name
            shown = f"{slot} {name}" if named and name not in seen else slot
            seen.add(name)
            return shown

        return _pattern(slots).sub(replace, text) if slots else text


def _pattern(names: Sequence[str] | dict[str, str]) -> re.Pattern[str]:
    """Return what finds names, the longest first, that are no parts of longer words."""
    ordered = sorted(names, key=lambda name: (-len(name), name))
    return re.compile("|".join(map(_bounded, ordered)))


def _bounded(name: str) -> str:
    before = r"(?<!\w)" if re.match(r"\w", name) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", name) else ""
    return before + re.escape(name) + after


def _loosely(name: str) -> str:
    """Return what finds a name that is written a little otherwise, see `Source.hide`."""
    words = list(_WORD.finditer(name))
    if not words:
        return _bounded(name)
    found = _loose_word(words[0][0])
    for before, word in pairwise(words):
        between = name[before.end() : word.start()]
        numbers = before[0][-1].isdigit() and word[0][0].isdigit()
        found += re.escape(between) if numbers else rf"[\W_]{{0,{max(3, len(between))}}}"
        found += _loose_word(word[0])
    if len(words) > 1:
        found = f"(?i:{found})"
    ends = rf"(?:{re.escape(name[words[-1].end() :])})?"
    return rf"(?<!\w){found}(?!\w){ends}"


def _loose_word(word: str) -> str:
    """Return what finds a word with its accents or without, or a number with its ".0" or without."""
    if "." in word:
        whole, _, zeros = word.partition(".")
        return rf"{whole}(?:\.{zeros})?(?!\.\d)"
    plain = [unicodedata.normalize("NFD", letter)[0] for letter in word]
    return "".join(
        f"[{letter}{base}]" if letter != base and base.isalnum() else re.escape(letter)
        for letter, base in zip(word, plain, strict=True)
    )


def without_slots(text: str, slots: Sequence[str]) -> str:
    """Return a text without what looks like a slot in it."""
    return re.sub("|".join(map(re.escape, slots)), " ", text) if slots else text

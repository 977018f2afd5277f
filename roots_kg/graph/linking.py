"""Mentions of a graph's entities in text: longest match over names and aliases, then a choice by score.

Names and texts are cut into words alike (`roots_kg.graph.words`), and every name that stands in a text as
words is found by one pass of an automaton over many texts (Aho and Corasick 1975), linear in their length and
in what is found. Of names that overlap, those that are written like names come first, then the leftmost, then
the longest: "films directed by John Ford" mentions John Ford, and not the film "Directed by John Ford".
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from ahocorasick_rs import BytesAhoCorasick

from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.graph.words import BREAK, FUNCTION_WORDS, MARK, cut, has_case

__all__ = ["FUNCTION_WORDS", "NO_LINK", "Link", "Linker", "Mention", "Name", "names_of", "strongest"]

NO_LINK = 0.5
"""The score of "no link": a mention none of whose candidates scores higher is dropped."""

WORD_AS_WRITTEN, OTHER_CASE, LOWERED = 0.1, 0.2, 0.4
CAPITALISED_FUNCTION_WORD, FUNCTION_WORD, ALIAS = 0.7, 0.3, 0.95

CHARACTERS_AT_ONCE = 1 << 16
LOOK_BACK = 8

_Span = tuple[int, int, int]
"""Where a match starts and ends in its text, and its pattern."""

_SENTENCE_START = re.compile(r"(?:^|[.!?:…。！？\n])[\s\"'“”‘’«»„()\[\]*-]*$")


@dataclass(frozen=True, slots=True)
class Link:
    """A mention resolved to one entity.

    Args:
        start: the mention's first character in the text.
        end: the character after its last.
        text: the mention as it stands in the text.
        entity_id: the entity.
        score: how good the match is, in (0, 1].
    """

    start: int
    end: int
    text: str
    entity_id: int
    score: float


@dataclass(frozen=True, slots=True)
class Mention:
    """A span of text and the entities it may refer to, best first; at least one."""

    candidates: tuple[Link, ...]

    @property
    def best(self) -> Link:
        """The candidate with the highest score."""
        return self.candidates[0]


def strongest(mentions: Sequence[Mention]) -> Mention | None:
    """Return the mention with the highest score; of equal ones the longest, then the first; None of none."""
    return max(mentions, key=lambda mention: (mention.best.score, len(mention.best.text)), default=None)


@dataclass(frozen=True, slots=True)
class Name:
    """A name of one entity, as it is written; a mention of it scores at most `factor`."""

    entity_id: int
    written: str
    factor: float


def names_of(graph: KnowledgeGraph) -> list[Name]:
    """Return the names, aliases and keys of a graph's entities that a text could mention.

    Those without a letter, a digit or a symbol beyond ASCII are left out.
    """
    names: list[Name] = []
    for entity_id, key in enumerate(graph.entities):
        first = graph.name(entity_id)
        for alias in dict.fromkeys((*graph.aliases.get(key, ()), key)):
            if any(map(_is_meaningful, alias)):
                names.append(Name(entity_id, alias, 1.0 if alias in (key, first) else ALIAS))
    return names


@dataclass(frozen=True)
class _Pattern:
    """Names that are the same words, as they are looked for."""

    names: tuple[Name, ...]
    words: bytes

    @cached_property
    def content(self) -> int:
        """How many of the words are no function words."""
        return _content_words(self.words)

    def as_written(self, name: Name) -> float:
        """Return the score of a mention that is written exactly like one of the names."""
        return name.factor * (1.0 - WORD_AS_WRITTEN / self.content if name.written.islower() else 1.0)


class Linker:
    """Finds mentions of the entities of one graph.

    A mention scores 1 − p / w, where w is how many of its words are no function words and p is

    * 0, written exactly like a name that has a capital or is of a script without case;
    * 0.1, written like a name all in lower case, which may be no more than a word;
    * 0.4, without a capital that the name has, in a text that writes others;
    * 0.2, otherwise not written like the name.

    If all its words are function words it scores 0.7, if it is written like the name, with a capital where
    that means something (not at the beginning of a sentence nor in a text all in capitals), and else 0.3. A
    name that is not the entity's first, nor its key, counts 0.95 of that. What scores 0.5 or less is no link.

    Names without a letter, a digit or a symbol beyond ASCII are not looked for.

    Args:
        graph: whose names and aliases are looked for.
    """

    def __init__(self, graph: KnowledgeGraph) -> None:
        self.graph = graph
        names: dict[bytes, list[Name]] = {}
        for pattern, name in _patterns(names_of(graph)):
            names.setdefault(pattern, []).append(name)
        self._patterns = [_Pattern(tuple(found), pattern) for pattern, found in names.items()]
        self._automaton = BytesAhoCorasick(list(names))

    def link(self, text: str) -> list[Mention]:
        """Return the mentions in `text`, from left to right, none overlapping another."""
        return self.link_all([text])[0]

    def link_all(self, texts: Sequence[str]) -> list[list[Mention]]:
        """Return the mentions in each of N texts; many at once take less time than one by one."""
        found: list[list[Mention]] = [[] for _ in texts]
        for numbers in _portions(texts):
            self._link([texts[number] for number in numbers], [found[number] for number in numbers])
        return found

    def _link(self, texts: Sequence[str], found: Sequence[list[Mention]]) -> None:
        words = cut(texts)
        matches = self._automaton.find_matches_as_indexes(words.haystack, overlapping=True)
        if not matches:
            return
        pattern, begin, end = np.array(matches, dtype=np.int64).T
        first, last = np.searchsorted(words.mark, begin), np.searchsorted(words.mark, end - 1) - 1
        order = np.lexsort((-last, first))
        pattern, first, last = pattern[order], first[order], last[order]
        columns = words.start[first], words.end[last], pattern
        spans = list(zip(*[column.tolist() for column in columns], strict=True))
        apart = np.flatnonzero(first[1:] > np.maximum.accumulate(last)[:-1]) + 1
        bounds = [0, *apart.tolist(), len(spans)]
        owners = words.text[first[bounds[:-1]]].tolist()
        number, reading = -1, _Reading("")
        for owner, low, high in zip(owners, bounds, bounds[1:], strict=False):
            if owner != number:
                number, reading = owner, _Reading(texts[owner])
            if high - low > 1:
                found[owner].extend(self._chosen(reading, spans[low:high]))
            elif candidates := self._candidates(reading, *spans[low]):
                found[owner].append(Mention(candidates))

    def _chosen(self, reading: _Reading, spans: Sequence[_Span]) -> list[Mention]:
        """Choose among spans that overlap, those first that are written like names."""

        def precedence(span: _Span) -> tuple[bool, int, int]:
            start, end, pattern = span
            names = self._patterns[pattern].names
            return not _is_written_like_a_name(reading.text[start:end], names), start, -end

        first = spans[0]
        if reading.text[first[0]].isupper() and all(end <= first[1] for _, end, _ in spans):
            candidates = self._candidates(reading, *first)
            if candidates:  # the common case: it comes before all others, and they are within it
                return [Mention(candidates)]
        starts: list[int] = []
        chosen: list[Mention] = []
        for start, end, pattern in sorted(spans, key=precedence):
            at = bisect_left(starts, start)
            behind = at > 0 and chosen[at - 1].best.end > start
            before = at < len(starts) and starts[at] < end
            if not (behind or before) and (candidates := self._candidates(reading, start, end, pattern)):
                starts.insert(at, start)
                chosen.insert(at, Mention(candidates))
        return chosen

    def _candidates(self, reading: _Reading, start: int, end: int, number: int) -> tuple[Link, ...]:
        surface, pattern = reading.text[start:end], self._patterns[number]
        name = pattern.names[0]
        if len(pattern.names) == 1 and surface == name.written and pattern.content:  # the common case
            return (Link(start, end, surface, name.entity_id, pattern.as_written(name)),)
        written = surface if surface.isascii() else unicodedata.normalize("NFKC", surface)
        best: dict[int, float] = {}
        for name in pattern.names:
            if not pattern.content:
                alike = reading.is_capitalised_like(written, start, name.written)
                score = CAPITALISED_FUNCTION_WORD if alike else FUNCTION_WORD
                score *= name.factor
            elif written == name.written:
                score = pattern.as_written(name)
            elif written.islower() and reading.has_case and not name.written.islower():
                score = name.factor * (1.0 - LOWERED / pattern.content)
            else:
                score = name.factor * (1.0 - OTHER_CASE / pattern.content)
            if score > best.get(name.entity_id, NO_LINK):
                best[name.entity_id] = score
        ranked: Sequence[int] = list(best)
        if len(best) > 1:
            degree = self.graph.adjacency.start
            ranked = sorted(
                best, key=lambda entity: (-best[entity], degree[entity] - degree[entity + 1], entity)
            )
        return tuple([Link(start, end, surface, entity, best[entity]) for entity in ranked])


class _Reading:
    """What the case of letters says in one text; looked at only where it matters."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._has_case: bool | None = None
        self._all_capitals: bool | None = None

    @property
    def has_case(self) -> bool:
        """Whether case says something in the text."""
        if self._has_case is None:
            self._has_case = has_case(self.text)
        return self._has_case

    def is_capitalised_like(self, written: str, start: int, name: str) -> bool:
        """Whether what is written at `start` is like a name, with a capital that is there for the name."""
        if self._all_capitals is None:
            self._all_capitals = self.text.isupper() and len(self.text.split()) > 1
        if self._all_capitals or written == written.lower():
            return False
        if _SENTENCE_START.search(self.text[max(0, start - LOOK_BACK) : start]):
            return written[1:] == name[1:] and written[1:] != written[1:].lower()
        return written == name


def _portions(texts: Sequence[str]) -> Iterator[list[int]]:
    """Yield the numbers of texts that are looked at together: ASCII or not, and not too much at once."""
    for ascii_only in (True, False):
        portion: list[int] = []
        size = 0
        for number, text in enumerate(texts):
            if text.isascii() is ascii_only:
                portion.append(number)
                size += len(text)
                if size > CHARACTERS_AT_ONCE:
                    yield portion
                    portion, size = [], 0
        if portion:
            yield portion


def _patterns(names: Sequence[Name]) -> Iterator[tuple[bytes, Name]]:
    """Yield names, normalised, each with the words to look for."""
    for numbers in _portions([name.written for name in names]):
        patterns = cut([names[number].written for number in numbers]).haystack.split(BREAK)
        for number, pattern in zip(numbers, patterns, strict=True):
            name = names[number]
            written = unicodedata.normalize("NFKC", name.written)
            yield pattern, name if written == name.written else replace(name, written=written)


def _is_meaningful(sign: str) -> bool:
    """Whether a character makes a name of what it stands in."""
    return sign.isalnum() or (not sign.isascii() and unicodedata.category(sign)[0] == "S")


def _content_words(pattern: bytes) -> int:
    """Count the words that are no function words; of signs alone, one."""
    words = [word.decode("utf-8", "surrogatepass") for word in pattern.strip(MARK).split(MARK)]
    words = [word for word in words if any(map(str.isalnum, word))]
    return sum(word not in FUNCTION_WORDS for word in words) if words else 1


def _is_written_like_a_name(surface: str, names: Sequence[Name]) -> bool:
    """Whether a mention begins with a capital, or is written exactly like a name that has one further on."""
    if next((sign for sign in surface if sign.isalnum()), "").isupper():
        return True
    return surface != surface.lower() and any(surface == name.written for name in names)

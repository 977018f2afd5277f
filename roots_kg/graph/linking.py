"""Mentions of a graph's entities in text: longest match over names and aliases, then a choice by score.

Names and texts are cut into words and normalised alike (Unicode NFKC, case folded, one form for
apostrophes and dashes), so that a match always begins and ends at a word boundary. Matching is
Aho-Corasick, leftmost-longest (Aho and Corasick 1975), linear in the length of the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from ahocorasick_rs import AhoCorasick, MatchKind

from roots_kg.graph.triples import KnowledgeGraph

__all__ = ["Link", "Linker", "Mention"]

NO_LINK = 0.5
"""The score of "no link": a mention none of whose candidates scores higher is dropped."""

CASE_MISMATCH, CAPITALISED_FUNCTION_WORD, FUNCTION_WORD, ALIAS = 0.8, 0.7, 0.3, 0.95

# Scripts that put no space between words, combining marks, and an apostrophe that Unicode counts as a letter.
_SPACELESS = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_MARK = "".join(chr(code) for code in range(0x300, 0x1E900) if unicodedata.category(chr(code))[0] == "M")
_APART = f"ʼ{_SPACELESS}"
_WORD = re.compile(
    rf"[{_SPACELESS}][{_MARK}]*"  # written without spaces
    rf"|[^\W_{_APART}](?:[^\W_{_APART}]|[{_MARK}])*"
    r"|[^\w\s]|[_ʼ]"
)
_SAME = str.maketrans(
    {"’": "'", "‘": "'", "ʼ": "'", "`": "'", "–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-"}
)
_BEGIN, _END = "\x02", "\x03"

FUNCTION_WORDS = frozenset(
    "a about after all also am an and any are as at be because been before being between both but by can "
    "could did do does done for from had has have having he her here hers him his how i if in into is it "
    "its just like made make me more most my no nor not now of off on once one only or other our out over "
    "own same she should so some such than that the their them then there these they this those through "
    "to too under until up us very was we were what when where which while who whom whose why will with "
    "would you your".split()
)


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Mention:
    """A span of text and the entities it may refer to, best first; at least one."""

    candidates: tuple[Link, ...]

    @property
    def best(self) -> Link:
        """The candidate with the highest score."""
        return self.candidates[0]


class Linker:
    """Finds mentions of the entities of one graph.

    Args:
        graph: whose names and aliases are looked for.
    """

    def __init__(self, graph: KnowledgeGraph) -> None:
        self.graph = graph
        names: dict[str, list[tuple[int, str, bool]]] = {}
        for entity_id, key in enumerate(graph.entities):
            for alias in dict.fromkeys((*graph.aliases.get(key, ()), key)):
                pattern = "".join(_wrapped(alias))
                if pattern:
                    is_name = alias in (key, graph.name(entity_id))
                    names.setdefault(pattern, []).append((entity_id, alias, is_name))
        self._names = list(names.values())
        self._automaton = AhoCorasick(list(names), matchkind=MatchKind.LeftmostLongest)

    def link(self, text: str) -> list[Mention]:
        """Return the mentions in `text`, from left to right, none overlapping another."""
        starts, ends, words = _words(text)
        wrapped = [_wrap(word) for word in words]
        position_of = {}
        position = 0
        for index, word in enumerate(wrapped):
            position_of[position] = index
            position += len(word)
        position_of[position] = len(wrapped)
        mentions = []
        for pattern, begin, end in self._automaton.find_matches_as_indexes("".join(wrapped)):
            start, stop = starts[position_of[begin]], ends[position_of[end] - 1]
            candidates = self._candidates(text[start:stop], start, pattern)
            if candidates:
                mentions.append(Mention(tuple(candidates)))
        return mentions

    def _candidates(self, surface: str, start: int, pattern: int) -> list[Link]:
        best: dict[int, float] = {}
        for entity_id, alias, is_name in self._names[pattern]:
            score = _score(surface, alias, start) * (1.0 if is_name else ALIAS)
            if score > max(best.get(entity_id, 0.0), NO_LINK):
                best[entity_id] = score
        degree = self.graph.adjacency.start
        ranked = sorted(best, key=lambda entity: (-best[entity], degree[entity] - degree[entity + 1], entity))
        return [Link(start, start + len(surface), surface, entity, best[entity]) for entity in ranked]


def _score(surface: str, alias: str, start: int) -> float:
    """How well a mention that begins at `start` fits a name that it equals after normalisation."""
    same_case = unicodedata.normalize("NFKC", surface) == unicodedata.normalize("NFKC", alias)
    if surface.casefold() in FUNCTION_WORDS:
        return CAPITALISED_FUNCTION_WORD if same_case and start and surface[0].isupper() else FUNCTION_WORD
    return 1.0 if same_case else CASE_MISMATCH


def _words(text: str) -> tuple[list[int], list[int], list[str]]:
    """Return where the words of `text` start and end, and their normalised forms."""
    matches = list(_WORD.finditer(text))
    words = [_normalise(match.group()) for match in matches]
    return [match.start() for match in matches], [match.end() for match in matches], words


def _normalise(word: str) -> str:
    if word.isascii() and word != "`":  # the common case, and the fast one
        return word.casefold()
    return unicodedata.normalize("NFKC", word.translate(_SAME)).casefold()


def _wrap(word: str) -> str:
    return f"{_BEGIN}{word}{_END}"


def _wrapped(text: str) -> Sequence[str]:
    return [_wrap(word) for word in _words(text)[2]]

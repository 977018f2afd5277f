"""Texts cut into normalised words, many texts at once, as bytes that an automaton can search.

A word is a run of letters and digits with their combining marks, or a single character of a script that is
written without spaces, or a single sign. Words are normalised alike: Unicode NFKC, case folded, one form for
apostrophes and dashes. They are laid out with a mark before and behind each, so that what begins and ends
with a mark begins and ends at a word boundary; the marks and the break between texts are bytes that UTF-8
never holds. ASCII texts are cut by table look-ups over all of them together, others word by word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from roots_kg.graph.triples import Ids

__all__ = ["BREAK", "FUNCTION_WORDS", "MARK", "Words", "cut", "has_case"]

MARK, BREAK = b"\xff", b"\xfe"

# Scripts that put no space between words, and an apostrophe that Unicode counts as a letter.
_SPACELESS = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_APART = f"ʼ{_SPACELESS}"

# Where Unicode has combining marks, below U+1E900; looking through the rest as well takes twice as long.
_MARKS: tuple[tuple[int, int], ...] = (
    (0x300, 0x3100),
    (0xA660, 0xAC00),
    (0xFB00, 0xFE30),
    (0x10000, 0x12000),
    (0x13430, 0x13460),
    (0x16100, 0x17000),
    (0x1BC00, 0x1E900),
)
_SAME = str.maketrans(
    {"’": "'", "‘": "'", "ʼ": "'", "`": "'", "–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-"}
)

FUNCTION_WORDS = frozenset(
    "a about above across after again against ago all almost along already also although always am "
    "among an and another any anybody anyone anything are around as at away be because been before "
    "behind being below beneath beside besides between beyond both but by can cannot could d did do "
    "does doing done down during each either else ever every everybody everyone everything few for from "
    "further had has have having he her here hers herself him himself his how however i if in indeed "
    "instead into is it its itself just less like ll m made make many may maybe me might mine more most "
    "much must my myself n neither never no nobody none nor not nothing now of off often on once one only "
    "onto or other others our ours ourselves out over own perhaps quite rather re s same shall she "
    "should since so some somebody someone something sometimes soon still such t than that the their "
    "theirs them themselves then there therefore these they this those though through throughout thus "
    "till to too toward towards under unless until up upon us ve very via was we were what whatever "
    "when whenever where wherever whether which while who whoever whom whose why will with within "
    "without would yes yet you your yours yourself yourselves".split()
)
"""English words, and the ends of contractions, that a text uses for its grammar rather than as names."""


@dataclass(frozen=True)
class Words:
    """The W words of some texts in a row; the break between two texts counts as a word.

    Args:
        haystack: a mark, then the normalised words, each followed by a mark.
        mark: (W + 1,) where the marks are in the haystack; word i is between marks i and i + 1.
        text: (W,) the text that a word belongs to.
        start: (W,) its first character in its text.
        end: (W,) the character after its last.
    """

    haystack: bytes
    mark: Ids
    text: Ids
    start: Ids
    end: Ids


def cut(texts: Sequence[str]) -> Words:
    """Cut texts into words; of any number and length, empty ones included."""
    if all(map(str.isascii, texts)):
        return _cut_ascii(texts)
    return _cut_unicode(texts)


def has_case(text: str) -> bool:
    """Whether a text writes capitals besides its first character, and small letters too."""
    rest = text[1:]
    return rest != rest.lower() and rest != rest.upper()


def _cut_ascii(texts: Sequence[str]) -> Words:
    codes = np.frombuffer(BREAK.join([text.encode("ascii") for text in texts]), dtype=np.uint8)
    kind = _KINDS[codes]
    kept, inside = kind > 0, kind == _INSIDE
    joined = inside[1:] & inside[:-1]  # to the character before
    begins, ends = kept.copy(), kept.copy()
    begins[1:] &= ~joined
    ends[:-1] &= ~joined
    first, last = np.flatnonzero(begins), np.flatnonzero(ends)
    place = np.cumsum(kept) + np.cumsum(begins) - 1
    haystack = np.full(np.count_nonzero(kept) + len(first) + 1, MARK[0], dtype=np.uint8)
    haystack[place[kept]] = _FOLDED[codes[kept]]
    between = codes[first] == BREAK[0]
    text = np.cumsum(between)
    origin = np.concatenate([[0], first[between] + 1])[text]
    mark = np.append(place[first] - 1, len(haystack) - 1)
    return Words(haystack.tobytes(), mark, text, first - origin, last + 1 - origin)


def _cut_unicode(texts: Sequence[str]) -> Words:
    words: list[bytes] = []
    places: list[tuple[int, int, int]] = []
    for number, text in enumerate(texts):
        if number:
            words.append(BREAK)
            places.append((number, 0, 0))
        for match in _word().finditer(text):
            words.append(_normalise(match.group()).encode("utf-8", "surrogatepass"))
            places.append((number, *match.span()))
    haystack = MARK + b"".join([word + MARK for word in words])
    mark = np.cumsum([0, *(len(word) + 1 for word in words)])
    number_of, start, end = np.array(places, dtype=np.int64).reshape(-1, 3).T
    return Words(haystack, mark, number_of, start, end)


@lru_cache
def _word() -> re.Pattern[str]:
    """Return what a word looks like."""
    marks = "".join(
        chr(code)
        for begin, end in _MARKS
        for code in range(begin, end)
        if unicodedata.category(chr(code))[0] == "M"
    )
    return re.compile(
        rf"[{_SPACELESS}][{marks}]*"  # written without spaces
        rf"|[^\W_{_APART}](?:[^\W_{_APART}]|[{marks}])*"
        r"|[^\w\s]|[_ʼ]"
    )


def _normalise(word: str) -> str:
    return unicodedata.normalize("NFKC", word.translate(_SAME)).casefold()


def _kind(code: int) -> int:
    sign = chr(code)
    return 0 if sign.isspace() else _INSIDE if sign.isalnum() else 1


_INSIDE = 2
_KINDS: NDArray[np.uint8] = np.array([*(_kind(code) for code in range(128)), *[1] * 128], dtype=np.uint8)
_FOLDED: NDArray[np.uint8] = np.array(
    [*(ord(_normalise(chr(code))) for code in range(128)), *range(128, 256)], dtype=np.uint8
)

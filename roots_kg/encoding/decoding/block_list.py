"""Block lists: words and phrases that no generated text holds.

A text is cut into units, on which phrases are matched: a word is a unit, and so is every other character but
white space. So "class" is not in "classic", "New York" is in "new\\nyork", and "C++" in "c + +". Scripts that
put no spaces between words have a unit for each character, and phrases in them are found within words too.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from roots_kg.errors import DataError, UsageError

if TYPE_CHECKING:
    from roots_kg.encoding.decoding.text import TextCodec

__all__ = ["BlockList", "read_block_list"]

COMMENT = "#"

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai and Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese and Khmer
    "\u3040-\u30ff\u31f0-\u31ff"  # Japanese syllables
    "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"  # Chinese characters
)
_ASCII_UNIT = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")
_VARIATIONS = "\u034f\ufe00-\ufe0f\U000e0100-\U000e01ef"  # of how a character looks, and of nothing else


class BlockList:
    """Refuses texts that hold one of some phrases, in any case; a `TextRule`.

    A word may be the beginning of a longer one, so a phrase that ends in a word is there once that word is
    known to have ended. What stands in the prompt alone does not count. Compatible characters, such as those
    of full width, are the same (Unicode's NFKC), and those that are not seen do not matter. Accents matter.

    Args:
        phrases: words, or several words, with what stands between them.

    Raises:
        UsageError: if a phrase has nothing in it that is seen.
    """

    def __init__(self, phrases: Sequence[str]) -> None:
        self.phrases = tuple(dict.fromkeys(phrases))
        self._by_end: dict[str, list[list[str]]] = {}
        for phrase in self.phrases:
            units, _ = _units(phrase)
            if not units:
                raise UsageError(f"the phrase {phrase!r} of the block list is blank")
            self._by_end.setdefault(units[-1], []).append(units)
        self._ends = frozenset(self._by_end)
        self._written: WeakKeyDictionary[TextCodec, BlockList] = WeakKeyDictionary()

    def __call__(self, prompt: str, text: str, complete: bool) -> bool:
        """Tell whether a text that continues a prompt holds no phrase; see `TextRule`."""
        units, may_grow = _units(prompt + text)
        if may_grow and not complete:
            units.pop()
        if self._ends.isdisjoint(units):
            return True
        before, _ = _units(prompt)
        old = len(before) if units[: len(before)] == before else len(before) - 1
        return not any(self._ends_at(units, place) for place in range(max(old, 0), len(units)))

    def written_by(self, codec: TextCodec) -> BlockList:
        """Return a list with the phrases also as a tokenizer writes them, such as without their accents."""
        if codec not in self._written:
            self._written[codec] = BlockList([*self.phrases, *codec.written(self.phrases)])
        return self._written[codec]

    def _ends_at(self, units: Sequence[str], place: int) -> bool:
        """Tell whether a phrase ends with the unit at a place."""
        return any(
            units[max(place + 1 - len(phrase), 0) : place + 1] == phrase
            for phrase in self._by_end.get(units[place], ())
        )


def read_block_list(path: Path) -> tuple[str, ...]:
    """Read a file with a phrase on each line; blank lines, and lines that start with "#", say nothing.

    Raises:
        DataError: if it cannot be read, is not UTF-8, or has no phrase, or a line has none that is seen.
    """
    try:
        content = path.read_bytes()
        lines = content.decode("utf-8-sig").split("\n")
    except OSError as error:
        raise DataError(f"the block list cannot be read: {error.strerror}", path=path) from error
    except UnicodeDecodeError as error:
        broken = content[: error.start].count(b"\n") + 1
        raise DataError("not UTF-8", path=path, line=broken, hint="save the block list as UTF-8") from error
    phrases = []
    for number, line in enumerate(lines, start=1):
        phrase = line.strip()
        if not phrase or phrase.startswith(COMMENT):
            continue
        if not _units(phrase)[0]:
            raise DataError("only characters that are not seen", path=path, line=number)
        phrases.append(phrase)
    if not phrases:
        raise DataError("there is no phrase in this block list", path=path, hint="write one on each line")
    return tuple(phrases)


def _units(text: str) -> tuple[list[str], bool]:
    """Return the units of a text, and whether what may follow can belong to the last of them."""
    if text.isascii():
        text = text.lower()
        units = _ASCII_UNIT.findall(text)
        return units, text[-1:].isalnum()
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    unseen, word, unit = _patterns()
    text = unseen.sub("", text.replace("’", "'"))
    units = unit.findall(text)
    return units, bool(units) and text.endswith(units[-1]) and word.fullmatch(units[-1]) is not None


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Return what finds characters that are not seen, what matches a word, and what finds units."""
    categories = [unicodedata.category(chr(code)) for code in range(sys.maxunicode + 1)]
    unseen = _ranges(category == "Cf" for category in categories) + _VARIATIONS
    marks = _ranges(category[0] == "M" for category in categories)
    word = rf"(?:[^\W_{_UNSPACED}]|[{marks}])+"
    unit = rf"[{_UNSPACED}][{marks}]*|{word}|\S"
    return re.compile(f"[{unseen}]"), re.compile(word), re.compile(unit)


def _ranges(chosen: Iterable[bool]) -> str:
    """Return the characters whose codes were chosen, as a pattern lists them."""
    found = ""
    for is_chosen, numbered in groupby(enumerate(chosen), key=lambda each: each[1]):
        if is_chosen:
            codes = [code for code, _ in numbered]
            found += f"\\U{codes[0]:08x}-\\U{codes[-1]:08x}"
    return found

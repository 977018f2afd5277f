"""Stop words: the small words of a language, which a bag of words is better without."""

from __future__ import annotations

import importlib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roots_kg.encoding.text_files import read_documents
from roots_kg.errors import ConfigError

__all__ = ["RemoveStopWords", "stop_words"]

_LISTS = Path(__file__).with_name("stop_word_lists")
_LETTERS = r"\w[\w\u0300-\u036f]*"
_WORD = re.compile(rf"([^\S\n]*)({_LETTERS}(?:['’]{_LETTERS})*)")
_START_OF_LINE = re.compile(r"^[^\S\n]+", re.MULTILINE)


@dataclass(frozen=True)
class RemoveStopWords:
    """Take stop words out of texts, with the white space before them; case does not matter.

    Args:
        step: the name of the step.
        language: whose stop words, as a code such as "en".
        file: a text file with a word a line, in place of a language.
    """

    step: Literal["stop_words"] = "stop_words"
    language: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        if (self.language is None) == (self.file is None):
            raise ValueError("stop_words needs a language or a file, and not both")

    def build(self) -> Callable[[str], str]:
        """Return the step.

        Raises:
            ConfigError: if there are no stop words for the language.
            DataError: if the file cannot be read.
        """
        if self.file is not None:
            lines = read_documents([Path(self.file)], documents="line")
            words = frozenset(_plain(line.text.strip()) for line in lines)
        else:
            words = stop_words(self.language or "")

        def keep(found: re.Match[str]) -> str:
            return "" if _plain(found[2]) in words else found[0]

        return lambda text: _START_OF_LINE.sub("", _WORD.sub(keep, text))


def stop_words(language: str) -> frozenset[str]:
    """Return the stop words of a language, in lower case: from this package, or else from spaCy.

    Raises:
        ConfigError: if neither knows the language; the message names those that are known.
    """
    known = sorted(path.stem for path in _LISTS.glob("*.txt"))
    if language in known:
        return frozenset((_LISTS / f"{language}.txt").read_text(encoding="utf-8").split())
    if re.fullmatch("[a-z]{2,3}", language):
        try:
            listed = importlib.import_module(f"spacy.lang.{language}.stop_words").STOP_WORDS
            return frozenset(map(_plain, listed))
        except ImportError:
            pass
    hint = f"known: {', '.join(known)}; pip install 'roots-kg[spacy]' for more, or name a `file` of your own"
    raise ConfigError(f"there are no stop words for the language {language!r}", hint=hint)


def _plain(word: str) -> str:
    return unicodedata.normalize("NFC", word).lower().replace("’", "'")

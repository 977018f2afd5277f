"""What is done to texts before they are tokenized: a pipeline of steps, named in a configuration.

    preprocessing:
      - {step: unicode, form: NFC}
      - {step: markup}
      - {step: lower}
      - {step: deduplicate}
      - {step: stop_words, language: en}
      - {step: part_of_speech, model: en_core_web_sm, keep: [NOUN, VERB]}

A step is its settings, and `build` makes of them a function from a text to a text, or to None to drop it.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from roots_kg.encoding.markup import StripMarkup
from roots_kg.encoding.part_of_speech import TagPartsOfSpeech
from roots_kg.encoding.stop_words import RemoveStopWords

__all__ = ["Deduplicate", "LowerCase", "NormalizeUnicode", "Pipeline", "Step"]


@dataclass(frozen=True)
class NormalizeUnicode:
    """Write characters that look alike in one way.

    Args:
        step: the name of the step.
        form: NFC composes an accent and its letter, NFD takes them apart; NFKC and NFKD also replace
            ligatures, wide letters and other variants.
    """

    step: Literal["unicode"] = "unicode"
    form: Literal["NFC", "NFD", "NFKC", "NFKD"] = "NFC"

    def build(self) -> Callable[[str], str]:
        """Return the step."""
        return lambda text: unicodedata.normalize(self.form, text)


@dataclass(frozen=True)
class LowerCase:
    """Write everything in lower case; not by case folding, which would spell "Straße" as "strasse".

    Args:
        step: the name of the step.
    """

    step: Literal["lower"] = "lower"

    def build(self) -> Callable[[str], str]:
        """Return the step."""
        return str.lower


@dataclass(frozen=True)
class Deduplicate:
    """Drop a text that is character by character one that came before.

    A text is remembered as 128 bits, so among a billion texts the chance that one is dropped by mistake is
    below 10⁻²⁰.

    Args:
        step: the name of the step.
    """

    step: Literal["deduplicate"] = "deduplicate"

    def build(self) -> Callable[[str], str | None]:
        """Return the step, which has seen nothing yet."""
        seen: set[bytes] = set()

        def unseen(text: str) -> str | None:
            digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            if digest in seen:
                return None
            seen.add(digest)
            return text

        return unseen


Step = NormalizeUnicode | StripMarkup | LowerCase | Deduplicate | RemoveStopWords | TagPartsOfSpeech


class Pipeline:
    """Steps in a row.

    Args:
        steps: their settings, in the order of their work.

    Raises:
        ConfigError: if a step cannot be built: an unknown language, a missing model.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps: list[Callable[[str], str | None]] = [step.build() for step in steps]

    def __call__(self, text: str) -> str | None:
        """Return what the steps make of a text, or None if one of them drops it or leaves nothing of it."""
        for step in self._steps:
            made = step(text)
            if made is None:
                return None
            text = made
        return text if text.strip() else None

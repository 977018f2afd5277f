"""Part-of-speech tags through spaCy: to keep words of some kinds, or to write its kind behind each word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from roots_kg.errors import ConfigError, UsageError, nearest

__all__ = ["TagPartsOfSpeech"]

TAGS = (
    "ADJ",
    "ADP",
    "ADV",
    "AUX",
    "CCONJ",
    "DET",
    "INTJ",
    "NOUN",
    "NUM",
    "PART",
    "PRON",
    "PROPN",
    "PUNCT",
    "SCONJ",
    "SYM",
    "VERB",
    "X",
)
_TAGGERS = {"tagger", "morphologizer", "attribute_ruler"}
_NOT_NEEDED = ["parser", "ner", "lemmatizer"]


@dataclass(frozen=True)
class TagPartsOfSpeech:
    """Make of a text its words, punctuation marks included, with a space between them.

    The tags are the universal ones (Petrov et al. 2012, arXiv:1104.2086; universaldependencies.org/u/pos).

    Args:
        step: the name of the step.
        model: the spaCy model that tags, such as "en_core_web_sm".
        keep: the tags of the words that stay; empty to keep every word.
        annotate: whether to write the tag behind each word, as in "cat_NOUN".
    """

    step: Literal["part_of_speech"] = "part_of_speech"
    model: str = "en_core_web_sm"
    keep: tuple[str, ...] = ()
    annotate: bool = False

    def __post_init__(self) -> None:
        if not self.keep and not self.annotate:
            raise ValueError("part_of_speech needs tags to `keep`, or `annotate: true`")
        for tag in self.keep:
            if tag not in TAGS:
                raise ValueError(f"unknown part of speech {tag!r} ({nearest(tag, TAGS)})")

    def build(self) -> Callable[[str], str]:
        """Return the step.

        Raises:
            UsageError: if spaCy is not installed.
            ConfigError: if its model is not, or gives no tags.
        """
        try:
            import spacy
        except ImportError as error:
            hint = "pip install 'roots-kg[spacy]'"
            raise UsageError("part-of-speech tags need spaCy, which is not installed", hint=hint) from error
        try:
            tagger = spacy.load(self.model, exclude=_NOT_NEEDED)
        except (OSError, ImportError, ValueError) as error:
            raise ConfigError(
                f"the spaCy model {self.model!r} is not installed or cannot be loaded",
                hint=f"python -m spacy download {self.model}",
            ) from error
        if not _TAGGERS & set(tagger.pipe_names):
            raise ConfigError(
                f"the spaCy model {self.model!r} does not tag parts of speech",
                hint="use one that does, such as en_core_web_sm",
            )

        def tag(text: str) -> str:
            words = ((word.text, word.pos_ or "X") for word in tagger(text) if not word.is_space)
            kept = ((word, tag) for word, tag in words if not self.keep or tag in self.keep)
            return " ".join(f"{word}_{tag}" if self.annotate else word for word, tag in kept)

        return tag

"""Words and labelled spans of texts: where words stand, tags in the BIO scheme, spans in JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from roots_kg.adaptation.task import Record
from roots_kg.files import is_text
from roots_kg.fusion.encoder import MarkedText, Text
from roots_kg.fusion.texts import Span

__all__ = ["LabelledSpan", "joined_tokens", "read_tagged", "read_text", "spans_of_tags", "words_of"]

LabelledSpan = tuple[int, int, str]
"""Where a span starts, what comes after its end, and its label."""

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Scripts that put no space between words: Thai, Lao, Burmese, Khmer, kana, and Chinese characters."""

_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")


def words_of(text: str) -> list[Span]:
    """Return where the words of a text stand: runs of letters and digits, and every other mark by itself.

    In scripts that put no space between words, every character is a word.
    """
    return [match.span() for match in _WORD.finditer(text)]


def joined_tokens(tokens: Sequence[str]) -> tuple[str, tuple[Span, ...]]:
    """Return the text that tokens make with a space between them, and where each token stands in it."""
    spans, start = [], 0
    for token in tokens:
        spans.append((start, start + len(token)))
        start += len(token) + 1
    return " ".join(tokens), tuple(spans)


def spans_of_tags(tags: Sequence[str]) -> list[LabelledSpan]:
    """Return the spans that tags in the BIO scheme stand for, counted in tokens.

    "B-x" begins a span with the label x, "I-x" goes on with it, and "O" is outside of all (Ramshaw and
    Marcus 1995, in the form of CoNLL 2003).

    Raises:
        ValueError: with the index of the tag as its first argument and what is wrong with it as its second.
    """
    found: list[LabelledSpan] = []
    label: str | None = None
    for index, tag in enumerate(tags):
        kind, dash, name = tag.partition("-")
        if tag == "O":
            label = None
        elif kind not in ("B", "I") or not dash or not name:
            raise ValueError(index, 'a tag is "O", or "B-" or "I-" and a label')
        elif kind == "B":
            found.append((index, index + 1, name))
            label = name
        elif name != label:
            before = f"stands behind {tags[index - 1]!r}" if index else "is the first tag"
            raise ValueError(index, f'it {before}; a span begins with "B-{name}"')
        else:
            found[-1] = (found[-1][0], index + 1, name)
    return found


def read_text(record: Record) -> Text:
    """Read {"text"}, or {"tokens"} as the text that they make, marked with where they stand.

    Raises:
        TaskError: if the line has neither, or both.
    """
    if "tokens" not in record.fields:
        return record.text("text")
    record.refuse("text", "the line has 'tokens' already, which are the text")
    tokens = record.texts("tokens")
    for number, token in enumerate(tokens, start=1):
        if not is_text(token):
            raise record.error(f"token {number} holds half a surrogate pair, which is no character")
        if not token.strip():
            raise record.error(f"token {number} is empty", hint="leave it out, and its tag with it")
    text, spans = joined_tokens(tokens)
    return MarkedText(text, spans=spans)


def read_tagged(record: Record) -> tuple[Text, tuple[LabelledSpan, ...]]:
    """Read a line with its spans: {"tokens", "tags"}, or {"text", "spans"}.

    Returns:
        The text, and its spans in characters, in their order.

    Raises:
        TaskError: if the line lacks something, if tags break the BIO scheme, or if spans overlap, are empty
            or lie outside of the text.
    """
    text = read_text(record)
    if isinstance(text, str):
        record.refuse("tags", "a 'text' has 'spans'; 'tags' belong to 'tokens'")
        if not words_of(text):
            raise record.error("the text has no word")
        return text, _read_spans(record, text)
    record.refuse("spans", "'tokens' have 'tags'; 'spans' belong to a 'text'")
    tags = record.texts("tags")
    if len(tags) != len(text.spans):
        raise record.error(f"{len(text.spans)} tokens and {len(tags)} tags", hint="each token has one tag")
    try:
        found = spans_of_tags(tags)
    except ValueError as error:
        index, reason = error.args
        start, end = text.spans[index]
        place = f"tag {index + 1}, of the token {text.text[start:end]!r}"
        raise record.error(f"{place}, is {tags[index]!r}: {reason}") from None
    return text, tuple(
        (text.spans[first][0], text.spans[after - 1][1], label) for first, after, label in found
    )


def _read_spans(record: Record, text: str) -> tuple[LabelledSpan, ...]:
    """Read [{"start", "end", "label"}, …], spans of a text in characters, into their order."""
    values = record.fields.get("spans")
    if not isinstance(values, list):
        found_instead = f"found {values!r:.80}" if "spans" in record.fields else "and is missing"
        raise record.error(f"'spans' must be a list of spans, {found_instead}")
    found = sorted(_span(record, text, value) for value in values)
    for (start, end, _), (other_start, other_end, _) in pairwise(found):
        if other_start < end:
            raise record.error(
                f"the spans {start}–{end} ({text[start:end]!r:.60}) and {other_start}–{other_end} "
                f"({text[other_start:other_end]!r:.60}) overlap",
                hint="keep one of them",
            )
    return tuple(found)


def _span(record: Record, text: str, value: Any) -> LabelledSpan:
    if not isinstance(value, dict) or set(value) != {"start", "end", "label"}:
        raise record.error(f'a span is {{"start", "end", "label"}}, found {value!r:.80}')
    start, end, label = value["start"], value["end"], value["label"]
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in (start, end)):
        raise record.error(f"'start' and 'end' of a span are whole numbers, found {value!r:.80}")
    if not isinstance(label, str) or not label.strip() or not is_text(label):
        raise record.error(f"the label of a span is a text, found {label!r:.80}")
    if not 0 <= start <= len(text) or not 0 <= end <= len(text):
        raise record.error(f"the span {start}–{end} lies outside of the text, which ends at {len(text)}")
    if end <= start:
        raise record.error(f"the span {start}–{end} is empty", hint="'end' is the character after the last")
    found = text[start:end]
    if found != found.strip():
        first = start + len(found) - len(found.lstrip())
        trimmed = f"{first}–{first + len(found.strip())}" if found.strip() else "leave it out"
        raise record.error(
            f"the span {start}–{end} ({found!r:.60}) begins or ends with white space", hint=trimmed
        )
    return start, end, label

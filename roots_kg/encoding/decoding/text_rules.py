"""Rules on the text that is generated: which tokens may not come next because of what they would spell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from roots_kg.encoding.decoding.block_list import BlockList
from roots_kg.encoding.decoding.text import Continuation, TextCodec

__all__ = ["AllowedContinuation", "Refuses", "TextChecks", "TextRule"]

Refuses = Callable[[int, Sequence[int], bool], bool]
"""Whether the text of this number may not have these new tokens, and, if so it is, end with them."""


class TextRule(Protocol):
    """What a text may be. Any function of this form is one; `BlockList` is one that comes with the package.

    A rule is asked about every token that would come next. Where it refuses all of them, the text ends, and
    what its last tokens spell is left out as far as the rule refuses it as a whole text.
    """

    def __call__(self, prompt: str, text: str, complete: bool) -> bool:
        """Tell whether a text is allowed.

        Args:
            prompt: what it continues; "" for what a generation head writes.
            text: what follows the prompt so far.
            complete: whether nothing more follows. Where it does, a rule should refuse what no continuation
                can make good; the last word may become another one.
        """
        ...


@dataclass(frozen=True)
class _Written:
    """What some new tokens spell.

    Args:
        continuation: that gave the text.
        settled: the part of it that stays whatever follows.
    """

    continuation: Continuation
    settled: str

    @cached_property
    def whole(self) -> str:
        """The text if nothing follows."""
        return self.settled + self.continuation.copy().finish()

    def add(self, token: int) -> _Written:
        continuation = self.continuation.copy()
        settled = self.settled + continuation.add(token)
        return _Written(continuation, settled)


class TextChecks:
    """Rules, and several texts that grow by a token each at a time.

    Args:
        codec: of the tokens.
        rules: all of which must allow a text.
        prompts: the text and the tokens that each continues.
        stop: strings that end a text.
        shown: from the number of a text and what its tokens spell to what is shown of it.
    """

    def __init__(
        self,
        codec: TextCodec,
        rules: Sequence[TextRule],
        prompts: Sequence[tuple[str, Sequence[int]]],
        stop: Sequence[str] = (),
        shown: Callable[[int, str], str] | None = None,
    ) -> None:
        self._codec, self._prompts, self._stop, self._shown = codec, prompts, stop, shown
        self._rules = [rule.written_by(codec) if isinstance(rule, BlockList) else rule for rule in rules]
        self._known: dict[int, dict[tuple[int, tuple[int, ...]], _Written]] = {}

    def refuses(self, number: int, tokens: Sequence[int], ends: bool) -> bool:
        """Tell whether a text may not go on with these new tokens, or not end with them; see `Refuses`."""
        written = self.written(number, tokens)
        if ends or written.continuation.stopped:
            return bool(tokens) and not self.allows(number, written.whole, complete=True)
        return not self.allows(number, written.settled, complete=False)

    def allows(self, number: int, text: str, *, complete: bool) -> bool:
        """Tell whether the rules allow a text to follow the prompt of this number."""
        text = text if self._shown is None else self._shown(number, text)
        return all(rule(self._prompts[number][0], text, complete) for rule in self._rules)

    def allowed_part(self, number: int, tokens: Sequence[int]) -> list[int]:
        """Return the tokens without those at the end that the text may not end with."""
        tokens = list(tokens)
        while self.refuses(number, tokens, True):
            tokens.pop()
        return tokens

    def written(self, number: int, tokens: Sequence[int]) -> _Written:
        """Return what new tokens of a text spell; quick where it was asked without the last one before."""
        if not tokens:
            return _Written(Continuation(self._codec, *self._prompts[number], self._stop), "")
        *before, last = tokens
        key = number, tuple(tokens)
        known = self._known.setdefault(len(tokens), {})
        if key not in known:
            self._known.pop(len(tokens) - 2, None)  # texts that are shorter will not be asked about again
            found = self._known.get(len(tokens) - 1, {}).get((number, tuple(before)))
            if found is None:
                found = self.written(number, ())
                for token in before:
                    found = found.add(token)
            known[key] = found.add(last)
        return known[key]


class AllowedContinuation:
    """The text of new tokens, of which nothing is given out before it is known to be allowed.

    Args:
        checks: of the text with the number 0.

    `stopped` tells whether a stop string has been met.
    """

    def __init__(self, checks: TextChecks) -> None:
        self._checks = checks
        self._tokens: list[int] = []
        self._given = self._whole = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """Return the text that is settled by another token, which may be none."""
        self._tokens.append(token)
        if self._checks.refuses(0, self._tokens, True):
            return ""
        written = self._checks.written(0, self._tokens)
        self._whole, self.stopped = written.whole, written.continuation.stopped
        return self._give(written.settled) if self._checks.allows(0, written.settled, complete=True) else ""

    def finish(self) -> str:
        """Return the rest of the longest text that is allowed."""
        return self._give(self._whole)

    def _give(self, text: str) -> str:
        piece = text[len(self._given) :]
        self._given += piece
        return piece

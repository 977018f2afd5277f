"""WordPiece tokens to readable text.

WordPiece forgets where spaces stood. Where they stand in English is told by the tokens: none before a full
stop, none after an opening bracket, none inside "don't". What stands before a token settles its place, so
that text already shown never changes.
"""

from __future__ import annotations

from copy import copy

__all__ = ["WordPieceText"]

CLOSING = frozenset(".,;:!?%)]}”…°")
OPENING = frozenset("([{“‘$£€#")
JOINING = frozenset("-–—/")
TOGGLING = frozenset('"_*')  # the first opens, the second closes
APOSTROPHES = frozenset("'’")
AFTER_APOSTROPHE = frozenset("s t d m ll re ve em clock".split())
THOUSANDS = 3


class WordPieceText:
    """Text that grows by tokens.

    Args:
        before: the text that the tokens continue.
        prefix: what marks a token that continues a word, such as "##".
    """

    def __init__(self, before: str, prefix: str = "##") -> None:
        self._prefix, self._text = prefix, before
        self._opened = {mark for mark in TOGGLING if before.count(mark) % 2}
        self._quoting = self._quoting_before = False
        self._glued = not before or before[-1].isspace() or self._glues(before[-1])

    def copy(self) -> WordPieceText:
        """Return another text that is as far as this one."""
        other = copy(self)
        other._opened = {*self._opened}
        return other

    def add(self, token: str) -> str:
        """Return what a token adds to the text: itself, with a space in front where one belongs."""
        if token.startswith(self._prefix) and len(token) > len(self._prefix):
            return self._grow(token[len(self._prefix) :], glued=True)
        if token in AFTER_APOSTROPHE and self._after_apostrophe():
            self._quoting = self._quoting_before
            return self._grow(token, glued=True)
        glued = self._glued or token in CLOSING or token in JOINING or self._goes_on_with_a_number(token)
        self._quoting_before = self._quoting
        if token in TOGGLING:
            nothing_between = token in self._opened and self._text[-1:] == token
            if nothing_between:  # so the one before closed what was opened out of sight, and this one opens
                glued = False
            else:
                glued |= token in self._opened
                self._opened ^= {token}
        elif token in APOSTROPHES:
            opens = token == "'" and not self._quoting and not self._text[-1:].isalnum()
            glued |= not opens
            self._quoting = opens
        return self._grow(token, glued)

    def _grow(self, piece: str, glued: bool) -> str:
        self._glued = self._glues(piece)
        piece = piece if glued else f" {piece}"
        self._text = self._text[-2:] + piece
        return piece

    def _glues(self, token: str) -> bool:
        """Whether what follows the token stands next to it."""
        last = token[-1]
        opens = last in self._opened or (token == "'" and self._quoting)
        return last in OPENING or last in JOINING or opens

    def _after_apostrophe(self) -> bool:
        return self._text[-1:] in APOSTROPHES and self._text[-2:-1].isalpha()

    def _goes_on_with_a_number(self, token: str) -> bool:
        """Whether the token is the "5" of "3.5", or the "000" of "1,000"."""
        if not token.isdigit() or not self._text[-2:-1].isdigit():
            return False
        return self._text[-1] in ".:" or (self._text[-1] == "," and len(token) == THOUSANDS)

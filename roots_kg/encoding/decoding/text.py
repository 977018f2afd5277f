"""Prompts to token ids, and new tokens to text in pieces that never change once they are given out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from copy import copy
from functools import cached_property

import tokenizers
import torch
from torch import Tensor

from roots_kg.encoding.decoding.wordpiece import WordPieceText
from roots_kg.encoding.tokenization import library_tokenizer, tokenizer_errors
from roots_kg.errors import UsageError

__all__ = ["Continuation", "TextCodec"]

STARTS = ("[CLS]", "<s>", "[BOS]", "<bos>", "<|begin_of_text|>", "<|endoftext|>")
ENDS = ("[SEP]", "</s>", "[EOS]", "<eos>", "<|end_of_text|>", "<|endoftext|>")
UNUSED = re.compile(r"\[unused\d+\]|<unused\d+>")
INCOMPLETE = "�"  # what a decoder gives for bytes that are not yet a character


class TextCodec:
    """A tokenizer as generation needs it.

    Args:
        tokenizer: in the JSON of the library tokenizers.

    `start_id` is the token that the tokenizer puts in front of a text, `end_id` the one that ends it; each is
    None where there is none.

    Raises:
        WeightsError: if the tokenizer cannot be read, or fails.
    """

    def __init__(self, tokenizer: str) -> None:
        parts = json.loads(tokenizer)
        self._tokenizer = library_tokenizer(tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._unknown = {parts["model"].get("unk_id")}  # of Unigram; others name the token
        self._unknown.add(self._tokenizer.token_to_id(parts["model"].get("unk_token") or ""))
        decoder = parts.get("decoder") or {}
        self._word_piece: str | None = decoder.get("prefix") if decoder.get("type") == "WordPiece" else None
        self.end_id = self._first_known(ENDS)
        with tokenizer_errors():
            probe = self._tokenizer.encode("a")
        text_begins = probe.special_tokens_mask.index(0) if 0 in probe.special_tokens_mask else 0
        self._in_front = probe.ids[:text_begins]
        self.start_id = self._in_front[0] if self._in_front else None

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each prompt, as far as they stand in front of what may follow.

        The tokens that the tokenizer puts in front of a text are there, those behind it are not. An empty
        prompt is the token that starts a text.

        Raises:
            UsageError: if a prompt has no token and there is no token that starts a text.
        """
        start = self._first_known(STARTS)
        encoded = []
        for tokens in self.tokens(prompts):
            ids = [*self._in_front, *tokens]
            if not ids:
                if start is None:
                    raise UsageError(
                        "the prompt is empty, and this tokenizer has no token that starts a text",
                        hint="give a prompt of at least a word",
                    )
                ids = [start]
            encoded.append(ids)
        return encoded

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text alone, without any that start or end it."""
        with tokenizer_errors():
            encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def forbidden(self, vocab_size: int) -> Tensor:
        """Return which of the V tokens of a model are never generated, (V,): all special ones but the end.

        Those that the tokenizer does not know are among them.
        """
        known = self._tokenizer.get_vocab(with_added_tokens=True).values()
        text = [number for number in known if number < vocab_size and number not in self._no_text]
        forbidden = torch.ones(vocab_size, dtype=torch.bool)
        forbidden[text] = False
        if self.end_id is not None:
            forbidden[self.end_id] = False
        return forbidden

    def written(self, texts: Sequence[str]) -> list[str]:
        """Return texts as they stand when their tokens are generated.

        Those with a token that stands for no text, such as one for what is unknown, are left out.
        """
        unwritten = self._no_text.union(self._unknown)
        known = [ids for ids in self.tokens(texts) if unwritten.isdisjoint(ids)]
        if self._word_piece is None:
            decoded: list[str] = self._tokenizer.decode_batch(known)
            return decoded
        readers = ((ids, self.tokens_to_text("", [])) for ids in known)
        return ["".join(map(reader.add, ids)) for ids, reader in readers]

    def tokens_to_text(self, prompt: str, prompt_ids: Sequence[int]) -> _WordPieces | _Decoded:
        """Return what turns the tokens that continue a prompt into text."""
        if self._word_piece is not None:
            return _WordPieces(self._tokenizer, WordPieceText(prompt, self._word_piece))
        return _Decoded(self._tokenizer, prompt_ids)

    @cached_property
    def _no_text(self) -> frozenset[int]:
        """The tokens that stand for no text."""
        added = self._tokenizer.get_added_tokens_decoder()
        known = self._tokenizer.get_vocab(with_added_tokens=True)
        unused = {number for token, number in known.items() if UNUSED.fullmatch(token)}
        return frozenset(unused | {number for number, token in added.items() if token.special})

    def _first_known(self, tokens: Sequence[str]) -> int | None:
        ids = map(self._tokenizer.token_to_id, tokens)
        return next((number for number in ids if number is not None), None)


class Continuation:
    """The text of new tokens, up to the first stop string.

    Args:
        codec: of the tokens.
        prompt: the text before them.
        prompt_ids: its tokens.
        stop: strings that end the text, and are left out of it.

    `stopped` tells whether one of them has been met.
    """

    def __init__(self, codec: TextCodec, prompt: str, prompt_ids: Sequence[int], stop: Sequence[str]) -> None:
        self._decoder = codec.tokens_to_text(prompt, prompt_ids)
        self._stop, self._held = stop, ""
        self.stopped = False

    def copy(self) -> Continuation:
        """Return another continuation that is as far as this one."""
        other = copy(self)
        other._decoder = self._decoder.copy()
        return other

    def add(self, token: int) -> str:
        """Return the text that is settled by another token, which may be none."""
        return self._settle(self._decoder.add(token), last=False)

    def finish(self) -> str:
        """Return the text that was held back because it might have changed."""
        return self._settle(self._decoder.finish(), last=True)

    def _settle(self, piece: str, *, last: bool) -> str:
        if self.stopped:
            return ""
        self._held += piece
        met = [place for place in (self._held.find(stop) for stop in self._stop) if place >= 0]
        if met:
            self.stopped = True
            return self._held[: min(met)]
        held = 0 if last else self._beginning_of_a_stop()
        settled = self._held[: len(self._held) - held]
        self._held = self._held[len(settled) :]
        return settled

    def _beginning_of_a_stop(self) -> int:
        """Return how many characters at the end may be the beginning of a stop string."""
        longest = min(len(self._held), max(map(len, self._stop), default=1) - 1)
        return next(
            (
                size
                for size in range(longest, 0, -1)
                if any(stop.startswith(self._held[-size:]) for stop in self._stop)
            ),
            0,
        )


class _WordPieces:
    def __init__(self, tokenizer: tokenizers.Tokenizer, text: WordPieceText) -> None:
        self._tokenizer, self._text = tokenizer, text

    def copy(self) -> _WordPieces:
        return _WordPieces(self._tokenizer, self._text.copy())

    def add(self, token: int) -> str:
        return self._text.add(self._tokenizer.id_to_token(token) or "")

    def finish(self) -> str:
        return ""


class _Decoded:
    """The library's decoder, given ever more tokens; bytes that are no whole character are held back."""

    def __init__(self, tokenizer: tokenizers.Tokenizer, prompt_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._ids = list(prompt_ids)
        self._given = len(self._decode())

    def copy(self) -> _Decoded:
        other = copy(self)
        other._ids = [*self._ids]
        return other

    def add(self, token: int) -> str:
        self._ids.append(token)
        return self._next(self._decode().rstrip(INCOMPLETE))

    def finish(self) -> str:
        return self._next(self._decode())

    def _next(self, text: str) -> str:
        piece = text[self._given :]
        self._given += len(piece)
        return piece

    def _decode(self) -> str:
        text: str = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        return text

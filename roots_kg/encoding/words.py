"""Which tokens of a vocabulary continue a word, and which stand for no text, as whole-word masking asks.

Each way to make subwords marks the difference in its own way: WordPiece puts "##" before a token that
continues a word, byte-level BPE "Ġ" and SentencePiece "▁" before one that starts a word.
"""

from __future__ import annotations

import json
from typing import Any

import tokenizers
import torch
from torch import Tensor

__all__ = ["continues_word", "special_tokens"]

BYTE_LEVEL_SPACES = tuple("ĠĊčĉ")  # how byte-level BPE writes a space, the ends of a line, and a tab
SENTENCE_PIECE_SPACES = ("▁", "\n")


def continues_word(tokenizer: tokenizers.Tokenizer) -> Tensor:
    """Tell which tokens continue the word of the token before; special tokens never do.

    Args:
        tokenizer: of V tokens, made of WordPiece, byte-level BPE, or SentencePiece's Unigram or BPE; with any
            other, every token is a word.

    Returns:
        (V,) booleans.
    """
    special = special_tokens(tokenizer)
    continues = torch.zeros_like(special)
    parts = json.loads(tokenizer.to_str())
    prefix = parts["model"].get("continuing_subword_prefix")
    kinds = _kinds(parts["pre_tokenizer"]) | _kinds(parts["decoder"])
    spaces = BYTE_LEVEL_SPACES if "ByteLevel" in kinds else SENTENCE_PIECE_SPACES
    for token, number in tokenizer.get_vocab().items():
        if prefix:
            continues[number] = token.startswith(prefix)
        elif kinds & {"ByteLevel", "Metaspace"}:
            continues[number] = not token.startswith(spaces)
    return continues & ~special


def special_tokens(tokenizer: tokenizers.Tokenizer) -> Tensor:
    """Tell which tokens stand for no text, such as "[CLS]".

    Args:
        tokenizer: of V tokens.

    Returns:
        (V,) booleans.
    """
    special = torch.zeros(max(tokenizer.get_vocab().values()) + 1, dtype=torch.bool)
    for number, token in tokenizer.get_added_tokens_decoder().items():
        special[number] = token.special
    return special


def _kinds(part: Any) -> set[str]:
    """Return the types of a part of a tokenizer and of the parts within it."""
    if isinstance(part, dict):
        nested = (_kinds(value) for value in part.values())
        return {str(part.get("type"))}.union(*nested)
    return set().union(*map(_kinds, part)) if isinstance(part, list) else set()

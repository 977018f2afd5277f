"""Training a subword tokenizer on one's own text.

Three ways to make subwords: WordPiece, which BERT uses (Schuster & Nakajima 2012; Devlin et al. 2019,
arXiv:1810.04805); byte-level BPE, which GPT-2 uses and which can write any text (Sennrich et al. 2016,
arXiv:1508.07909; Radford et al. 2019); and the Unigram model of SentencePiece (Kudo 2018, arXiv:1804.10959).
All of them get the same special tokens in the same places, so that one encoder works with each.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from roots_kg.errors import ConfigError, DataError, UsageError

__all__ = ["SPECIAL_TOKENS", "TokenizerConfig", "train_tokenizer"]

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

_CONTINUES = "##"
_SPACE = "▁"
_RARE_STEP, _DIGITS = 1e-4, 6


@dataclass(frozen=True)
class TokenizerConfig:
    """How a tokenizer is trained.

    Args:
        kind: how subwords are made.
        vocab_size: the most tokens there may be, special tokens included.
        min_frequency: how often two neighbours must occur to be joined; the Unigram model joins none.
        lowercase: whether upper and lower case are one.
    """

    kind: Literal["wordpiece", "bpe", "unigram"] = "wordpiece"
    vocab_size: int = 30_000
    min_frequency: int = 2
    lowercase: bool = False

    def __post_init__(self) -> None:
        least = len(SPECIAL_TOKENS) + (256 if self.kind == "bpe" else 1)
        if self.vocab_size < least:
            raise ValueError(f"vocab_size of {self.kind} must be at least {least}, found {self.vocab_size}")
        if self.min_frequency < 1:
            raise ValueError(f"min_frequency must be at least 1, found {self.min_frequency}")


def train_tokenizer(texts: Iterable[str], config: TokenizerConfig, *, progress: bool = False) -> Tokenizer:
    """Train a tokenizer; the same texts and settings give the same tokenizer, byte for byte.

    Args:
        texts: read twice, so not an iterator.
        config: how.
        progress: whether to show bars on standard error.

    Returns:
        A tokenizer with the ids 0, 1, … for `SPECIAL_TOKENS`, which encodes a text x as [CLS] x [SEP] and a
        pair as [CLS] x [SEP] y [SEP].

    Raises:
        DataError: if there is no text.
        ConfigError: if `vocab_size` is too small for the characters of the text.
    """
    if isinstance(texts, Iterator):
        raise UsageError(
            "the texts are read twice", hint="give a list, or an object that can be iterated anew"
        )
    tokenizer = _untrained(config)
    characters = _characters(texts, tokenizer)
    if not "".join(characters).strip():
        raise DataError("there is no text to train a tokenizer on")
    if config.kind == "bpe":
        trainer = trainers.BpeTrainer(
            vocab_size=config.vocab_size,
            min_frequency=config.min_frequency,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=list(SPECIAL_TOKENS),
            show_progress=progress,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return tokenizer
    if config.kind == "unigram":
        return _train_unigram(tokenizer, texts, characters, config, progress)
    return _train_wordpiece(tokenizer, texts, characters, config, progress)


def _train_wordpiece(
    tokenizer: Tokenizer, texts: Iterable[str], characters: list[str], config: TokenizerConfig, progress: bool
) -> Tokenizer:
    """Train WordPiece with an alphabet in a settled order.

    The trainer finds the characters that continue a word in an order that changes from run to run, and breaks
    ties by it. Named beforehand, as special tokens, they have an order; the tokens are then put into a
    tokenizer to which they are not special.
    """
    starting = [character for character in characters if not character.isspace()]
    continuing = [_CONTINUES + character for character in starting if _continues(character, tokenizer)]
    _ensure_room(len(starting) + len(continuing), config)
    trainer = trainers.WordPieceTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        initial_alphabet=starting,
        special_tokens=[*SPECIAL_TOKENS, *continuing],
        continuing_subword_prefix=_CONTINUES,
        show_progress=progress,
    )
    tokenizer.train_from_iterator(texts, trainer)
    trained = _untrained(config)
    trained.model = models.WordPiece(
        tokenizer.get_vocab(with_added_tokens=False), unk_token="[UNK]", max_input_chars_per_word=100
    )
    trained.add_special_tokens(list(SPECIAL_TOKENS))
    return trained


def _train_unigram(
    tokenizer: Tokenizer, texts: Iterable[str], characters: list[str], config: TokenizerConfig, progress: bool
) -> Tokenizer:
    """Train a Unigram model and settle its scores.

    The trainer adds them up in an order that changes from run to run, so their last digits differ, and it
    gives the rarest characters the lowest scores in an order that changes too.
    """
    _ensure_room(len({*characters, _SPACE} - {" "}) + 1, config)  # without one more it takes far more
    trainer = trainers.UnigramTrainer(
        vocab_size=config.vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        unk_token="[UNK]",
        show_progress=progress,
    )
    tokenizer.train_from_iterator(texts, trainer)
    scored = json.loads(tokenizer.to_str())["model"]["vocab"]
    unknown = SPECIAL_TOKENS.index("[UNK]")
    tokenizer.model = models.Unigram(_settled([(token, score) for token, score in scored]), unk_id=unknown)
    return tokenizer


def _settled(scored: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Round the scores of tokens, and give those of the rarest characters out in the characters' order."""
    special, tokens = scored[: len(SPECIAL_TOKENS)], scored[len(SPECIAL_TOKENS) :]
    scores = {token: round(score, _DIGITS) for token, score in tokens}
    single = [token for token in scores if len(token) == 1]
    highest = min(scores.values()) + _RARE_STEP * len(single)
    rare = sorted(token for token in single if scores[token] <= highest)
    scores.update(zip(rare, sorted((scores[token] for token in rare), reverse=True), strict=True))
    return [*special, *sorted(scores.items(), key=lambda item: (-item[1], item[0]))]


def _untrained(config: TokenizerConfig) -> Tokenizer:
    """Return a tokenizer that lacks a vocabulary only."""
    ends = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, SPECIAL_TOKENS.index(token)) for token in ("[CLS]", "[SEP]")],
    )
    if config.kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=config.lowercase, strip_accents=False)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece(prefix=_CONTINUES)
        tokenizer.post_processor = ends
        return tokenizer
    if config.kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), ends])
    else:
        tokenizer = Tokenizer(models.Unigram())
        lines = pre_tokenizers.Split(Regex("\n"), behavior="isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([lines, pre_tokenizers.Metaspace(_SPACE)])
        ends_of_lines = [decoders.Replace(" \n", "\n"), decoders.Replace("\n ", "\n")]
        tokenizer.decoder = decoders.Sequence([decoders.Metaspace(_SPACE), decoders.Fuse(), *ends_of_lines])
        tokenizer.post_processor = ends
    if config.lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    return tokenizer


def _characters(texts: Iterable[str], tokenizer: Tokenizer) -> list[str]:
    """Return the characters of the texts as the tokenizer sees them, sorted."""
    seen: set[str] = set()
    for text in texts:
        seen.update(text)
    together = "".join(sorted(seen))
    if tokenizer.normalizer is not None:
        together = tokenizer.normalizer.normalize_str(together)
    return sorted(set(together))


def _continues(character: str, tokenizer: Tokenizer) -> bool:
    """Tell whether a character can stand within a word, as a letter can and a comma cannot."""
    assert tokenizer.pre_tokenizer is not None
    return len(tokenizer.pre_tokenizer.pre_tokenize_str("a" + character)) == 1


def _ensure_room(characters: int, config: TokenizerConfig) -> None:
    needed = len(SPECIAL_TOKENS) + characters
    if needed > config.vocab_size:
        raise ConfigError(
            f"vocab_size {config.vocab_size:,} is too small: the characters of the text take {needed:,}",
            hint=f"use at least {needed:,}, or byte-level BPE, which needs {len(SPECIAL_TOKENS) + 256}",
        )

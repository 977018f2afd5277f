"""Rules on the scores of the next token: what is made less likely, and what is ruled out.

Every rule maps scores, (B, V), logits or log-probabilities, to new ones; minus infinity rules a token out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from roots_kg.encoding.decoding.config import GenerationConfig

__all__ = [
    "Copied",
    "NextTokenRules",
    "keep_top_k",
    "keep_top_p",
    "penalise_repetition",
    "rule_out_repeated_ngrams",
]

RULED_OUT = float("-inf")


@dataclass(frozen=True)
class Copied:
    """Tokens of a prompt that should be in the text that follows it.

    Each becomes likelier until it is there, so beam search prefers what has them all. As the score of a text
    is the sum over its tokens, that is a coverage term (as that of Wu et al. 2016, arXiv:1609.08144,
    section 7) which counts as soon as a token is written, and not only at the end of a text.

    Args:
        tokens: (S,), ids of such tokens; those that are not in a prompt are of no concern.
        prompt: how many of the tokens so far are the prompt.
        bonus: what is added to the score of each, in nats.
    """

    tokens: Tensor
    prompt: int
    bonus: float

    def missing(self, sequences: Tensor) -> Tensor:
        """Return which tokens of the prompt are not there yet, (B, S) booleans, of sequences (B, L)."""
        found = sequences[:, :, None] == self.tokens
        asked, written = found[:, : self.prompt].any(dim=1), found[:, self.prompt :].any(dim=1)
        return asked & ~written


class NextTokenRules:
    """The rules of a `GenerationConfig`, in the usual order.

    Args:
        config: which rules there are.
        end_id: the token that ends a text, or None.
        forbidden: (V,) booleans, true for tokens that are never generated.
        copied: what of a prompt should be in the text.
    """

    def __init__(
        self, config: GenerationConfig, end_id: int | None, forbidden: Tensor, copied: Copied | None = None
    ) -> None:
        self._config, self._end_id, self._copied = config, end_id, copied
        self._forbidden = forbidden if bool(forbidden.any()) else None

    def __call__(self, scores: Tensor, sequences: Tensor, lengths: Tensor) -> Tensor:
        """Return the scores, (B, V), under the rules.

        Args:
            scores: (B, V).
            sequences: (B, L), the tokens so far, -1 where there is none.
            lengths: (B,), how many there are.
        """
        config = self._config
        if config.repetition_penalty != 1:
            # the end is not a word: that it stands in front of a text, as in GPT-2's, must not put it off
            words = (
                sequences if self._end_id is None else sequences.masked_fill(sequences == self._end_id, -1)
            )
            scores = penalise_repetition(scores, words, config.repetition_penalty)
        if config.no_repeat_ngram_size:
            scores = rule_out_repeated_ngrams(scores, sequences, config.no_repeat_ngram_size)
        if self._forbidden is not None:
            scores = scores.masked_fill(self._forbidden, RULED_OUT)
        if self._end_id is not None and config.min_length:
            scores = scores.clone()
            scores[lengths < config.min_length, self._end_id] = RULED_OUT
        if self._copied is not None:
            scores = scores.clone()
            scores[:, self._copied.tokens] += self._copied.bonus * self._copied.missing(sequences)
        if config.temperature != 1:
            scores = scores / config.temperature
        if config.top_k is not None:
            scores = keep_top_k(scores, config.top_k)
        if config.top_p < 1:
            scores = keep_top_p(scores, config.top_p)
        return scores


def penalise_repetition(scores: Tensor, sequences: Tensor, penalty: float) -> Tensor:
    """Divide positive scores of tokens that occurred by the penalty, and multiply negative ones by it.

    Keskar et al. 2019 (arXiv:1909.05858), section 4.1, with the sign taken into account.

    Args:
        scores: (B, V).
        sequences: (B, L), the tokens so far; below 0 where there is none.
        penalty: above 1 to make them less likely.
    """
    rows, size = scores.shape
    occurred = torch.zeros(rows, size + 1, dtype=torch.bool, device=scores.device)
    occurred.scatter_(1, torch.where(sequences < 0, size, sequences), True)
    penalised = torch.where(scores < 0, scores * penalty, scores / penalty)
    return torch.where(occurred[:, :size], penalised, scores)


def rule_out_repeated_ngrams(scores: Tensor, sequences: Tensor, size: int) -> Tensor:
    """Rule out the tokens that would complete a run of `size` tokens that occurred already.

    Args:
        scores: (B, V).
        sequences: (B, L), the tokens so far; below 0 on the left of shorter ones.
        size: n.
    """
    length = sequences.shape[1]
    if length < size:
        return scores
    ngrams = sequences.unfold(1, size, 1)
    last = sequences[:, length - size + 1 :]
    rows, places = (ngrams[:, :, :-1] == last[:, None, :]).all(dim=2).nonzero(as_tuple=True)
    completing = ngrams[rows, places, -1]
    present = completing >= 0
    scores = scores.clone()
    scores[rows[present], completing[present]] = RULED_OUT
    return scores


def keep_top_k(scores: Tensor, k: int) -> Tensor:
    """Rule out all but the k highest scores of each row, and what equals the last of them."""
    least = scores.topk(min(k, scores.shape[1]), dim=1).values[:, -1:]
    return scores.masked_fill(scores < least, RULED_OUT)


def keep_top_p(scores: Tensor, p: float) -> Tensor:
    """Rule out all but the fewest tokens of each row whose probabilities add up to p."""
    ordered, order = scores.sort(dim=1, descending=True)
    probabilities = ordered.softmax(dim=1)
    before = probabilities.cumsum(dim=1) - probabilities
    beyond = before >= p
    beyond[:, 0] = False
    return scores.masked_fill(torch.zeros_like(beyond).scatter_(1, order, beyond), RULED_OUT)

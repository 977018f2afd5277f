"""One continuation of each text, a token at a time: the likeliest one, or one that is drawn."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from roots_kg.encoding.decoding.reader import CausalReader
from roots_kg.encoding.decoding.scores import RULED_OUT, NextTokenRules
from roots_kg.encoding.decoding.text_rules import Refuses

__all__ = ["Choice", "Draws", "Stopped", "continue_texts", "likeliest"]

Choice = Callable[[Tensor, Sequence[int]], Tensor]
"""From scores, (B, V), and the number of each row's text, to tokens, (B,)."""

Stopped = Callable[[int, Sequence[int]], bool]
"""Whether the text of this number ends with these new tokens, for instance because of a stop string."""


def continue_texts(
    reader: CausalReader,
    rules: NextTokenRules,
    choose: Choice,
    limits: Sequence[int],
    end_id: int | None,
    stopped: Stopped | None = None,
    refuses: Refuses | None = None,
) -> Iterator[tuple[int, int]]:
    """Continue every text of a reader; texts that have ended are read no further.

    Args:
        reader: B texts.
        rules: on the scores.
        choose: the next token of each.
        limits: the most tokens that each is continued by.
        end_id: the token that ends a text, or None.
        stopped: asked after every token.
        refuses: asked about the tokens that are chosen; where it refuses one, another is chosen.

    Yields:
        The number of a text and its next token, as soon as it is known; the end is not told.
    """
    texts = list(range(len(limits)))
    tokens: list[list[int]] = [[] for _ in limits]
    while True:
        scores = rules(reader.logits, reader.sequences, reader.lengths)
        chosen = choose(scores, texts)
        if refuses is not None:
            ask = _asked(refuses, texts, tokens, limits, end_id)
            scores, chosen = _choose_allowed(reader, rules, choose, texts, scores, chosen, ask)
        going = []
        for row, (text, token, possible) in enumerate(
            zip(texts, chosen.tolist(), _possible(scores, chosen), strict=True)
        ):
            if token == end_id or not possible:
                continue
            tokens[text].append(token)
            yield text, token
            if len(tokens[text]) < limits[text] and not (stopped and stopped(text, tokens[text])):
                going.append(row)
        if not going:
            return
        if len(going) < len(texts):
            reader.select(going)
            texts, chosen = [texts[row] for row in going], chosen[going]
        reader.add(chosen)


def likeliest(scores: Tensor, texts: Sequence[int]) -> Tensor:
    """Choose the token with the highest score in each row of (B, V)."""
    return scores.max(dim=1).indices


class Draws:
    """Choose tokens with their probabilities.

    Every text draws from random numbers of its own, which depend on the seed and on which continuation of its
    prompt it is, so that a prompt has the same continuations whatever stands beside it.

    Args:
        seed: of the random numbers, or None for others every time.
        texts: how many texts there are.
        per_prompt: how many of them, one after the other, continue one prompt.
    """

    def __init__(self, seed: int | None, texts: int, per_prompt: int) -> None:
        self._numbers = [
            random.Random(None if seed is None else f"{seed}, {text % per_prompt}") for text in range(texts)
        ]

    def __call__(self, scores: Tensor, texts: Sequence[int]) -> Tensor:
        """Draw a token for each row of (B, V) scores."""
        below = scores.double().softmax(dim=1).cumsum(dim=1)
        whole = below[:, -1:].contiguous()
        draws = [[self._numbers[text].random()] for text in texts]
        wanted = torch.tensor(draws, dtype=torch.float64, device=below.device) * whole
        # rounding may reach the whole sum, beyond which there is no token
        last = torch.searchsorted(below, whole).clamp_max(scores.shape[1] - 1)
        return torch.minimum(torch.searchsorted(below, wanted, right=True), last).squeeze(1)


def _asked(
    refuses: Refuses,
    texts: Sequence[int],
    tokens: Sequence[list[int]],
    limits: Sequence[int],
    end_id: int | None,
) -> Callable[[int, int], bool]:
    """Return what tells whether a row may not go on with a token."""

    def refused(row: int, token: int) -> bool:
        text = texts[row]
        if token == end_id:
            return refuses(text, tokens[text], True)
        return refuses(text, [*tokens[text], token], len(tokens[text]) + 1 == limits[text])

    return refused


def _choose_allowed(
    reader: CausalReader,
    rules: NextTokenRules,
    choose: Choice,
    texts: Sequence[int],
    scores: Tensor,
    chosen: Tensor,
    refused: Callable[[int, int], bool],
) -> tuple[Tensor, Tensor]:
    """Choose again where what was chosen is refused, until nothing is or nothing is left.

    Every time twice as many of the likeliest tokens are looked at, so that a rule that refuses nearly all
    of them takes few rounds.

    Returns:
        The scores, (B, V), in which refused tokens are ruled out, and tokens, (B,).
    """
    rows, looked_at, logits = list(range(len(texts))), 1, reader.logits
    while True:
        candidates = zip(rows, chosen[rows].tolist(), _possible(scores[rows], chosen[rows]), strict=True)
        refusals = {row: token for row, token, possible in candidates if possible and refused(row, token)}
        if not refusals:
            return scores, chosen
        rows, logits, scores, chosen = list(refusals), logits.clone(), scores.clone(), chosen.clone()
        for row, token in refusals.items():
            best = scores[row].topk(min(looked_at, scores.shape[1]))
            others = zip(best.values.tolist(), best.indices.tolist(), strict=True)
            out = [other for score, other in others if score > RULED_OUT and refused(row, other)]
            logits[row, [token, *out]] = RULED_OUT
        scores[rows] = rules(logits[rows], reader.sequences[rows], reader.lengths[rows])
        chosen[rows] = choose(scores[rows], [texts[row] for row in rows])
        looked_at *= 2


def _possible(scores: Tensor, chosen: Tensor) -> list[bool]:
    """Tell for each row whether its token is not ruled out, as all are where the rules leave nothing."""
    possible: list[bool] = (scores.gather(1, chosen[:, None]).squeeze(1) > RULED_OUT).tolist()
    return possible

"""Beam search: the likeliest continuations of each text, of several that are followed at once.

After n tokens the k likeliest open continuations of a text are followed. One that ends is kept with the score
log p / n^α, where α is the length penalty, if it is among the k best that ended. When to stop is
`GenerationConfig.early_stopping`; scores and stopping follow the conventions of the library transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from roots_kg.encoding.decoding.config import GenerationConfig
from roots_kg.encoding.decoding.reader import CausalReader
from roots_kg.encoding.decoding.sampling import Stopped
from roots_kg.encoding.decoding.scores import RULED_OUT, NextTokenRules
from roots_kg.encoding.decoding.text_rules import Refuses

__all__ = ["Hypothesis", "beam_search"]


@dataclass(frozen=True)
class Hypothesis:
    """A continuation.

    Args:
        tokens: of it; the one that ends a text is left out.
        score: the log-probability of its tokens, divided by a power of their number once it is complete.
    """

    tokens: tuple[int, ...]
    score: float


def beam_search(
    reader: CausalReader,
    rules: NextTokenRules,
    config: GenerationConfig,
    limits: Sequence[int],
    end_id: int | None,
    stopped: Stopped | None = None,
    refuses: Refuses | None = None,
) -> list[list[Hypothesis]]:
    """Return for each text up to `config.num_return_sequences` continuations, best first.

    Where rules leave no token that could follow, and none is complete, it is the best as far as it came.

    Args:
        reader: B texts.
        rules: on the log-probabilities.
        config: `num_beams`, `length_penalty`, `early_stopping` and `num_return_sequences` of it.
        limits: the most tokens that each is continued by.
        end_id: the token that ends a text, or None.
        stopped: asked for every continuation that might be followed further.
        refuses: asked for every one that might be followed or kept.
    """
    searches = [_Search(text, limit, config) for text, limit in enumerate(limits)]
    searching, beams = searches, 1
    while True:
        log_probabilities = reader.logits.log_softmax(dim=1)
        scores = rules(log_probabilities, reader.sequences, reader.lengths)
        so_far = [[beam.score] for search in searching for beam in search.running]
        scores = scores + torch.tensor(so_far, device=scores.device)
        size = scores.shape[1]
        scores = scores.view(len(searching), beams * size)
        most = min(2 * config.num_beams, beams * size)
        if refuses is not None:
            refusals = [search.refusals(refuses, size, end_id) for search in searching]
            scores = _without_refused(scores, most, refusals)
        best = scores.topk(most, dim=1)
        rows: list[int] = []
        tokens: list[int] = []
        remaining = []
        for place, (search, values, indices) in enumerate(
            zip(searching, best.values.tolist(), best.indices.tolist(), strict=True)
        ):
            chosen = search.take(zip(values, indices, strict=True), size, end_id, stopped)
            if chosen:
                remaining.append(search)
                rows += [place * beams + beam for beam, _ in chosen]
                tokens += [token for _, token in chosen]
        if not remaining:
            return [search.results() for search in searches]
        searching, beams = remaining, config.num_beams
        reader.select(rows)
        reader.add(torch.tensor(tokens, device=reader.lengths.device))


def _without_refused(scores: Tensor, most: int, refused: Sequence[Callable[[int], bool]]) -> Tensor:
    """Rule tokens out of the scores of some searches, so that the `most` best of each are not refused.

    Args:
        scores: (S, beams · V).
        most: how many are wanted.
        refused: for each search, whether it may not have what has this index.
    """
    for place, refuses in enumerate(refused):
        looked_at, allowed = most, set[int]()
        while True:
            best = scores[place].topk(min(looked_at, scores.shape[1]))
            found = zip(best.values.tolist(), best.indices.tolist(), strict=True)
            unknown = [index for score, index in found if score > RULED_OUT and index not in allowed]
            out = [index for index in unknown if refuses(index)]
            if not out:
                break
            allowed.update(set(unknown).difference(out))
            scores[place, out] = RULED_OUT
            looked_at *= 2  # so that a rule that refuses nearly everything takes few rounds
    return scores


class _Search:
    """The continuations of one text: those that are followed, and the best that are complete."""

    def __init__(self, text: int, limit: int, config: GenerationConfig) -> None:
        self.text, self.limit, self.config = text, limit, config
        self.running = [Hypothesis((), 0.0)]
        self.complete: list[Hypothesis] = []
        self.steps = 0

    def refusals(self, refuses: Refuses, size: int, end_id: int | None) -> Callable[[int], bool]:
        """Return what tells whether beam · V + token is refused as what comes next."""

        def refused(index: int) -> bool:
            beam, token = divmod(index, size)
            tokens = self.running[beam].tokens
            if token == end_id:
                return refuses(self.text, tokens, True)
            return refuses(self.text, (*tokens, token), self.steps + 1 == self.limit)

        return refused

    def take(
        self,
        candidates: Iterator[tuple[float, int]],
        size: int,
        end_id: int | None,
        stopped: Stopped | None,
    ) -> list[tuple[int, int]]:
        """Take the likeliest next tokens, best first, each a score and beam · V + token.

        Returns:
            The beams that are followed and their next tokens; nothing when the search is over.
        """
        wanted = self.config.num_beams
        self.steps += 1
        running: list[Hypothesis] = []
        chosen: list[tuple[int, int]] = []
        for rank, (score, index) in enumerate(candidates):
            beam, token = divmod(index, size)
            if score == RULED_OUT or len(running) == wanted:
                break
            tokens = self.running[beam].tokens
            if token != end_id:
                tokens = (*tokens, token)
            ends = token == end_id or self.steps == self.limit or (stopped and stopped(self.text, tokens))
            if not ends:
                running.append(Hypothesis(tokens, score))
                chosen.append((beam, token))
            elif rank < wanted:
                self.complete.append(Hypothesis(tokens, score / self._length(self.steps)))
        self.complete = sorted(self.complete, key=lambda hypothesis: -hypothesis.score)[:wanted]
        if not running or self._over(running[0].score):
            return []
        missing = wanted - len(running)  # the batch keeps its shape: rows that can lead nowhere fill it up
        self.running = running + [Hypothesis((), RULED_OUT)] * missing
        return chosen + chosen[:1] * missing

    def results(self) -> list[Hypothesis]:
        """Return the best complete continuations; if the rules left none, the best as far as it came."""
        so_far = Hypothesis(self.running[0].tokens, RULED_OUT)
        return self.complete[: self.config.num_return_sequences] or [so_far]

    def _over(self, best_running: float) -> bool:
        if len(self.complete) < self.config.num_beams:
            return False
        early = self.config.early_stopping
        if early is True:
            return True
        longest = self.limit if early == "never" and self.config.length_penalty > 0 else self.steps
        return best_running / self._length(longest) <= self.complete[-1].score

    def _length(self, tokens: int) -> float:
        length: float = tokens**self.config.length_penalty
        return length

"""Beam search: the likeliest continuations of each text, of several that are followed at once.

After n tokens the k likeliest open continuations of a text are followed. One that ends is kept with the score
log p / n^α, where α is the length penalty, if it is among the k best that ended. When to stop is
`GenerationConfig.early_stopping`; scores and stopping follow the conventions of the library transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from roots_kg.encoding.decoding.config import GenerationConfig
from roots_kg.encoding.decoding.reader import CausalReader
from roots_kg.encoding.decoding.sampling import Stopped
from roots_kg.encoding.decoding.scores import RULED_OUT, NextTokenRules

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
) -> list[list[Hypothesis]]:
    """Return for each text up to `config.num_return_sequences` continuations, best first.

    Args:
        reader: B texts.
        rules: on the log-probabilities.
        config: `num_beams`, `length_penalty`, `early_stopping` and `num_return_sequences` of it.
        limits: the most tokens that each is continued by.
        end_id: the token that ends a text, or None.
        stopped: asked for every continuation that might be followed further.
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
        best = scores.topk(min(2 * config.num_beams, beams * size), dim=1)
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


class _Search:
    """The continuations of one text: those that are followed, and the best that are complete."""

    def __init__(self, text: int, limit: int, config: GenerationConfig) -> None:
        self.text, self.limit, self.config = text, limit, config
        self.running = [Hypothesis((), 0.0)]
        self.complete: list[Hypothesis] = []
        self.steps = 0

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
        """Return the best complete continuations; an empty one if the rules left none."""
        return self.complete[: self.config.num_return_sequences] or [Hypothesis((), RULED_OUT)]

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

"""How texts are generated: how long, chosen in which way, and where they stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from roots_kg.errors import UsageError

__all__ = ["DEFAULT_NEW_TOKENS", "GenerationConfig"]

DEFAULT_NEW_TOKENS = 20


@dataclass(frozen=True)
class GenerationConfig:
    """Settings of generation; the defaults give the greedy continuation of a prompt by 20 tokens.

    Args:
        max_length: the most tokens of prompt and continuation together.
        max_new_tokens: the most tokens of the continuation, in place of `max_length`.
        min_length: prompt and continuation do not end before they have so many tokens.
        num_beams: continuations that beam search follows at once; 1 for none.
        sample: whether the next token is drawn, or the likeliest is taken.
        temperature: logits are divided by it before drawing; below 1 makes likely tokens likelier.
        top_k: draw from the so many likeliest tokens only (Fan et al. 2018, arXiv:1805.04833).
        top_p: draw from the likeliest tokens only whose probabilities add up to so much (Holtzman et al.
            2020, arXiv:1904.09751).
        repetition_penalty: above 1 makes tokens that occurred less likely (Keskar et al. 2019,
            arXiv:1909.05858, section 4.1).
        no_repeat_ngram_size: no run of so many tokens occurs twice (Paulus et al. 2018, arXiv:1705.04304);
            0 for no such rule.
        length_penalty: beam search divides the log-probability of a continuation of n tokens by n to the
            power of this; above 0 favours long ones.
        early_stopping: when beam search ends. True: as soon as `num_beams` continuations are complete.
            False: when the best open one, if it ended now, would not be among the best complete ones.
            "never": when nothing that it could become would be.
        num_return_sequences: continuations of each prompt.
        stop: a text ends before the first of these strings in its continuation.
        block_list: words and phrases that do not occur in a continuation, in any case; see
            `roots_kg.encoding.decoding.block_list.BlockList`.
        seed: of the draws; None draws otherwise every time. What is drawn for a prompt depends on the prompt
            and the seed alone.

    Raises:
        UsageError: if a value is out of its range, or one excludes another.
    """

    max_length: int | None = None
    max_new_tokens: int | None = None
    min_length: int = 0
    num_beams: int = 1
    sample: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    num_return_sequences: int = 1
    stop: tuple[str, ...] = ()
    block_list: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_length", "max_new_tokens", "num_beams", "top_k", "num_return_sequences"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, found {value}")
        for name in ("min_length", "no_repeat_ngram_size"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} must be at least 0, found {getattr(self, name)}")
        for name in ("temperature", "repetition_penalty"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"{name} must be above 0, found {getattr(self, name)}")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p must be above 0 and at most 1, found {self.top_p}")
        if not abs(self.length_penalty) < float("inf"):
            raise UsageError(f"length_penalty must be a finite number, found {self.length_penalty}")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise UsageError(f"seed must be at least 0 and below 2^63, found {self.seed}")
        if "" in self.stop:
            raise UsageError("a stop string is empty")
        self._refuse_contradictions()

    def _refuse_contradictions(self) -> None:
        if self.max_length is not None and self.max_new_tokens is not None:
            raise UsageError("give max_length or max_new_tokens, not both")
        if self.max_length is not None and self.min_length > self.max_length:
            raise UsageError(f"min_length {self.min_length} is above max_length {self.max_length}")
        if self.sample and self.num_beams > 1:
            raise UsageError("beam search does not sample", hint="give num_beams or sample, not both")
        if not self.sample and (self.temperature, self.top_k, self.top_p) != (1.0, None, 1.0):
            raise UsageError(
                "temperature, top_k and top_p have a part in sampling only", hint="turn sample on"
            )
        most = self.num_return_sequences if self.sample else self.num_beams
        if self.num_return_sequences > most:
            raise UsageError(
                f"{self.num_return_sequences} sequences are wanted of {most} that are followed",
                hint="raise num_beams, or turn sample on",
            )

    def new_tokens(self, prompt_length: int) -> int:
        """Return how many tokens may follow a prompt of so many; below 1 where it is too long already."""
        if self.max_length is not None:
            return self.max_length - prompt_length
        return self.max_new_tokens or DEFAULT_NEW_TOKENS

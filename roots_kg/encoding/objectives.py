"""What a language model is trained to do: which tokens are hidden, and what is predicted where.

The causal objective predicts each token from its left. The masked one hides whole words and predicts them
from both sides (Devlin et al. 2019, arXiv:1810.04805). Masked *next*-token prediction hides them likewise,
but predicts a hidden token at the position before it, so that it shares its output with the causal objective
(GPT-BERT, Charpentier & Samuel 2024, arXiv:2410.24159). Next-sentence prediction tells whether the second
segment of a row follows the first (Devlin et al. 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from roots_kg.encoding.language_model import IGNORE

__all__ = ["Masking", "Targets", "causal", "masked", "masked_next", "next_sentence"]


@dataclass(frozen=True)
class Masking:
    """How tokens are hidden.

    Args:
        mask_id: the token that stands in for a hidden one.
        vocab_size: V; a tenth of the hidden tokens are replaced by any of these.
        continues: (V,), true for the tokens that continue a word, such as "##ing".
        special: (V,), true for the tokens that are never hidden.
        rate: the share of tokens that are predicted.
    """

    mask_id: int
    vocab_size: int
    continues: Tensor
    special: Tensor
    rate: float = 0.15


@dataclass(frozen=True)
class Targets:
    """Rows of one objective.

    Args:
        input_ids: (B, L), what the trunk reads.
        labels: (B, L), the token predicted at each position, `IGNORE` where none is.
        causal: whether a token sees its left only, or both sides.
        token_types: (B, L), the segment of each token, or None for one segment.
        follows: (B,), 1 where the second segment follows the first, else 0; None for the other objectives.
    """

    input_ids: Tensor
    labels: Tensor
    causal: bool
    token_types: Tensor | None = None
    follows: Tensor | None = None

    def __len__(self) -> int:
        """B, the number of rows."""
        return len(self.input_ids)

    @property
    def predicted(self) -> int:
        """How many predictions the loss is the mean of: of tokens, or of whether a segment follows."""
        return int((self.labels != IGNORE).sum()) if self.follows is None else len(self)

    def rows(self, chosen: slice) -> Targets:
        """Return some of the rows."""
        return self._mapped(lambda values: values[chosen])

    def to(self, device: torch.device) -> Targets:
        """Return them on a device."""
        return self._mapped(lambda values: values.to(device))

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Targets:
        return Targets(
            change(self.input_ids),
            change(self.labels),
            self.causal,
            None if self.token_types is None else change(self.token_types),
            None if self.follows is None else change(self.follows),
        )


def causal(input_ids: Tensor) -> Targets:
    """Predict each token of (B, L) from those to its left."""
    return Targets(input_ids, _shifted(input_ids), causal=True)


def masked(input_ids: Tensor, masking: Masking, generator: torch.Generator) -> Targets:
    """Hide whole words of (B, L) and predict their tokens where they stood."""
    hidden, replaced = _hide(input_ids, masking, generator)
    return Targets(replaced, input_ids.masked_fill(~hidden, IGNORE), causal=False)


def masked_next(input_ids: Tensor, masking: Masking, generator: torch.Generator) -> Targets:
    """Hide whole words of (B, L) and predict each of their tokens one position earlier."""
    hidden, replaced = _hide(input_ids, masking, generator)
    return Targets(replaced, _shifted(input_ids.masked_fill(~hidden, IGNORE)), causal=False)


def next_sentence(input_ids: Tensor, start_id: int, separator_id: int, generator: torch.Generator) -> Targets:
    """Make two segments of each row of (B, L), half of them with the second one of another row.

    A row becomes start, first segment, separator, second segment, separator, at the length it had. With a
    single row there is no other, and its second segment always follows.
    """
    rows, length = input_ids.shape
    half = (length - 2) // 2
    first, second = input_ids[:, 1 : 1 + half], input_ids[:, 1 + half : length - 2]
    follows = torch.rand(rows, generator=generator) < 0.5
    if rows == 1:
        follows[:] = True
    second = torch.where(follows[:, None], second, second.roll(1, dims=0))
    start, separator = input_ids.new_full((rows, 1), start_id), input_ids.new_full((rows, 1), separator_id)
    paired = torch.cat([start, first, separator, second, separator], dim=1)
    token_types = torch.zeros_like(paired)
    token_types[:, half + 2 :] = 1
    return Targets(
        paired, torch.full_like(paired, IGNORE), causal=False, token_types=token_types, follows=follows.long()
    )


def _shifted(labels: Tensor) -> Tensor:
    """Move labels of (B, L) one position to the left."""
    return torch.cat([labels[:, 1:], torch.full_like(labels[:, :1], IGNORE)], dim=1)


def _hide(input_ids: Tensor, masking: Masking, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Choose whole words; return which tokens are predicted, (B, L), and what is read in their place.

    Of the hidden tokens 8 in 10 become the mask, 1 in 10 any token, and 1 in 10 stays (Devlin et al. 2019,
    section 3.1). The first token of a row is not hidden, as nothing stands before it.
    """
    shape = input_ids.shape
    words = (~masking.continues[input_ids]).cumsum(dim=1)
    chances = torch.rand(shape, generator=generator)
    chosen = chances.gather(1, words.clamp_max(shape[1] - 1)) < masking.rate
    hidden = chosen & ~masking.special[input_ids]
    hidden[:, 0] = False
    way = torch.rand(shape, generator=generator)
    anything = torch.randint(masking.vocab_size, shape, generator=generator)
    replaced = torch.where(hidden & (way < 0.8), masking.mask_id, input_ids)
    return hidden, torch.where(hidden & (way >= 0.9), anything, replaced)

"""Int8: a faster reading on the processor, with weights and activations of eight bits.

A matrix product is done in integers, y = s_x s_w (q_x q_w) + b. Each row of a weight has a scale s_w of its
own, and so has each token's vector, s_x, found when it is read. So outliers of one token cost the others
nothing, and but for rounding the vector of a text does not depend on the texts beside it. The rest stays
float32. It is the vector-wise quantization of Dettmers et al. 2022 (arXiv:2208.07339), without their second
product for outliers.

PyTorch's own `quantize_dynamic` is deprecated and has one scale for a whole batch, which was measured to cost
more accuracy; torchao's was measured to be no faster than float32 unless it is compiled.
"""

from __future__ import annotations

import copy
from functools import cache

import torch
from torch import Tensor, nn

from roots_kg.encoding.hybrid import HybridEncoder
from roots_kg.encoding.transformer import Transformer
from roots_kg.errors import UsageError

__all__ = ["Int8Linear", "QuantizedEncoder"]

LARGEST = 127
SMALLEST_SCALE = 1e-30


class QuantizedEncoder(HybridEncoder):
    """A hybrid encoder for inference whose blocks multiply in int8.

    Args:
        encoder: what it imitates; left as it is, and all that is not quantized is shared with it.

    Raises:
        UsageError: if the encoder is not on the processor, or the processor cannot do it.
    """

    def __init__(self, encoder: HybridEncoder) -> None:
        nn.Module.__init__(self)
        device = encoder.trunk.token_embedding.weight.device
        if device.type != "cpu":
            message = f"the precision int8 is for the processor, the encoder is on {device}"
            raise UsageError(message, hint="use the precision float32")
        if not _multiplies_exactly():
            raise UsageError(
                "this processor cannot multiply int8 without overflow", hint="use the precision float32"
            )
        self.trunk, self.gate, self.adapter = _quantized(encoder.trunk), encoder.gate, encoder.adapter
        self._int8_causal_trunk = self.trunk if encoder.adapter is None else _quantized(encoder.causal_trunk)

    @property
    def causal_trunk(self) -> Transformer:
        """The trunk with the weights of the causal reading."""
        return self._int8_causal_trunk

    def merge_again(self) -> None:
        """Do nothing: the merged weights were quantized once and for all."""


class Int8Linear(nn.Module):
    """A linear map with a weight of int8; no gradient passes through it.

    Args:
        linear: the map it imitates, whose bias it shares.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        self.scale = weight.abs().amax(dim=1).clamp_min(SMALLEST_SCALE) / LARGEST
        self.weight = (weight / self.scale[:, None]).round().to(torch.int8).T.contiguous()
        self.bias = linear.bias.detach()

    @torch.no_grad()
    def forward(self, states: Tensor) -> Tensor:
        """Map (…, columns) to (…, rows)."""
        tokens = states.reshape(-1, states.shape[-1])
        largest = tokens.abs().amax(dim=1, keepdim=True).clamp_min_(SMALLEST_SCALE)
        integers = (tokens * (LARGEST / largest)).round_().to(torch.int8)
        product = torch._int_mm(integers, self.weight).to(states.dtype).mul_(largest / LARGEST)
        result: Tensor = torch.addcmul(self.bias, product, self.scale, out=product)
        return result.view(*states.shape[:-1], -1)


def _quantized(trunk: Transformer) -> Transformer:
    """Return a trunk with int8 in its blocks that shares all other weights."""
    own = [*trunk.parameters(), *trunk.buffers()]
    result = copy.deepcopy(trunk, memo={id(tensor): tensor for tensor in own}).eval()
    for block in result.blocks:
        for name, part in list(block.named_children()):
            if isinstance(part, nn.Linear):
                setattr(block, name, Int8Linear(part))
    return result


@cache
def _multiplies_exactly() -> bool:
    """Tell whether sums of large products come out right; without VNNI instructions they are cut off."""
    large = torch.full((32, 32), LARGEST, dtype=torch.int8)
    return bool((torch._int_mm(large, large) == 32 * LARGEST**2).all())

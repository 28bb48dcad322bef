"""The transformer block: gather from the past, then think about it, twice around a residual.

Source: GPT-2 (Radford et al. 2019, section 2.3): LayerNorm stands before each part ("pre-LN").
"""

import math

import torch
from torch import Tensor, nn

from gptlib.attention import CausalSelfAttention
from gptlib.config import GPTConfig


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Give every position mean 0 and variance 1, then a learned scale and shift.

    Args:
        x: (..., C); each position is treated alone.
        weight: (C,), the scale.
        bias: (C,), the shift.
        epsilon: added to the variance, so that a constant row stays finite.

    Returns:
        The shape of `x`. Source: Ba et al. 2016, equations 3 and 4.
    """
    mean = x.mean(dim=-1, keepdim=True)  # (..., 1)
    variance = x.var(dim=-1, keepdim=True, correction=0)  # (..., 1), divided by C, not C − 1
    return (x - mean) / torch.sqrt(variance + epsilon) * weight + bias  # (..., C)


class LayerNorm(nn.Module):
    """:func:`layer_norm` with its parameters: scale 1 and shift 0 at the start."""

    def __init__(self, width: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        # the same numbers as layer_norm above, in one fused kernel
        return nn.functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


def gelu(x: Tensor) -> Tensor:
    """The smooth gate x·P(Z ≤ x) in the tanh form that GPT-2 was trained with.

    Source: Hendrycks & Gimpel 2016, section 2; the exact erf form differs by up to 5e-4.
    """
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class MLP(nn.Module):
    """Two linear layers with a gate between: each position thinks alone, four times as wide.

    Args:
        config: reads `width` and `dropout`.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.expand = nn.Linear(config.width, 4 * config.width)
        self.gelu = nn.GELU(approximate="tanh")  # gelu above, in one fused kernel
        self.projection = nn.Linear(4 * config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        x = self.gelu(self.expand(x))  # (B, T, 4C)
        return self.dropout(self.projection(x))  # (B, T, C)


class Block(nn.Module):
    """One floor of GPT-2: both parts read a normalized copy and add to the residual stream.

    Args:
        config: handed on to the parts.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(config.width, config.layer_norm_epsilon)
        self.attention = CausalSelfAttention(config)
        self.ln_2 = LayerNorm(config.width, config.layer_norm_epsilon)
        self.mlp = MLP(config)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C); `x` itself stays as it was."""
        x = x + self.attention(self.ln_1(x))  # gather from the past
        return x + self.mlp(self.ln_2(x))  # think about it

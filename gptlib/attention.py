"""Causal multi-head self-attention: how a position gathers from its past, and only its past.

Axes: B sequences, T positions, C model width, H heads, D = C / H head width.
Source: Vaswani et al. 2017, section 3.2; the fused projection is GPT-2's (Radford et al. 2019).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptlib.config import GPTConfig


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    """Cut the width into heads and bring the heads before the positions.

    Args:
        x: (B, T, C).
        n_heads: H, which divides C.

    Returns:
        (B, H, T, D): head h holds channels h·D to (h+1)·D of every position.
    """
    B, T, C = x.shape
    x = x.view(B, T, n_heads, C // n_heads)  # (B, T, H, D)
    return x.transpose(1, 2)  # (B, H, T, D)


def merge_heads(x: Tensor) -> Tensor:
    """Undo :func:`split_heads`: (B, H, T, D) back to (B, T, C)."""
    B, H, T, D = x.shape
    x = x.transpose(1, 2)  # (B, T, H, D)
    return x.reshape(B, T, H * D)  # (B, T, C); reshape copies: transpose changed the order


def causal_weights(query: Tensor, key: Tensor) -> Tensor:
    """How much each position takes from each position of its past; every row sums to 1.

    Args:
        query: (B, H, T, D), what each position seeks.
        key: (B, H, T, D), what each position offers.

    Returns:
        (B, H, T, T): row i holds position i's weights, exactly 0 after column i.
    """
    T, D = query.shape[-2:]
    scores = query @ key.transpose(-2, -1) / math.sqrt(D)  # (B, H, T, T)
    future = torch.ones(T, T, dtype=torch.bool, device=query.device).triu(diagonal=1)
    scores = scores.masked_fill(future, float("-inf"))  # (B, H, T, T)
    return scores.softmax(dim=-1)  # (B, H, T, T)


class CausalSelfAttention(nn.Module):
    """GPT-2's attention: one projection to queries, keys and values, and one back.

    The weights are those of :func:`causal_weights`; PyTorch's fused kernel computes the same
    output without storing them. Not handled here: a key/value cache, padding masks.

    Args:
        config: reads `width`, `n_heads`, `dropout` and `qkv_bias`.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.dropout = config.dropout
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=config.qkv_bias)
        self.projection = nn.Linear(config.width, config.width)
        self.projection_dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Let every position of `x` (B, T, C) gather from its past; returns (B, T, C)."""
        query, key, value = self.qkv(x).chunk(3, dim=-1)  # 3 × (B, T, C)
        y = F.scaled_dot_product_attention(
            split_heads(query, self.n_heads),  # (B, H, T, D)
            split_heads(key, self.n_heads),
            split_heads(value, self.n_heads),
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=True,
        )  # (B, H, T, D)
        y = self.projection(merge_heads(y))  # (B, T, C)
        return self.projection_dropout(y)

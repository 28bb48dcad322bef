"""Exercise 2.1: how much each position takes from each position of its past."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from gptlib.attention import causal_weights
from gptlib.exercises.exercise import Case, Exercise


def cases() -> Iterator[Case]:
    """Shapes with pairwise different sizes, and one pair of large scores."""
    generator = torch.Generator().manual_seed(0)
    for B, H, T, D in ((2, 3, 5, 4), (1, 2, 7, 3), (3, 1, 2, 6), (2, 4, 1, 3)):
        query, key = torch.randn(2, B, H, T, D, generator=generator)
        yield Case(f"B {B}, H {H}, T {T}, D {D}", (query, key))
    large = 30 * torch.randn(2, 1, 2, 4, 3, generator=generator)
    yield Case("scores up to several hundred", (large[0], large[1]))


def future_of(query: Tensor, diagonal: int = 1) -> Tensor:
    """(T, T), True where a position may not look."""
    T = query.shape[-2]
    return torch.ones(T, T, dtype=torch.bool).triu(diagonal=diagonal)


def no_scale(query: Tensor, key: Tensor) -> Tensor:
    """This looks like scores without the division by √D."""
    scores = query @ key.transpose(-2, -1)
    return scores.masked_fill(future_of(query), float("-inf")).softmax(dim=-1)


def scaled_by_width(query: Tensor, key: Tensor) -> Tensor:
    """This looks like scaling by the model's width C = H·D instead of the head's width D."""
    H, D = query.shape[1], query.shape[3]
    scores = query @ key.transpose(-2, -1) / math.sqrt(H * D)
    return scores.masked_fill(future_of(query), float("-inf")).softmax(dim=-1)


def log_softmax_by_hand(query: Tensor, key: Tensor) -> Tensor:
    """The same in einsum and with the powers written out."""
    scores = torch.einsum("bhid,bhjd->bhij", query, key) * query.shape[-1] ** -0.5
    T = scores.shape[-1]
    allowed = torch.arange(T)[:, None] >= torch.arange(T)
    powers = torch.where(allowed, scores, float("-inf"))
    powers = (powers - powers.amax(dim=-1, keepdim=True)).exp()
    return powers / powers.sum(dim=-1, keepdim=True)


EXERCISE = Exercise(
    name="causal_weights",
    notebook="02_attention",
    rating=2,
    minutes=20,
    right=causal_weights,
    cases=cases,
    mistakes=(no_scale, scaled_by_width),
    also_right=(log_softmax_by_hand,),
)

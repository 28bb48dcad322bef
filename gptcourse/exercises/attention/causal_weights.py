"""Exercise 2.1: how much each position takes from each position of its past."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from gptcourse.exercises.exercise import Case, Exercise
from gptlib.attention import causal_weights


def cases() -> Iterator[Case]:
    """Shapes with pairwise different sizes, four positions as in the toy, and large scores."""
    generator = torch.Generator().manual_seed(0)
    for B, H, T, D in ((2, 3, 5, 4), (1, 2, 7, 3), (3, 1, 2, 6), (2, 4, 1, 3), (1, 2, 4, 5)):
        query, key = torch.randn(2, B, H, T, D, generator=generator)
        yield Case(f"B {B}, H {H}, T {T}, D {D}", (query, key))
    large = 30 * torch.randn(2, 1, 2, 6, 3, generator=generator)
    yield Case("scores of several hundred", (large[0], large[1]))


def future_of(query: Tensor, diagonal: int = 1) -> Tensor:
    """(T, T), True where a position may not look."""
    T = query.shape[-2]
    return torch.ones(T, T, dtype=torch.bool).triu(diagonal=diagonal)


def scaled_scores(query: Tensor, key: Tensor) -> Tensor:
    """(B, H, T, T), right, and before the mask: what several mistakes go wrong after."""
    return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])


def no_scale(query: Tensor, key: Tensor) -> Tensor:
    """This looks like scores without the division by √D."""
    scores = query @ key.transpose(-2, -1)
    return scores.masked_fill(future_of(query), float("-inf")).softmax(dim=-1)


def scaled_by_width(query: Tensor, key: Tensor) -> Tensor:
    """This looks like scaling by the model's width C = H·D instead of the head's width D."""
    H, D = query.shape[1], query.shape[3]
    scores = query @ key.transpose(-2, -1) / math.sqrt(H * D)
    return scores.masked_fill(future_of(query), float("-inf")).softmax(dim=-1)


def divided_by_width(query: Tensor, key: Tensor) -> Tensor:
    """This looks like dividing by D where its square root is meant: the choice is too flat."""
    scores = query @ key.transpose(-2, -1) / query.shape[-1]
    return scores.masked_fill(future_of(query), float("-inf")).softmax(dim=-1)


def softmax_over_queries(query: Tensor, key: Tensor) -> Tensor:
    """This looks like a softmax along the queries (dim=-2): the columns sum to 1, not the rows."""
    scores = scaled_scores(query, key)
    return scores.masked_fill(future_of(query), float("-inf")).softmax(dim=-2)


def masked_after_softmax(query: Tensor, key: Tensor) -> Tensor:
    """This looks like a mask after the softmax: the weight that the future got is thrown away,
    and the rows sum to less than 1."""
    return scaled_scores(query, key).softmax(dim=-1).masked_fill(future_of(query), 0.0)


def repaired_after_softmax(query: Tensor, key: Tensor) -> Tensor:
    """This looks like a mask after the softmax, and rows divided by their sums: where the future
    took all the weight, nothing is left to divide."""
    weights = scaled_scores(query, key).softmax(dim=-1).masked_fill(future_of(query), 0.0)
    return weights / weights.sum(dim=-1, keepdim=True)


def nobody_to_look_at(query: Tensor, key: Tensor) -> Tensor:
    """This looks like a mask that covers the diagonal too: the first position has nobody left to
    look at, and gets nan."""
    future = future_of(query, diagonal=0)
    return scaled_scores(query, key).masked_fill(future, float("-inf")).softmax(dim=-1)


def sees_the_next(query: Tensor, key: Tensor) -> Tensor:
    """This looks like a mask that begins one place late: each position sees the next one, which
    it is asked to predict."""
    future = future_of(query, diagonal=2)
    return scaled_scores(query, key).masked_fill(future, float("-inf")).softmax(dim=-1)


def past_masked(query: Tensor, key: Tensor) -> Tensor:
    """This looks like the wrong triangle: the past is masked, and the future is seen."""
    past = torch.ones(query.shape[-2], query.shape[-2]).tril(diagonal=-1).bool()
    return scaled_scores(query, key).masked_fill(past, float("-inf")).softmax(dim=-1)


def filled_with_zero(query: Tensor, key: Tensor) -> Tensor:
    """This looks like masking with the score 0: a power of 0 is 1, so the future still gets
    weight."""
    return scaled_scores(query, key).masked_fill(future_of(query), 0.0).softmax(dim=-1)


def present_masked(query: Tensor, key: Tensor) -> Tensor:
    """This looks like the mask the wrong way round: −∞ stands where looking is allowed, and the
    last position has nobody left."""
    allowed = torch.ones(query.shape[-2], query.shape[-2]).tril().bool()
    return scaled_scores(query, key).masked_fill(allowed, float("-inf")).softmax(dim=-1)


def infinity_times_zero(query: Tensor, key: Tensor) -> Tensor:
    """This looks like −∞ multiplied by a mask of zeros and ones: −∞ · 0 is nan. Fill it in where
    the mask is True."""
    return (scaled_scores(query, key) + future_of(query) * float("-inf")).softmax(dim=-1)


def softmax_over_heads(query: Tensor, key: Tensor) -> Tensor:
    """This looks like a softmax along dim=1: with B and H in front, that axis is the heads."""
    scores = scaled_scores(query, key).masked_fill(future_of(query), float("-inf"))
    return scores.softmax(dim=1)


def every_axis_reversed(query: Tensor, key: Tensor) -> Tensor:
    """This looks like `key.T`, which reverses all four axes: exchange the last two alone."""
    scores = query @ key.permute(3, 2, 1, 0) / math.sqrt(query.shape[-1])  # what .T does
    return scores.masked_fill(future_of(query), float("-inf")).softmax(dim=-1)


def four_positions_only(query: Tensor, key: Tensor) -> Tensor:
    """This looks like a mask of a fixed size, such as the toy's 4 × 4: read T from the input."""
    future = torch.ones(4, 4, dtype=torch.bool).triu(diagonal=1)
    return scaled_scores(query, key).masked_fill(future, float("-inf")).softmax(dim=-1)


def roles_exchanged(query: Tensor, key: Tensor) -> Tensor:
    """This looks like query and key exchanged: row i has to hold what query i gives each key."""
    return causal_weights(key, query)


def powers_by_hand(query: Tensor, key: Tensor) -> Tensor:
    """This looks like powers taken of the scores as they are: e to a large score is too large for
    a float."""
    powers = scaled_scores(query, key).exp().masked_fill(future_of(query), 0.0)
    return powers / powers.sum(dim=-1, keepdim=True)


def in_einsum(query: Tensor, key: Tensor) -> Tensor:
    """The same in einsum and with the powers written out."""
    scores = torch.einsum("bhid,bhjd->bhij", query, key) * query.shape[-1] ** -0.5
    T = scores.shape[-1]
    allowed = torch.arange(T)[:, None] >= torch.arange(T)
    powers = torch.where(allowed, scores, float("-inf"))
    powers = (powers - powers.amax(dim=-1, keepdim=True)).exp()
    return powers / powers.sum(dim=-1, keepdim=True)


def row_by_row(query: Tensor, key: Tensor) -> Tensor:
    """The same as a loop over positions, each with its own softmax."""
    B, H, T, D = query.shape
    weights = torch.zeros(B, H, T, T)
    for i in range(T):
        scores = (query[:, :, i, None] * key[:, :, : i + 1]).sum(dim=-1) / math.sqrt(D)
        weights[:, :, i, : i + 1] = scores.softmax(dim=-1)
    return weights


def large_negative_number(query: Tensor, key: Tensor) -> Tensor:
    """The same with a mask that is added, and a number so low that its power is 0."""
    return F.softmax(scaled_scores(query, key) - 1e9 * future_of(query), dim=-1)


def values_are_the_identity(query: Tensor, key: Tensor) -> Tensor:
    """The same by PyTorch's fused form: mixing the rows of an identity matrix shows the weights."""
    T = query.shape[-2]
    identity = torch.eye(T).expand(*query.shape[:2], T, T)
    return F.scaled_dot_product_attention(query, key, identity, is_causal=True)


EXERCISE = Exercise(
    name="causal_weights",
    notebook="02_attention",
    rating=2,
    minutes=20,
    right=causal_weights,
    cases=cases,
    mistakes=(
        no_scale,
        scaled_by_width,
        divided_by_width,
        softmax_over_queries,
        masked_after_softmax,
        repaired_after_softmax,
        nobody_to_look_at,
        sees_the_next,
        past_masked,
        filled_with_zero,
        present_masked,
        infinity_times_zero,
        softmax_over_heads,
        every_axis_reversed,
        four_positions_only,
        roles_exchanged,
        powers_by_hand,
    ),
    also_right=(in_einsum, row_by_row, large_negative_number, values_are_the_identity),
)

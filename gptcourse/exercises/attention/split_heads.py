"""Exercise 2.2: cut the width into heads, and bring the heads before the positions."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gptcourse.exercises.exercise import Case, Exercise
from gptlib.attention import split_heads


def cases() -> Iterator[Case]:
    """Numbered entries, so that a message shows which entry stands where."""
    for B, T, H, D in ((1, 4, 2, 3), (2, 5, 3, 4), (3, 2, 4, 6), (2, 3, 1, 5), (4, 3, 5, 1)):
        x = torch.arange(B * T * H * D).float().view(B, T, H * D)
        yield Case(f"B {B}, T {T}, C {H * D}, H {H}, D {D}", (x, H))


def as_it_lies_in_memory(x: Tensor, n_heads: int) -> Tensor:
    """This looks like a cut straight into (B, H, T, D): the shape is right, but what is called a
    position is now a piece of one token, or of its neighbour."""
    B, T, C = x.shape
    return x.reshape(B, n_heads, T, C // n_heads)


def heads_after_positions(x: Tensor, n_heads: int) -> Tensor:
    """This looks like (B, T, H, D): the heads still stand after the positions, and a product of
    the last two axes would mix heads instead of positions."""
    B, T, C = x.shape
    return x.view(B, T, n_heads, C // n_heads)


def width_for_number(x: Tensor, n_heads: int) -> Tensor:
    """This looks like D and H exchanged: it makes D heads that are H wide."""
    B, T, C = x.shape
    return x.view(B, T, C // n_heads, n_heads).transpose(1, 2)


def every_nth_channel(x: Tensor, n_heads: int) -> Tensor:
    """This looks like dealing the channels out like cards: head 0 gets channels 0, H, 2H and so
    on, where it should get the first D."""
    B, T, C = x.shape
    return x.view(B, T, C // n_heads, n_heads).permute(0, 3, 1, 2)


def positions_last(x: Tensor, n_heads: int) -> Tensor:
    """This looks like T and D exchanged: each head holds (D, T) where (T, D) is asked for."""
    B, T, C = x.shape
    return x.view(B, T, n_heads, C // n_heads).permute(0, 2, 3, 1)


def width_as_float(x: Tensor, n_heads: int) -> Tensor:
    """This looks like `C / n_heads`, which is a float: `//` divides whole numbers."""
    B, T, C = x.shape
    width: Any = C / n_heads
    return x.view(B, T, n_heads, width).transpose(1, 2)


def one_sequence_only(x: Tensor, n_heads: int) -> Tensor:
    """This looks like code for a single sequence: the axis B is lost."""
    T, C = x.shape[1:]
    return x.view(T, n_heads, C // n_heads).transpose(0, 1)


def two_heads(x: Tensor, n_heads: int) -> Tensor:
    """This looks like two heads, as in the toy, whatever n_heads says."""
    B, T, C = x.shape
    return x.view(B, T, 2, C // 2).transpose(1, 2)


def heads_before_sequences(x: Tensor, n_heads: int) -> Tensor:
    """This looks like (H, B, T, D): the heads stand before the sequences too."""
    return torch.stack(x.chunk(n_heads, dim=-1))


def heads_along_positions(x: Tensor, n_heads: int) -> Tensor:
    """This looks like the positions cut into heads: each head must see every position, and a
    part of the channels."""
    return torch.stack(x.chunk(n_heads, dim=1), dim=1)


def whole_width_for_all(x: Tensor, n_heads: int) -> Tensor:
    """This looks like every head getting the whole width: heads cut C, they do not repeat it."""
    return x[:, None].expand(-1, n_heads, -1, -1)


def head_by_head(x: Tensor, n_heads: int) -> Tensor:
    """The same as a loop over heads, each with its own slice of the channels."""
    D = x.shape[-1] // n_heads
    return torch.stack([x[:, :, h * D : (h + 1) * D] for h in range(n_heads)], dim=1)


def unflattened(x: Tensor, n_heads: int) -> Tensor:
    """The same with the last axis unfolded by name."""
    return x.unflatten(-1, (n_heads, -1)).movedim(2, 1)


def chunks_stacked(x: Tensor, n_heads: int) -> Tensor:
    """The same from equal parts of the width, laid along a new axis."""
    return torch.stack(x.chunk(n_heads, dim=-1), dim=1)


def number_by_number(x: Tensor, n_heads: int) -> Tensor:
    """The same one channel at a time."""
    B, T, C = x.shape
    D = C // n_heads
    split = torch.empty(B, n_heads, T, D)
    for channel in range(C):
        split[:, channel // D, :, channel % D] = x[:, :, channel]
    return split


EXERCISE = Exercise(
    name="split_heads",
    notebook="02_attention",
    rating=2,
    minutes=10,
    right=split_heads,
    cases=cases,
    mistakes=(
        as_it_lies_in_memory,
        heads_after_positions,
        width_for_number,
        every_nth_channel,
        positions_last,
        width_as_float,
        one_sequence_only,
        two_heads,
        heads_before_sequences,
        heads_along_positions,
        whole_width_for_all,
    ),
    also_right=(head_by_head, unflattened, chunks_stacked, number_by_number),
)

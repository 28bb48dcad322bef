"""Exercise 2.3: lay the heads side by side again."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gptcourse.exercises.exercise import Case, Exercise
from gptlib.attention import merge_heads


def cases() -> Iterator[Case]:
    """Numbered entries as a product leaves them, and once as a split leaves them."""
    for B, H, T, D in ((1, 2, 4, 3), (2, 3, 5, 4), (3, 4, 2, 6), (2, 1, 3, 5), (4, 5, 1, 2)):
        y = torch.arange(B * H * T * D).float().view(B, H, T, D)
        yield Case(f"B {B}, H {H}, T {T}, D {D}", (y,))
    split = torch.arange(2 * 4 * 15).float().view(2, 4, 3, 5).transpose(1, 2)
    yield Case("as a split leaves it: B 2, H 3, T 4, D 5", (split,))


def as_it_lies_in_memory(y: Tensor) -> Tensor:
    """This looks like reshape without a transpose: the shape is right, but each row holds several
    positions of one head, where it should hold one position of every head."""
    B, H, T, D = y.shape
    return y.reshape(B, T, H * D)


def viewed_after_transpose(y: Tensor) -> Tensor:
    """This looks like view after transpose: the numbers do not lie in memory in that order, and
    view refuses to copy them."""
    B, H, T, D = y.shape
    return y.transpose(1, 2).view(B, T, H * D)


def contiguous_too_early(y: Tensor) -> Tensor:
    """This looks like contiguous before the transpose: view needs the copy after it."""
    B, H, T, D = y.shape
    return y.contiguous().transpose(1, 2).view(B, T, H * D)


def interleaved(y: Tensor) -> Tensor:
    """This looks like the heads' channels dealt out in turn: head 0 must hold the first D
    channels, head 1 the next D, and so on."""
    return y.permute(0, 2, 3, 1).flatten(2)


def heads_added(y: Tensor) -> Tensor:
    """This looks like a sum over the heads: they have to lie side by side, H·D wide."""
    return y.sum(dim=1)


def one_below_another(y: Tensor) -> Tensor:
    """This looks like the heads joined along the positions: H·T rows that are D wide."""
    return y.flatten(1, 2)


def not_joined(y: Tensor) -> Tensor:
    """This looks like (B, T, H, D): the transpose is there, the last two axes are still two."""
    return y.transpose(1, 2)


def one_sequence_only(y: Tensor) -> Tensor:
    """This looks like code for a single sequence: only the first one comes back."""
    return y[0].transpose(0, 1).flatten(1)


def positions_and_width_exchanged(y: Tensor) -> Tensor:
    """This looks like the wrong pair of axes: transpose(-2, -1) exchanges T and D, and the heads
    stay before the positions."""
    B, H, T, D = y.shape
    return y.transpose(-2, -1).reshape(B, T, H * D)


def heads_joined(y: Tensor) -> Tensor:
    """The same by joining the heads along the channels."""
    return torch.cat(list(y.unbind(dim=1)), dim=-1)


def contiguous_then_view(y: Tensor) -> Tensor:
    """The same with the copy written out."""
    B, H, T, D = y.shape
    return y.transpose(1, 2).contiguous().view(B, T, H * D)


def flattened(y: Tensor) -> Tensor:
    """The same by names of axes."""
    return y.movedim(1, 2).flatten(-2)


def head_by_head(y: Tensor) -> Tensor:
    """The same as a loop that fills in each head's channels."""
    B, H, T, D = y.shape
    merged = torch.empty(B, T, H * D)
    for h in range(H):
        merged[:, :, h * D : (h + 1) * D] = y[:, h]
    return merged


EXERCISE = Exercise(
    name="merge_heads",
    notebook="02_attention",
    rating=2,
    minutes=10,
    right=merge_heads,
    cases=cases,
    mistakes=(
        as_it_lies_in_memory,
        viewed_after_transpose,
        contiguous_too_early,
        interleaved,
        heads_added,
        one_below_another,
        not_joined,
        one_sequence_only,
        positions_and_width_exchanged,
    ),
    also_right=(heads_joined, contiguous_then_view, flattened, head_by_head),
)

"""Exercise 3.1: mean 0 and variance 1 for each position, then scale and shift."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from gptcourse.exercises.exercise import Case, Exercise
from gptlib.block import layer_norm


def cases() -> Iterator[Case]:
    """Axes of different lengths, rows of tiny and of no variance, one token, double precision."""
    generator = torch.Generator().manual_seed(0)
    every = torch.tensor([[[1.0, 0, 0, 1], [0, 2, 1, 0]]])
    yield Case("Every and ␣word, epsilon 0", (every, torch.ones(4), torch.zeros(4), 0.0))
    for shape in ((2, 5, 4), (3, 2, 7), (1, 4, 3), (6, 5), (8,)):
        x = 2 + 3 * torch.randn(shape, generator=generator)
        weight, bias = 0.3 * torch.randn(2, shape[-1], generator=generator)
        yield Case(f"x of shape {shape}", (x, weight, bias, 1e-5))
    weight, bias = 0.3 * torch.randn(2, 4, generator=generator)
    tiny = 0.002 + 1e-3 * torch.randn(2, 3, 4, generator=generator)
    yield Case("numbers that hardly differ", (tiny, weight, bias, 1e-5))
    yield Case("numbers all equal", (torch.full((1, 2, 4), 3.0), weight, bias, 1e-5))
    yield Case("epsilon 0.1", (torch.randn(2, 3, 4, generator=generator), weight, bias, 0.1))
    double = torch.randn(3, 2, 4, generator=generator, dtype=torch.float64)
    yield Case("float64", (double, weight.double(), bias.double(), 1e-5))


def normalised(
    x: Tensor, dim: int | tuple[int, ...] = -1, epsilon: float = 1e-5, correction: int = 0
) -> Tensor:
    """Mean 0 and variance 1 along an axis."""
    variance = x.var(dim=dim, keepdim=True, correction=correction)
    return (x - x.mean(dim=dim, keepdim=True)) / torch.sqrt(variance + epsilon)


def one_less(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like dividing by C − 1, as `var` and `std` do unless told otherwise."""
    return normalised(x, epsilon=epsilon, correction=1) * weight + bias


def along_positions(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like the mean over the positions, T, instead of one position's C numbers."""
    return normalised(x, -2 if x.dim() > 1 else -1, epsilon) * weight + bias


def along_sequences(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like the mean over the first axis: one sequence then depends on the others."""
    return normalised(x, 0, epsilon) * weight + bias


def along_both(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like one mean for a whole sequence, (T, C): it tells the past of the future."""
    return normalised(x, (-2, -1) if x.dim() > 1 else (-1,), epsilon) * weight + bias


def all_numbers(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like one mean for all numbers of `x`: each position has its own."""
    return (x - x.mean()) / torch.sqrt(x.var(correction=0) + epsilon) * weight + bias


def second_axis(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like dim=1: in (B, T, C) that is the positions. The last axis is dim=-1."""
    return normalised(x, 1, epsilon) * weight + bias


def third_axis(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like dim=2: the last axis, however many there are, is dim=-1."""
    return normalised(x, 2, epsilon) * weight + bias


def axis_lost(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like a mean without keepdim=True: its shape (B, T) lines up with the wrong
    axes."""
    mean, variance = x.mean(dim=-1), x.var(dim=-1, correction=0)
    return (x - mean) / torch.sqrt(variance + epsilon) * weight + bias


def no_epsilon(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like leaving epsilon out: where all numbers are equal it divides 0 by 0."""
    return normalised(x, epsilon=0.0) * weight + bias


def fixed_epsilon(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like an epsilon of 1e-5 whatever the argument says."""
    return normalised(x) * weight + bias


def beside_the_root(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like adding epsilon to the standard deviation, beside the root, not under it."""
    deviation = x.std(dim=-1, keepdim=True, correction=0)
    return (x - x.mean(dim=-1, keepdim=True)) / (deviation + epsilon) * weight + bias


def deviation_of_a_sample(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like `x.std() + epsilon`, two errors at once: `std` divides by C − 1, and
    epsilon belongs under the root."""
    distance = x - x.mean(dim=-1, keepdim=True)
    return distance / (x.std(dim=-1, keepdim=True) + epsilon) * weight + bias


def sum_of_squares(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like the sum of the squared distances; the variance is their mean."""
    distance = x - x.mean(dim=-1, keepdim=True)
    squares = (distance**2).sum(dim=-1, keepdim=True)
    return distance / torch.sqrt(squares + epsilon) * weight + bias


def mean_divided_alone(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like a missing bracket: it is x − mean that is divided, not the mean alone."""
    variance = x.var(dim=-1, keepdim=True, correction=0)
    return x - x.mean(dim=-1, keepdim=True) / torch.sqrt(variance + epsilon) * weight + bias


def no_root(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like dividing by the variance instead of its square root."""
    variance = x.var(dim=-1, keepdim=True, correction=0)
    return (x - x.mean(dim=-1, keepdim=True)) / (variance + epsilon) * weight + bias


def not_centred(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like dividing without taking the mean away first."""
    variance = x.var(dim=-1, keepdim=True, correction=0)
    return x / torch.sqrt(variance + epsilon) * weight + bias


def root_mean_square(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like dividing by the root of the mean square: squares of x − mean are meant."""
    square = (x**2).mean(dim=-1, keepdim=True)
    return (x - x.mean(dim=-1, keepdim=True)) / torch.sqrt(square + epsilon) * weight + bias


def no_scale(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like forgetting the scale, `weight`."""
    return normalised(x, epsilon=epsilon) + bias


def no_shift(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like forgetting the shift, `bias`."""
    return normalised(x, epsilon=epsilon) * weight


def shift_first(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like shifting before scaling: `bias` is added last."""
    return (normalised(x, epsilon=epsilon) + bias) * weight


def in_place(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """This looks like changing `x` itself, with `-=` or `/=`: others still need it as it was."""
    variance = x.var(dim=-1, keepdim=True, correction=0)
    x -= x.mean(dim=-1, keepdim=True)
    x /= torch.sqrt(variance + epsilon)
    return x * weight + bias


def torch_own(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """PyTorch's fused kernel."""
    return F.layer_norm(x, weight.shape, weight, bias, epsilon)


def row_by_row(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """In a loop over positions, with the sums written out."""
    rows = []
    for row in x.reshape(-1, x.shape[-1]):
        distance = row - row.sum() / len(row)  # (C,)
        rows.append(distance * ((distance**2).sum() / len(row) + epsilon) ** -0.5 * weight + bias)
    return torch.stack(rows).reshape(x.shape)


def two_moments(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Centre first, then the mean square is the variance."""
    centred = x - torch.einsum("...c->...", x)[..., None] / x.shape[-1]
    scale = torch.rsqrt(centred.square().mean(dim=-1, keepdim=True) + epsilon)  # (..., 1)
    return torch.addcmul(bias, centred * scale, weight)


EXERCISE = Exercise(
    name="layer_norm",
    notebook="03_transformer_block",
    rating=1,
    minutes=15,
    right=layer_norm,
    cases=cases,
    mistakes=(
        *(one_less, along_positions, along_sequences, along_both, all_numbers, second_axis),
        *(third_axis, axis_lost, no_epsilon, fixed_epsilon, beside_the_root),
        *(
            deviation_of_a_sample,
            sum_of_squares,
            mean_divided_alone,
            no_root,
            not_centred,
            root_mean_square,
            no_scale,
            no_shift,
        ),
        *(shift_first, in_place),
    ),
    also_right=(torch_own, row_by_row, two_moments),
)

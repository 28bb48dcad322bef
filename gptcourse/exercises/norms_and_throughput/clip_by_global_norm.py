"""Exercise 9.1: a limit on the length of all gradients together."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gptcourse.exercises.exercise import Case, Exercise, Function

Gradients = list[Tensor | None]


def clip_by_global_norm(gradients: Gradients, limit: float) -> float:
    """Scale all gradients in place by one factor; None and what is not finite are left alone."""
    present = [gradient for gradient in gradients if gradient is not None]
    norm = math.sqrt(sum(gradient.square().sum().item() for gradient in present))
    if limit < norm < math.inf:
        for gradient in present:
            gradient *= limit / norm
    return norm


def seen(function: Function, gradients: Gradients, limit: float) -> dict[str, Any]:
    """The norm, and the very tensors that were handed in."""
    tensors = list(gradients)
    return {"the norm": function(gradients, limit), "the gradients afterwards": tensors}


def cases() -> Iterator[Case]:
    """The toy, shapes of one to three axes with gaps, and what has no usable length."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shapes: tuple[int, ...] | None, size: float = 0.3) -> Gradients:
        return [
            None if shape is None else size * torch.randn(*shape, generator=generator)
            for shape in shapes
        ]

    yield Case("[3, 0, 0] and [0, 4]", ([torch.tensor([3.0, 0, 0]), torch.tensor([0, 4.0])], 1.0))
    yield Case("a matrix, None, a row", (drawn((4, 3), None, (5,)), 0.5))
    yield Case("None first, three axes", (drawn(None, (2, 3, 4), (7,), (1, 6)), 0.2))
    yield Case("shorter than the limit", (drawn((3, 2), (4,), size=0.01), 1.0))
    broken = drawn((2, 5), (3,), None)
    broken[1] = torch.tensor([0.1, math.nan, 0.2])
    yield Case("one NaN", (broken, 1.0))
    endless = drawn((3, 3), (2,))
    endless[1] = torch.tensor([math.inf, 0.1])
    yield Case("one infinity", (endless, 1.0))
    yield Case("all zeros", ([torch.zeros(2, 3), torch.zeros(4)], 1.0))
    yield Case("no gradient at all", ([None, None], 1.0))


def there(gradients: Gradients) -> list[Tensor]:
    """Those that are not None."""
    return [gradient for gradient in gradients if gradient is not None]


def length(gradients: Gradients) -> float:
    """Of all together."""
    return math.sqrt(sum(gradient.square().sum().item() for gradient in there(gradients)))


def per_tensor(gradients: Gradients, limit: float) -> float:
    """This looks like clipping every tensor by its own norm: that turns the arrow."""
    norm = length(gradients)
    for gradient in there(gradients):
        own = gradient.norm().item()
        if limit < own < math.inf and math.isfinite(norm):
            gradient *= limit / own
    return norm


def sum_of_norms(gradients: Gradients, limit: float) -> float:
    """This looks like the sum of the tensors' norms: their squares add up, not they."""
    norm = sum(gradient.norm().item() for gradient in there(gradients))
    if limit < norm < math.inf:
        for gradient in there(gradients):
            gradient *= limit / norm
    return norm


def no_root(gradients: Gradients, limit: float) -> float:
    """This looks like the sum of the squares without the root."""
    norm = length(gradients) ** 2
    if limit < norm < math.inf:
        for gradient in there(gradients):
            gradient *= limit / norm
    return norm


def largest_number(gradients: Gradients, limit: float) -> float:
    """This looks like the largest single number instead of the length."""
    numbers = torch.cat([gradient.flatten() for gradient in there(gradients)] or [torch.zeros(1)])
    norm = numbers.abs().max().item()
    if limit < norm < math.inf:
        for gradient in there(gradients):
            gradient *= limit / norm
    return norm


def lengthens_the_short(gradients: Gradients, limit: float) -> float:
    """This looks like scaling every gradient to the limit, a short one up: a limit only shortens.

    Zeros divide by zero then.
    """
    norm = length(gradients)
    if math.isfinite(norm):
        for gradient in there(gradients):
            gradient *= limit / norm
    return norm


def lengthens_all_but_zeros(gradients: Gradients, limit: float) -> float:
    """This looks like scaling a gradient that is below the limit up to it."""
    norm = length(gradients)
    if 0 < norm < math.inf:
        for gradient in there(gradients):
            gradient *= limit / norm
    return norm


def returns_after(gradients: Gradients, limit: float) -> float:
    """This looks like the norm after clipping: a log of it never shows more than the limit."""
    norm = clip_by_global_norm(gradients, limit)
    return limit if limit < norm < math.inf else norm


def clamps_numbers(gradients: Gradients, limit: float) -> float:
    """This looks like cutting each number off at the limit by itself: that turns the arrow."""
    norm = length(gradients)
    if math.isfinite(norm):
        for gradient in there(gradients):
            gradient.clamp_(-limit, limit)
    return norm


def rows_apart(gradients: Gradients, limit: float) -> float:
    """This looks like a norm for every row of a matrix: the model has a single one."""
    norm = length(gradients)
    for gradient in there(gradients) if math.isfinite(norm) else []:
        own = gradient.norm(dim=-1, keepdim=True)
        gradient *= (limit / own.clamp(min=1e-12)).clamp(max=1.0)
    return norm


def stops_at_none(gradients: Gradients, limit: float) -> float:
    """This looks like stopping at the first None: the tensors after it count as well."""
    end = next((i for i, gradient in enumerate(gradients) if gradient is None), len(gradients))
    return clip_by_global_norm(gradients[:end], limit)


def stumbles_over_none(gradients: Gradients, limit: float) -> float:
    """This looks like asking None for its numbers: a parameter without gradient has None."""
    squares: Any = [gradient**2 for gradient in gradients]  # type: ignore[operator]
    norm = math.sqrt(sum(square.sum().item() for square in squares))
    if limit < norm < math.inf:
        for gradient in there(gradients):
            gradient *= limit / norm
    return norm


def spreads_nan(gradients: Gradients, limit: float) -> float:
    """This looks like scaling by a norm that is NaN or infinite: afterwards good numbers are NaN
    or 0 too."""
    norm = length(gradients)
    if not norm <= limit:
        for gradient in there(gradients):
            gradient *= limit / norm
    return norm


def spreads_zeros(gradients: Gradients, limit: float) -> float:
    """This looks like scaling by an infinite norm: that makes every good number 0."""
    norm = length(gradients)
    if norm > limit:
        for gradient in there(gradients):
            gradient *= limit / norm
    return norm


def fails_without_gradients(gradients: Gradients, limit: float) -> float:
    """This looks right until there is no gradient at all: then nothing can be stacked."""
    norm = torch.stack([gradient.norm() for gradient in there(gradients)]).norm().item()
    if limit < norm < math.inf:
        for gradient in there(gradients):
            gradient *= limit / norm
    return norm


def not_in_place(gradients: Gradients, limit: float) -> float:
    """This looks like new tensors instead of changed ones: the optimizer still reads the old."""
    norm = length(gradients)
    for gradient in there(gradients):
        gradient = gradient * min(1.0, limit / max(norm, limit))
    return norm


def replaces_in_list(gradients: Gradients, limit: float) -> float:
    """This looks like putting new tensors into the list: the optimizer still reads the old ones,
    which belong to the parameters."""
    norm = length(gradients)
    if limit < norm < math.inf:
        for place, gradient in enumerate(gradients):
            gradients[place] = None if gradient is None else gradient * (limit / norm)
    return norm


def norm_of_norms(gradients: Gradients, limit: float) -> float:
    """The norm of the tensors' norms."""
    norms = [gradient.norm() for gradient in gradients if gradient is not None]
    norm = torch.stack(norms).norm() if norms else torch.tensor(0.0)
    factor = limit / norm if norm.isfinite() and norm > limit else 1.0
    for gradient in there(gradients):
        gradient.mul_(factor)
    return float(norm)


def by_torch(gradients: Gradients, limit: float) -> Tensor:
    """PyTorch's two halves."""
    present = there(gradients)
    norm = torch.nn.utils.get_total_norm(present)
    if norm.isfinite():
        parameters = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in present]
        for parameter, gradient in zip(parameters, present, strict=True):
            parameter.grad = gradient
        torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return norm


EXERCISE = Exercise(
    name="clip_by_global_norm",
    notebook="09_gradient_norms_and_throughput",
    rating=1,
    minutes=15,
    right=clip_by_global_norm,
    cases=cases,
    mistakes=(
        per_tensor,
        sum_of_norms,
        no_root,
        largest_number,
        lengthens_the_short,
        lengthens_all_but_zeros,
        returns_after,
        clamps_numbers,
        rows_apart,
        stops_at_none,
        stumbles_over_none,
        spreads_nan,
        spreads_zeros,
        fails_without_gradients,
        not_in_place,
        replaces_in_list,
    ),
    also_right=(norm_of_norms, by_torch),
    observe=seen,
)

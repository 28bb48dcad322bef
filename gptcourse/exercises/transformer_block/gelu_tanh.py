"""Exercise 3.2: the gate, in the form that GPT-2 was trained with."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptlib.block import gelu


def cases() -> Iterator[Case]:
    """A fine grid, some shapes, numbers far out, double precision."""
    generator = torch.Generator().manual_seed(0)
    yield Case("−2.7, −1, 0, 1 and 2.7", (torch.tensor([-2.7, -1, 0, 1, 2.7]),))
    yield Case("from −5 to 5", (torch.linspace(-5, 5, 401),))
    for shape in ((2, 5, 4), (3, 1, 7)):
        yield Case(f"shape {shape}", (2 * torch.randn(shape, generator=generator),))
    yield Case("−1,000, 0 and 1,000", (torch.tensor([-1000.0, 0, 1000]),))
    yield Case("float64", (torch.linspace(-4, 4, 41, dtype=torch.float64),))


def observe(function: Function, x: Tensor) -> dict[str, Any]:
    """The result, and in double precision a closer look at it: rounded constants show there."""
    answer = function(x)
    seen = {"the result": answer}
    if x.dtype == torch.float64 and isinstance(answer, Tensor):
        seen["a thousand times the result"] = 1000 * answer
    return seen


def inner(x: Tensor, cubic: float = 0.044715, factor: float = math.sqrt(2 / math.pi)) -> Tensor:
    """What stands under the tanh."""
    return factor * (x + cubic * x**3)


def exact(x: Tensor) -> Tensor:
    """This looks like the exact form with erf: close, but not what GPT-2 was trained with."""
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def no_cube(x: Tensor) -> Tensor:
    """This looks like the formula without its cubic term."""
    return 0.5 * x * (1 + torch.tanh(inner(x, cubic=0.0)))


def square_for_cube(x: Tensor) -> Tensor:
    """This looks like x² for x³ under the tanh."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**2)))


def ten_times(x: Tensor) -> Tensor:
    """This looks like a slipped digit: the cubic term's factor is 0.044715."""
    return 0.5 * x * (1 + torch.tanh(inner(x, cubic=0.44715)))


def rounded(x: Tensor) -> Tensor:
    """This looks like a rounded factor: the cubic term's is 0.044715, with all its digits."""
    return 0.5 * x * (1 + torch.tanh(inner(x, cubic=0.0447)))


def rounded_root(x: Tensor) -> Tensor:
    """This looks like √(2/π) rounded to 0.798: compute it, with all its digits."""
    return 0.5 * x * (1 + torch.tanh(inner(x, factor=0.798)))


def one_number_only(x: Tensor) -> Tensor:
    """This looks like math.tanh, which takes one number: torch.tanh takes a tensor."""
    z: Any = inner(x)
    return 0.5 * x * (1 + math.tanh(z))


def powers_by_hand(x: Tensor) -> Tensor:
    """This looks like tanh made of powers of e: far out they are too large for a float."""
    power = torch.exp(2 * inner(x))
    return 0.5 * x * (1 + (power - 1) / (power + 1))


def root_of_two_pi(x: Tensor) -> Tensor:
    """This looks like √(2π) in place of √(2/π)."""
    return 0.5 * x * (1 + torch.tanh(inner(x, factor=math.sqrt(2 * math.pi))))


def no_root(x: Tensor) -> Tensor:
    """This looks like 2/π without its root."""
    return 0.5 * x * (1 + torch.tanh(inner(x, factor=2 / math.pi)))


def factor_on_x_alone(x: Tensor) -> Tensor:
    """This looks like a missing bracket: √(2/π) multiplies the cubic term as well."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * x + 0.044715 * x**3))


def with_sigmoid(x: Tensor) -> Tensor:
    """This looks like x·σ(1.702 x), a coarser approximation of the same curve."""
    return x * torch.sigmoid(1.702 * x)


def no_half(x: Tensor) -> Tensor:
    """This looks like a missing half: 1 + tanh reaches 2."""
    return x * (1 + torch.tanh(inner(x)))


def no_one(x: Tensor) -> Tensor:
    """This looks like tanh without the 1 in front: negative numbers come out positive."""
    return 0.5 * x * torch.tanh(inner(x))


def gate_alone(x: Tensor) -> Tensor:
    """This looks like the gate without x: it says which share of x passes, x has to pass it."""
    return 0.5 * (1 + torch.tanh(inner(x)))


def relu(x: Tensor) -> Tensor:
    """This looks like ReLU, which stops every negative number."""
    return x.clamp(min=0)


def torch_own(x: Tensor) -> Tensor:
    """PyTorch's."""
    return F.gelu(x, approximate="tanh")


def twice_as_a_sigmoid(x: Tensor) -> Tensor:
    """(1 + tanh z) / 2 is the sigmoid of 2z."""
    return x * torch.sigmoid(2 * inner(x))


def one_by_one(x: Tensor) -> Tensor:
    """In plain Python, number by number."""
    numbers = [
        0.5 * n * (1 + math.tanh(math.sqrt(2 / math.pi) * n * (1 + 0.044715 * n * n)))
        for n in x.flatten().tolist()
    ]
    return torch.tensor(numbers, dtype=x.dtype).reshape(x.shape)


EXERCISE = Exercise(
    name="gelu_tanh",
    notebook="03_transformer_block",
    rating=1,
    minutes=10,
    right=gelu,
    cases=cases,
    mistakes=(
        *(exact, no_cube, square_for_cube, ten_times, rounded, rounded_root, one_number_only),
        *(powers_by_hand, root_of_two_pi, no_root),
        *(factor_on_x_alone, with_sigmoid, no_half, no_one, gate_alone, relu),
    ),
    also_right=(torch_own, twice_as_a_sigmoid, one_by_one),
    observe=observe,
)

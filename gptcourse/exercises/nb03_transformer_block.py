"""The exercises of notebook 03: LayerNorm, the tanh-GELU, and a block's two lines."""

import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptcourse.exercises.patches import mistakes
from gptlib.attention import CausalSelfAttention
from gptlib.block import MLP, Block, LayerNorm, gelu, layer_norm
from gptlib.config import GPTConfig

NOTEBOOK = "03_transformer_block"


# -- 3.1 layer_norm: mean 0 and variance 1 for each position, then scale and shift
def layer_norm_cases() -> Iterator[Case]:
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


VARIANCE = "x.var(dim=-1, keepdim=True, correction=0)"
LAYER_NORM_MISTAKES = f"""
dividing by C − 1, as `var` and `std` do unless told otherwise.
    correction=0 => correction=1
the mean over the positions, T, instead of one position's C numbers.
    mean(dim=-1 => mean(dim=max(-2, -x.dim())
    var(dim=-1 => var(dim=max(-2, -x.dim())
the mean over the first axis: one sequence then depends on the others.
    mean(dim=-1 => mean(dim=0
    var(dim=-1 => var(dim=0
one mean for a whole sequence, (T, C): it tells the past of the future.
    mean(dim=-1 => mean(dim=(-1, -2)[: x.dim()]
    var(dim=-1 => var(dim=(-1, -2)[: x.dim()]
one mean for all numbers of `x`: each position has its own.
    mean(dim=-1, keepdim=True) => mean()
    var(dim=-1, keepdim=True, => var(
dim=1: in (B, T, C) that is the positions. The last axis is dim=-1.
    mean(dim=-1 => mean(dim=1
    var(dim=-1 => var(dim=1
dim=2: the last axis, however many there are, is dim=-1.
    mean(dim=-1 => mean(dim=2
    var(dim=-1 => var(dim=2
a mean without keepdim=True: its shape (B, T) lines up with the wrong axes.
    mean(dim=-1, keepdim=True) => mean(dim=-1)
    var(dim=-1, keepdim=True, => var(dim=-1,
leaving epsilon out: where all numbers are equal it divides 0 by 0.
    variance + epsilon => variance
an epsilon of 1e-5 whatever the argument says.
    variance + epsilon => variance + 1e-5
adding epsilon to the standard deviation, beside the root, not under it.
    torch.sqrt(variance + epsilon) => (torch.sqrt(variance) + epsilon)
`x.std() + epsilon`, two errors at once: `std` divides by C − 1, and epsilon belongs under the
root.
    correction=0 => correction=1
    torch.sqrt(variance + epsilon) => (torch.sqrt(variance) + epsilon)
the sum of the squared distances; the variance is their mean.
    {VARIANCE} => ((x - mean) ** 2).sum(dim=-1, keepdim=True)
a missing bracket: it is x − mean that is divided, not the mean alone.
    (x - mean) => x - mean
dividing by the variance instead of its square root.
    torch.sqrt( => (
dividing without taking the mean away first.
    (x - mean) => x
dividing by the root of the mean square: squares of x − mean are meant.
    {VARIANCE} => (x**2).mean(dim=-1, keepdim=True)
forgetting the scale, `weight`.
    * weight =>
forgetting the shift, `bias`.
    + bias =>
shifting before scaling: `bias` is added last.
    (x - mean) / torch.sqrt(variance + epsilon) => ((x - mean) / torch.sqrt(variance + epsilon)
    * weight + bias => + bias) * weight
changing `x` itself, with `-=` or `/=`: others still need it as it was.
    return (x - mean) / => x -= mean; x /=
    * weight + bias => ; return x * weight + bias
"""


def row_by_row(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """In a loop over positions, with the sums written out."""
    rows = []
    for row in x.reshape(-1, x.shape[-1]):
        distance = row - row.sum() / len(row)  # (C,)
        rows.append(distance * ((distance**2).sum() / len(row) + epsilon) ** -0.5 * weight + bias)
    return torch.stack(rows).reshape(x.shape)


LAYER_NORM = Exercise(
    *("layer_norm", NOTEBOOK, layer_norm, layer_norm_cases),
    mistakes=mistakes(layer_norm, LAYER_NORM_MISTAKES),
    also_right=(
        lambda x, weight, bias, epsilon: F.layer_norm(x, weight.shape, weight, bias, epsilon),
        row_by_row,
    ),
)

# -- 3.2 gelu_tanh: the gate, in the form that GPT-2 was trained with


def gelu_cases() -> Iterator[Case]:
    """A fine grid, some shapes, numbers far out, double precision."""
    generator = torch.Generator().manual_seed(0)
    yield Case("−2.7, −1, 0, 1 and 2.7", (torch.tensor([-2.7, -1, 0, 1, 2.7]),))
    yield Case("from −5 to 5", (torch.linspace(-5, 5, 401),))
    for shape in ((2, 5, 4), (3, 1, 7)):
        yield Case(f"shape {shape}", (2 * torch.randn(shape, generator=generator),))
    yield Case("−1,000, 0 and 1,000", (torch.tensor([-1000.0, 0, 1000]),))
    yield Case("float64", (torch.linspace(-4, 4, 41, dtype=torch.float64),))


def seen_of_gelu(function: Function, x: Tensor) -> dict[str, Any]:
    """The result, and in double precision a closer look at it: rounded constants show there."""
    answer = function(x)
    seen = {"the result": answer}
    if x.dtype == torch.float64 and isinstance(answer, Tensor):
        seen["a thousand times the result"] = 1000 * answer
    return seen


TANH = "torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))"
GELU_MISTAKES = f"""
the exact form with erf: close, but not what GPT-2 was trained with.
    {TANH} => torch.erf(x / math.sqrt(2))
the formula without its cubic term.
    + 0.044715 * x**3 =>
x² for x³ under the tanh.
    x**3 => x**2
a slipped digit: the cubic term's factor is 0.044715.
    0.044715 => 0.44715
a rounded factor: the cubic term's is 0.044715, with all its digits.
    0.044715 => 0.0447
√(2/π) rounded to 0.798: compute it, with all its digits.
    math.sqrt(2 / math.pi) => 0.798
math.tanh, which takes one number: torch.tanh takes a tensor.
    torch.tanh => math.tanh
tanh made of powers of e: far out they are too large for a float.
    return 0.5 * x * (1 + torch.tanh( => power = torch.exp(2 * (
    x**3))) => x**3))); return 0.5 * x * (1 + (power - 1) / (power + 1))
√(2π) in place of √(2/π).
    2 / math.pi => 2 * math.pi
2/π without its root.
    math.sqrt( => (
a missing bracket: √(2/π) multiplies the cubic term as well.
    (x + 0.044715 * x**3) => x + 0.044715 * x**3
x·σ(1.702 x), a coarser approximation of the same curve.
    0.5 * x * (1 + {TANH}) => x * torch.sigmoid(1.702 * x)
a missing half: 1 + tanh reaches 2.
    0.5 * x => x
tanh without the 1 in front: negative numbers come out positive.
    1 + torch.tanh => torch.tanh
the gate without x: it says which share of x passes, x has to pass it.
    0.5 * x => 0.5
ReLU, which stops every negative number.
    0.5 * x * (1 + {TANH}) => x.clamp(min=0)
"""


GELU_TANH = Exercise(
    *("gelu_tanh", NOTEBOOK, gelu, gelu_cases, mistakes(gelu, GELU_MISTAKES)),
    also_right=(
        lambda x: F.gelu(x, approximate="tanh"),
        # (1 + tanh z) / 2 is the sigmoid of 2z
        lambda x: x * torch.sigmoid((8 / math.pi) ** 0.5 * x * (1 + 0.044715 * x * x)),
    ),
    observe=seen_of_gelu,
)

# -- 3.3 block_forward: a block's two lines, with the four parts given

Part = Callable[[Tensor], Tensor]


def block_forward(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """(B, T, C) to (B, T, C)."""
    x = x + attention(ln_1(x))
    return x + mlp(ln_2(x))


def block_cases() -> Iterator[Case]:
    """Real parts with parameters of σ = 0.3, on different shapes."""
    generator = torch.Generator().manual_seed(0)
    for B, T, C, H in ((3, 5, 4, 2), (1, 4, 6, 3), (2, 1, 8, 4)):
        config = GPTConfig(width=C, n_heads=H, dropout=0.0, context_length=8)
        parts = (LayerNorm(C), CausalSelfAttention(config), LayerNorm(C), MLP(config))
        for part in parts:
            for parameter in part.parameters():
                nn.init.normal_(parameter, std=0.3, generator=generator)
        x = 1 + torch.randn(B, T, C, generator=generator)
        yield Case(f"B {B}, T {T}, C {C}, H {H}", (x, *parts))


def seen_of_block(function: Function, x: Tensor, *parts: Part) -> dict[str, Any]:
    """The result, and which part was called when."""
    order: list[str] = []

    def noted(name: str, part: Part) -> Part:
        return lambda x: order.append(name) or part(x)  # type: ignore[func-returns-value]

    names = ("ln_1", "attention", "ln_2", "mlp")
    answer = function(x, *map(noted, names, parts))
    return {"the order of the calls": order, "the result": answer}


BLOCK_MISTAKES = """
post-LN: LayerNorm after the addition, on the stream itself.
    x + attention(ln_1(x)) => ln_1(x + attention(x))
    x + mlp(ln_2(x)) => ln_2(x + mlp(x))
normalizing what a part answers instead of what it reads.
    attention(ln_1(x)) => ln_1(attention(x))
    mlp(ln_2(x)) => ln_2(mlp(x))
adding the answers to the normalized copy instead of the stream.
    x = x + attention(ln_1(x)) => x = ln_1(x); x = x + attention(x); x = ln_2(x)
    mlp(ln_2(x)) => mlp(x)
attention's answer replacing the stream: it has to be added.
    x + attention => attention
the MLP's answer replacing the stream: it has to be added.
    x + mlp => mlp
a chain of the four parts: nothing is added to the stream.
    x + attention => attention
    x + mlp => mlp
one addition at the end: attention's answer has to be on the stream too.
    x = x + attention => answer = attention
    ln_2(x) => ln_2(answer)
`ln_1` twice: the MLP has a LayerNorm of its own.
    ln_2(x) => ln_1(x)
the two LayerNorms in each other's place.
    ln_1(x) => ln_2(x)
    ln_2(x) => ln_1(x)
both parts reading the stream that came in: the MLP reads the new one.
    x = x + attention => answer = attention
    x + mlp => x + answer + mlp
adding the MLP's answer to the old stream: attention's answer is lost.
    x = x + attention => stream = x + attention
    ln_2(x) => ln_2(stream)
a block without LayerNorms: both parts read the stream itself.
    ln_1(x) => x
    ln_2(x) => x
the MLP reading attention's answer alone: it reads the stream that the answer was added to.
    x = x + attention => answer = attention
    x + mlp(ln_2(x)) => x + answer + mlp(ln_2(answer))
calling attention twice for one answer: keep the stream after it under a name.
    x = x + attention => stream = x + attention
    x + mlp(ln_2(x)) => x + attention(ln_1(x)) + mlp(ln_2(stream))
attention reading the stream itself instead of a normalized copy.
    ln_1(x) => x
the MLP reading the stream itself instead of a normalized copy.
    ln_2(x) => x
thinking before gathering: attention comes first.
    attention(ln_1(x)) => mlp(ln_2(x))
    mlp(ln_2(x)) => attention(ln_1(x))
`x += …`, which changes the caller's tensor: write `x = x + …`.
    x = x + attention => x += attention
    return x + mlp(ln_2(x)) => x += mlp(ln_2(x)); return x
a LayerNorm on the sum as well: nothing stands on the stream itself.
    return x + => x = ln_2(x); return x +
"""


def lines_of_the_package(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """The class's own lines, on these parts instead of a block's."""
    block: Any = SimpleNamespace(ln_1=ln_1, attention=attention, ln_2=ln_2, mlp=mlp)
    return Block.forward(block, x)


BLOCK_FORWARD = Exercise(
    *("block_forward", NOTEBOOK, block_forward, block_cases),
    mistakes=mistakes(block_forward, BLOCK_MISTAKES),
    also_right=(
        lines_of_the_package,
        lambda x, ln_1, attention, ln_2, mlp: (
            (y := torch.add(x, attention(ln_1(x)))) + mlp(ln_2(y))
        ),
    ),
    observe=seen_of_block,
)

EXERCISES = (LAYER_NORM, GELU_TANH, BLOCK_FORWARD)

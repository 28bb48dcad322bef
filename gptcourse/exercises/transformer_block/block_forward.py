"""Exercise 3.3: a block's two lines, with the four parts given."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptlib.attention import CausalSelfAttention
from gptlib.block import MLP, Block, LayerNorm
from gptlib.config import GPTConfig

Part = Callable[[Tensor], Tensor]
PARTS = ("ln_1", "attention", "ln_2", "mlp")


def block_forward(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """The package's own lines, on these parts instead of a block's."""
    block: Any = SimpleNamespace(ln_1=ln_1, attention=attention, ln_2=ln_2, mlp=mlp)
    return Block.forward(block, x)


def cases() -> Iterator[Case]:
    """Real parts with parameters of σ = 0.3, on different shapes."""
    generator = torch.Generator().manual_seed(0)
    for B, T, C, H in ((3, 5, 4, 2), (1, 4, 6, 3), (2, 1, 8, 4)):
        config = GPTConfig(width=C, n_heads=H, dropout=0.0, context_length=8)
        with torch.random.fork_rng(devices=[]):  # the initial values are drawn anew below
            parts = (LayerNorm(C), CausalSelfAttention(config), LayerNorm(C), MLP(config))
        for part in parts:
            for parameter in part.parameters():
                nn.init.normal_(parameter, std=0.3, generator=generator)
        x = 1 + torch.randn(B, T, C, generator=generator)
        yield Case(f"B {B}, T {T}, C {C}, H {H}", (x, *parts))


def observe(function: Function, x: Tensor, *parts: Part) -> dict[str, Any]:
    """The result, and which part was called when."""
    order: list[str] = []

    def noted(name: str, part: Part) -> Part:
        def call(x: Tensor) -> Tensor:
            order.append(name)
            return part(x)

        return call

    answer = function(x, *(noted(name, part) for name, part in zip(PARTS, parts, strict=True)))
    return {"the order of the calls": order, "the result": answer}


def post_ln(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like post-LN: LayerNorm after the addition, on the stream itself."""
    x = ln_1(x + attention(x))
    return ln_2(x + mlp(x))


def after_the_part(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like normalising what a part answers instead of what it reads."""
    x = x + ln_1(attention(x))
    return x + ln_2(mlp(x))


def added_to_the_copy(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like adding the answers to the normalised copy instead of the stream."""
    x = ln_1(x)
    x = x + attention(x)
    x = ln_2(x)
    return x + mlp(x)


def first_road_missing(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like attention's answer replacing the stream: it has to be added."""
    x = attention(ln_1(x))
    return x + mlp(ln_2(x))


def second_road_missing(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like the MLP's answer replacing the stream: it has to be added."""
    x = x + attention(ln_1(x))
    return mlp(ln_2(x))


def no_roads(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like a chain of the four parts: nothing is added to the stream."""
    return mlp(ln_2(attention(ln_1(x))))


def one_long_branch(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like one addition at the end: attention's answer has to be on the stream too."""
    return x + mlp(ln_2(attention(ln_1(x))))


def first_norm_twice(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like `ln_1` twice: the MLP has a LayerNorm of its own."""
    x = x + attention(ln_1(x))
    return x + mlp(ln_1(x))


def norms_swapped(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like the two LayerNorms in each other's place."""
    x = x + attention(ln_2(x))
    return x + mlp(ln_1(x))


def parallel(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like both parts reading the stream that came in: the MLP reads the new one."""
    return x + attention(ln_1(x)) + mlp(ln_2(x))


def old_stream_kept(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like adding the MLP's answer to the old stream: attention's answer is lost."""
    return x + mlp(ln_2(x + attention(ln_1(x))))


def attention_reads_raw(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like attention reading the stream itself instead of a normalised copy."""
    x = x + attention(x)
    return x + mlp(ln_2(x))


def mlp_reads_raw(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like the MLP reading the stream itself instead of a normalised copy."""
    x = x + attention(ln_1(x))
    return x + mlp(x)


def nobody_normalises(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like a block without LayerNorms: both parts read the stream itself."""
    x = x + attention(x)
    return x + mlp(x)


def mlp_reads_the_answer(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like the MLP reading attention's answer alone: it reads the stream that the
    answer was added to."""
    gathered = attention(ln_1(x))
    return x + gathered + mlp(ln_2(gathered))


def attention_twice(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like calling attention twice for one answer: keep the stream after it under a
    name."""
    return x + attention(ln_1(x)) + mlp(ln_2(x + attention(ln_1(x))))


def mlp_first(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like thinking before gathering: attention comes first."""
    x = x + mlp(ln_2(x))
    return x + attention(ln_1(x))


def in_place(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like `x += …`, which changes the caller's tensor: write `x = x + …`."""
    with torch.no_grad():
        x += attention(ln_1(x))
        x += mlp(ln_2(x))
    return x


def sum_normalised(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """This looks like a LayerNorm on the sum as well: nothing stands on the stream itself."""
    x = x + attention(ln_1(x))
    x = ln_2(x)
    return x + mlp(ln_2(x))


def two_lines(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """As it is usually written."""
    x = x + attention(ln_1(x))
    return x + mlp(ln_2(x))


def in_a_loop(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """The same for both halves, on a copy that may be changed."""
    x = x.clone()
    for norm, part in ((ln_1, attention), (ln_2, mlp)):
        x = torch.add(part(norm(x)), x)
    return x


def summed_at_the_end(x: Tensor, ln_1: Part, attention: Part, ln_2: Part, mlp: Part) -> Tensor:
    """Every contribution by its name."""
    gathered = attention(ln_1(x))
    thought = mlp(ln_2(x + gathered))
    return x + gathered + thought


EXERCISE = Exercise(
    name="block_forward",
    notebook="03_transformer_block",
    rating=2,
    minutes=20,
    right=block_forward,
    cases=cases,
    mistakes=(
        *(post_ln, after_the_part, added_to_the_copy, first_road_missing, second_road_missing),
        *(no_roads, one_long_branch, first_norm_twice, norms_swapped, parallel, old_stream_kept),
        *(nobody_normalises, mlp_reads_the_answer, attention_twice),
        *(attention_reads_raw, mlp_reads_raw, mlp_first, in_place, sum_normalised),
    ),
    also_right=(two_lines, in_a_loop, summed_at_the_end),
    observe=observe,
)

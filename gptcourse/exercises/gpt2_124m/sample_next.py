"""Exercise 4.3: from logits to one token for each row, by temperature, top-k and top-p."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptcourse.exercises.gpt2_124m.sampling_mistakes import (
    GONE,
    MISTAKES,
    Generator,
    Number,
    filtered,
)
from gptlib.generation.sampling import sample_next

DRAWS = 250  # of each row; a share then lies within 0.15 of its probability
TOLERANCE = 0.15


def cases() -> Iterator[Case]:
    """B rows of V logits that are never tied; the seed stands in the generator's place."""
    five = torch.tensor([[4.0, 3.0, 2.0, 1.0, 0.0]])
    yield Case("4, 3, 2, 1, 0 with top_p 0.9", (five, 1.0, None, 0.9, 1))
    yield Case("4, 3, 2, 1, 0 with top_k 3 and top_p 0.9", (five.clone(), 1.0, 3, 0.9, 2))
    three = torch.tensor([[0.0, 2.0, 1.0, -0.3], [1.0, -0.2, 0.4, 2.2], [-0.6, -0.3, 1.6, 1.0]])
    yield Case("B 3, V 4, temperature 0", (three.clone(), 0.0, None, None, 3))
    yield Case("B 3, V 4, temperature 2", (three.clone(), 2.0, None, None, 4))
    yield Case("B 3, V 4, top_k 2", (three + torch.tensor([[-9.0], [0.0], [9.0]]), 1.0, 2, None, 5))
    yield Case("B 3, V 4, top_k 7", (three.clone(), 1.0, 7, None, 6))
    yield Case("B 3, V 4, temperature 0.5, top_p 0.8", (three.clone(), 0.5, None, 0.8, 7))
    yield Case("B 3, V 4, top_p 0.001", (three.clone(), 1.0, None, 0.001, 8))
    spare = torch.tensor([[1.0, 0.2, 1.5, GONE, 0.7, GONE], [0.1, 0.6, GONE, 1.2, GONE, 0.3]])
    yield Case("B 2, V 6, two of them with the logit −∞", (spare, 1.0, 5, 0.999, 9))


def observe(
    function: Function,
    logits: Tensor,
    temperature: float,
    top_k: Number,
    top_p: float | None,
    seed: int,
) -> dict[str, Any]:
    """Which tokens come and how often, and whether the generator alone decides."""
    generator = torch.Generator()
    B, V = logits.shape
    before = logits.clone()  # a function may write into its logits

    def draw(times: int) -> Any:
        rows = before.repeat_interleave(times, dim=0)  # (B · times, V)
        return function(rows, temperature, top_k, top_p, generator)

    with torch.random.fork_rng(devices=[]):  # a function that ignores the generator draws there
        torch.manual_seed(seed + 1_000)
        everybody = torch.get_rng_state()
        generator.manual_seed(seed)
        one = function(logits, temperature, top_k, top_p, generator)
        if not isinstance(one, Tensor) or one.shape != (B,):
            return {"the result": one}
        few, more, many = draw(20), draw(20), draw(DRAWS)
        generator.manual_seed(seed)
        again = draw(1), draw(20), draw(20)
        left_alone = torch.equal(everybody, torch.get_rng_state())
    shares = (many.reshape(B, DRAWS, 1) == torch.arange(V)).double().mean(dim=1)  # (B, V)
    return {
        "the result": torch.zeros_like(one),  # shape and kind; the tokens are seen below
        "the tokens that come, row by row": [row.nonzero().flatten().tolist() for row in shares],
        "the share of each token": snapped(shares, before, temperature, top_k, top_p),
        "the same seed gives the same tokens": all(
            torch.equal(a, b) for a, b in zip((one, few, more), again, strict=True)
        ),
        "a second draw gives other tokens": not torch.equal(few, more),
        "the global random numbers are left alone": left_alone,
    }


def snapped(
    shares: Tensor, logits: Tensor, temperature: float, top_k: Number, top_p: float | None
) -> Tensor:
    """Shares (B, V), each replaced by its probability where it lies near enough."""
    if temperature == 0:
        return shares
    logits = filtered(logits / temperature, top_k, top_p)
    probabilities = logits.double().softmax(dim=-1)
    return torch.where((shares - probabilities).abs() < TOLERANCE, probabilities, shares)


def row_by_row(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """A loop over the rows, and a loop over the tokens from the likeliest down."""
    found = []
    for row in logits.tolist():
        order = sorted(range(len(row)), key=lambda token: -row[token])
        if temperature == 0:
            found.append(order[0])
            continue
        order = order[:top_k]
        scores = torch.tensor([row[token] / temperature for token in order])
        probabilities, together, kept = scores.softmax(dim=-1).tolist(), 0.0, []
        for probability in probabilities:
            if top_p is not None and together >= top_p:
                break
            kept.append(probability)
            together += probability
        place = int(torch.multinomial(torch.tensor(kept), 1, generator=generator))
        found.append(order[place])
    return torch.tensor(found)


def by_noise(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """The likeliest after Gumbel noise: each token wins as often as its probability says."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    logits = filtered(logits / temperature, top_k, top_p)
    noise = -torch.rand(logits.shape, generator=generator).log()
    return (logits - noise.log()).argmax(dim=-1)


def by_threshold(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """Sorted once; a uniform number says how far to go down the summed probabilities."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    ordered, order = (logits / temperature).sort(dim=-1, descending=True)
    if top_k is not None:
        ordered[:, top_k:] = GONE
    sums = ordered.softmax(dim=-1).cumsum(dim=-1)
    kept = torch.ones_like(sums, dtype=torch.bool)
    if top_p is not None:
        kept[:, 1:] = sums[:, :-1] < top_p
    sums = (ordered.masked_fill(~kept, GONE)).softmax(dim=-1).cumsum(dim=-1)
    level = torch.rand(len(sums), 1, generator=generator) * sums[:, -1:]
    place = (sums <= level).sum(dim=-1, keepdim=True)
    return order.gather(-1, place).squeeze(1)


EXERCISE = Exercise(
    name="sample_next",
    notebook="04_gpt2_124m",
    rating=3,
    minutes=35,
    right=sample_next,
    cases=cases,
    mistakes=MISTAKES,
    also_right=(row_by_row, by_noise, by_threshold),
    observe=observe,
)

"""What people get wrong in exercise 4.3: each of these samples, but not as it was asked."""

import torch
from torch import Tensor

from gptlib.generation.sampling import keep_top_k, keep_top_p, sample_next

GONE = float("-inf")
Number = int | None
Generator = torch.Generator | None


def drawn(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    """One token (B,) for each row of logits (B, V)."""
    return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator).squeeze(1)


def filtered(logits: Tensor, top_k: Number, top_p: float | None) -> Tensor:
    """Logits (B, V) as they should be filtered: top-k before top-p."""
    logits = logits if top_k is None else keep_top_k(logits, top_k)
    return logits if top_p is None else keep_top_p(logits, top_p)


def divides_by_zero(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """At temperature 0 this divides by 0: take the likeliest token there, without drawing."""
    return drawn(filtered(logits / temperature, top_k, top_p), generator)


def multiplies(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """This multiplies by the temperature: a low one should sharpen, so divide."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    return sample_next(logits * temperature, 1.0, top_k, top_p, generator)


def first_rows_threshold(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """This cuts every row at the first row's k-th logit: each row needs a threshold of its own."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    logits = logits / temperature
    if top_k is not None:
        k = min(top_k, logits.shape[-1])
        kth = logits.topk(k).values[0, -1]
        logits = torch.where(logits < kth, GONE, logits)
    return sample_next(logits, 1.0, None, top_p, generator)


def top_p_by(logits: Tensor, p: float, at_least_one: bool) -> Tensor:
    """Logits without the token that crosses p."""
    ordered, order = logits.sort(dim=-1, descending=True)
    dropped = ordered.softmax(dim=-1).cumsum(dim=-1) > p
    if at_least_one:
        dropped[:, 0] = False
    return torch.empty_like(logits).scatter(-1, order, ordered.masked_fill(dropped, GONE))


def drops_crossing(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """This drops the token that crosses p: it is the last one that is needed to reach p."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    logits = logits / temperature
    logits = logits if top_k is None else keep_top_k(logits, top_k)
    logits = logits if top_p is None else top_p_by(logits, top_p, at_least_one=True)
    return drawn(logits, generator)


def keeps_none(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """This drops the token that crosses p, and with a tiny p it keeps none: softmax gives NaN."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    logits = logits / temperature
    logits = logits if top_k is None else keep_top_k(logits, top_k)
    logits = logits if top_p is None else top_p_by(logits, top_p, at_least_one=False)
    return drawn(logits, generator)


def k_above_v(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """This fails where k is larger than the vocabulary: then all tokens are kept."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    logits = logits / temperature
    if top_k is not None:
        logits = logits.masked_fill(logits < logits.topk(top_k).values[:, -1:], GONE)
    return sample_next(logits, 1.0, None, top_p, generator)


def filters_first(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """This filters before it divides by the temperature: top-p then sees other probabilities."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    logits = filtered(logits, top_k, top_p)
    return drawn(logits / temperature, generator)


def p_before_k(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """This looks like top-p before top-k: it works on the probabilities that top-k has left."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    logits = logits / temperature
    logits = logits if top_p is None else keep_top_p(logits, top_p)
    return drawn(logits if top_k is None else keep_top_k(logits, top_k), generator)


def always_likeliest(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """This always takes the likeliest token: above temperature 0 it has to be drawn."""
    return logits.argmax(dim=-1)


def ignores_generator(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """The tokens come in the right shares, but not from `generator`: nobody could repeat them."""
    return sample_next(logits, temperature, top_k, top_p)


def seeds_anew(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """This starts the generator anew at each call: every draw is the same draw."""
    if generator is not None:
        generator.manual_seed(0)
    return sample_next(logits, temperature, top_k, top_p, generator)


def in_place(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """The tokens are right, but the caller's logits have changed: `/=` writes into them."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    logits /= temperature
    if top_k is not None:
        logits[logits < logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]] = GONE
    return sample_next(logits, 1.0, None, top_p, generator)


def ranks(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """This returns the place in the sorted order: look up there which token stands in it."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    ordered = logits.sort(dim=-1, descending=True).values
    return sample_next(ordered, temperature, top_k, top_p, generator)


def marks_in_sorted_order(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """What top-p drops was found in the sorted row, but dropped in the unsorted one: bring it back
    to its tokens first."""
    if temperature == 0 or top_p is None:
        return sample_next(logits, temperature, top_k, None, generator)
    logits = logits / temperature
    logits = logits if top_k is None else keep_top_k(logits, top_k)
    probabilities = logits.sort(dim=-1, descending=True).values.softmax(dim=-1)
    dropped = probabilities.cumsum(dim=-1) - probabilities >= top_p
    return drawn(logits.masked_fill(dropped, GONE), generator)


def zeros_for_dropped(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """This gives dropped tokens the logit 0, which still has a probability: −∞ has none."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    logits = filtered(logits / temperature, top_k, top_p)
    return drawn(logits.masked_fill(logits.isneginf(), 0.0), generator)


def column(
    logits: Tensor, temperature: float, top_k: Number, top_p: float | None, generator: Generator
) -> Tensor:
    """The tokens stand in a column (B, 1): one axis is too many, the result is (B,)."""
    return sample_next(logits, temperature, top_k, top_p, generator)[:, None]


MISTAKES = (
    divides_by_zero,
    multiplies,
    first_rows_threshold,
    drops_crossing,
    keeps_none,
    k_above_v,
    filters_first,
    p_before_k,
    always_likeliest,
    ignores_generator,
    seeds_anew,
    in_place,
    ranks,
    marks_in_sorted_order,
    zeros_for_dropped,
    column,
)

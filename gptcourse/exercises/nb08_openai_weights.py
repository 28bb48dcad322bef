"""The exercises of notebook 08: perplexity, names and layout, attention with a cache."""

import math
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptcourse.exercises.patches import mistakes
from gptlib import kv_cache
from gptlib.pretrained import weights
from gptlib.pretrained.weights import BUFFER, CONV1D, HEAD, MODULES, PREFIX

NOTEBOOK = "08_openai_weights"


# 8.1, between how many tokens a model wavered, over a text read in windows
Windows = list[Tensor]  # of each, −ln p of its tokens


def perplexity(windows: Windows, overlap: int) -> float:
    """e to the mean of all tokens' nats; a later window's first `overlap` tokens are not new."""
    new = [windows[0], *(window[overlap:] for window in windows[1:])]
    return math.exp(torch.cat(new).double().mean())


def texts_in_windows() -> Iterator[Case]:
    """Windows of several lengths and overlaps, and numbers that can be checked by hand."""
    two, four, eight = math.log(2), math.log(4), math.log(8)
    for label, nats, overlap in (
        ("ln 2, ln 4 and ln 8, ln 8, overlap 1", [[two, four], [eight, eight]], 1),
        ("every token certain", [[0.0, 0.0, 0.0], [0.0, 0.0]], 1),
        ("one token", [[two]], 0),
        ("one token impossible", [[two, math.inf], [1.0, 1.0]], 1),
    ):
        yield Case(label, ([torch.tensor(window) for window in nats], overlap))
    generator = torch.Generator().manual_seed(0)
    for lengths, overlap in (((7,), 0), ((6, 4), 0), ((5, 5, 3), 2), ((8, 8, 8, 5), 4)):
        windows = [3 * torch.rand(length, generator=generator) for length in lengths]
        yield Case(f"windows of {lengths}, overlap {overlap}", (windows, overlap))


NEW_NATS = "[windows[0], *(window[overlap:] for window in windows[1:])]"
MEAN = "torch.cat(new).double().mean()"
PERPLEXITY_MISTAKES = f"""
2 to the mean: the mean is in nats, and their base is e.
    math.exp( => math.pow(2,
the mean loss in nats: the last step, from nats to a number of tokens, is missing.
    math.exp( => float(
the mean of each token's own perplexity: the mean has to come first.
    math.exp({MEAN}) => float(torch.cat(new).exp().mean())
e to the sum: it grows with the length of the text.
    mean() => sum()
counting twice the tokens that stand in two windows.
    torch.cat(new) => torch.cat(windows)
dropping the overlap from the first window too, where all tokens are new.
    {NEW_NATS} => [window[overlap:] for window in windows]
keeping the second score of a token that stands in two windows: there it had less text before it.
    {NEW_NATS} => [*(window[: len(window) - overlap] for window in windows[:-1]), windows[-1]]
a mean of the windows' means: a short window then counts as much as a long one.
    {MEAN} => torch.stack([window.mean() for window in new]).mean()
a perplexity for each window, and their mean.
    math.exp({MEAN}) => sum(math.exp(window.mean()) for window in new) / len(new)
"""


def added_up(windows: Windows, overlap: int) -> float:
    """The same over single tokens."""
    nats = [n for i, window in enumerate(windows) for n in window.tolist()[overlap * (i > 0) :]]
    return math.exp(sum(nats) / len(nats))


def by_probabilities(windows: Windows, overlap: int) -> Tensor:
    """One over the geometric mean of the probabilities."""
    new = torch.cat([window[overlap * (i > 0) :] for i, window in enumerate(windows)])
    return (-new).exp().double().prod() ** (-1 / len(new))


PERPLEXITY = Exercise(
    *("perplexity", NOTEBOOK, perplexity, texts_in_windows),
    mistakes=mistakes(perplexity, PERPLEXITY_MISTAKES),
    also_right=(added_up, by_probabilities),
)


# 8.2, one tensor of OpenAI's file, as our model knows it
Ours = tuple[str, Tensor] | None
OURS = {theirs: ours for ours, theirs in MODULES.items()}
C, V, CONTEXT = 6, 11, 5  # pairwise different, and c_proj of attention still a square


def to_ours(name: str, tensor: Tensor) -> Ours:
    """Our name and our layout; None for what is no parameter of ours."""
    name = name.removeprefix(PREFIX)
    if name == HEAD or BUFFER.fullmatch(name):
        return None
    module, _, kind = name.rpartition(".")
    if kind == "weight" and module.split(".")[-1] in CONV1D:
        tensor = tensor.T  # (in, out) → (out, in)
    number = re.match(r"h\.(\d+)", module)
    ours = OURS[re.sub(r"^h\.\d+", "h.{}", module)]
    return f"{ours.format(number and number[1])}.{kind}", tensor


def tensors_of_a_file() -> Iterator[Case]:
    """One of every kind, with the prefix and without, and what is no parameter."""
    generator = torch.Generator().manual_seed(0)
    for name, shape in {
        "wte.weight": (V, C),
        "wpe.weight": (CONTEXT, C),
        "h.0.ln_1.weight": (C,),
        "h.3.ln_2.bias": (C,),
        "h.0.attn.c_attn.weight": (C, 3 * C),
        "h.1.attn.c_attn.bias": (3 * C,),
        "h.2.attn.c_proj.weight": (C, C),
        "h.11.mlp.c_fc.weight": (C, 4 * C),
        "h.0.mlp.c_fc.bias": (4 * C,),
        "h.4.mlp.c_proj.weight": (4 * C, C),
        "ln_f.bias": (C,),
        "transformer.wte.weight": (V, C),
        "transformer.h.10.attn.c_proj.weight": (C, C),
        "transformer.ln_f.weight": (C,),
        "lm_head.weight": (V, C),
        "h.7.attn.bias": (1, 1, CONTEXT, CONTEXT),
        "transformer.h.0.attn.masked_bias": (),
    }.items():
        yield Case(f"{name} {shape}", (name, 0.3 * torch.randn(shape, generator=generator)))


def keys_before_queries(tensor: Tensor) -> Tensor:
    """Our qkv, (3C, C) or (3C,), with its first two thirds exchanged."""
    query, key, value = tensor.chunk(3)
    return torch.cat([key, query, value])


TO_OURS_MISTAKES = r"""
tensors as they are: no weight of a Conv1D was turned.
    tensor.T => tensor
turning only where the shapes do not fit: a square fits both ways.
    in CONV1D => in CONV1D and tensor.shape[0] != tensor.shape[1]
turning the token embedding too: it is a table of rows in both models.
    in CONV1D => in (*CONV1D, "wte")
turning the position embedding too: it is a table of rows in both models.
    in CONV1D => in (*CONV1D, "wpe")
turning every matrix, the two embeddings among them.
    in CONV1D => in (*CONV1D, "wte", "wpe")
a reshape where a transpose is needed: the shape is right, the numbers stand in other places.
    tensor.T => tensor.reshape(tensor.T.shape)
keys, queries, values: in c_attn the queries come first, as in ours.
    return f => tensor = keys_before_queries(tensor) if "c_attn" in module else tensor; return f
cutting c_attn into queries, keys and values and stacking these as they are: the shape is right, but
each part has still to be turned.
    tensor.T => torch.cat(tensor.chunk(3, dim=1)) if "c_attn" in module else tensor.T
ln_1 and ln_2 in each other's place: both have C numbers, so all fits.
    "h.{}", module) => "h.{}", module.translate(str.maketrans("12", "21")))
a head with a table of its own: in GPT-2 it is the token embedding.
    return None => return (name, tensor) if name == HEAD else None
taking attn.bias for a parameter: it is the causal mask.
    or BUFFER.fullmatch(name) =>
    OURS[ => (OURS | {"h.{}.attn": "blocks.{}.attention"})[
taking each name that ends in attn.bias for a mask: c_attn.bias ends so too, and is a parameter.
    BUFFER.fullmatch(name) => name.endswith(("attn.bias", "attn.masked_bias"))
names that may not begin with "transformer.", as they do in some files.
    .removeprefix(PREFIX) =>
reading one digit of the block's number: GPT-2 has blocks 10 and 11.
    (\d+) => (\d)
"""


def by_the_package(name: str, tensor: Tensor) -> Ours:
    """The package's translation goes the other way: ours is the name that becomes theirs."""
    name = name.removeprefix(PREFIX)
    for module, number, kind in product(MODULES, range(12), ("weight", "bias")):
        ours = f"{module.format(number)}.{kind}"
        if weights.hf_name(ours) == name:
            return ours, weights.transpose_conv1d(name, tensor)
    return None


def by_parts(name: str, tensor: Tensor) -> Ours:
    """The same, the name taken apart at its dots."""
    *parts, kind = name.removeprefix("transformer.").split(".")
    if parts[-1] in ("lm_head", "attn"):
        return None
    numbers = [part for part in parts if part.isdigit()]
    ours = OURS[".".join("{}" if part.isdigit() else part for part in parts)]
    turn = parts[-1].startswith("c_") and tensor.dim() == 2
    return f"{ours.format(*numbers)}.{kind}", tensor.t().clone() if turn else tensor


TO_OURS = Exercise(
    *("to_ours", NOTEBOOK, to_ours, tensors_of_a_file),
    mistakes=mistakes(to_ours, TO_OURS_MISTAKES),
    also_right=(by_the_package, by_parts),
)


# 8.3, attention of new positions, the past being in a cache
def attend_cached(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """As the package's, after the question for room, which that one leaves to the model."""
    T, room = query.shape[2], cache.shape[3]
    end = start + T
    if end > room:
        raise ValueError(f"{end} positions, but the cache has room for {room}")
    cache[0, :, :, start:end] = key
    cache[1, :, :, start:end] = value
    keys, values = cache[:, :, :, :end]  # 2 × (B, H, end, D)
    seen = torch.ones(T, end, dtype=torch.bool).tril(start)  # (T, end)
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=seen)  # (B, H, T, D)


def texts_in_parts() -> Iterator[Case]:
    """Every split of four positions, longer texts, new and used caches, and one that is full."""
    generator = torch.Generator().manual_seed(0)
    splits = ((4,), (1, 3), (2, 2), (3, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1), (1, 1, 1, 1))
    for (B, H, D, context), used, wanted in (
        ((2, 3, 5, 7), True, splits),
        ((1, 2, 3, 8), False, ((6,), (3, 1, 1, 1), (2, 4))),
        ((3, 1, 2, 5), True, ((5,), (2, 3), (4, 1))),  # as many as there is room for
        ((2, 4, 3, 6), False, ((6, 1), (4, 3))),  # more
    ):
        what = "that an earlier text has used" if used else "that is new"
        for lengths in wanted:
            new = torch.randn(3, B, H, sum(lengths), D, generator=generator)
            cache = used * torch.randn(2, B, H, context, D, generator=generator)
            parts = " + ".join(map(str, lengths))
            label = f"B {B}, H {H}, D {D}, {parts} positions, a cache for {context} {what}"
            yield Case(label, (*new, cache, lengths))


def part_by_part(function: Function, *given: Any) -> dict[str, Any]:
    """Feed a text part by part, to two layers that take turns; what each part gave."""
    query, key, value, cache, lengths = given
    layers = ((query, key, value, cache), (value, query, key, cache.clone()))
    seen, start = {}, 0
    for length in lengths:
        for layer, (q, k, v, kept) in enumerate(layers, 1):
            new = [part[:, :, start : start + length] for part in (q, k, v)]
            name, before = f"layer {layer}, positions {start} to {start + length - 1}", kept.clone()
            try:
                seen[name] = function(*new, kept, start)
            except ValueError:
                if start + length > kept.shape[3] and not torch.equal(kept, before):
                    raise AssertionError("the cache was written to before the ValueError") from None
                raise
        start += length
    return seen


ONE_CACHE: dict[torch.Size, Tensor] = {}
KEPT, NEW = "cache[:, :, :, :end]", "torch.stack([key, value])"
CACHE_MISTAKES = f"""
a mask that counts the new positions from 0 again: several at once, after others, see too little.
    tril(start) => tril(start if T == 1 else 0)
writing each time at the beginning of the cache, over what was there.
    cache[0, :, :, start:end] => cache[0, :, :, :T]
    cache[1, :, :, start:end] => cache[1, :, :, :T]
a mask without `start`, as tril() and is_causal=True make it: they count queries and keys both from
0, so a single new query sees the first key only.
    attn_mask=seen => is_causal=True
a cache of the function's own, which all layers share, in the place of the one that is passed.
    end = start + T => end = start + T; cache = ONE_CACHE.setdefault(cache.shape, cache.clone())
attending to the whole room: the places after the last position hold zeros, or what an earlier text
has left.
    {KEPT} => cache
    .tril(start) => .tril(start); seen = F.pad(seen, (0, room - end), value=True)
joining old and new keys along the heads: the positions are axis 2.
    {KEPT} => torch.cat([cache[:, :, :, :start], {NEW}][start == 0 :], dim=2)
writing for the first of B texts only.
    cache[0, :, :, start:end] = key => cache[0, :1, :, start:end] = key[:1]
    cache[1, :, :, start:end] = value => cache[1, :1, :, start:end] = value[:1]
attention without a mask: of several new positions, the first see the later ones.
    attn_mask=seen => attn_mask=None
attention among the new positions alone: those before `start`, which the cache holds, have to be
seen too.
    keys, values, attn_mask=seen => key, value, is_causal=True
a mask for the first part of a text only: several new positions that come later must not see one
another's future either.
    attn_mask=seen => is_causal=start == 0
scores that are not divided by the root of the head's width.
    attn_mask=seen => attn_mask=seen, scale=1
a cache that overruns: nobody asks whether the new positions find room.
    end > room => False
    torch.ones(T, end, => torch.ones(T, keys.shape[2],
asking the cache how full it is, not `start`: of an earlier text it still holds the keys and values.
    end = start + T => start = int((cache[0, 0, 0] != 0).any(dim=-1).sum()); end = start + T
a cache that overruns until PyTorch stumbles over a shape: ask for room first, with a ValueError.
    end > room => False
writing what still fits before the ValueError: ask for room first, and the cache stays as it was.
    raise => cache[:, :, :, start:] = {NEW}[:, :, :, : room - start]; raise
keys in both halves of the cache: the second is for the values.
    = value => = key
a new tensor in the place of the cache: the one that was passed stays as it was, and the next call
finds nothing.
    end = start + T => end = start + T; cache = cache.clone()
a mask that is off by one: a position may see itself.
    tril(start) => tril(start - 1)
"""


def attend_by_the_package(
    query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int
) -> Tensor:
    """The package's, behind the question for room."""
    if start + query.shape[2] > cache.shape[3]:
        raise ValueError("no room")
    return kv_cache.attend_cached(query, key, value, cache, start)


def whole_room(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """The same over all the room, what lies ahead being hidden."""
    places = torch.arange(start, start + query.shape[2])
    if places[-1] >= cache.shape[3]:
        raise ValueError("no room")
    cache.index_copy_(3, places, torch.stack([key, value]))
    scores = query @ cache[0].transpose(-2, -1) * query.shape[3] ** -0.5  # (B, H, T, context)
    ahead = torch.arange(cache.shape[3]) > places[:, None]
    return scores.masked_fill(ahead, -torch.inf).softmax(dim=-1) @ cache[1]


ATTEND_CACHED = Exercise(
    *("attend_cached", NOTEBOOK, attend_cached, texts_in_parts),
    mistakes=mistakes(attend_cached, CACHE_MISTAKES),
    also_right=(attend_by_the_package, whole_room),
    observe=part_by_part,
)

EXERCISES = (PERPLEXITY, TO_OURS, ATTEND_CACHED)

"""Exercise 8.3: attention of new positions, the past being in a cache."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptlib import kv_cache


def attend_cached(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """The package's own, which leaves it to the model to ask for room."""
    check_room(query, cache, start)
    return kv_cache.attend_cached(query, key, value, cache, start)


def check_room(query: Tensor, cache: Tensor, start: int) -> None:
    """Refuse new positions for which the cache has no room."""
    end, context = start + query.shape[2], cache.shape[3]
    if end > context:
        raise ValueError(f"{end} positions, but the cache has room for {context}")


def observe(function: Function, *given: Any) -> dict[str, Any]:
    """Feed a text part by part, to two layers that take turns; what each part gave."""
    query, key, value, cache, lengths = given
    layers = ((query, key, value, cache), (value, query, key, cache.clone()))
    seen, start = {}, 0
    for length in lengths:
        for layer, (q, k, v, kept) in enumerate(layers, 1):
            new = [part[:, :, start : start + length] for part in (q, k, v)]
            name = f"layer {layer}, positions {start} to {start + length - 1}"
            seen[name] = function(*new, kept, start)
        start += length
    return seen


def cases() -> Iterator[Case]:
    """Every split of four positions, longer texts, new and used caches, and one that is full."""
    generator = torch.Generator().manual_seed(0)
    splits = ((4,), (1, 3), (2, 2), (3, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1), (1, 1, 1, 1))
    for (B, H, D, context), used, wanted in (
        ((2, 3, 5, 7), True, splits),
        ((1, 2, 3, 8), False, ((6,), (3, 1, 1, 1), (2, 4))),
        ((3, 1, 2, 5), True, ((5,), (2, 3), (4, 1))),  # as many as there is room for
        ((2, 4, 3, 6), False, ((6, 1), (4, 3))),  # more
    ):
        for lengths in wanted:
            new = torch.randn(3, B, H, sum(lengths), D, generator=generator)
            cache = torch.zeros(2, B, H, context, D)
            if used:
                cache = torch.randn(2, B, H, context, D, generator=generator)
            what = "that an earlier text has used" if used else "that is new"
            parts = " + ".join(map(str, lengths))
            label = f"B {B}, H {H}, D {D}, {parts} positions, a cache for {context} {what}"
            yield Case(label, (*new, cache, lengths))


def write(key: Tensor, value: Tensor, cache: Tensor, start: int) -> int:
    """Write new keys and values from `start` on, and return where they end."""
    check_room(key, cache, start)
    end = start + key.shape[2]
    cache[0, :, :, start:end], cache[1, :, :, start:end] = key, value
    return end


def attend(query: Tensor, kept: Tensor, mask: Tensor | None) -> Tensor:
    """Attention over what was kept, (2, B, H, end, D)."""
    return F.scaled_dot_product_attention(query, kept[0], kept[1], attn_mask=mask)


def mask_from_zero(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like a mask that counts the new positions from 0 again: several at once, after
    others, see too little."""
    end, T = write(key, value, cache, start), query.shape[2]
    mask = torch.ones(T, end, dtype=torch.bool).tril() if T > 1 else None
    return attend(query, cache[:, :, :, :end], mask)


def written_at_zero(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like writing each time at the beginning of the cache, over what was there."""
    check_room(query, cache, start)
    T, end = query.shape[2], start + query.shape[2]
    cache[0, :, :, :T], cache[1, :, :, :T] = key, value
    mask = torch.ones(T, end, dtype=torch.bool).tril(start)
    return attend(query, cache[:, :, :, :end], mask)


def flag_for_one(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like is_causal=True after the prefill: PyTorch counts queries and keys both from
    0, so a single new query sees the first key only."""
    end = write(key, value, cache, start)
    keys, values = cache[:, :, :, :end]
    return F.scaled_dot_product_attention(query, keys, values, is_causal=True)


ONE_CACHE: dict[torch.Size, Tensor] = {}


def one_for_all(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like a cache of the function's own, which all layers share, in the place of the
    one that is passed."""
    own = ONE_CACHE.setdefault(cache.shape, torch.zeros_like(cache))
    return attend_cached(query, key, value, own, start)


def all_the_room(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like attending to the whole room: the places after the last position hold zeros,
    or what an earlier text has left."""
    end, context = write(key, value, cache, start), cache.shape[3]
    future = torch.ones(end - start, context, dtype=torch.bool).triu(start + 1)
    future[:, end:] = False
    return attend(query, cache, ~future)


def joined_heads(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like joining old and new keys along the heads: the positions are axis 2."""
    write(key, value, cache, start)
    T, end = query.shape[2], start + query.shape[2]
    keys, values = key, value
    if start > 0:
        keys = torch.cat([cache[0, :, :, :start], key], dim=1)
        values = torch.cat([cache[1, :, :, :start], value], dim=1)
    mask = torch.ones(T, end, dtype=torch.bool).tril(start)
    return attend(query, torch.stack([keys, values]), mask)


def first_text_only(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like writing for the first of B texts only."""
    end, T = write(key[:1], value[:1], cache[:, :1], start), query.shape[2]
    mask = torch.ones(T, end, dtype=torch.bool).tril(start)
    return attend(query, cache[:, :, :, :end], mask)


def no_mask(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like attention without a mask: of several new positions, the first see the later
    ones."""
    end = write(key, value, cache, start)
    return attend(query, cache[:, :, :, :end], None)


def new_ones_only(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like attention among the new positions alone: those before `start`, which the
    cache holds, have to be seen too."""
    write(key, value, cache, start)
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


def flag_at_first(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like a mask for the first part of a text only: several new positions that come
    later must not see one another's future either."""
    end = write(key, value, cache, start)
    keys, values = cache[:, :, :, :end]
    return F.scaled_dot_product_attention(query, keys, values, is_causal=start == 0)


def not_scaled(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like scores that are not divided by the root of the head's width."""
    return attend_cached(query * math.sqrt(query.shape[3]), key, value, cache, start)


def no_check(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like a cache that overruns: nobody asks whether the new positions find room."""
    return kv_cache.attend_cached(query, key, value, cache, start)


def asks_the_cache(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like asking the cache how full it is, not `start`: of an earlier text it still
    holds the keys and values."""
    held = int((cache[0, 0, 0] != 0).any(dim=-1).sum())  # rows that are not zero
    return attend_cached(query, key, value, cache, held)


def keys_as_values(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like keys in both halves of the cache: the second is for the values."""
    return attend_cached(query, key, key, cache, start)


def not_kept(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like a new tensor in the place of the cache: the one that was passed stays as it
    was, and the next call finds nothing."""
    return attend_cached(query, key, value, cache.clone(), start)


def not_itself(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """This looks like a mask that is off by one: a position may see itself."""
    end, T = write(key, value, cache, start), query.shape[2]
    mask = torch.ones(T, end, dtype=torch.bool).tril(start - 1)
    return attend(query, cache[:, :, :, :end], mask)


def one_by_one(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """The same, one new position after the other: then no mask is needed."""
    check_room(query, cache, start)
    outputs = []
    for i in range(query.shape[2]):
        cache[0, :, :, start + i] = key[:, :, i]
        cache[1, :, :, start + i] = value[:, :, i]
        keys, values = cache[:, :, :, : start + i + 1]  # 2 × (B, H, start + i + 1, D)
        scores = torch.einsum("bhd,bhjd->bhj", query[:, :, i], keys) / math.sqrt(query.shape[3])
        outputs.append(torch.einsum("bhj,bhjd->bhd", scores.softmax(dim=-1), values))
    return torch.stack(outputs, dim=2)  # (B, H, T, D)


def whole_room(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """The same over all the room, what lies ahead being hidden."""
    check_room(query, cache, start)
    places = torch.arange(start, start + query.shape[2])
    cache.index_copy_(3, places, torch.stack([key, value]))
    scores = query @ cache[0].transpose(-2, -1) * query.shape[3] ** -0.5  # (B, H, T, context)
    ahead = torch.arange(cache.shape[3]) > places[:, None]
    return scores.masked_fill(ahead, -torch.inf).softmax(dim=-1) @ cache[1]


EXERCISE = Exercise(
    name="attend_cached",
    notebook="08_openai_weights",
    rating=3,
    minutes=40,
    right=attend_cached,
    cases=cases,
    mistakes=(
        mask_from_zero,
        written_at_zero,
        flag_for_one,
        one_for_all,
        all_the_room,
        joined_heads,
        first_text_only,
        no_mask,
        new_ones_only,
        flag_at_first,
        not_scaled,
        no_check,
        asks_the_cache,
        keys_as_values,
        not_kept,
        not_itself,
    ),
    also_right=(one_by_one, whole_room),
    observe=observe,
)

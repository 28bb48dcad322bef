"""Exercise 2.4: the whole layer, from the input to the output projection."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptlib.attention import causal_weights, merge_heads, split_heads


def attention(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """Causal attention as in `CausalSelfAttention`, without biases: (B, T, C) in and out."""
    query, key, value = (split_heads(part, n_heads) for part in (x @ w_qkv).chunk(3, dim=-1))
    mixed = causal_weights(query, key) @ value  # (B, H, T, D)
    return merge_heads(mixed) @ w_out  # (B, T, C)


def cases() -> Iterator[Case]:
    """Shapes with pairwise different sizes, and parameters large enough that errors show."""
    generator = torch.Generator().manual_seed(0)
    for B, T, H, D in ((2, 5, 3, 4), (1, 7, 2, 3), (3, 4, 1, 5), (2, 1, 3, 2)):
        C = H * D
        x = torch.randn(B, T, C, generator=generator)
        w_qkv = 0.3 * torch.randn(C, 3 * C, generator=generator)
        w_out = 0.3 * torch.randn(C, C, generator=generator)
        yield Case(f"B {B}, T {T}, H {H}, D {D}", (x, w_qkv, w_out, H))


def observe(function: Function, x: Tensor, w_qkv: Tensor, w_out: Tensor, H: int) -> dict[str, Any]:
    """The output, whether a backward pass can follow, and the gradients that it brings."""
    tensors = {"x": x, "w_qkv": w_qkv, "w_out": w_out}
    for tensor in tensors.values():
        tensor.requires_grad_()
    y = function(x, w_qkv, w_out, H)
    if not isinstance(y, Tensor):
        return {"the result": y}
    backward = "works"
    if y.requires_grad:
        try:
            y.square().sum().backward()
        except RuntimeError as problem:
            backward = f"{problem}"
    gradients = {
        f"the gradient of {name}": torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        for name, tensor in tensors.items()
    }
    return {"the result": y.detach(), "the backward pass": backward, **gradients}


def from_parts(query: Tensor, key: Tensor, value: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """Heads, weights, mixing, merging, projection: what several mistakes go wrong before."""
    query, key, value = (split_heads(part, n_heads) for part in (query, key, value))
    return merge_heads(causal_weights(query, key) @ value) @ w_out


def key_first(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """This looks like key, query, value: the first third of the columns makes the query."""
    key, query, value = (x @ w_qkv).chunk(3, dim=-1)
    return from_parts(query, key, value, w_out, n_heads)


def value_is_key(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """This looks like mixing the keys: what is handed over is the value."""
    query, key, _ = (x @ w_qkv).chunk(3, dim=-1)
    return from_parts(query, key, key, w_out, n_heads)


def value_is_input(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """This looks like mixing the rows of x itself: the toy did, before it had a map for values."""
    query, key, _ = (x @ w_qkv).chunk(3, dim=-1)
    return from_parts(query, key, x, w_out, n_heads)


def not_projected(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """This looks like the output projection left out: the heads lie side by side and are not
    mixed."""
    query, key, value = (split_heads(part, n_heads) for part in (x @ w_qkv).chunk(3, dim=-1))
    return merge_heads(causal_weights(query, key) @ value)


def cut_after_the_heads(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """This looks like cutting into heads first and into query, key and value afterwards: the
    thirds of all columns belong to query, key and value, not the thirds of each head."""
    heads = split_heads(x @ w_qkv, n_heads)  # (B, H, T, 3D)
    query, key, value = heads.chunk(3, dim=-1)
    return merge_heads(causal_weights(query, key) @ value) @ w_out


def zeroed_in_place(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """This looks like weights changed in place after the softmax: the values are right, but the
    backward pass needs the softmax as it was. Mask the scores before it."""
    query, key, value = (split_heads(part, n_heads) for part in (x @ w_qkv).chunk(3, dim=-1))
    T, D = query.shape[-2:]
    weights = (query @ key.transpose(-2, -1) / math.sqrt(D)).softmax(dim=-1)
    weights[..., torch.ones(T, T, dtype=torch.bool).triu(diagonal=1)] = 0
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return merge_heads(weights @ value) @ w_out


def scaled_by_width(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """This looks like scores divided by √C, the whole width's root: a head's scores are sums of
    its own D products."""
    query, key, value = (split_heads(part, n_heads) for part in (x @ w_qkv).chunk(3, dim=-1))
    weights = causal_weights(query / math.sqrt(n_heads), key)
    return merge_heads(weights @ value) @ w_out


def thirds_of_the_batch(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """This looks like chunk without dim=-1: it then cuts the batch, the first axis, in three."""
    query, key, value = (x @ w_qkv).chunk(3)
    return from_parts(query, key, value, w_out, n_heads)


def qkv_transposed(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """This looks like w_qkv transposed, as F.linear takes it: here it is (C, 3C), ready for
    `x @ w_qkv`."""
    query, key, value = F.linear(x, w_qkv).chunk(3, dim=-1)
    return from_parts(query, key, value, w_out, n_heads)


def one_wide_head(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """This looks like a single head over the whole width: n_heads is not used."""
    return attention(x, w_qkv, w_out, 1)


def sees_the_future(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """This looks like attention without the mask: every position sees the whole text."""
    query, key, value = (split_heads(part, n_heads) for part in (x @ w_qkv).chunk(3, dim=-1))
    return merge_heads(F.scaled_dot_product_attention(query, key, value)) @ w_out


def projection_transposed(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """This looks like w_out transposed, as F.linear takes it: it is square, so no shape
    complains."""
    query, key, value = (split_heads(part, n_heads) for part in (x @ w_qkv).chunk(3, dim=-1))
    return F.linear(merge_heads(causal_weights(query, key) @ value), w_out)


def merged_as_it_lies(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """This looks like merging without the transpose: a row of the result holds one head's
    positions, not one position's heads."""
    query, key, value = (split_heads(part, n_heads) for part in (x @ w_qkv).chunk(3, dim=-1))
    return (causal_weights(query, key) @ value).reshape(x.shape) @ w_out


def added_to_the_input(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """This looks like x added to the result: the layer returns what it gathered; adding comes in
    notebook 03."""
    return x + attention(x, w_qkv, w_out, n_heads)


def without_gradient(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """This looks like a result cut off from its inputs, by detach, no_grad or a new tensor: the
    values are right, but nothing would be learned."""
    return attention(x, w_qkv, w_out, n_heads).detach()


def fused(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """The same with PyTorch's fused form."""
    C = x.shape[-1]
    query, key, value = (split_heads(part, n_heads) for part in (x @ w_qkv).split(C, dim=-1))
    return merge_heads(F.scaled_dot_product_attention(query, key, value, is_causal=True)) @ w_out


def head_by_head(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """The same as a loop over heads, each with its own columns of the parameters."""
    T, C = x.shape[1:]
    D, mixes = C // n_heads, []
    future = torch.ones(T, T, dtype=torch.bool).triu(diagonal=1)
    for h in range(n_heads):
        query, key, value = (
            x @ w_qkv[:, part * C + h * D : part * C + (h + 1) * D] for part in range(3)
        )
        scores = query @ key.transpose(-2, -1) / math.sqrt(D)
        mixes.append(scores.masked_fill(future, float("-inf")).softmax(dim=-1) @ value)
    return torch.cat(mixes, dim=-1) @ w_out


def in_einsum(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """The same with every axis named."""
    query, key, value = (x @ w_qkv).unflatten(-1, (3, n_heads, -1)).unbind(dim=2)
    scores = torch.einsum("bihd,bjhd->bhij", query, key) / math.sqrt(query.shape[-1])
    T = x.shape[1]
    scores = scores + torch.full((T, T), float("-inf")).triu(diagonal=1)
    mixed = torch.einsum("bhij,bjhd->bihd", scores.softmax(dim=-1), value)
    return mixed.flatten(2) @ w_out


EXERCISE = Exercise(
    name="attention",
    notebook="02_attention",
    rating=3,
    minutes=30,
    right=attention,
    cases=cases,
    mistakes=(
        key_first,
        value_is_key,
        value_is_input,
        not_projected,
        cut_after_the_heads,
        scaled_by_width,
        thirds_of_the_batch,
        qkv_transposed,
        zeroed_in_place,
        one_wide_head,
        sees_the_future,
        projection_transposed,
        merged_as_it_lies,
        added_to_the_input,
        without_gradient,
    ),
    also_right=(fused, head_by_head, in_einsum),
    observe=observe,
)

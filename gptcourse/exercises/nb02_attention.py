"""The exercises of notebook 02: causal weights, heads split and merged, and the whole layer."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptcourse.exercises.patches import mistakes
from gptlib.attention import causal_weights, merge_heads, split_heads

NOTEBOOK = "02_attention"


# Exercise 2.1: how much each position takes from each position of its past.
def causal_weights_cases() -> Iterator[Case]:
    """Shapes with pairwise different sizes, four positions as in the toy, and large scores."""
    generator = torch.Generator().manual_seed(0)
    for B, H, T, D in ((2, 3, 5, 4), (1, 2, 7, 3), (3, 1, 2, 6), (2, 4, 1, 3), (1, 2, 4, 5)):
        query, key = torch.randn(2, B, H, T, D, generator=generator)
        yield Case(f"B {B}, H {H}, T {T}, D {D}", (query, key))
    large = 30 * torch.randn(2, 1, 2, 6, 3, generator=generator)
    yield Case("scores of several hundred", (large[0], large[1]))


CAUSAL_WEIGHTS_MISTAKES = """
scores without the division by √D.
    / math.sqrt(D) =>
scaling by the model's width C = H·D instead of the head's width D.
    math.sqrt(D) => math.sqrt(query.shape[1] * D)
dividing by D where its square root is meant: the choice is too flat.
    math.sqrt(D) => D
a softmax along the queries (dim=-2): the columns sum to 1, not the rows.
    softmax(dim=-1) => softmax(dim=-2)
a mask after the softmax: the weight that the future got is thrown away, and the rows sum to less
than 1.
    scores.masked_fill(future, float("-inf")) => scores.softmax(dim=-1)
    return scores.softmax(dim=-1) => return scores.masked_fill(future, 0.0)
a mask after the softmax, and rows divided by their sums: where the future took all the weight,
nothing is left to divide.
    scores.masked_fill(future, float("-inf")) => scores.softmax(dim=-1).masked_fill(future, 0.0)
    return scores.softmax(dim=-1) => return scores / scores.sum(dim=-1, keepdim=True)
a mask that covers the diagonal too: the first position has nobody left to look at, and gets nan.
    diagonal=1 => diagonal=0
a mask that begins one place late: each position sees the next one, which it is asked to predict.
    diagonal=1 => diagonal=2
the wrong triangle: the past is masked, and the future is seen.
    triu(diagonal=1) => tril(diagonal=-1)
masking with the score 0: a power of 0 is 1, so the future still gets weight.
    float("-inf") => 0.0
the mask the wrong way round: −∞ stands where looking is allowed, and the last position has nobody
left.
    triu(diagonal=1) => tril()
−∞ multiplied by a mask of zeros and ones: −∞ · 0 is nan. Fill it in where the mask is True.
    scores.masked_fill(future, float("-inf")) => scores + future * float("-inf")
a softmax along dim=1: with B and H in front, that axis is the heads.
    softmax(dim=-1) => softmax(dim=1)
`key.T`, which reverses all four axes: exchange the last two alone.
    key.transpose(-2, -1) => key.permute(3, 2, 1, 0)
a mask of a fixed size, such as the toy's 4 × 4: read T from the input.
    torch.ones(T, T, => torch.ones(4, 4,
query and key exchanged: row i has to hold what query i gives each key.
    query @ key.transpose(-2, -1) => key @ query.transpose(-2, -1)
powers taken of the scores as they are: e to a large score is too large for a float.
    scores.masked_fill(future, float("-inf")) => scores.exp().masked_fill(future, 0.0)
    return scores.softmax(dim=-1) => return scores / scores.sum(dim=-1, keepdim=True)
"""


def added_mask(query: Tensor, key: Tensor) -> Tensor:
    """The same with −∞ added to scores of the future."""
    scores = torch.einsum("bhid,bhjd->bhij", query, key) * key.shape[-1] ** -0.5
    return (scores + torch.full_like(scores, -math.inf).triu(diagonal=1)).softmax(dim=-1)


def values_are_the_identity(query: Tensor, key: Tensor) -> Tensor:
    """The same by PyTorch's fused form: mixing the rows of an identity matrix shows the weights."""
    identity = torch.eye(key.shape[2]).expand(*key.shape[:3], -1)
    return F.scaled_dot_product_attention(query, key, identity, is_causal=True)


CAUSAL_WEIGHTS = Exercise(
    *("causal_weights", NOTEBOOK, causal_weights, causal_weights_cases),
    mistakes=mistakes(causal_weights, CAUSAL_WEIGHTS_MISTAKES),
    also_right=(added_mask, values_are_the_identity),
)


# Exercise 2.2: cut the width into heads, and bring the heads before the positions.
def split_heads_cases() -> Iterator[Case]:
    """Numbered entries, so that a message shows which entry stands where."""
    for B, T, H, D in ((1, 4, 2, 3), (2, 5, 3, 4), (3, 2, 4, 6), (2, 3, 1, 5), (4, 3, 5, 1)):
        x = torch.arange(B * T * H * D).float().view(B, T, H * D)
        yield Case(f"B {B}, T {T}, C {H * D}, H {H}, D {D}", (x, H))


SPLIT_HEADS_MISTAKES = """
a cut straight into (B, H, T, D): the shape is right, but what is called a position is now a piece
of one token, or of its neighbor.
    view(B, T, n_heads, => view(B, n_heads, T,
    x.transpose(1, 2) => x
(B, T, H, D): the heads still stand after the positions, and a product of the last two axes would
mix heads instead of positions.
    x.transpose(1, 2) => x
D and H exchanged: it makes D heads that are H wide.
    n_heads, C // n_heads => C // n_heads, n_heads
dealing the channels out like cards: head 0 gets channels 0, H, 2H and so on, where it should get
the first D.
    n_heads, C // n_heads => C // n_heads, n_heads
    transpose(1, 2) => permute(0, 3, 1, 2)
T and D exchanged: each head holds (D, T) where (T, D) is asked for.
    transpose(1, 2) => permute(0, 2, 3, 1)
`C / n_heads`, which is a float: `//` divides whole numbers.
    C // n_heads => C / n_heads
code for a single sequence: the axis B is lost.
    B, T, C = x.shape => T, C = x.shape[1:]
    view(B, T, => view(T,
    transpose(1, 2) => transpose(0, 1)
two heads, as in the toy, whatever n_heads says.
    n_heads, C // n_heads => 2, C // 2
(H, B, T, D): the heads stand before the sequences too.
    transpose(1, 2) => permute(2, 0, 1, 3)
the positions cut into heads: each head must see every position, and a part of the channels.
    x.transpose(1, 2) => torch.stack(x.flatten(2).chunk(n_heads, dim=1), dim=1)
every head getting the whole width: heads cut C, they do not repeat it.
    x.transpose(1, 2) => x.flatten(2)[:, None].expand(-1, n_heads, -1, -1)
"""


SPLIT_HEADS = Exercise(
    *("split_heads", NOTEBOOK, split_heads, split_heads_cases),
    mistakes=mistakes(split_heads, SPLIT_HEADS_MISTAKES),
    also_right=(
        lambda x, n_heads: torch.stack(x.chunk(n_heads, dim=-1), dim=1),
        lambda x, n_heads: x.unflatten(-1, (n_heads, -1)).movedim(2, 1),
    ),
)


# Exercise 2.3: lay the heads side by side again.
def merge_heads_cases() -> Iterator[Case]:
    """Numbered entries as a product leaves them, and once as a split leaves them."""
    for B, H, T, D in ((1, 2, 4, 3), (2, 3, 5, 4), (3, 4, 2, 6), (2, 1, 3, 5), (4, 5, 1, 2)):
        y = torch.arange(B * H * T * D).float().view(B, H, T, D)
        yield Case(f"B {B}, H {H}, T {T}, D {D}", (y,))
    split = torch.arange(2 * 4 * 15).float().view(2, 4, 3, 5).transpose(1, 2)
    yield Case("as a split leaves it: B 2, H 3, T 4, D 5", (split,))


MERGE_HEADS_MISTAKES = """
reshape without a transpose: the shape is right, but each row holds several positions of one head,
where it should hold one position of every head.
    x.transpose(1, 2) => x
view after transpose: the numbers do not lie in memory in that order, and view refuses to copy
them.
    reshape(B => view(B
contiguous before the transpose: view needs the copy after it.
    x.transpose(1, 2) => x.contiguous().transpose(1, 2)
    reshape(B => view(B
the heads' channels dealt out in turn: head 0 must hold the first D channels, head 1 the next D,
and so on.
    transpose(1, 2) => permute(0, 2, 3, 1)
a sum over the heads: they have to lie side by side, H·D wide.
    x.transpose(1, 2) => x.sum(dim=1)
    x.reshape(B, T, H * D) => x
the heads joined along the positions: H·T rows that are D wide.
    x.transpose(1, 2) => x
    reshape(B, T, H * D) => reshape(B, H * T, D)
(B, T, H, D): the transpose is there, the last two axes are still two.
    x.reshape(B, T, H * D) => x
code for a single sequence: only the first one comes back.
    x.reshape(B, T, H * D) => x[0].flatten(1)
the wrong pair of axes: transpose(-2, -1) exchanges T and D, and the heads stay before the
positions.
    transpose(1, 2) => transpose(-2, -1)
"""


MERGE_HEADS = Exercise(
    *("merge_heads", NOTEBOOK, merge_heads, merge_heads_cases),
    mistakes=mistakes(merge_heads, MERGE_HEADS_MISTAKES),
    also_right=(
        lambda x: torch.cat(x.unbind(dim=1), dim=-1),
        lambda x: x.permute(0, 2, 1, 3).flatten(2),
    ),
)


# Exercise 2.4: the whole layer, from the input to the output projection.
def attention(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """Causal attention as in `CausalSelfAttention`, without biases: (B, T, C) in and out."""
    thirds = (x @ w_qkv).chunk(3, dim=-1)  # 3 × (B, T, C)
    query, key, value = (split_heads(third, n_heads) for third in thirds)  # (B, H, T, D)
    mixed = causal_weights(query, key) @ value  # (B, H, T, D)
    return merge_heads(mixed) @ w_out  # (B, T, C)


def attention_cases() -> Iterator[Case]:
    """Shapes with pairwise different sizes, and parameters large enough that errors show."""
    generator = torch.Generator().manual_seed(0)
    for B, T, H, D in ((2, 5, 3, 4), (1, 7, 2, 3), (3, 4, 1, 5), (2, 1, 3, 2)):
        C = H * D
        x = torch.randn(B, T, C, generator=generator)
        w_qkv = 0.3 * torch.randn(C, 3 * C, generator=generator)
        w_out = 0.3 * torch.randn(C, C, generator=generator)
        yield Case(f"B {B}, T {T}, H {H}, D {D}", (x, w_qkv, w_out, H))


def forth_and_back(function: Function, *given: Any) -> dict[str, Any]:
    """The output, whether a backward pass can follow, and the gradients that it brings."""
    tensors = dict(zip(("x", "w_qkv", "w_out"), given, strict=False))
    for tensor in tensors.values():
        tensor.requires_grad_()
    y = function(*given)
    if not isinstance(y, Tensor):
        return {"the result": y}
    backward = "works"
    try:
        if y.requires_grad:
            y.square().sum().backward()
    except RuntimeError as problem:
        backward = str(problem)
    gradients = {
        f"the gradient of {name}": torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        for name, tensor in tensors.items()
    }
    return {"the result": y.detach(), "the backward pass": backward, **gradients}


ATTENTION_MISTAKES = """
key, query, value: the first third of the columns makes the query.
    query, key, value => key, query, value
mixing the keys: what is handed over is the value.
    @ value => @ key
mixing the rows of x itself: the toy did, before it had a map for values.
    @ value => @ split_heads(x, n_heads)
the output projection left out: the heads lie side by side and are not mixed.
    @ w_out =>
cutting into heads first and into query, key and value afterwards: the thirds of all columns
belong to query, key and value, not the thirds of each head.
    (x @ w_qkv).chunk => split_heads(x @ w_qkv, n_heads).chunk
    split_heads(third, n_heads) => third
scores divided by √C, the whole width's root: a head's scores are sums of its own D products.
    causal_weights(query, key) => causal_weights(query / math.sqrt(n_heads), key)
chunk without dim=-1: it then cuts the batch, the first axis, in three.
    chunk(3, dim=-1) => chunk(3)
w_qkv transposed, as F.linear takes it: here it is (C, 3C), ready for `x @ w_qkv`.
    (x @ w_qkv) => F.linear(x, w_qkv)
weights changed in place after the softmax: the values are right, but the backward pass needs the
softmax as it was. Mask the scores before it.
    scores.masked_fill(future, float("-inf")) => scores.softmax(dim=-1).masked_fill_(future, 0)
    return scores.softmax(dim=-1) => return scores / scores.sum(dim=-1, keepdim=True)
a single head over the whole width: n_heads is not used.
    split_heads(third, n_heads) => split_heads(third, 1)
attention without the mask: every position sees the whole text.
    scores.masked_fill(future, float("-inf")) => scores
w_out transposed, as F.linear takes it: it is square, so no shape complains.
    @ w_out => @ w_out.T
merging without the transpose: a row of the result holds one head's positions, not one position's
heads.
    merge_heads(mixed) => mixed.reshape(x.shape)
x added to the result: the layer returns what it gathered; adding comes in notebook 03.
    return merge_heads => return x + merge_heads
a result cut off from its inputs, by detach, no_grad or a new tensor: the values are right, but
nothing would be learned.
    merge_heads(mixed) @ w_out => (merge_heads(mixed) @ w_out).detach()
"""


def fused(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """The same with PyTorch's fused form."""
    query, key, value = (split_heads(part, n_heads) for part in (x @ w_qkv).tensor_split(3, dim=-1))
    return merge_heads(F.scaled_dot_product_attention(query, key, value, is_causal=True)) @ w_out


def by_einsum(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_heads: int) -> Tensor:
    """The same with the axes named."""
    query, key, value = (x @ w_qkv).unflatten(-1, (3, n_heads, -1)).unbind(dim=2)  # (B, T, H, D)
    scores = torch.einsum("bihd,bjhd->bhij", query, key) / math.sqrt(query.shape[-1])
    future = torch.ones_like(scores, dtype=torch.bool).triu(diagonal=1)  # (B, H, T, T)
    weights = scores.masked_fill(future, float("-inf")).softmax(dim=-1)
    return torch.einsum("bhij,bjhd->bihd", weights, value).flatten(2) @ w_out  # (B, T, C)


ATTENTION = Exercise(
    *("attention", NOTEBOOK, attention, attention_cases),
    mistakes=mistakes(attention, ATTENTION_MISTAKES, causal_weights),
    also_right=(fused, by_einsum),
    observe=forth_and_back,
)

EXERCISES = (CAUSAL_WEIGHTS, SPLIT_HEADS, MERGE_HEADS, ATTENTION)

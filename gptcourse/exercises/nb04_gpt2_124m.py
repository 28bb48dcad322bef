"""The exercises of notebook 04: counting parameters, the way through the blocks, sampling."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptcourse.exercises.patches import mistakes
from gptlib.config import GPTConfig
from gptlib.generation import keep_top_k, keep_top_p, sample_next
from gptlib.model import GPT, count_parameters

NOTEBOOK = "04_gpt2_124m"


# -- 4.1 count_parameters: how many each part of GPT-2 holds, from the shape alone
def counting_cases() -> Iterator[Case]:
    """The one by hand, GPT-2 itself, and shapes with V, T, L, H and C pairwise different."""
    by_hand = GPTConfig(5, 5, n_layers=2, n_heads=2, width=4)
    yield Case("V 5, T 5, L 2, H 2, C 4, as by hand", (by_hand,))
    yield Case("124M", (GPTConfig(),))
    bare = GPTConfig(100, 24, n_layers=5, n_heads=2, width=14, qkv_bias=False)
    yield Case("V 100, T 24, L 5, H 2, C 14, qkv_bias False", (bare,))
    padded = GPTConfig(70, 9, n_layers=1, n_heads=4, width=20, vocab_multiple=32)
    yield Case("V 70, T 9, L 1, H 4, C 20, vocab_multiple 32", (padded,))


def seen_of_counting(function: Function, config: GPTConfig) -> dict[str, Any]:
    """The counts, and whether they are whole numbers: 536.0 is equal to 536."""
    counts = function(config)
    numbers = counts.values() if isinstance(counts, dict) else ()
    floats = [number for number in numbers if np.asarray(number).dtype.kind == "f"]
    return {"the result": counts, "whole numbers alone": not floats}


COUNTING_MISTAKES = """
an output head of its own: GPT-2 has none, it uses the token embedding twice.
    return => parts["head"] = parts["token embedding"]; return
the token embedding counted twice: it is used at both ends, but it is one table.
    config.vocab_multiple) * C => config.vocab_multiple) * 2 * C
leaving out the table of positions: it has one row for every place of the context.
    config.context_length * C => 0
leaving out one LayerNorm: the one after the last block, before the head.
    (2 * L + 1) => 2 * L
one LayerNorm in each block: there are two, one before each of its parts.
    2 * L + 1 => L + 1
counting only the scale of each LayerNorm: it has a shift too, of the same size.
    (2 * L + 1) * 2 => (2 * L + 1)
linear layers without their biases: each has one for every output.
    + C + (3 * C if config.qkv_bias else 0) =>
    + 5 * C =>
counting the MLP's matrices alone: its two linear layers have biases too.
    + 5 * C =>
biases of the queries, keys and values even where `qkv_bias` is False.
    3 * C if config.qkv_bias else 0 => 3 * C
dropping the bias of the attention's last projection too where `qkv_bias` is False.
    C + (3 * C if => (4 * C if
queries, keys and values counted once for each head, as if a head had width C.
    4 * C * C + C + (3 => C * C * (3 * config.n_heads + 1) + C + (3 * config.n_heads
GPT-2's 12 blocks, whatever `n_layers` says.
    config.n_layers => 12
rounding the rows of the token embedding up although `vocab_multiple` is 1.
    config.vocab_multiple => max(64, config.vocab_multiple)
leaving out the spare rows: the table's rows are a multiple of `vocab_multiple`.
    padded_size(config.vocab_size, config.vocab_multiple) => config.vocab_size
an MLP that is three times as wide inside as the stream: it is four.
    8 * C * C + 5 * C => 6 * C * C + 4 * C
right parts, but not every one of them in the total.
    sum(parts.values()) => sum(parts.values()) - parts["LayerNorm"]
right parts, but an output head in the total: GPT-2 has none of its own.
    sum(parts.values()) => sum(parts.values()) + parts["token embedding"]
floats among the counts, as `/`, `math.pow` and `np.ceil` give them: take `//`, `**` and
`math.ceil`.
    8 * C * C => 8 * C**2.0
"""


def from_the_model(config: GPTConfig) -> dict[str, int]:
    """Builds the model without memory and sorts its parameters by their names."""
    with torch.device("meta"):
        named = {name: tensor.numel() for name, tensor in GPT(config).named_parameters()}
    parts = ("token embedding", "position embedding", "attention", "MLP", "LayerNorm")
    marks = ("token_embedding", "position_embedding", ".attention.", ".mlp.", "ln_")
    counts = [sum(n for name, n in named.items() if mark in name) for mark in marks]
    return {**dict(zip(parts, counts, strict=True)), "total": sum(named.values())}


def layer_by_layer(config: GPTConfig) -> dict[str, int]:
    """Adds up matrices and biases, one block after the other."""
    C, spare = config.width, -config.vocab_size % config.vocab_multiple
    counts = Counter({"LayerNorm": 2 * C, "token embedding": (config.vocab_size + spare) * C})
    counts["position embedding"] = config.context_length * C
    for _ in range(config.n_layers):
        counts["LayerNorm"] += 2 * C + 2 * C
        counts["attention"] += C * 3 * C + config.qkv_bias * 3 * C + C * C + C
        counts["MLP"] += C * 4 * C + 4 * C + 4 * C * C + C
    return {**counts, "total": counts.total()}


COUNT_PARAMETERS = Exercise(
    *("count_parameters", NOTEBOOK, count_parameters, counting_cases),
    mistakes=mistakes(count_parameters, COUNTING_MISTAKES),
    also_right=(from_the_model, layer_by_layer),
    observe=seen_of_counting,
)

# -- 4.2 forward_blocks, spot the bug: the way on which the first blocks never learn


def model_of(n_layers: int, n_heads: int, width: int) -> GPT:
    """A small model in float64, its parameters as large as after training."""
    model = GPT(GPTConfig(11, 8, n_layers, n_heads, width, dropout=0.0), seed=n_layers).double()
    generator = torch.Generator().manual_seed(width)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    return model


class Refusing(nn.Module):
    """A block that fails."""

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("this block refuses its input, and nobody should hide that")


def forward_cases() -> Iterator[Case]:
    """Models with B, T, L, H and D pairwise different; in the last one a block fails."""
    generator = torch.Generator().manual_seed(0)
    for B, T, L, H, D in ((2, 5, 3, 1, 4), (3, 7, 4, 2, 5), (4, 1, 2, 3, 6)):
        ids = torch.randint(11, (B, T), generator=generator)
        model = model_of(L, H, H * D).train(L != 4)
        mode = "" if model.training else ", in eval mode"
        yield Case(f"B {B}, T {T}, L {L}, H {H}, D {D}{mode}", (model, ids))
    model = model_of(3, 2, 8)
    model.blocks[1] = Refusing()
    yield Case("a block that raises an error", (model, torch.tensor([[1, 2, 3]])))


def seen_of_forward(function: Function, model: GPT, ids: Tensor) -> dict[str, Any]:
    """The logits, and what reaches the parameters from them."""
    logits = function(model, ids)
    way_back = isinstance(logits, Tensor) and logits.requires_grad
    seen = {"the logits": logits, "a way back for the gradients": way_back}
    if not way_back:
        return seen
    weight = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).reshape(logits.shape)
    (weight * logits).sum().backward()
    learning = [any(p.grad is not None for p in block.parameters()) for block in model.blocks]
    return {
        **seen,
        "the blocks without a gradient": [i for i, learns in enumerate(learning) if not learns],
        "the gradients": {name: parameter.grad for name, parameter in model.named_parameters()},
    }


def forward_blocks(model: GPT, ids: Tensor) -> Tensor:
    """The package's own way, without dropout."""
    positions = torch.arange(ids.shape[1])  # (T,)
    x = model.token_embedding(ids) + model.position_embedding(positions)  # (B, T, C)
    for block in model.blocks:
        x = block(x)  # (B, T, C)
    return model.ln_final(x) @ model.token_embedding.weight.T  # (B, T, V)


def embedding_for_all(model: GPT, ids: Tensor) -> Tensor:
    """Every block reads the embedding, and only the last one's result is used: it alone learns."""
    positions = torch.arange(ids.shape[1])  # (T,)
    embedded = model.token_embedding(ids) + model.position_embedding(positions)  # (B, T, C)
    for block in model.blocks:
        x = block(embedded)  # (B, T, C)
    return model.ln_final(x) @ model.token_embedding.weight.T  # (B, T, V)


def hides_errors(model: GPT, ids: Tensor) -> Tensor:
    """A block that fails is skipped in silence: an `except` here hides what you need to see."""
    x = model.token_embedding(ids) + model.position_embedding(torch.arange(ids.shape[1]))
    for block in model.blocks:
        with suppress(Exception):
            x = block(x)
    return model.logits(model.ln_final(x))


FORWARD_MISTAKES = """
the first block, used again and again: the others are never asked.
    block(x) => model.blocks[0](x)
a head that is a copy of the table: the logits are right, but no gradient comes back from it.
    weight.T => weight.detach().T
a loop that ends before the last block.
    in model.blocks => in model.blocks[:-1]
adding a block's input to its result: the block itself has done that already.
    x = block(x) => x = x + block(x)
every block reading the embedding, and the results added up: this is wide, not deep.
    model.position_embedding(positions) => model.position_embedding(positions); embedded, x = x, 0
    x = block(x) => x = x + block(embedded)
a stream that is cut off between blocks: the logits are right, but no gradient passes a cut.
    block(x) => block(x.detach())
a forward under `no_grad`: the logits are right, but nothing can learn.
    return => with torch.no_grad(): return
putting the model into train mode: the logits are right, but its mode is the caller's.
    in model.blocks => in model.train().blocks
leaving out the LayerNorm after the last block.
    model.ln_final(x) => x
leaving out the position embedding: the stream begins with the tokens alone.
    + model.position_embedding(positions) =>
"""


def as_one_module(model: GPT, ids: Tensor) -> Tensor:
    """Blocks and LayerNorm as one chain, the head in einsum."""
    x = model.token_embedding(ids) + model.position_embedding.weight[: ids.shape[1]]
    features = nn.Sequential(*model.blocks, model.ln_final)(x)
    return torch.einsum("btc,vc->btv", features, model.token_embedding.weight)


FORWARD_BLOCKS = Exercise(
    *("forward_blocks", NOTEBOOK, forward_blocks, forward_cases),
    mistakes=(embedding_for_all, hides_errors, *mistakes(forward_blocks, FORWARD_MISTAKES)),
    also_right=(lambda model, ids: model(ids), as_one_module),
    given=embedding_for_all,
    observe=seen_of_forward,
)

# -- 4.3 sample_next: from logits to one token for each row, by temperature, top-k and top-p

DRAWS = 250  # of each row; a share then lies within 0.15 of its probability
TOLERANCE = 0.15
GONE = float("-inf")


def sampling_cases() -> Iterator[Case]:
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


def seen_of_sampling(function: Function, logits: Tensor, *arguments: Any) -> dict[str, Any]:
    """Which tokens come and how often, and whether the generator alone decides."""
    *settings, seed = arguments
    generator, (B, V), before = torch.Generator(), logits.shape, logits.clone()

    def draw(times: int) -> Any:
        return function(before.repeat_interleave(times, dim=0), *settings, generator)

    everybody = torch.get_rng_state()
    generator.manual_seed(seed)
    one = function(logits, *settings, generator)
    if not isinstance(one, Tensor):
        return {"the result": one}
    seen = {"the result": torch.zeros_like(one)}  # shape and kind; the tokens are seen below
    if one.shape != (B,):
        return seen
    few, more, many = draw(20), draw(20), draw(DRAWS)
    generator.manual_seed(seed)
    again = draw(1), draw(20), draw(20)
    shares = (many.reshape(B, DRAWS, 1) == torch.arange(V)).double().mean(dim=1)  # (B, V)
    return {
        **seen,
        "the tokens that come, row by row": [row.nonzero().flatten().tolist() for row in shares],
        "the share of each token": snapped(shares, before, *settings),
        "the same seed gives the same tokens": all(map(torch.equal, (one, few, more), again)),
        "a second draw gives other tokens": not torch.equal(few, more),
        "the global random numbers are left alone": everybody.equal(torch.get_rng_state()),
    }


def filtered(logits: Tensor, k: Any, p: Any) -> Tensor:
    """Logits (B, V) as they should be filtered: top-k before top-p."""
    logits = logits if k is None else keep_top_k(logits, k)
    return logits if p is None else keep_top_p(logits, p)


def snapped(shares: Tensor, logits: Tensor, temperature: float, k: Any, p: Any) -> Tensor:
    """Shares (B, V), each replaced by its probability where it lies near enough."""
    if temperature == 0:
        return shares
    probabilities = filtered(logits / temperature, k, p).double().softmax(dim=-1)
    return torch.where((shares - probabilities).abs() < TOLERANCE, probabilities, shares)


SAMPLING_MISTAKES = """
a division by 0 at temperature 0: take the likeliest token there, without drawing.
    temperature == 0 => False
multiplying by the temperature: a low one should sharpen, so divide.
    logits.float() / temperature => logits.float() * temperature
cutting every row at the first row's k-th logit: each row needs a threshold of its own.
    values[:, -1:] => values[0, -1]
dropping the token that crosses p: it is the last one that is needed to reach p.
    tail < => tail - probabilities <
dropping the token that crosses p, and with a tiny p it keeps none: softmax gives NaN.
    tail < => tail - probabilities <
    dropped[:, 0] = False =>
failing where k is larger than the vocabulary: then all tokens are kept.
    min(k, logits.shape[-1]) => k
filtering before the division by the temperature: top-p then sees other probabilities.
    logits.float() / temperature => logits.float()
    probabilities = logits.softmax => probabilities = (logits / temperature).softmax
top-p before top-k: it works on the probabilities that top-k has left.
    if top_k is not None => if top_p is not None
    keep_top_k(logits, top_k) => keep_top_p(logits, top_p)
    if top_p is not None => if top_k is not None
    keep_top_p(logits, top_p) => keep_top_k(logits, top_k)
always taking the likeliest token: above temperature 0 it has to be drawn.
    torch.multinomial(probabilities, 1, generator=generator).squeeze(1) => logits.argmax(dim=-1)
drawing without `generator`: the shares are right, but nobody could repeat the tokens.
    , generator=generator) => )
starting the generator anew at each call: every draw is the same draw.
    probabilities = logits.softmax => generator.manual_seed(0); probabilities = logits.softmax
changing the caller's logits, as `/=` does: the tokens are right, but others still need the
logits as they were.
    logits = logits.float() / temperature => logits /= temperature
    logits.masked_fill(logits < kth => logits.masked_fill_(logits < kth
returning the place in the sorted order: look up there which token stands in it.
    logits.float() / temperature => logits.float().sort(descending=True).values / temperature
dropping by the sorted row's places in the unsorted row: bring what top-p drops back to its tokens
first.
    ordered = ordered.masked_fill => return logits.masked_fill
giving dropped tokens the logit 0, which still has a probability: −∞ has none.
    = logits.softmax => = logits.masked_fill(logits.isneginf(), 0).softmax
tokens that stand in a column (B, 1): one axis is too many, the result is (B,).
    .squeeze(1) =>
    return logits.argmax(dim=-1) => return logits.argmax(dim=-1)[:, None]
a missing `squeeze(1)`: `multinomial` gives a column (B, 1), and the result is (B,).
    .squeeze(1) =>
`squeeze()` without an axis: where B is 1, the axis of the rows goes too. Take `squeeze(1)`.
    .squeeze(1) => .squeeze()
"""


def by_noise(logits: Tensor, temperature: float, k: Any, p: Any, generator: Any) -> Tensor:
    """The likeliest after Gumbel noise: each token wins as often as its probability says."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    logits = filtered(logits / temperature, k, p)
    noise = -torch.rand(logits.shape, generator=generator).log()
    return (logits - noise.log()).argmax(dim=-1)


def in_sorted_order(logits: Tensor, temperature: float, k: Any, p: Any, generator: Any) -> Tensor:
    """Sorted once: what a filter drops then stands at the end of each row."""
    scores, tokens = logits.sort(dim=-1, descending=True)
    if temperature == 0:
        return tokens[:, 0]
    probabilities = (scores[:, :k] / temperature).softmax(dim=-1)  # (B, V or k)
    if p is not None:
        probabilities *= probabilities.cumsum(dim=-1) - probabilities < p
    return tokens.gather(1, probabilities.multinomial(1, generator=generator)).squeeze(1)


SAMPLE_NEXT = Exercise(
    *("sample_next", NOTEBOOK, sample_next, sampling_cases),
    mistakes=mistakes(sample_next, SAMPLING_MISTAKES, keep_top_k, keep_top_p),
    also_right=(by_noise, in_sorted_order),
    observe=seen_of_sampling,
)

EXERCISES = (COUNT_PARAMETERS, FORWARD_BLOCKS, SAMPLE_NEXT)

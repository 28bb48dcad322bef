"""Exercise 4.2, spot the bug: the way through the model on which the first blocks never learn."""

from collections.abc import Iterator
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptlib.config import GPTConfig
from gptlib.model import GPT


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


def cases() -> Iterator[Case]:
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


def observe(function: Function, model: GPT, ids: Tensor) -> dict[str, Any]:
    """The logits, and what reaches the parameters from them."""
    logits = function(model, ids)
    seen = {"the logits": logits}
    if not isinstance(logits, Tensor) or not logits.requires_grad:
        return {**seen, "a way back for the gradients": False}
    weight = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).reshape(logits.shape)
    (weight * logits).sum().backward()
    silent = [
        number
        for number, block in enumerate(model.blocks)
        if all(parameter.grad is None for parameter in block.parameters())
    ]
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {
        **seen,
        "a way back for the gradients": True,
        "the blocks without a gradient": silent,
        "the gradients": gradients,
    }


def embedded(model: GPT, ids: Tensor) -> Tensor:
    """The stream (B, T, C) below the first block."""
    return model.token_embedding(ids) + model.position_embedding(torch.arange(ids.shape[1]))


def forward_blocks(model: GPT, ids: Tensor) -> Tensor:
    """The package's own way."""
    return model(ids)


def embedding_for_all(model: GPT, ids: Tensor) -> Tensor:
    """Every block reads the embedding, and only the last one's result is used: it alone learns."""
    positions = torch.arange(ids.shape[1])  # (T,)
    embedded = model.token_embedding(ids) + model.position_embedding(positions)  # (B, T, C)
    for block in model.blocks:
        x = block(embedded)  # (B, T, C)
    return model.ln_final(x) @ model.token_embedding.weight.T  # (B, T, V)


def hides_errors(model: GPT, ids: Tensor) -> Tensor:
    """A block that fails is skipped in silence: an `except` here hides what you need to see."""
    x = embedded(model, ids)
    for block in model.blocks:
        try:
            x = block(x)
        except Exception:
            continue
    return model.logits(model.ln_final(x))


def one_block_again(model: GPT, ids: Tensor) -> Tensor:
    """This looks like the first block, used again and again: the others are never asked."""
    x = embedded(model, ids)
    for _ in model.blocks:
        x = model.blocks[0](x)
    return model.logits(model.ln_final(x))


def head_of_its_own(model: GPT, ids: Tensor) -> Tensor:
    """The logits are right, but the head is a copy of the table: no gradient comes back from it."""
    x = embedded(model, ids)
    for block in model.blocks:
        x = block(x)
    return model.ln_final(x) @ model.token_embedding.weight.detach().clone().T


def last_block_missing(model: GPT, ids: Tensor) -> Tensor:
    """This looks like a loop that ends before the last block."""
    x = embedded(model, ids)
    for block in list(model.blocks)[:-1]:
        x = block(x)
    return model.logits(model.ln_final(x))


def added_again(model: GPT, ids: Tensor) -> Tensor:
    """This adds a block's input to its result: the block itself has done that already."""
    x = embedded(model, ids)
    for block in model.blocks:
        x = x + block(x)
    return model.logits(model.ln_final(x))


def summed_up(model: GPT, ids: Tensor) -> Tensor:
    """Every block reads the embedding and the results are added up: this is wide, not deep."""
    e = embedded(model, ids)
    return model.logits(model.ln_final(torch.stack([block(e) for block in model.blocks]).sum(0)))


def cut_between_blocks(model: GPT, ids: Tensor) -> Tensor:
    """The logits are right, but the stream is cut off between blocks: no gradient passes a cut."""
    x = embedded(model, ids)
    for block in model.blocks:
        x = block(x.detach())
    return model.logits(model.ln_final(x))


def without_gradients(model: GPT, ids: Tensor) -> Tensor:
    """The logits are right, but nothing can learn: this looks like a forward under `no_grad`."""
    with torch.no_grad():
        return model(ids)


def mode_changed(model: GPT, ids: Tensor) -> Tensor:
    """The logits are right, but the model is put into train mode: its mode is the caller's."""
    return model.train()(ids)


def without_last_norm(model: GPT, ids: Tensor) -> Tensor:
    """The LayerNorm after the last block is missing."""
    return model.logits(reduce(lambda x, block: block(x), model.blocks, embedded(model, ids)))


def without_positions(model: GPT, ids: Tensor) -> Tensor:
    """The position embedding is missing: the stream begins with the tokens alone."""
    x = model.token_embedding(ids)
    for block in model.blocks:
        x = block(x)
    return model.logits(model.ln_final(x))


def as_a_fold(model: GPT, ids: Tensor) -> Tensor:
    """The loop as a fold."""
    x = reduce(lambda x, block: block(x), model.blocks, embedded(model, ids))
    return nn.functional.linear(model.ln_final(x), model.token_embedding.weight)


def as_one_module(model: GPT, ids: Tensor) -> Tensor:
    """Blocks and LayerNorm as one chain, the head in einsum."""
    features = nn.Sequential(*model.blocks, model.ln_final)(embedded(model, ids))
    return torch.einsum("btc,vc->btv", features, model.token_embedding.weight)


EXERCISE = Exercise(
    name="forward_blocks",
    notebook="04_gpt2_124m",
    rating=2,
    minutes=15,
    right=forward_blocks,
    cases=cases,
    mistakes=(
        embedding_for_all,
        hides_errors,
        one_block_again,
        head_of_its_own,
        last_block_missing,
        added_again,
        summed_up,
        cut_between_blocks,
        without_gradients,
        mode_changed,
        without_last_norm,
        without_positions,
    ),
    also_right=(as_a_fold, as_one_module),
    given=embedding_for_all,
    observe=observe,
)

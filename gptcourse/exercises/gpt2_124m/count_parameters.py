"""Exercise 4.1: how many parameters each part of GPT-2 holds, from the shape alone."""

from collections.abc import Callable, Iterator

import torch

from gptcourse.exercises.exercise import Case, Exercise
from gptlib.config import GPTConfig, padded_size
from gptlib.model import GPT, count_parameters


def cases() -> Iterator[Case]:
    """The one by hand, GPT-2 itself, and shapes with V, T, L, H and C pairwise different."""
    by_hand = GPTConfig(5, 5, n_layers=2, n_heads=2, width=4)
    yield Case("V 5, T 5, L 2, H 2, C 4, as by hand", (by_hand,))
    yield Case("124M", (GPTConfig(),))
    bare = GPTConfig(100, 24, n_layers=5, n_heads=2, width=14, qkv_bias=False)
    yield Case("V 100, T 24, L 5, H 2, C 14, qkv_bias False", (bare,))
    padded = GPTConfig(70, 9, n_layers=1, n_heads=4, width=20, vocab_multiple=32)
    yield Case("V 70, T 9, L 1, H 4, C 20, vocab_multiple 32", (padded,))


def changed(
    config: GPTConfig, change: Callable[[GPTConfig, dict[str, int]], object]
) -> dict[str, int]:
    """The right account after one change, its total added up anew."""
    parts = count_parameters(config)
    del parts["total"]
    change(config, parts)
    return {**parts, "total": sum(parts.values())}


def with_a_head(config: GPTConfig) -> dict[str, int]:
    """This counts an output head: GPT-2 has none of its own, it uses the token embedding twice."""
    return changed(config, lambda c, parts: parts.update(head=parts["token embedding"]))


def table_twice(config: GPTConfig) -> dict[str, int]:
    """This counts the token embedding twice: it is used at both ends, but it is one table."""
    table = "token embedding"
    return changed(config, lambda c, parts: parts.update({table: 2 * parts[table]}))


def without_positions(config: GPTConfig) -> dict[str, int]:
    """The table of positions is missing: it has one row for every place of the context."""
    return changed(config, lambda c, parts: parts.update({"position embedding": 0}))


def without_the_last_norm(config: GPTConfig) -> dict[str, int]:
    """One LayerNorm is missing: the one after the last block, before the head."""
    return changed(config, lambda c, parts: parts.update(LayerNorm=c.n_layers * 2 * 2 * c.width))


def one_norm_a_block(config: GPTConfig) -> dict[str, int]:
    """This looks like one LayerNorm in each block: there are two, before each of its parts."""
    return changed(config, lambda c, parts: parts.update(LayerNorm=(c.n_layers + 1) * 2 * c.width))


def norms_without_shift(config: GPTConfig) -> dict[str, int]:
    """This counts only the scale of each LayerNorm: it has a shift too, of the same size."""
    return changed(config, lambda c, parts: parts.update(LayerNorm=(2 * c.n_layers + 1) * c.width))


def without_biases(config: GPTConfig) -> dict[str, int]:
    """This counts the linear layers without their biases: each has one for every output."""
    C, L = config.width, config.n_layers
    return changed(config, lambda c, parts: parts.update(attention=L * 4 * C**2, MLP=L * 8 * C**2))


def mlp_without_biases(config: GPTConfig) -> dict[str, int]:
    """This counts the MLP's matrices alone: its two linear layers have biases too."""
    return changed(config, lambda c, parts: parts.update(MLP=c.n_layers * 8 * c.width**2))


def qkv_bias_always(config: GPTConfig) -> dict[str, int]:
    """This counts biases of the queries, keys and values even where `qkv_bias` is False."""
    C, L = config.width, config.n_layers
    return changed(config, lambda c, parts: parts.update(attention=L * (4 * C**2 + 4 * C)))


def no_bias_without_qkv_bias(config: GPTConfig) -> dict[str, int]:
    """Where `qkv_bias` is False this drops the bias of the attention's last projection too."""
    C, L = config.width, config.n_layers
    biases = 4 * C if config.qkv_bias else 0
    return changed(config, lambda c, parts: parts.update(attention=L * (4 * C**2 + biases)))


def for_every_head(config: GPTConfig) -> dict[str, int]:
    """This counts the queries, keys and values once for each head, as if a head had width C."""
    C, L, H = config.width, config.n_layers, config.n_heads
    biases = C + (3 * C * H if config.qkv_bias else 0)
    return changed(
        config, lambda c, parts: parts.update(attention=L * (C * C * (3 * H + 1) + biases))
    )


def always_twelve_blocks(config: GPTConfig) -> dict[str, int]:
    """This has GPT-2's 12 blocks whatever `n_layers` says."""
    return count_parameters(GPTConfig.from_dict({**config.to_dict(), "n_layers": 12}))


def always_padded(config: GPTConfig) -> dict[str, int]:
    """This rounds the rows of the token embedding up although `vocab_multiple` is 1."""
    rows = padded_size(config.vocab_size, max(64, config.vocab_multiple))
    return changed(config, lambda c, parts: parts.update({"token embedding": rows * c.width}))


def never_padded(config: GPTConfig) -> dict[str, int]:
    """This leaves out the spare rows: the table's rows are a multiple of `vocab_multiple`."""
    rows = config.vocab_size
    return changed(config, lambda c, parts: parts.update({"token embedding": rows * c.width}))


def mlp_three_times(config: GPTConfig) -> dict[str, int]:
    """This looks like an MLP that is three times as wide inside as the stream: it is four."""
    C, L = config.width, config.n_layers
    return changed(config, lambda c, parts: parts.update(MLP=L * (6 * C**2 + 4 * C)))


def total_without_norms(config: GPTConfig) -> dict[str, int]:
    """The parts are right, but not every one of them is in the total."""
    parts = count_parameters(config)
    return {**parts, "total": parts["total"] - parts["LayerNorm"]}


def total_with_a_head(config: GPTConfig) -> dict[str, int]:
    """The parts are right, but the total has an output head too: GPT-2 has none of its own."""
    parts = count_parameters(config)
    return {**parts, "total": parts["total"] + parts["token embedding"]}


def on_meta(config: GPTConfig) -> dict[str, int]:
    """Builds the model without memory and sorts its parameters by their names."""
    with torch.device("meta"):
        named = {name: tensor.numel() for name, tensor in GPT(config).named_parameters()}
    marks = {
        "token embedding": "token_embedding",
        "position embedding": "position_embedding",
        "attention": ".attention.",
        "MLP": ".mlp.",
        "LayerNorm": "ln_",
    }
    counts = {
        part: sum(count for name, count in named.items() if mark in name)
        for part, mark in marks.items()
    }
    return {**counts, "total": sum(named.values())}


def layer_by_layer(config: GPTConfig) -> dict[str, int]:
    """Adds up matrices and biases, one block after the other."""
    C = config.width
    spare = -config.vocab_size % config.vocab_multiple
    counts = dict.fromkeys(("token embedding", "position embedding", "attention", "MLP"), 0)
    counts |= {"LayerNorm": 2 * C, "token embedding": (config.vocab_size + spare) * C}
    counts["position embedding"] = config.context_length * C
    for _ in range(config.n_layers):
        counts["LayerNorm"] += 2 * C + 2 * C
        counts["attention"] += C * 3 * C + config.qkv_bias * 3 * C + C * C + C
        counts["MLP"] += C * 4 * C + 4 * C + 4 * C * C + C
    counts["total"] = sum(counts.values())
    return counts


EXERCISE = Exercise(
    name="count_parameters",
    notebook="04_gpt2_124m",
    rating=1,
    minutes=20,
    right=count_parameters,
    cases=cases,
    mistakes=(
        with_a_head,
        table_twice,
        without_positions,
        without_the_last_norm,
        one_norm_a_block,
        norms_without_shift,
        without_biases,
        mlp_without_biases,
        qkv_bias_always,
        no_bias_without_qkv_bias,
        for_every_head,
        always_twelve_blocks,
        always_padded,
        never_padded,
        mlp_three_times,
        total_without_norms,
        total_with_a_head,
    ),
    also_right=(on_meta, layer_by_layer),
)

"""Exercise 9.2: the arithmetic of one token in training, from the model's shape."""

from collections.abc import Iterator

from gptcourse.exercises.exercise import Case, Exercise
from gptlib.config import GPTConfig
from gptlib.model import count_parameters
from gptlib.training.flops import flops_per_token


def right(config: GPTConfig, T: int) -> int:
    """The package's, with T always given."""
    return flops_per_token(config, T)


def cases() -> Iterator[Case]:
    """The one by hand, GPT-2, and shapes in which L, H, D, V and T differ pairwise."""
    by_hand = GPTConfig(vocab_size=10, context_length=8, n_layers=1, n_heads=1, width=4)
    yield Case("the one by hand, T 2", (by_hand, 2))
    yield Case("GPT-2, T 128", (GPTConfig.named("gpt2"), 128))
    for V, length, L, H, C, T in (
        (500, 48, 3, 2, 64, 20),
        (61, 64, 6, 4, 96, 64),
        (1_000, 40, 1, 5, 35, 7),
        (97, 16, 4, 1, 24, 1),
    ):
        config = GPTConfig(
            vocab_size=V, context_length=length, n_layers=L, n_heads=H, width=C, dropout=0.0
        )
        yield Case(f"V {V:,}, L {L}, H {H}, D {C // H}, T {T}", (config, T))


def matrices(config: GPTConfig) -> int:
    """N: all parameters without the positions."""
    counts = count_parameters(config)
    return counts["total"] - counts["position embedding"]


def attention(config: GPTConfig, T: int) -> int:
    """12·L·H·D·T."""
    return 12 * config.n_layers * config.n_heads * config.head_width * T


def forward_only(config: GPTConfig, T: int) -> int:
    """This looks like the forward pass alone, 2N + 4·L·H·D·T: training goes back as well."""
    return 2 * matrices(config) + attention(config, T) // 3


def parameters_forward_only(config: GPTConfig, T: int) -> int:
    """This looks like 2N instead of 6N: backward costs twice as much as forward."""
    return 2 * matrices(config) + attention(config, T)


def attention_forward_only(config: GPTConfig, T: int) -> int:
    """This looks like 4·L·H·D·T for attention: its two products have a backward, too."""
    return 6 * matrices(config) + attention(config, T) // 3


def attention_missing(config: GPTConfig, T: int) -> int:
    """This looks like 6N alone: attention's products over T have no parameters and are missing."""
    return 6 * matrices(config)


def positions_counted(config: GPTConfig, T: int) -> int:
    """This looks like an N with the position table, which is looked up and never multiplied."""
    return 6 * count_parameters(config)["total"] + attention(config, T)


def head_untied(config: GPTConfig, T: int) -> int:
    """This looks like a token table that counts twice: one look-up and one product, a single
    table, and a look-up is no arithmetic."""
    return 6 * (matrices(config) + config.vocab_size * config.width) + attention(config, T)


def table_left_out(config: GPTConfig, T: int) -> int:
    """This looks like an N without the token table: as the head it is multiplied."""
    return 6 * (matrices(config) - config.vocab_size * config.width) + attention(config, T)


def small_ones_left_out(config: GPTConfig, T: int) -> int:
    """This looks like an N of weight matrices alone, without biases and LayerNorms: nearly the
    same, but N is every parameter except the positions."""
    C = config.width
    N = 12 * config.n_layers * C * C + config.vocab_size * C
    return 6 * N + attention(config, T)


def biases_missing(config: GPTConfig, T: int) -> int:
    """This looks like an N without the biases of the blocks' four layers."""
    return right(config, T) - 6 * config.n_layers * 9 * config.width


def norms_missing(config: GPTConfig, T: int) -> int:
    """This looks like an N without LayerNorms: two in each block and a final one."""
    return right(config, T) - 6 * (4 * config.n_layers + 2) * config.width


def norms_without_shift(config: GPTConfig, T: int) -> int:
    """This looks like one number for each channel of a LayerNorm: it has two, scale and shift."""
    return right(config, T) - 6 * (2 * config.n_layers + 1) * config.width


def final_norm_missing(config: GPTConfig, T: int) -> int:
    """This looks like an N without the final LayerNorm."""
    return right(config, T) - 6 * 2 * config.width


def heads_missing(config: GPTConfig, T: int) -> int:
    """This looks like the attention of one head only: D instead of H·D."""
    return 6 * matrices(config) + 12 * config.n_layers * config.head_width * T


def layers_missing(config: GPTConfig, T: int) -> int:
    """This looks like the attention of one block only: the L is missing."""
    return 6 * matrices(config) + attention(config, T) // config.n_layers


def length_squared(config: GPTConfig, T: int) -> int:
    """This looks like T² in attention: that is a window's, one token looks at T keys."""
    return 6 * matrices(config) + attention(config, T) * T


def per_window(config: GPTConfig, T: int) -> int:
    """This looks like the arithmetic of a whole window of T tokens: asked is one token's."""
    return T * right(config, T)


def causal_half(config: GPTConfig, T: int) -> int:
    """This looks like half of attention, since the mask hides half: plain products compute the
    hidden scores, and the usual count includes them."""
    return 6 * matrices(config) + attention(config, T) // 2


def own_length(config: GPTConfig, T: int) -> int:
    """This looks like the model's context length instead of the T that was given."""
    return right(config, config.context_length)


def by_parts(config: GPTConfig, T: int) -> int:
    """Three times what each part costs forward."""
    C, L = config.width, config.n_layers
    block = 2 * (12 * C * C + 13 * C) + 4 * T * C
    return 3 * (L * block + 2 * config.vocab_size * C + 4 * C)


def with_the_counts(config: GPTConfig, T: int) -> float:
    """6N and attention's part, as a float."""
    kept = {k: n for k, n in count_parameters(config).items() if k != "position embedding"}
    total = kept.pop("total") - config.context_length * config.width
    assert total == sum(kept.values())
    return 6.0 * total + 12.0 * config.n_layers * config.width * T


EXERCISE = Exercise(
    name="flops_per_token",
    notebook="09_gradient_norms_and_throughput",
    rating=2,
    minutes=25,
    right=right,
    cases=cases,
    mistakes=(
        forward_only,
        parameters_forward_only,
        attention_forward_only,
        attention_missing,
        positions_counted,
        head_untied,
        table_left_out,
        small_ones_left_out,
        biases_missing,
        norms_missing,
        norms_without_shift,
        final_norm_missing,
        heads_missing,
        layers_missing,
        length_squared,
        per_window,
        causal_half,
        own_length,
    ),
    also_right=(by_parts, with_the_counts),
)

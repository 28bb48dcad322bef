"""What a model and a training run are made of: two frozen records, checked when they are made.

Training settings by name and from a file: :mod:`gptlib.settings`.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from gptlib.errors import ConfigError


class Settings:
    """Shared by both records: a dictionary out, a dictionary in, and no unknown key."""

    def to_dict(self) -> dict[str, Any]:
        """Every field by name, ready for JSON."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild from :meth:`to_dict`'s result.

        Raises:
            ConfigError: a key is unknown, or a value cannot work.
        """
        known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        for key in values:
            if key not in known:
                raise ConfigError(
                    f"unknown {cls.__name__} key {key!r}: known keys are {', '.join(known)}"
                )
        return cls(**values)


def require(condition: bool, message: str) -> None:
    """Raise :class:`ConfigError` with `message` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


def require_whole(settings: object, *names: str, least: int = 1) -> None:
    """Require the named fields to be whole numbers of at least `least`."""
    for name in names:
        value = getattr(settings, name)
        require(
            isinstance(value, int) and not isinstance(value, bool) and value >= least,
            f"{name} is {value!r}: it must be a whole number of at least {least}",
        )


def padded_size(size: int, multiple: int = 128) -> int:
    """The least multiple that is not below `size`: 50,257 → 50,304.

    Args:
        size: how many there are, such as tokens.
        multiple: of what; 128 is the side of the tiles in which GPUs multiply matrices.
    """
    return -(-size // multiple) * multiple


@dataclass(frozen=True)
class GPTConfig(Settings):
    """The shape of a GPT-2 model; the defaults are the 124M model's (Radford et al. 2019, table 2).

    Raises:
        ConfigError: a value is out of its range, or the width does not split into the heads.
    """

    vocab_size: int = 50_257  # 256 bytes + 50,000 merges + <|endoftext|>
    context_length: int = 1_024  # the most positions that the model can see at once
    n_layers: int = 12  # blocks, one on top of the other
    n_heads: int = 12  # attention heads in each block
    width: int = 768  # C: numbers that stand for one position (the residual stream)
    dropout: float = 0.1  # share of activations zeroed while training; small models use 0
    qkv_bias: bool = True  # whether queries, keys and values have biases, as OpenAI's do
    layer_norm_epsilon: float = 1e-5  # added to the variance before its root
    vocab_multiple: int = 1  # spare rows fill the table of tokens up to a multiple of this

    def __post_init__(self) -> None:
        require_whole(self, "vocab_size", "vocab_multiple", "context_length")
        require_whole(self, "n_layers", "n_heads", "width")
        require(
            self.width % self.n_heads == 0,
            f"width {self.width} does not split into {self.n_heads} equal heads: "
            f"choose a width that is a multiple of n_heads",
        )
        require(0 <= self.dropout < 1, f"dropout is {self.dropout}: it must lie in [0, 1)")
        require(
            self.layer_norm_epsilon > 0,
            f"layer_norm_epsilon is {self.layer_norm_epsilon}: it must be above 0",
        )

    @property
    def head_width(self) -> int:
        """D: numbers in one head's query, key and value."""
        return self.width // self.n_heads

    @classmethod
    def named(cls, name: str, **changes: Any) -> "GPTConfig":
        """A configuration by name (``gpt2``, ``gpt2-medium`` …) or size (``124M`` …).

        Args:
            name: a key of `MODELS` or `SIZES`.
            changes: fields to set differently, such as ``n_layers=2``.

        Raises:
            ConfigError: the name or a changed field is unknown.
        """
        name = SIZES.get(name, name)
        if name not in MODELS:
            raise ConfigError(
                f"unknown model {name!r}: known names are {', '.join([*MODELS, *SIZES])}"
            )
        return cls.from_dict({**MODELS[name].to_dict(), **changes})


# GPT-2's family (the paper's table 2) and the small models that the notebooks train on a laptop.
MODELS = {
    "gpt2": GPTConfig(),
    "gpt2-medium": GPTConfig(n_layers=24, n_heads=16, width=1_024),
    "gpt2-large": GPTConfig(n_layers=36, n_heads=20, width=1_280),
    "gpt2-xl": GPTConfig(n_layers=48, n_heads=25, width=1_600),
    "laptop": GPTConfig(context_length=64, n_layers=2, n_heads=4, width=128, dropout=0.0),
    "gpt2_original": GPTConfig(),  # another name of gpt2
    "tiny": GPTConfig(context_length=128, n_layers=4, n_heads=4, width=128, dropout=0.0),
    "small": GPTConfig(context_length=256, n_layers=6, n_heads=6, width=384),
    "medium": GPTConfig(context_length=512, n_layers=8, n_heads=8, width=512),
    # the 124M model's blocks with a short context and a vocabulary of its own language
    "algerian": GPTConfig(vocab_size=10_000, vocab_multiple=256, context_length=512),  # 10,240 rows
}
SIZES = {"124M": "gpt2", "355M": "gpt2-medium", "774M": "gpt2-large", "1558M": "gpt2-xl"}
MAX_SEED = 2**63 - 1  # what every random stream that is seeded here can take
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class TrainingConfig(Settings):
    """How a model is trained. Every field changes what it names.

    Raises:
        ConfigError: a value is out of its range.
    """

    steps: int = 200  # updates of the parameters
    batch_size: int = 8  # windows in one micro-batch
    accumulation: int = 1  # micro-batches whose gradients make one step, over all processes
    learning_rate: float = 1e-3  # the peak, reached at the end of the warm-up
    min_learning_rate: float = 1e-4  # the floor, reached at the last step
    warmup_steps: int = 10  # steps of linear rise; the first is above 0
    weight_decay: float = 0.1  # on matrices only, never on biases or LayerNorm
    betas: tuple[float, float] = (0.9, 0.95)  # AdamW's two memories (Brown et al. 2020, app. B)
    clip_norm: float = 1.0  # the largest global gradient norm that reaches the optimizer
    precision: str = "auto"  # of matrix products: the device's best, or one of PRECISIONS
    compile: bool = False  # torch.compile the blocks: a slow first step, faster ones after it
    evaluate_every: int = 20  # steps between validations; the last step is always validated
    evaluate_batches: int = 0  # batches of a validation, spread evenly; 0 takes all of the split
    sample_every: int = 0  # steps between sample texts; 0 writes none
    checkpoint_every: int = 0  # steps between checkpoints, beside each best one; 0: the last only
    autosave_minutes: float = 10.0  # minutes after which a checkpoint is due; 0 waits for none
    log_layers_every: int = 0  # steps between gradient norms of every layer; 0 measures none
    seed: int = 42  # of the parameters, the order of the windows, and dropout

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))  # JSON gives a list
        require_whole(self, "steps", "batch_size", "accumulation", "evaluate_every")
        require_whole(self, "warmup_steps", "sample_every", "checkpoint_every", "seed", least=0)
        require_whole(self, "evaluate_batches", "log_layers_every", least=0)
        require(
            0 <= self.min_learning_rate <= self.learning_rate and 0 < self.learning_rate <= 1,
            f"learning rates {self.min_learning_rate} to {self.learning_rate}: "
            f"the floor must not be below 0 nor above the peak, and the peak must lie in (0, 1]",
        )
        require(
            len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
            f"betas are {self.betas}: give two numbers in [0, 1)",
        )
        require(self.weight_decay >= 0, f"weight_decay is {self.weight_decay}: use 0 or more")
        require(self.clip_norm > 0, f"clip_norm is {self.clip_norm}: it must be above 0")
        require(self.seed <= MAX_SEED, f"seed is {self.seed}: it must be below 2**63")
        require(
            self.precision in PRECISIONS,
            f"precision is {self.precision!r}: use one of {', '.join(PRECISIONS)}",
        )
        require(
            isinstance(self.compile, bool), f"compile is {self.compile!r}: it must be true or false"
        )
        require(
            self.autosave_minutes >= 0,
            f"autosave_minutes is {self.autosave_minutes}: use 0 or more",
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """See :meth:`Settings.from_dict`; files of earlier versions say ``layers_every``."""
        new_names = {"layers_every": "log_layers_every"}
        return super().from_dict({new_names.get(key, key): values[key] for key in values})

    def with_changes(self, **changes: Any) -> "TrainingConfig":
        """A copy with some fields changed and checked again."""
        return replace(self, **changes)

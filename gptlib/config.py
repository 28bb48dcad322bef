"""What a model and a training run are made of: two frozen records, checked when they are made.

Each field says what it means and what it may be: the command line makes its options of them.
Training settings come by name, from a TOML file, from options; each overrides the one before.
"""

import difflib
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from operator import ge, gt, lt
from pathlib import Path
from typing import Any, Self, TypeVar

from gptlib.errors import ConfigError

T = TypeVar("T")
MAX_SEED = 2**63 - 1  # what every random stream that is seeded here can take
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
BUDGETS = ("steps", "epochs", "tokens")  # three ways to say how long to train
RENAMED = {"layers_every": "log_layers_every"}  # what files of earlier versions say
# A number may be ``least`` or more, ``above``, ``below`` something; words are one of ``choices``.
LIMITS = (("least", "of at least", ge), ("above", "above", gt), ("below", "below", lt))


def setting(default: T, help: str, **limits: Any) -> T:
    """A field of a record: its default, what it means, and its limits, see `LIMITS`."""
    return field(default=default, metadata={"help": help, **limits})


class Config:
    """Shared by both records: checked fields, a dictionary out and in, and no unknown key."""

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]
            check_value(each.name, getattr(self, each.name), each.type, each.metadata)

    def to_dict(self) -> dict[str, Any]:
        """Every field by name, ready for JSON."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from :meth:`to_dict`'s result; ConfigError if a key is unknown."""
        known = {each.name: each for each in fields(cls)}  # type: ignore[arg-type]
        values = {RENAMED.get(key, key): value for key, value in values.items()}
        for key in values:
            look_up(f"{cls.__name__} key", key, known)
        return cls(**values)


def check_value(name: str, value: Any, kind: Any, limits: Mapping[str, Any]) -> None:
    """Refuse a value of another type than `kind`, or outside of the limits of :func:`setting`."""
    if kind is bool:
        require(isinstance(value, bool), f"{name} is {value!r}: it must be true or false")
    elif choices := limits.get("choices"):
        require(value in choices, f"{name} is {value!r}: use one of {', '.join(choices)}")
    elif kind in (int, float):
        words = "a whole number" if kind is int else "a number"
        fine = isinstance(value, int if kind is int else int | float)
        fine = fine and not isinstance(value, bool) and math.isfinite(value)
        for key, said, holds in LIMITS:
            if key in limits:
                words, fine = f"{words} {said} {limits[key]:,}", fine and holds(value, limits[key])
        require(fine, f"{name} is {value!r}: it must be {words}")


def require(condition: bool, message: str) -> None:
    """Raise :class:`ConfigError` with `message` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


def look_up(kind: str, name: str, known: Mapping[str, T], place: str = "") -> T:
    """What stands under a name; ConfigError lists the known ones, and asks for a near one."""
    if name not in known:
        what = f"{place}unknown {kind} {name!r}: known {'keys' if 'key' in kind else 'names'} are "
        raise ConfigError(f"{what}{', '.join(known)}{did_you_mean(name, known)}")
    return known[name]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'gpt2'?``, or nothing where no known name is near."""
    spelled = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), spelled, n=1, cutoff=0.7)
    return f"; did you mean {spelled[near[0]]!r}?" if near else ""


def padded_size(size: int, multiple: int = 128) -> int:
    """The least multiple that is not below `size`: 50,257 → 50,304.

    Args:
        size: how many there are, such as tokens.
        multiple: of what; 128 is the side of the tiles in which GPUs multiply matrices.
    """
    return -(-size // multiple) * multiple


@dataclass(frozen=True)
class GPTConfig(Config):
    """The shape of a GPT-2 model; the defaults are the 124M model's (Radford et al. 2019, table 2).

    Raises:
        ConfigError: a value is out of its range, or the width does not split into the heads.
    """

    vocab_size: int = setting(50_257, "256 bytes + 50,000 merges + <|endoftext|>", least=1)
    context_length: int = setting(1_024, "tokens that the model can see at once", least=1)
    n_layers: int = setting(12, "blocks, one on top of the other", least=1)
    n_heads: int = setting(12, "attention heads in each block", least=1)
    width: int = setting(768, "C: numbers that stand for one position", least=1)
    dropout: float = setting(0.1, "share of activations zeroed in training", least=0, below=1)
    qkv_bias: bool = setting(True, "whether queries, keys and values have biases")
    layer_norm_epsilon: float = setting(1e-5, "added to the variance before its root", above=0)
    vocab_multiple: int = setting(1, "spare rows fill the table up to a multiple", least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.n_heads:
            raise ConfigError(
                f"width {self.width} does not split into {self.n_heads} equal heads: "
                f"choose a width that is a multiple of n_heads"
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
        sizes = {size: MODELS[name] for size, name in SIZES.items()}
        return cls.from_dict({**look_up("model", name, MODELS | sizes).to_dict(), **changes})


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
    # the 124M model's blocks with a short context and 10,240 rows for its own language's tokens
    "algerian": GPTConfig(10_000, context_length=512, dropout=0.0, vocab_multiple=256),
}
SIZES = {"124M": "gpt2", "355M": "gpt2-medium", "774M": "gpt2-large", "1558M": "gpt2-xl"}


@dataclass(frozen=True)
class TrainingConfig(Config):
    """How a model is trained; every field changes what it names. Raises as GPTConfig does."""

    steps: int = setting(200, "updates of the parameters", least=1)
    batch_size: int = setting(8, "windows in one micro-batch", least=1)
    accumulation: int = setting(1, "micro-batches in one step, over all processes", least=1)
    learning_rate: float = setting(1e-3, "the peak, reached at the end of the warm-up")
    min_learning_rate: float = setting(1e-4, "the floor, where the rate's fall ends")
    warmup_steps: int = setting(10, "steps of linear rise; the first is above 0", least=0)
    schedule_steps: int = setting(0, "where the floor is reached; 0: at the last step", least=0)
    weight_decay: float = setting(0.1, "pull of matrices (not of biases) to 0", least=0)
    # Brown et al. 2020, appendix B
    betas: tuple[float, float] = setting((0.9, 0.95), "AdamW's two memories, such as 0.9 0.95")
    clip_norm: float = setting(1.0, "longest gradient let through; 1e9: any", above=0)
    precision: str = setting("auto", "of matrix products", choices=PRECISIONS)
    compile: bool = setting(False, "compile the blocks: a slow first step, then faster ones")
    evaluate_every: int = setting(20, "steps between validations; the last has one too", least=1)
    evaluate_batches: int = setting(0, "batches of a validation, evenly spread; 0: all", least=0)
    sample_every: int = setting(0, "steps between sample texts; 0: none", least=0)
    checkpoint_every: int = setting(0, "steps between checkpoints, beside each best", least=0)
    autosave_minutes: float = setting(10.0, "then a checkpoint is due; 0: never", least=0)
    log_layers_every: int = setting(0, "steps between gradient norms by layer; 0: none", least=0)
    seed: int = setting(42, "of parameters, order and dropout", least=0, below=MAX_SEED + 1)

    def __post_init__(self) -> None:
        betas = self.betas if isinstance(self.betas, list | tuple) else (self.betas,)
        object.__setattr__(self, "betas", tuple(betas))  # JSON gives a list
        super().__post_init__()
        numbers = [isinstance(beta, int | float) and 0 <= beta < 1 for beta in self.betas]
        require(numbers == [True] * 2, f"betas are {self.betas}: give two numbers in [0, 1)")
        require(
            0 <= self.min_learning_rate <= self.learning_rate and 0 < self.learning_rate <= 1,
            f"learning rates {self.min_learning_rate} to {self.learning_rate}: "
            f"the floor must not be below 0 nor above the peak, and the peak must lie in (0, 1]",
        )

    @classmethod
    def named(cls, name: str, **changes: Any) -> "TrainingConfig":
        """The settings of a key of `PRESETS`, with some fields set differently.

        Those that count in epochs need `steps` among the changes.
        """
        config, budget = load_training_config(name, None, changes)
        if budget:
            raise ConfigError(f"settings {name!r} count in {', '.join(budget)}: give steps as well")
        return config

    @property
    def planned_steps(self) -> int:
        """Where the learning rate reaches its floor."""
        return self.schedule_steps or self.steps

    def extends(self, before: "TrainingConfig") -> bool:
        """Whether a run with `before`'s steps may go on with these: its rates were the same."""
        return self.steps >= before.steps and self.planned_steps == before.planned_steps

    def with_changes(self, **changes: Any) -> "TrainingConfig":
        """A copy with some fields changed and checked again."""
        return replace(self, **changes)

    def for_budget(
        self, budget: Mapping[str, float], n_windows: int, context_length: int
    ) -> "TrainingConfig":
        """A copy whose steps use up a budget and no more; ConfigError if it pays for none.

        Args:
            budget: ``{"epochs": 2}``, ``{"tokens": 1e6}``, or empty: the steps stay.
            n_windows: in one epoch, of `context_length` tokens each.
        """
        a_step, steps = self.batch_size * self.accumulation, self.steps
        for unit, amount in budget.items():
            windows = amount * n_windows if unit == "epochs" else amount / context_length
            steps = math.floor(windows / a_step + 1e-9)  # 3 × (1 / 3) may come out below 1
            require(
                steps >= 1,
                f"{unit} {amount:g} do not pay for one step: they are {windows:.3g} windows, it "
                f"takes {a_step}: give more, or lower --batch-size or --accumulation",
            )
        return self.with_changes(steps=steps)


def load_training_config(
    name: str = "fast", file: Path | None = None, options: Mapping[str, Any] | None = None
) -> tuple[TrainingConfig, dict[str, float]]:
    """Lay options over a TOML file over named settings.

    Args:
        name: a key of `PRESETS`.
        file: of fields of :class:`TrainingConfig`, or a budget.
        options: the same. In either, a peak rate without a floor brings a tenth of it.

    Returns:
        The settings, and the budget if it is not in steps: ``{"tokens": 1e6}``, else empty.

    Raises:
        ConfigError: an unknown name, key or value, no such file, or two budgets side by side.
    """
    values = dict(look_up("settings", name, PRESETS))
    written = read_toml(file) if file else {}
    for key in (key for key in written if key not in RENAMED):
        known = TrainingConfig.__dataclass_fields__ | dict.fromkeys(BUDGETS)
        look_up("key", key, known, f"{file}: ")
    for layer in (written, dict(options or {})):
        given = [budget for budget in BUDGETS if budget in layer]
        require(len(given) <= 1, f"{' and '.join(given)} both say how long to train: give one")
        if given:
            values = {key: value for key, value in values.items() if key not in BUDGETS}
        peak = layer.get("learning_rate")
        if isinstance(peak, int | float) and "min_learning_rate" not in layer:
            layer["min_learning_rate"] = peak / 10
        values |= layer
    budget = {key: values.pop(key) for key in BUDGETS[1:] if key in values}
    for key, amount in budget.items():
        check_value(key, amount, float, {"above": 0})
    return TrainingConfig.from_dict(values), budget


def read_toml(file: Path) -> dict[str, Any]:
    """What a TOML file holds; ConfigError if it is not there, or something else."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}: give a file of settings") from error
    except ValueError as error:
        raise ConfigError(f"{file} is no TOML ({error}): write lines like steps = 500") from error


def to_toml(config: TrainingConfig, budget: Mapping[str, float] | None = None) -> str:
    """All settings as such a file, in which a `budget` takes the place of the steps."""
    values = {**(budget or {"steps": config.steps}), **config.to_dict()}
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in values.items()]
    return "".join(line for line in lines if not (budget and line.startswith("steps =")))


PRESETS: dict[str, dict[str, Any]] = read_toml(Path(__file__).with_name("presets.toml"))

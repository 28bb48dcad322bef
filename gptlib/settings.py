"""Training settings by name, from a file, from the command line: each overrides the one before.

A budget says how long to train: ``steps``, or ``epochs`` or ``tokens``, which are turned into
steps once the data are known: the learning rate falls along a number of steps, so that number must
stand before the first one.
"""

import json
import math
import tomllib
from pathlib import Path
from typing import Any

from gptlib.config import TrainingConfig, require
from gptlib.errors import ConfigError

BUDGETS = ("steps", "epochs", "tokens")

SETTINGS = {
    # a look: minutes on a laptop
    "fast": TrainingConfig(steps=200, sample_every=100, checkpoint_every=100),
    # a first whole run of a model of the family on one GPU
    "foundation": TrainingConfig(
        steps=5_000,
        batch_size=8,
        accumulation=8,
        learning_rate=6e-4,
        min_learning_rate=6e-5,
        warmup_steps=250,
        evaluate_every=250,
        evaluate_batches=50,
        sample_every=500,
        checkpoint_every=500,
    ),
    # the same with eight times the tokens: four times the steps, each twice as large
    "foundation-better-quality": TrainingConfig(
        steps=20_000,
        batch_size=8,
        accumulation=16,
        learning_rate=6e-4,
        min_learning_rate=6e-5,
        warmup_steps=1_000,
        evaluate_every=500,
        evaluate_batches=100,
        sample_every=1_000,
        checkpoint_every=1_000,
    ),
    # where the others diverge: a small rate, a long rise, short gradients
    "slow": TrainingConfig(
        steps=40_000,
        batch_size=8,
        accumulation=8,
        learning_rate=1e-4,
        min_learning_rate=1e-5,
        warmup_steps=2_000,
        clip_norm=0.5,
        evaluate_every=500,
        evaluate_batches=50,
        sample_every=1_000,
        checkpoint_every=1_000,
    ),
    # Algerian Darija with a model of the family
    "darija": TrainingConfig(
        steps=4_000,
        batch_size=8,
        accumulation=4,
        learning_rate=6e-4,
        min_learning_rate=6e-5,
        warmup_steps=10,
        evaluate_every=200,
        evaluate_batches=50,
        sample_every=500,
        checkpoint_every=500,
    ),
    # model `algerian` on a GPU of a laptop: 3,003,656 tokens once, 2,048 in a step
    "algerian": TrainingConfig(
        steps=1_466,
        batch_size=2,
        accumulation=2,
        learning_rate=3e-4,
        min_learning_rate=3e-5,
        warmup_steps=100,
        evaluate_every=100,
        evaluate_batches=50,
        sample_every=200,
        checkpoint_every=200,
    ),
}


def resolve(
    name: str, file: Path | None, options: dict[str, Any]
) -> tuple[TrainingConfig, dict[str, float]]:
    """Lay options over a file over named settings.

    Args:
        name: a key of `SETTINGS`.
        file: TOML with any fields of :class:`TrainingConfig`, or a budget; None for no file.
        options: the same keys, from the command line. A peak learning rate without a floor
            brings its own: a tenth of it.

    Returns:
        The settings, and the budget if it is not in steps: ``{"tokens": 1e6}``, else empty.

    Raises:
        ConfigError: an unknown name, key or value, or two budgets side by side.
    """
    if name not in SETTINGS:
        raise ConfigError(f"unknown settings {name!r}: known names are {', '.join(SETTINGS)}")
    values = SETTINGS[name].to_dict()
    for layer in (read_settings(file) if file else {}, options):
        given = [budget for budget in BUDGETS if budget in layer]
        require(len(given) <= 1, f"{' and '.join(given)} both say how long to train: give one")
        if given:
            values = {key: value for key, value in values.items() if key not in BUDGETS}
        if "learning_rate" in layer and "min_learning_rate" not in layer:
            layer = {**layer, "min_learning_rate": layer["learning_rate"] / 10}
        values |= layer
    budget = {key: values.pop(key) for key in BUDGETS[1:] if key in values}
    for key, value in budget.items():
        require(
            isinstance(value, int | float) and value > 0,
            f"{key} is {value!r}: use a number above 0",
        )
    return TrainingConfig.from_dict(values), budget


def with_budget(
    config: TrainingConfig, budget: dict[str, float], n_windows: int, context_length: int
) -> TrainingConfig:
    """Settings whose steps use up a budget and no more.

    Args:
        config: says how many windows one step takes.
        budget: as :func:`resolve` returns it; empty leaves the steps alone.
        n_windows: in one epoch.
        context_length: T, tokens in a window.

    Raises:
        ConfigError: the budget does not pay for a single step.
    """
    if not budget:
        return config
    [(unit, amount)] = budget.items()
    windows_per_step = config.batch_size * config.accumulation
    price = {"epochs": windows_per_step / n_windows, "tokens": windows_per_step * context_length}[
        unit
    ]
    steps = math.floor(amount / price + 1e-9)  # 3 × (1 / 3) may come out below 1
    require(
        steps >= 1,
        f"{unit} {amount:g} do not pay for one step, which takes {price:.3g}: "
        f"raise the budget or make the step smaller (--batch-size, --accumulation)",
    )
    return config.with_changes(steps=steps)


def read_settings(file: Path) -> dict[str, Any]:
    """The keys and values of a TOML file.

    Raises:
        ConfigError: it is not there, no TOML, or holds an unknown key.
    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}: give a file of settings") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is no TOML ({error}): write lines like steps = 500") from error
    known = [*TrainingConfig.__dataclass_fields__, *BUDGETS[1:]]
    for key in values:
        require(key in known, f"{file}: unknown key {key!r}: known keys are {', '.join(known)}")
    return values


def to_toml(config: TrainingConfig) -> str:
    """All settings as a file that :func:`read_settings` reads; JSON spells such values alike."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in config.to_dict().items())

"""How many steps a budget pays for."""

import copy
import math
import time
from collections.abc import Mapping

import torch

from gptlib.config import TrainingConfig
from gptlib.data.windows import Windows
from gptlib.errors import ConfigError
from gptlib.model import GPT
from gptlib.training import parallel
from gptlib.training.optimizer import make_optimizer
from gptlib.training.precision import Precision
from gptlib.training.step import training_step


def with_budget(
    config: TrainingConfig,
    budget: Mapping[str, float],
    n_windows: int,
    context_length: int,
    seconds_per_step: float | None = None,
) -> TrainingConfig:
    """Settings whose steps use up a budget and no more.

    Args:
        config: says how many windows one step takes.
        budget: ``epochs``, ``tokens`` or ``minutes``, one of them; empty leaves the steps alone.
        n_windows: in one epoch.
        context_length: T, tokens in a window.
        seconds_per_step: as measured, for a budget in minutes.

    Raises:
        ConfigError: the budget does not pay for a single step.
    """
    if not budget:
        return config
    [(unit, amount)] = budget.items()
    windows_per_step = config.batch_size * config.accumulation
    price = {
        "epochs": windows_per_step / n_windows,
        "tokens": windows_per_step * context_length,
        "minutes": (seconds_per_step or 0) / 60,
    }[unit]
    steps = math.floor(amount / price + 1e-9)  # 3 × (1 / 3) may come out below 1
    if steps < 1:
        raise ConfigError(
            f"{unit} {amount:g} do not pay for one step, which takes {price:.3g}: "
            f"raise the budget or make the step smaller (--batch-size, --accumulation)"
        )
    return config.with_changes(steps=steps)


def seconds_per_step(config: TrainingConfig, model: GPT, train: Windows) -> float:
    """How long a step takes here: the faster of two on a copy of the model, after a first one.

    With several processes, their mean, so that all of them count the same steps.
    """
    twin, precision = copy.deepcopy(model).train(), Precision(config.precision, model.device)
    optimizer = make_optimizer(twin, config)
    x, y = train
    batch = (x[: config.batch_size], y[: config.batch_size])
    batches, seconds = [batch] * (config.accumulation // parallel.count()), []
    for _ in range(3):
        started = time.perf_counter()
        training_step(twin, optimizer, batches, 0.0, config.clip_norm, precision)
        seconds.append(time.perf_counter() - started)
    return parallel.mean(torch.tensor(min(seconds[1:]), device=model.device)).item()

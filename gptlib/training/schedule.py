"""The learning rate of each step: a straight rise, then half a cosine down to a floor."""

import math

from gptlib.config import TrainingConfig


def learning_rate_at(
    step: int, peak: float, floor: float, warmup_steps: int, total_steps: int
) -> float:
    """The learning rate of one step, from its number alone: nothing to save, nothing to resume.

    Args:
        step: 0 for the first update.
        peak: the highest rate, reached at step `warmup_steps` − 1.
        floor: the rate from `total_steps` on; equal to `peak` it gives a constant rate.
        warmup_steps: steps of the rise; its first step is above 0, since a rate of 0 would
            waste a batch. 0 starts at the peak.
        total_steps: where the cosine reaches the floor.

    Returns:
        A rate between 0 (not included) and `peak`.

    Source: Loshchilov & Hutter 2017 (cosine); Goyal et al. 2017, section 2.2 (warm-up).
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if step >= total_steps:
        return floor
    progress = (step - warmup_steps) / (total_steps - warmup_steps)  # 0 … 1
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2


def learning_rate_of(step: int, config: TrainingConfig) -> float:
    """The learning rate of one step under a run's settings; see :func:`learning_rate_at`."""
    return learning_rate_at(
        step,
        config.learning_rate,
        config.min_learning_rate,
        config.warmup_steps,
        config.planned_steps,
    )

"""The plan itself: a pure function of the model, the wish, the machine and its costs."""

import math
from bisect import bisect_right
from dataclasses import dataclass

from gptlib.config import GPTConfig
from gptlib.errors import ConfigError
from gptlib.model import count_parameters
from gptlib.planning.costs import Costs
from gptlib.planning.footprint import Batch, memory_parts
from gptlib.planning.machine import GIB, Machine
from gptlib.planning.wish import Wish
from gptlib.planning.words import counted, duration

# Tokens for each parameter, the embeddings counted, at which a given amount of arithmetic gives
# the lowest loss: Hoffmann et al. 2022 ("Chinchilla"), section 3 and table 3.
TOKENS_PER_PARAMETER = 20
# GPT-3's models of this family's sizes took half a million tokens a step (Brown et al. 2020,
# table 2.1). A smaller model takes fewer, so that its compute-optimal run has as many steps.
TOKENS_PER_STEP = 2**19
STEPS_OF_A_RUN = 5_000
# A twice as large micro-batch that saves a smaller share of the time is not worth its memory.
WORTHWHILE = 0.03
LARGEST_MICRO_BATCH = 2**16  # tokens: no device of the table gains from more
# Two processes that average their gradients are a little less than twice as fast: our assumption.
PARALLEL_EFFICIENCY = 0.9


@dataclass(frozen=True)
class Plan:
    """What a run will be and need."""

    batch: Batch  # of one process
    processes: int
    steps: int
    tokens_per_step: int
    memory: dict[str, int]  # bytes by part, "process" among them, of one process
    memory_limit: float | None  # bytes
    step_seconds: float
    optimal_tokens: int

    @property
    def tokens(self) -> int:
        """In the whole run."""
        return self.steps * self.tokens_per_step

    @property
    def seconds(self) -> float:
        """Of the whole run; validation and checkpoints come on top."""
        return self.steps * self.step_seconds

    @property
    def tokens_per_second(self) -> float:
        """Of all processes together."""
        return self.tokens_per_step / self.step_seconds

    @property
    def accumulation(self) -> int:
        """Micro-batches of a step, over all processes."""
        return self.batch.accumulation * self.processes


def make_plan(config: GPTConfig, wish: Wish, machine: Machine, costs: Costs) -> Plan:
    """Choose the micro-batch, share out the step, and count the run.

    Args:
        config: the model; windows are as long as its context.
        wish: what is given.
        machine: one device; each process has one of its own.
        costs: of this model there.

    Raises:
        ConfigError: one window or the wanted micro-batch does not fit the memory, or the wanted
            run does not fit the session.
    """
    optimal = TOKENS_PER_PARAMETER * count_parameters(config)["total"]
    limit = machine.memory if wish.memory_gb is None else wish.memory_gb * GIB
    windows = windows_per_step(config, wish, optimal)
    size = wish.batch_size or choose_batch_size(config, windows, machine, costs, limit)
    accumulation = max(1, round(windows / size))
    batch = Batch(size, accumulation)
    memory = needed(config, batch, machine, costs)
    check_memory(config, batch, machine, costs, limit)
    seconds = costs.seconds(batch) / (PARALLEL_EFFICIENCY if wish.processes > 1 else 1)
    tokens_per_step = size * accumulation * config.context_length * wish.processes
    steps = wish.steps or math.ceil((wish.tokens or optimal) / tokens_per_step)
    if wish.max_minutes:
        steps = within_session(steps, seconds, wish)
    return Plan(batch, wish.processes, steps, tokens_per_step, memory, limit, seconds, optimal)


def windows_per_step(config: GPTConfig, wish: Wish, optimal: int) -> int:
    """Windows that each process takes in a step."""
    default = min(TOKENS_PER_STEP, 2 ** round(math.log2(optimal / STEPS_OF_A_RUN)))
    tokens = wish.tokens_per_step or default
    return max(1, round(tokens / (config.context_length * wish.processes)))


def choose_batch_size(
    config: GPTConfig, windows: int, machine: Machine, costs: Costs, limit: float | None
) -> int:
    """The largest power of two that fits and is worth its memory; at least 1, fit or not."""
    size = 1
    while 2 * size <= windows and 2 * size * config.context_length <= LARGEST_MICRO_BATCH:
        twice = Batch(2 * size, max(1, windows // (2 * size)))
        if limit and sum(needed(config, twice, machine, costs).values()) > limit:
            break
        saved = 1 - costs.seconds(twice) / costs.seconds(Batch(size, 2 * twice.accumulation))
        if costs.measured and saved < WORTHWHILE:
            break
        size *= 2
    return size


def needed(config: GPTConfig, batch: Batch, machine: Machine, costs: Costs) -> dict[str, int]:
    """Bytes at the fullest moment, by part."""
    parts = memory_parts(config, batch, machine.dtype, machine.device_type)
    return {**parts, "process": costs.beside(batch)}


def check_memory(
    config: GPTConfig, batch: Batch, machine: Machine, costs: Costs, limit: float | None
) -> None:
    """Refuse a micro-batch that does not fit."""
    total = sum(needed(config, batch, machine, costs).values())
    if limit is None or total <= limit:
        return

    def bytes_of(size: int) -> int:
        return sum(needed(config, Batch(size, 2), machine, costs).values())

    fits = bisect_right(range(1, batch.size), limit, key=bytes_of)  # as many, so the largest too
    way_out = f"--batch-size {fits}" if fits else "a shorter --context-length, a smaller model"
    raise ConfigError(
        f"a micro-batch of {batch.size:,} × {config.context_length:,} tokens needs "
        f"{total / GIB:.1f} GiB, {machine.name} has {limit / GIB:.1f} GiB for it: "
        f"use {way_out}, or a device with more memory"
    )


def within_session(steps: int, seconds: float, wish: Wish) -> int:
    """The steps of one session: those wanted, or as many as fit where none are."""
    minutes = wish.max_minutes or math.inf
    fit = int(minutes * 60 / seconds)
    session = " ".join(duration(minutes * 60))
    if fit < 1:
        raise ConfigError(
            f"one step takes {' '.join(duration(seconds))}, the session has {session}: not one "
            f"fits: use --max-minutes {math.ceil(seconds / 0.6) / 100} or more, a smaller "
            f"--tokens-per-step or a smaller model"
        )
    if steps > fit and not wish.steps and not wish.tokens:
        return fit
    if steps > fit:
        raise ConfigError(
            f"{counted(steps, 'step')} take {' '.join(duration(steps * seconds))}, the session "
            f"has {session}, room for {counted(fit, 'step')} (--steps {fit}); or plan without "
            f"--max-minutes, and train in several sessions (train --max-minutes … --resume)"
        )
    return steps


def probe_limit(batch_size: int) -> int:
    """The largest micro-batch to try: half of the planned one, so that the plan is a forecast."""
    return max(1, batch_size // 2)

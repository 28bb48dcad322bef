"""Seconds and bytes that shapes alone do not tell: measured by a few steps, or assumed."""

from collections.abc import Callable
from dataclasses import dataclass

from gptlib.config import GPTConfig
from gptlib.planning.footprint import Batch
from gptlib.planning.machine import GIB, Machine
from gptlib.training.flops import flops_per_token

# Our own assumption for a GPU that is not here, in a short format and not compiled: of careful
# implementations PaLM's table 3 (Chowdhery et al. 2022) reports 0.21 to 0.46.
UTILISATION = 0.3
CONTEXT = GIB // 2  # what CUDA and its libraries take for themselves: ours, too


@dataclass(frozen=True)
class Probe:
    """One kind of step, as it was measured."""

    batch: Batch
    seconds: float  # a typical one of several
    peak_memory: int | None  # bytes, when no larger step had been taken yet


@dataclass(frozen=True)
class Costs:
    """A step takes accumulation × (micro_batch + B·window) + update seconds."""

    window: float  # seconds for each window
    micro_batch: float  # seconds for each micro-batch, however small
    update: float  # seconds for clipping and AdamW, once a step
    process: int  # bytes beside the parts that are modelled: Python, PyTorch, loose ends
    process_per_window: float  # bytes, likewise, for each window of a micro-batch
    measured: bool

    def seconds(self, batch: Batch) -> float:
        """Seconds of one step."""
        return batch.accumulation * (self.micro_batch + batch.size * self.window) + self.update

    def beside(self, batch: Batch) -> int:
        """Bytes beside the modelled parts."""
        return self.process + int(batch.size * self.process_per_window)


def assume(config: GPTConfig, machine: Machine) -> Costs:
    """The costs on a machine that is not here, from its promised peak."""
    window = config.context_length * flops_per_token(config) / (machine.peak_flops * UTILISATION)
    return Costs(window, 0.0, 0.0, CONTEXT, 0.0, measured=False)


def calibrate(probes: list[Probe], modelled: Callable[[Batch], int]) -> Costs:
    """The costs that explain what was measured.

    Args:
        probes: a small micro-batch, a larger one if there was room for it, and the last one
            again with accumulation 2.
        modelled: bytes of a batch by the shapes alone.

    Returns:
        Costs that are never negative, however noisy the seconds.
    """
    small, large, twice = probes[0], probes[-2], probes[-1]
    B, more = large.batch.size, large.batch.size - small.batch.size
    one = min(max(twice.seconds - large.seconds, 0.2 * large.seconds), large.seconds)
    window = (large.seconds - small.seconds) / more if more else one / B
    window = min(max(window, 0.5 * one / B), one / B)
    loose = [(probe.peak_memory or 0) - modelled(probe.batch) for probe in probes]
    rise = max((loose[-2] - loose[0]) / more, 0.0) if more else 0.0
    return Costs(
        window=window,
        micro_batch=one - B * window,
        update=large.seconds - one,
        process=max(int(loose[-1] - B * rise), 0),
        process_per_window=rise,
        measured=True,
    )

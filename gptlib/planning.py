"""What a training run needs, before it begins: memory, arithmetic and hours, by formula.

Nothing is trained to find out. A device's peak is its maker's figure, or what a matrix product
reaches here; how much of it training uses is assumed, and can be given.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from gptlib.config import GPTConfig, require
from gptlib.environment import choose_device, choose_dtype
from gptlib.errors import ConfigError
from gptlib.loss import CHUNK
from gptlib.model import count_parameters
from gptlib.training.flops import GPUS, find_gpu, flops_per_token, peak_flops

GIB = 2**30
FLOAT32 = 4  # bytes: parameters, gradients and moments always have this format
PROCESS = GIB // 2  # what Python, PyTorch and CUDA take for themselves: our assumption
USABLE = 0.9  # of a device's memory: the rest is for pieces that no tensor fits in
# The share of the peak that training uses. Of careful implementations on accelerators PaLM's
# table 3 (Chowdhery et al. 2022) reports 0.21 to 0.46. On a CPU the peak is a measured one, of
# which small models reached 0.58 and GPT-2 0.87 (tests/benchmarks/LOG.md).
UTILIZATION = {"cpu": 0.7, "cuda": 0.3, "mps": 0.3}
# Two processes that average their gradients are a little less than twice as fast: our assumption.
PARALLEL_EFFICIENCY = 0.9
# Tokens for each parameter, the embeddings counted, at which a given amount of arithmetic gives
# the lowest loss: Hoffmann et al. 2022 ("Chinchilla"), section 3 and table 3.
TOKENS_PER_PARAMETER = 20
# GPT-3's models of this family's sizes took half a million tokens a step (Brown et al. 2020,
# table 2.1). A smaller model takes fewer, so that its compute-optimal run has as many steps.
TOKENS_PER_STEP = 2**19
STEPS_OF_A_RUN = 5_000
LARGEST_MICRO_BATCH = 2**16  # tokens: no device gains from more
MOST = 1e15  # of anything: no run needs more, and the arithmetic still holds it


@dataclass(frozen=True)
class Machine:
    """What a plan needs to know of one device."""

    name: str
    device_type: str  # "cpu", "cuda" or "mps"
    dtype: torch.dtype  # the format of matrix products
    memory: int | None  # bytes that training may fill; None where nobody knows
    peak_flops: float  # FLOP/s of matrix products
    peak_source: str


@dataclass(frozen=True)
class Plan:
    """What a run will be and need."""

    batch_size: int  # windows in a micro-batch
    accumulation: int  # micro-batches of a step, over all processes
    tokens_per_step: int
    steps: int
    memory: dict[str, int]  # bytes by part, of one process
    seconds_per_step: float  # validation and checkpoints come on top


def find_machine(name: str | None) -> Machine:
    """The device on which ``train`` would run here, or a GPU of the table by its name there or as
    a driver prints it: ``T4``, ``Tesla T4``.
    """
    if name is None:
        device, _ = choose_device()
        dtype, on_gpu = choose_dtype(device), device.type == "cuda"
        named = torch.cuda.get_device_name(device) if on_gpu else f"this {device.type}"
        total = torch.cuda.get_device_properties(device).total_memory if on_gpu else free_memory()
        memory = None if total is None else int(total * USABLE)
        return Machine(named, device.type, dtype, memory, *peak_flops(device, dtype))
    gpu = find_gpu(name)
    if gpu is None:
        raise ConfigError(
            f"unknown device {name!r}: known names are {', '.join(gpu.name for gpu in GPUS)}; "
            f"leave --device out for this machine"
        )
    peak, memory = gpu.peak_flops(gpu.dtype) or gpu.float32, int(gpu.memory * GIB * USABLE)
    return Machine(gpu.name, "cuda", gpu.dtype, memory, peak, "NVIDIA's figure")


def free_memory() -> int | None:
    """Main memory that programs could still take; beside Linux all there is; on Windows None."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = meminfo.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if "MemAvailable" in line)
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def activation_bytes(
    config: GPTConfig, batch_size: int, dtype: torch.dtype, device_type: str = "cpu"
) -> int:
    """What the forward pass keeps for the backward pass, from the ids to the final LayerNorm.

    For each of the R = B·T positions, a block keeps both LayerNorms' inputs (2C in float32, and
    4 numbers for mean and deviation), and in the format of matrix products, `dtype`, what each of
    them read: the normalized C twice, queries, keys and values 3C, what attention gathered C, the
    MLP's 4C before and 4C after the gate. Dropout keeps a mask wherever it is applied. Fused
    attention keeps no (T, T) weights: ``cuda``'s, and a CPU's without dropout.
    """
    B, T, C, H = batch_size, config.context_length, config.width, config.n_heads
    R, low = B * T, dtype.itemsize
    mask = (1 if device_type == "cuda" else low) * R * C if config.dropout else 0
    block = R * C * (2 * FLOAT32 + 14 * low) + 4 * R * FLOAT32 + 2 * mask
    fused = device_type == "cuda" or (device_type == "cpu" and not config.dropout)
    if fused:
        block += B * H * T * FLOAT32  # one number for each row of weights
    else:
        block += (3 if config.dropout else 1) * B * H * T * T * low
        block += 2 * R * C * low if B == 1 else 0  # scaled copies beside the whole (q, k, v)
    ids_and_positions = 8 * (R + T)
    ends = 2 * R * C * FLOAT32 + 2 * R * FLOAT32 + mask  # embedding's mask, final LayerNorm
    return config.n_layers * block + ends + ids_and_positions


def memory_parts(config: GPTConfig, batch_size: int, machine: Machine) -> dict[str, int]:
    """Bytes at a step's fullest moment: a forward pass ends, and earlier gradients are there."""
    counts, low = count_parameters(config), machine.dtype.itemsize
    weights, table = counts["total"] * FLOAT32, counts["token embedding"] * FLOAT32
    short = weights * low // FLOAT32 if low < FLOAT32 else 0  # autocast's copies of the weights
    activations = activation_bytes(config, batch_size, machine.dtype, machine.device_type)
    chunk = CHUNK if machine.device_type == "cpu" else 4 * CHUNK  # see ChunkedCrossEntropy
    logits = min(batch_size * config.context_length * config.vocab_size, chunk)
    return {
        "parameters": weights,
        "AdamW's moments": 2 * weights,
        "gradients": weights,
        "activations": activations + short,
        # some rows of logits, in short formats also in float32, and the head's gradient
        "loss": logits * (FLOAT32 if low == FLOAT32 else FLOAT32 + 2 * low) + table,
        "process (assumed)": PROCESS,
    }


def make_plan(
    config: GPTConfig,
    machine: Machine,
    processes: int = 1,
    steps: int | None = None,
    tokens: float | None = None,
    tokens_per_step: int | None = None,
    batch_size: int | None = None,
    utilization: float | None = None,
) -> Plan:
    """Choose the micro-batch, share out the step over `processes`, and count the run.

    Left out, the run has `TOKENS_PER_PARAMETER`, a step GPT-3's tokens (fewer for a small model),
    a micro-batch the largest power of two of windows that fits, and a utilization `UTILIZATION`.
    Raises ConfigError for a number that cannot be, or a micro-batch that does not fit.
    """
    lengths = (steps, tokens, tokens_per_step, batch_size)
    names = ("steps", "tokens", "tokens-per-step", "batch-size", "processes")
    for name, value in zip(names, (*lengths, processes), strict=True):
        fine = value is None or 0 < value <= MOST  # nan fails it, too
        require(fine, f"--{name} is {str(value)[:20]}: it must be above 0 and at most {MOST:g}")
    require(not (steps and tokens), "--steps and --tokens both say how long: give one")
    share = UTILIZATION[machine.device_type] if utilization is None else utilization
    require(0 < share <= 1, f"--utilization is {share}: it must be above 0 and at most 1")
    optimal = TOKENS_PER_PARAMETER * count_parameters(config)["total"]
    usual = min(TOKENS_PER_STEP, 2 ** round(math.log2(optimal / STEPS_OF_A_RUN)))
    T = config.context_length
    windows = max(1, round((tokens_per_step or usual) / (T * processes)))  # of one process
    most, limit = min(windows, LARGEST_MICRO_BATCH // T), machine.memory or math.inf
    size = batch_size or 1
    if batch_size is None:
        while 2 * size <= most and sum(memory_parts(config, 2 * size, machine).values()) <= limit:
            size *= 2
    memory = memory_parts(config, size, machine)
    needed = sum(memory.values())
    require(
        needed <= limit,
        f"a micro-batch of {size:,} × {T:,} tokens needs {needed / GIB:.1f} GiB, {machine.name} "
        f"has {limit / GIB:.1f} GiB for it: use a smaller --batch-size, a shorter "
        f"--context-length, a smaller model, or a device with more memory",
    )
    accumulation = max(1, round(windows / size)) * processes
    per_step = size * accumulation * T
    rate = machine.peak_flops * share * processes * (PARALLEL_EFFICIENCY if processes > 1 else 1)
    steps = steps or math.ceil((tokens or optimal) / per_step)
    seconds = per_step * flops_per_token(config) / rate
    return Plan(size, accumulation, per_step, steps, memory, seconds)

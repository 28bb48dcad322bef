"""The device that a run is planned for: the one that is here, or another one by its name."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from gptlib.environment import choose_device, choose_dtype
from gptlib.errors import ConfigError
from gptlib.training.flops import peak_flops
from gptlib.training.gpus import GPUS, find_gpu

GIB = 2**30
MEMINFO = Path("/proc/meminfo")  # Linux alone has it
# The share of a device's memory that a plan fills: the rest is for pieces that no tensor fits in
# and for whatever else runs.
USABLE = 0.9


@dataclass(frozen=True)
class Machine:
    """What a plan needs to know of one device."""

    name: str
    device_type: str  # "cpu", "cuda" or "mps"
    dtype: torch.dtype  # the format of matrix products
    memory: int | None  # bytes that training may fill; None where nobody knows
    peak_flops: float  # FLOP/s of matrix products
    here: bool  # whether it can be measured


def this_machine() -> Machine:
    """The device on which ``train`` would run here."""
    device, _ = choose_device()
    dtype = choose_dtype(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"this {device.type}"
    return Machine(name, device.type, dtype, memory_of(device), peak_flops(device, dtype)[0], True)


def find_machine(name: str | None) -> Machine:
    """The machine here for None or its own name, else a GPU of the table.

    Args:
        name: as the table has it or as a driver prints it: ``T4``, ``Tesla T4``.

    Raises:
        ConfigError: the name is not in the table.
    """
    if name is None:
        return this_machine()
    gpu = find_gpu(name)
    if gpu is None:
        raise ConfigError(
            f"unknown device {name!r}: known names are {', '.join(gpu.name for gpu in GPUS)}; "
            f"leave --device out for this machine"
        )
    if torch.cuda.is_available() and find_gpu(torch.cuda.get_device_name()) is gpu:
        return this_machine()
    peak = gpu.peak_flops(gpu.dtype) or gpu.float32
    return Machine(gpu.name, "cuda", gpu.dtype, int(gpu.memory * GIB * USABLE), peak, False)


def memory_of(device: torch.device) -> int | None:
    """The bytes that training may fill on a device; a CPU's are those free now."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory * USABLE)
    free = free_memory()
    return None if free is None else int(free * USABLE)


def free_memory() -> int | None:
    """Main memory that programs could still take; on macOS three quarters of all; else None."""
    if MEMINFO.exists():
        lines = MEMINFO.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if "MemAvailable" in line)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4
    return None

"""How much memory this process has taken at its highest."""

import sys
from pathlib import Path

import torch

if sys.platform != "win32":
    import resource

STATUS = Path("/proc/self/status")  # Linux alone has it


def peak_memory(device: torch.device) -> int | None:
    """The most bytes held at any moment since the process began.

    Args:
        device: where the model trains.

    Returns:
        On a CUDA device, what its tensors took. Elsewhere, the process's resident memory: Python
        and PyTorch's own code as well. None on Windows, which has no such record in the
        standard library.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_resident()


def peak_resident() -> int | None:
    """Bytes of main memory that this process has occupied at its highest; None on Windows."""
    if STATUS.exists():  # getrusage's figure would begin with that of the process that started us
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024  # "VmHWM:   223456 kB"
    if sys.platform == "win32":
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS

"""What this machine offers: device, number format and profile, each with its reason.

``GPTLIB_DEVICE``   ``cpu``, ``cuda`` or ``mps`` instead of the best device found
``GPTLIB_PROFILE``  ``laptop`` or ``gpu`` instead of the profile that fits the device
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from gptlib import paths
from gptlib.errors import ConfigError, UnsupportedDevice

Choice = TypeVar("Choice")

# PyTorch's current wheels hold no code for older GPUs: their first operation would fail.
OLDEST_CAPABILITY = (7, 0)
# Below this much memory the 124M model does not train at the course's batch sizes.
GPU_PROFILE_MEMORY = 12 * 2**30

PROFILES = {
    "laptop": "small models that train here in seconds or minutes",
    "gpu": "the real GPT-2 124M",
}


@dataclass(frozen=True)
class Profile:
    """The size at which the course runs on this machine."""

    name: str  # "laptop" or "gpu"
    device: torch.device
    dtype: torch.dtype  # the format of matrix products: float32, bfloat16 or float16
    reason: str  # why this device and format
    runs: Path  # the folder of training runs

    def pick(self, *, laptop: Choice, gpu: Choice) -> Choice:
        """Return the value that is meant for this profile."""
        return laptop if self.name == "laptop" else gpu

    def new_run(self, name: str) -> Path:
        """Return a run folder that does not exist yet: ``name``, else ``name-2``, ``name-3`` …"""
        folder, number = self.runs / name, 1
        while folder.exists():
            number += 1
            folder = self.runs / f"{name}-{number}"
        return folder


def setup(wanted: str | None = None) -> Profile:
    """Look at the machine, print what was chosen, and return it; draws no random number.

    `wanted` is a device, see :func:`choose_device`. Raises UnsupportedDevice for a GPU older than
    PyTorch's wheels serve, or a device that is not there, and ConfigError for a value of
    ``GPTLIB_PROFILE`` that is unknown.
    """
    device, reason = choose_device(wanted)
    dtype = choose_dtype(device)
    name = choose_profile(device)
    print(f"profile  {name}: {PROFILES[name]}")
    print(f"device   {device}, {str(dtype).removeprefix('torch.')} ({reason})")
    if paths.bundled_only():
        print("texts    the samples that come with the course (GPTLIB_CORPORA=bundled)")
    else:
        print(f"texts    kept in {paths.data_folder()}")
    return Profile(name, device, dtype, reason, paths.runs_folder())


def choose_device(wanted: str | None = None) -> tuple[torch.device, str]:
    """Return the best device that works here, or the one asked for, and the reason.

    Args:
        wanted: ``cpu``, ``cuda`` or ``mps``; None asks ``GPTLIB_DEVICE``.
    """
    variable = os.environ.get("GPTLIB_DEVICE", "").strip()
    device = wanted or variable or _best_device()
    asked = f"--device {wanted}" if wanted else f"GPTLIB_DEVICE={variable}"
    if device not in ("cpu", "cuda", "mps"):
        raise UnsupportedDevice(f"{asked} is none of cpu, cuda, mps")
    if device == "cuda" and not torch.cuda.is_available():
        raise UnsupportedDevice(f"{asked}, but PyTorch sees no GPU here: leave it out")
    if device == "mps" and not torch.backends.mps.is_available():
        raise UnsupportedDevice(f"{asked}, but PyTorch sees no Apple GPU: leave it out")
    if device == "cuda":
        _refuse_old_gpu()
    if wanted or variable:
        return torch.device(device), asked
    reasons = {"cpu": "no GPU found", "mps": "Apple GPU; float32 is its safe format"}
    if device == "cuda":
        reasons["cuda"] = f"{torch.cuda.get_device_name()}, {_bf16_words()}"
    return torch.device(device), reasons[device]


def choose_dtype(device: torch.device) -> torch.dtype:
    """Return the format of matrix products: bfloat16 where the GPU computes it, else float16.

    A T4 *emulates* bfloat16 slowly, and PyTorch counts that as support unless told otherwise.
    CPUs and Apple GPUs keep float32.
    """
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if _native_bf16() else torch.float16


def choose_profile(device: torch.device) -> str:
    """Return ``gpu`` where the 124M model trains, else ``laptop``; ``GPTLIB_PROFILE`` decides."""
    wanted = os.environ.get("GPTLIB_PROFILE", "").strip()
    if wanted:
        if wanted not in PROFILES:
            raise ConfigError(f"GPTLIB_PROFILE={wanted} is none of {', '.join(PROFILES)}")
        return wanted
    if device.type != "cuda":
        return "laptop"
    memory = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    return "gpu" if memory >= GPU_PROFILE_MEMORY else "laptop"


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _native_bf16() -> bool:
    return torch.cuda.is_bf16_supported(including_emulation=False)


def _bf16_words() -> str:
    return "computes bfloat16" if _native_bf16() else "has no bfloat16 of its own"


def _refuse_old_gpu() -> None:
    """Raise before the first operation on a GPU that PyTorch's wheels no longer serve."""
    capability = torch.cuda.get_device_capability()
    if capability >= OLDEST_CAPABILITY:
        return
    have, need = (".".join(map(str, version)) for version in (capability, OLDEST_CAPABILITY))
    raise UnsupportedDevice(
        f"{torch.cuda.get_device_name()} has compute capability {have}, PyTorch needs {need}: "
        "choose another accelerator (Kaggle: Settings → Accelerator → GPU T4 x2), "
        "or set GPTLIB_DEVICE=cpu"
    )

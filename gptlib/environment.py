"""What this machine offers: device, number format, profile, and where things are kept.

The only reader of variables, but for one that torch needs before it is imported:

``GPTLIB_DEVICE``   ``cpu``, ``cuda`` or ``mps`` instead of the best device found
``GPTLIB_PROFILE``  ``laptop`` or ``gpu`` instead of the profile that fits the device
``GPTLIB_DATA``     folder of downloaded texts (default: the user's cache folder)
``GPTLIB_CORPORA``  ``bundled`` uses the samples in ``data/`` outright: stable on every machine
``GPTLIB_RUNS``     folder of training runs (default: ``runs/`` where you are)
``HF_HUB_OFFLINE``  ``1`` forbids every download, as it does for Hugging Face's own libraries
``HF_TOKEN``        your token for the hub; read by the hub's own library, or from a file ``.env``
``TIKTOKEN_CACHE_DIR``  a folder that tiktoken has filled: asked first for GPT-2's vocabulary
``CI``              set by every CI service: progress bars stay silent

torch is imported when a device is asked for, so that who asks for a folder need not wait for it.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import platformdirs

from gptlib.errors import ConfigError

if TYPE_CHECKING:
    import torch

Choice = TypeVar("Choice")

PACKAGE = Path(__file__).resolve().parent
# The bundled texts: a wheel carries them inside the package, a clone beside it.
SAMPLES = next(f for f in (PACKAGE / "samples", PACKAGE.parent / "data") if f.is_dir())
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
    device: "torch.device"
    dtype: "torch.dtype"  # the format of matrix products: float32, bfloat16 or float16
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

    `wanted` is a device; see :func:`choose_device`, which raises for one that is not there.
    """
    device, reason = choose_device(wanted)
    dtype, name = choose_dtype(device), choose_profile(device)
    print(f"profile  {name}: {PROFILES[name]}")
    print(f"device   {device}, {str(dtype).removeprefix('torch.')} ({reason})")
    if bundled_only():
        print("texts    the samples that come with the course (GPTLIB_CORPORA=bundled)")
    else:
        print(f"texts    kept in {data_folder()}")
    return Profile(name, device, dtype, reason, runs_folder())


def choose_device(wanted: str | None = None) -> "tuple[torch.device, str]":
    """Return the best device that works here, or the one asked for, and the reason.

    Without `wanted`, ``GPTLIB_DEVICE`` is asked. Raises ConfigError where it is not there,
    or a GPU older than PyTorch's wheels serve.
    """
    import torch

    variable = os.environ.get("GPTLIB_DEVICE", "").strip()
    asked = f"--device {wanted}" if wanted else f"GPTLIB_DEVICE={variable}"
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    there = {"cuda": cuda, "mps": mps, "cpu": True}
    device = wanted or variable or next(name for name, found in there.items() if found)
    if device not in there:
        raise ConfigError(f"{asked} is none of cpu, cuda, mps")
    if not there[device]:
        raise ConfigError(f"{asked}, but PyTorch sees no such GPU here: leave it out")
    reason = {"cpu": "no GPU found", "mps": "Apple GPU; float32 is its safe format"}.get(device)
    if device == "cuda":
        name, capability = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
        if capability < OLDEST_CAPABILITY:
            have, need = (".".join(map(str, one)) for one in (capability, OLDEST_CAPABILITY))
            other = "another accelerator (Kaggle: Settings → Accelerator → GPU T4 x2)"
            raise ConfigError(
                f"{name} has compute capability {have}, PyTorch needs {need}: choose {other}, or "
                f"set GPTLIB_DEVICE=cpu"
            )
        native = choose_dtype(torch.device(device)) == torch.bfloat16
        reason = f"{name}, {'computes bfloat16' if native else 'has no bfloat16 of its own'}"
    return torch.device(device), asked if wanted or variable else str(reason)


def choose_dtype(device: "torch.device") -> "torch.dtype":
    """Return the format of matrix products: bfloat16 where the GPU computes it, else float16.

    A T4 *emulates* bfloat16 slowly, and PyTorch counts that as support unless told otherwise.
    CPUs and Apple GPUs keep float32.
    """
    import torch

    if device.type != "cuda":
        return torch.float32
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native else torch.float16


def choose_profile(device: "torch.device") -> str:
    """Return ``gpu`` where the 124M model trains, else ``laptop``; ``GPTLIB_PROFILE`` decides."""
    import torch

    wanted = os.environ.get("GPTLIB_PROFILE", "").strip()
    if wanted:
        if wanted not in PROFILES:
            raise ConfigError(f"GPTLIB_PROFILE={wanted} is none of {', '.join(PROFILES)}")
        return wanted
    if device.type != "cuda":
        return "laptop"
    memory = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    return "gpu" if memory >= GPU_PROFILE_MEMORY else "laptop"


def data_folder() -> Path:
    """The folder in which downloaded texts and vocabularies are kept; it may not exist yet."""
    return Path(os.environ.get("GPTLIB_DATA") or cache_folder()).expanduser()


def cache_folder() -> Path:
    """The user's own cache folder: for what no shared data folder should be asked to hold."""
    return Path(platformdirs.user_cache_dir("gptlib"))


def tiktoken_folder() -> Path | None:
    """The cache that the user has named for tiktoken, if there is one."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR")
    return Path(folder) if folder else None


def runs_folder() -> Path:
    """The folder that holds training runs and the executed course; it may not exist yet."""
    return Path(os.environ.get("GPTLIB_RUNS") or Path.cwd() / "runs").expanduser()


def variables(**added: str) -> dict[str, str]:
    """This process's variables with more, for a process that it starts."""
    return {**os.environ, **added}


def bundled_only() -> bool:
    """Whether corpora are replaced by the bundled samples, whatever else is at hand."""
    return os.environ.get("GPTLIB_CORPORA") == "bundled"


def offline() -> bool:
    """Whether nothing may be downloaded."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def token_in_file() -> str | None:
    """The token that a line ``HF_TOKEN=…`` of a file ``.env`` holds, here or beside the course."""
    for folder in (Path.cwd(), PACKAGE.parent):
        path = folder / ".env"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        for line in lines:
            name, _, value = line.removeprefix("export ").partition("=")
            if name.strip() == "HF_TOKEN" and (token := value.strip().strip("'\"")):
                return token
    return None


def quiet() -> bool:
    """Whether progress bars stay silent: outputs that are stored or compared must not move."""
    return bool(os.environ.get("CI")) or bundled_only()

"""What the bits of a result depend on beside code, settings and data."""

import base64
import platform
from typing import Any

import torch
from torch import Tensor

import gptlib


def random_states() -> dict[str, str]:
    """Where PyTorch's random streams stand, as text."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return {
        name: base64.b64encode(bytes(state.tolist())).decode() for name, state in states.items()
    }


def restore_random_states(states: dict[str, str]) -> None:
    """Set PyTorch's random streams to what :func:`random_states` returned."""
    torch.set_rng_state(_decoded(states["cpu"]))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(_decoded(states["cuda"]))


def _decoded(state: str) -> Tensor:
    return torch.tensor(list(base64.b64decode(state)), dtype=torch.uint8)


def environment() -> dict[str, Any]:
    """Versions and threads: with others the last bits of a result may differ."""
    return {
        "gptlib": gptlib.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }

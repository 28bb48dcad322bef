"""What must hold before a model is saved, and before a checkpoint is put into one."""

from pathlib import Path

import torch

from gptlib.errors import CheckpointError
from gptlib.model import GPT
from gptlib.training.sealed import Tensors


def check_finite(model: GPT, step: int) -> None:
    """Refuse to keep a model that is lost: it would push out one that is not."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(
                f"step {step}: {name} holds NaN or infinity and was not saved: go on from the "
                f"checkpoint before, with a lower learning rate"
            )


def check_tensors(place: Path, found: Tensors, expected: Tensors) -> None:
    """Refuse tensors that differ in name, shape or dtype from those they shall replace."""
    if found.keys() != expected.keys():
        names = ", ".join(sorted(found.keys() ^ expected.keys())[:3])
        raise CheckpointError(
            f"{place}: missing or unknown tensors ({names} …): use the model it was made from"
        )
    for name, tensor in expected.items():
        if (found[name].shape, found[name].dtype) != (tensor.shape, tensor.dtype):
            raise CheckpointError(
                f"{place}: {name} is {tuple(found[name].shape)} {found[name].dtype}, the model's "
                f"{tuple(tensor.shape)} {tensor.dtype}: use the model it was made from"
            )


def expected_moments(model: GPT) -> Tensors:
    """The names, shapes and dtypes that :func:`moments` gives after a step; no content."""
    expected = {}
    for name, parameter in model.named_parameters():
        expected[f"{name}.step"] = torch.empty((), device="meta")
        expected[f"{name}.exp_avg"] = torch.empty_like(parameter, device="meta")
        expected[f"{name}.exp_avg_sq"] = torch.empty_like(parameter, device="meta")
    return expected

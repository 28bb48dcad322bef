"""What must hold before a model trains, is saved, or gets a checkpoint's content."""

from pathlib import Path

import torch

from gptlib.data.shards import ShardWindows
from gptlib.data.windows import Rows
from gptlib.errors import CheckpointError, TokenOutOfRange
from gptlib.model import GPT, check_ids
from gptlib.training.sealed import Tensors


def check_windows(model: GPT, data: list[Rows]) -> None:
    """Check every id once, on the CPU, before a device reports it badly and late.

    Of shards, whose ids :func:`gptlib.data.shards.verify_shards` has looked at, the vocabulary.
    """
    for rows in data:
        known = model.config.vocab_size
        if isinstance(rows, ShardWindows) and rows.ids.vocab_size > known:
            raise TokenOutOfRange(
                f"the shards' vocabulary of {rows.ids.vocab_size:,} is larger than the model's of "
                f"{known:,}: give the model a vocab_size of {rows.ids.vocab_size}"
            )
        check_ids(rows[:1] if isinstance(rows, ShardWindows) else rows[:], model.config)


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

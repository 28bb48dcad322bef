"""Checkpoints: everything that a run needs to go on, or a model to be used, in one folder.

::

    run/  metrics.jsonl  tokenizer/
          checkpoints/step-00001000/  model.safetensors  optimizer.safetensors  state.json
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gptlib.config import GPTConfig
from gptlib.errors import CheckpointError
from gptlib.model import GPT
from gptlib.tokenizer import Tokenizer, load_tokenizer
from gptlib.training.optimizer import moments, restore_moments
from gptlib.training.sealed import STATE, Tensors, read_sealed, retire, write_sealed

KEPT = 2  # the newest checkpoints that stay; the best one stays as well
MODEL, OPTIMIZER = "model.safetensors", "optimizer.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint's folder holds, verified."""

    folder: Path
    state: dict[str, Any]
    tensors: dict[str, Tensors]  # for each file its named tensors


def save_checkpoint(
    run_folder: Path, model: GPT, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> Path:
    """Write one checkpoint, then delete those no longer needed.

    Args:
        run_folder: gets ``checkpoints/step-…``.
        model, optimizer: kept, together with the random states that training draws from.
        state: holds ``step``; ``best_step`` protects that checkpoint from deletion. The rest
            is the caller's, ready for JSON.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: the disk refused; earlier checkpoints are as they were.
    """
    model = bare(model)
    folder = run_folder / "checkpoints" / f"step-{state['step']:08d}"
    tensors = {MODEL: contiguous(model.state_dict()), OPTIMIZER: contiguous(moments(optimizer))}
    state = {
        **state,
        "model": model.config.to_dict(),
        "parameter_groups": [group["param_names"] for group in optimizer.param_groups],
    }
    write_sealed(folder, tensors, state)
    rotate(run_folder, state["step"], state.get("best_step"))
    return folder


def rotate(run_folder: Path, step: int, best_step: int | None) -> None:
    """Delete the checkpoints before `step` but the newest and the best."""
    past = [folder for folder in checkpoints(run_folder) if step_of(folder) <= step]
    for folder in past[:-KEPT]:
        if step_of(folder) != best_step:
            retire(folder)


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """Read a checkpoint and verify it; nothing is put anywhere yet.

    Args:
        folder: one checkpoint, or a run, whose newest intact checkpoint is taken; each damaged
            one before it is a warning.

    Raises:
        CheckpointError: there is no intact checkpoint.
    """
    folder = Path(folder)
    if (folder / STATE).exists():
        return Checkpoint(folder, *read_sealed(folder))
    found = checkpoints(folder)
    for candidate in reversed(found):
        try:
            return Checkpoint(candidate, *read_sealed(candidate))
        except CheckpointError as error:
            warnings.warn(f"{error}; trying the one before", stacklevel=2)
    what = f"all {len(found)} checkpoints are damaged" if found else "no checkpoint"
    raise CheckpointError(f"{folder}: {what}: train a model first, or give another folder")


def restore_checkpoint(
    checkpoint: Checkpoint, model: GPT, optimizer: torch.optim.Optimizer
) -> None:
    """Put a checkpoint back into a model, its optimizer, and PyTorch's random streams.

    Raises:
        CheckpointError: it is of another model; nothing has been changed.
    """
    model, state = bare(model), checkpoint.state
    groups = [group["param_names"] for group in optimizer.param_groups]
    if state["parameter_groups"] != groups:
        raise CheckpointError(
            f"{checkpoint.folder} groups other parameters: build the model that it was made from"
        )
    check_tensors(checkpoint, MODEL, model.state_dict())
    check_tensors(checkpoint, OPTIMIZER, expected_moments(model))
    model.load_state_dict(checkpoint.tensors[MODEL])
    restore_moments(optimizer, checkpoint.tensors[OPTIMIZER])


def load_model(folder: str | Path) -> tuple[GPT, Tokenizer | None]:
    """A trained model, in eval mode on the CPU, and the tokenizer that it was trained with.

    Args:
        folder: a run, whose newest intact checkpoint is taken, or one checkpoint.

    Returns:
        The model, and its tokenizer or None if the run had none.

    Raises:
        CheckpointError: there is no intact checkpoint, or another tokenizer beside it.
    """
    checkpoint = load_checkpoint(folder)
    model = GPT(GPTConfig.from_dict(checkpoint.state["model"]))
    check_tensors(checkpoint, MODEL, model.state_dict())
    model.load_state_dict(checkpoint.tensors[MODEL])
    fingerprint = checkpoint.state["fingerprints"]["tokenizer"]
    if fingerprint is None:
        return model.eval(), None
    place = checkpoint.folder.parent.parent / "tokenizer"
    tokenizer = load_tokenizer(place)
    if tokenizer.fingerprint != fingerprint:
        raise CheckpointError(
            f"{place} is not the tokenizer of {checkpoint.folder.name}: "
            f"restore the one that the run was trained with"
        )
    return model.eval(), tokenizer


def checkpoints(run_folder: Path) -> list[Path]:
    """The checkpoint folders of a run, oldest first."""
    return sorted((run_folder / "checkpoints").glob("step-????????"))


def step_of(folder: Path) -> int:
    """The number of updates behind a checkpoint."""
    return int(folder.name.removeprefix("step-"))


def check_tensors(checkpoint: Checkpoint, file: str, expected: Tensors) -> None:
    """Refuse tensors that differ in name, shape or dtype from those they shall replace."""
    found, place = checkpoint.tensors.get(file, {}), checkpoint.folder / file
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


def bare(model: nn.Module) -> GPT:
    """The model inside ``torch.compile``'s wrapper, whose names begin with ``_orig_mod.``."""
    return getattr(model, "_orig_mod", model)  # type: ignore[arg-type]


def contiguous(tensors: Tensors) -> Tensors:
    """Copies on the CPU that lie in one piece, as safetensors stores them."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

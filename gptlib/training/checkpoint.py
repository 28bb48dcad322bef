"""Checkpoints: everything that a run needs to go on, or a model to be used, in one folder.

::

    run/  metrics.jsonl  tokenizer/
          checkpoints/step-00001000/  model.safetensors  optimizer.safetensors  state.json

No random states: what a step draws is seeded from its position, which `step` gives.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gptlib.config import GPTConfig
from gptlib.errors import CheckpointError, ConfigError
from gptlib.model import GPT
from gptlib.tokenizer import Tokenizer, load_tokenizer
from gptlib.training.checks import check_finite, check_tensors, expected_moments
from gptlib.training.optimizer import moments, restore_moments
from gptlib.training.rotation import NAME, checkpoints, folder_name, rotate, step_of
from gptlib.training.sealed import STATE, State, Tensors, damaged, read_sealed
from gptlib.training.sealing import write_sealed

MODEL, OPTIMIZER = "model.safetensors", "optimizer.safetensors"
# What the state must say for a checkpoint to be of any use.
CONTENT = {"step": int, "model": dict, "parameter_groups": list, "fingerprints": dict}


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint's folder holds, verified."""

    folder: Path
    state: State
    tensors: dict[str, Tensors]  # for each file its named tensors


def save_checkpoint(
    run_folder: Path, model: GPT, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> Path:
    """Write one checkpoint, then delete those no longer needed.

    Args:
        run_folder: gets ``checkpoints/step-…``.
        model, optimizer: kept.
        state: holds ``step`` and ``fingerprints``; ``best_step`` protects that checkpoint from
            deletion. The rest is the caller's, ready for JSON.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: the model is not finite, there is no room, or the disk refused; earlier
            checkpoints are as they were.
    """
    model = bare(model)
    check_finite(model, state["step"])
    folder = run_folder / "checkpoints" / folder_name(state["step"])
    state = {
        **state,
        "model": model.config.to_dict(),
        "parameter_groups": parameter_groups(optimizer),
    }
    write_sealed(folder, {MODEL: model.state_dict(), OPTIMIZER: moments(optimizer)}, state)
    rotate(run_folder, state["step"], state.get("best_step"))
    return folder


def load_checkpoint(folder: str | Path, file: str | None = None) -> Checkpoint:
    """Read a checkpoint and verify it; nothing is put anywhere yet.

    Args:
        folder: one checkpoint, or a run, whose newest intact checkpoint is taken; each damaged
            one before it is a warning.
        file: the one file to read, such as `MODEL`; by default all are.

    Raises:
        CheckpointError: there is no intact checkpoint.
    """
    folder = Path(folder)
    if NAME.fullmatch(folder.name) or (folder / STATE).exists():
        return read_checkpoint(folder, file)
    found = checkpoints(folder)
    for candidate in reversed(found):
        try:
            return read_checkpoint(candidate, file)
        except CheckpointError as error:
            warnings.warn(f"{error}; trying the one before", stacklevel=2)
    if not found:
        raise CheckpointError(f"{folder}: no checkpoint: train a model first, or give another one")
    raise CheckpointError(
        f"{folder}: all {len(found)} checkpoints are damaged: bring one back from a copy, or begin "
        f"another run"
    )


def read_checkpoint(folder: Path, file: str | None = None) -> Checkpoint:
    """Read one checkpoint and verify it; see :func:`load_checkpoint`."""
    state, tensors = read_sealed(folder, file)
    for name, kind in CONTENT.items():
        if not isinstance(state[name], kind):
            raise damaged(folder, f"{STATE} gives {state[name]!r:.60} as {name}")
    if NAME.fullmatch(folder.name) and step_of(folder) != state["step"]:
        raise damaged(folder, f"it is step {state['step']!r}, renamed")
    for name in sorted({MODEL, OPTIMIZER} - state["files"].keys()):
        raise damaged(folder, f"it has no {name}")
    return Checkpoint(folder, state, tensors)


def restore_checkpoint(
    checkpoint: Checkpoint, model: GPT, optimizer: torch.optim.Optimizer
) -> None:
    """Put a checkpoint back into a model and its optimizer.

    Raises:
        CheckpointError: it is of another model; nothing has been changed.
    """
    model, state = bare(model), checkpoint.state
    if state["parameter_groups"] != parameter_groups(optimizer):
        raise CheckpointError(
            f"{checkpoint.folder} groups other parameters: build the model that it was made from"
        )
    check_tensors(checkpoint.folder / MODEL, checkpoint.tensors[MODEL], model.state_dict())
    found, expected = checkpoint.tensors[OPTIMIZER], expected_moments(model)
    check_tensors(checkpoint.folder / OPTIMIZER, found, expected)
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
    return model_of(load_checkpoint(folder, MODEL))


def model_of(checkpoint: Checkpoint) -> tuple[GPT, Tokenizer | None]:
    """The model of a checkpoint that was read, and its tokenizer; see :func:`load_model`."""
    model = GPT(config_of(checkpoint))
    check_tensors(checkpoint.folder / MODEL, checkpoint.tensors[MODEL], model.state_dict())
    model.load_state_dict(checkpoint.tensors[MODEL])
    fingerprint = checkpoint.state["fingerprints"].get("tokenizer")
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


def config_of(checkpoint: Checkpoint) -> GPTConfig:
    """The shape of a checkpoint's model."""
    try:
        return GPTConfig.from_dict(checkpoint.state["model"])
    except (ConfigError, TypeError, ValueError) as error:
        raise damaged(checkpoint.folder, f"its model has no shape ({error})") from error


def parameter_groups(optimizer: torch.optim.Optimizer) -> list[list[str]]:
    """The names of the parameters in each of the optimizer's groups."""
    return [list(group["param_names"]) for group in optimizer.param_groups]


def bare(model: nn.Module) -> GPT:
    """The model inside ``torch.compile``'s wrapper, whose names begin with ``_orig_mod.``."""
    return getattr(model, "_orig_mod", model)  # type: ignore[arg-type]

"""Checkpoints: everything that a run needs to go on, or a model to be used, in one folder.

::

    run/  metrics.jsonl  settings.toml  tokenizer/
          checkpoints/step-00001000/  model.safetensors  optimizer.safetensors  state.json

``state.json`` is the manifest of its folder, so what loads is what was written. No random states:
what a step draws is seeded from its position, which `step` gives. No pickle: reading runs no code.
"""

import re
import shutil
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from gptlib import files
from gptlib.config import GPTConfig
from gptlib.errors import CheckpointError, Damaged
from gptlib.model import GPT
from gptlib.tokenizer import Tokenizer, load_tokenizer
from gptlib.training.distributed import unwrap_model
from gptlib.training.optimizer import moments, parameter_groups, restore_moments

STATE, MODEL, OPTIMIZER = "state.json", "model.safetensors", "optimizer.safetensors"
FORMAT = {"format": "gptlib checkpoint", "version": 1}
NAME = re.compile(r"step-\d{8,}", re.ASCII)
KEPT = 2  # the newest checkpoints that stay; the best one stays as well

Tensors = dict[str, Tensor]


class Checkpoint(NamedTuple):
    """What a checkpoint's folder holds, verified."""

    folder: Path
    state: dict[str, Any]
    tensors: dict[str, Tensors]  # of each file that was read


def save_checkpoint(
    run_folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> Path:
    """Write ``checkpoints/step-…`` into a run's folder, then delete those no longer needed.

    Args:
        state: holds ``step`` and ``fingerprints``; ``best_step`` protects that checkpoint from
            deletion. The rest is the caller's, ready for JSON.

    Returns:
        The checkpoint's folder. One of the same step, such as a damaged one, has given way.

    Raises:
        CheckpointError: the model is not finite, or there is no room.
        FolderError: the disk refused; earlier checkpoints are as they were.
    """
    model, step = unwrap_model(model), state["step"]
    for name, tensor in model.state_dict().items():
        if not (tensor.sum().isfinite() or tensor.isfinite().all()):  # the sum alone may overflow
            raise CheckpointError(
                f"step {step}: {name} holds NaN or infinity and was not saved: go on from the "
                f"checkpoint before, with a lower learning rate"
            )
    check_room(run_folder, model)
    folder = run_folder / "checkpoints" / f"step-{step:08d}"
    about = {"model": model.config.to_dict(), "parameter_groups": parameter_groups(optimizer)}
    with files.new_folder(folder, replace=True, locked=True) as part:
        save_file(model.state_dict(), part / MODEL)
        save_file(moments(optimizer), part / OPTIMIZER)
        facts = {name: files.file_facts(part / name) for name in (MODEL, OPTIMIZER)}
        files.write_manifest(part / STATE, {**FORMAT, **state, **about, "files": facts})
    past = [old for old in checkpoints(run_folder) if step_of(old) <= step]
    for old in past[:-KEPT]:
        if step_of(old) != state.get("best_step"):
            try:
                files.delete_folder(old)
            except OSError as error:
                warnings.warn(f"{old} could not be deleted ({error.strerror})", stacklevel=2)
    return folder


def check_room(run_folder: Path, model: nn.Module) -> None:
    """Refuse to begin what the disk cannot hold: a model, and two moments of what it learns."""
    learned = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    needed = 1.05 * (sum(p.nbytes for p in model.parameters()) + 2 * learned)
    there = next(path for path in (run_folder, *run_folder.absolute().parents) if path.is_dir())
    if (free := shutil.disk_usage(there).free) < needed:
        raise CheckpointError(
            f"{run_folder} has {free / 1e6:,.1f} MB free, a checkpoint needs {needed / 1e6:,.1f} "
            f"MB: make room there or choose another folder"
        )


def load_checkpoint(folder: str | Path, file: str | None = None) -> Checkpoint:
    """Read a checkpoint and verify it; nothing is put anywhere yet.

    Args:
        folder: one checkpoint, or a run, whose newest intact checkpoint is taken; each damaged
            one before it is a warning.
        file: the one file to read, such as `MODEL`; by default both are.

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
    try:
        state = files.read_manifest(folder / STATE)
        if (found := {key: state.get(key) for key in FORMAT}) != FORMAT:
            raise CheckpointError(f"{folder} is {found}: use the gptlib that wrote it")
        if NAME.fullmatch(folder.name) and step_of(folder) != state["step"]:
            raise Damaged(f"it is step {state['step']}, renamed")
        facts = state["files"]
        files.check_files(folder / STATE, {name: facts[name]["bytes"] for name in facts})
        tensors = {
            name: load(files.read_file(folder / name, facts[name]["sha256"]))
            for name in ([file] if file else [MODEL, OPTIMIZER])
        }
    except (Damaged, SafetensorError) as error:
        raise CheckpointError(
            f"{folder} is damaged: {error}: use an earlier checkpoint or a copy"
        ) from error
    return Checkpoint(folder, state, tensors)


def restore_checkpoint(
    checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Put a checkpoint back; CheckpointError, and nothing is changed, if of another model."""
    model, found = unwrap_model(model), checkpoint.tensors[OPTIMIZER]
    check_tensors(checkpoint.folder / MODEL, checkpoint.tensors[MODEL], model.state_dict())
    expected = {}
    for name, parameter in model.named_parameters():
        if f"{name}.step" in found:  # a frozen parameter has no moments
            expected[f"{name}.step"] = torch.empty(())
            expected[f"{name}.exp_avg"] = expected[f"{name}.exp_avg_sq"] = parameter
    check_tensors(checkpoint.folder / OPTIMIZER, found, expected)
    model.load_state_dict(checkpoint.tensors[MODEL])
    restore_moments(optimizer, found)


def check_tensors(place: Path, found: Tensors, expected: Tensors) -> None:
    """Refuse tensors that differ in name, shape or dtype from those they shall replace."""
    its, ours = (
        {name: f"{tuple(tensor.shape)} {tensor.dtype}" for name, tensor in tensors.items()}
        for tensors in (found, expected)
    )
    for name, _ in sorted(its.items() ^ ours.items()):
        raise CheckpointError(
            f"{place}: {name} is {its.get(name, 'missing')}, in the model "
            f"{ours.get(name, 'missing')}: use the model that it was made from"
        )


def load_model(folder: str | Path) -> tuple[GPT, Tokenizer | None]:
    """A trained model, in eval mode on the CPU, and its tokenizer, None if the run had none.

    Args:
        folder: a run, whose newest intact checkpoint is taken, or one checkpoint.

    Raises:
        CheckpointError: there is no intact checkpoint, or another tokenizer beside it.
    """
    return model_of(load_checkpoint(folder, MODEL))


def model_of(checkpoint: Checkpoint) -> tuple[GPT, Tokenizer | None]:
    """The model of a checkpoint that was read, and its tokenizer; see :func:`load_model`."""
    model = GPT(GPTConfig.from_dict(checkpoint.state["model"]))
    check_tensors(checkpoint.folder / MODEL, checkpoint.tensors[MODEL], model.state_dict())
    model.load_state_dict(checkpoint.tensors[MODEL])
    fingerprint = checkpoint.state["fingerprints"].get("tokenizer")
    if fingerprint is None:
        return model.eval(), None
    tokenizer = load_tokenizer(place := checkpoint.folder.parent.parent / "tokenizer")
    if tokenizer.fingerprint != fingerprint:
        raise CheckpointError(
            f"{place} is not the tokenizer of {checkpoint.folder.name}: "
            f"restore the one that the run was trained with"
        )
    return model.eval(), tokenizer


def checkpoints(run_folder: Path) -> list[Path]:
    """The checkpoint folders of a run, oldest first; they may be damaged."""
    found = (run_folder / "checkpoints").glob("step-*")
    return sorted((path for path in found if NAME.fullmatch(path.name)), key=step_of)


def step_of(folder: Path) -> int:
    """The number of updates behind a checkpoint."""
    return int(folder.name.removeprefix("step-"))

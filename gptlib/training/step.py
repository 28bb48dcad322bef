"""One update of the parameters: matrix products in a short format, all else in float32.

Source: Micikevicius et al. 2018, sections 3.1 (float32 parameters) and 3.2 (loss scaling).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gptlib.config import TrainingConfig
from gptlib.environment import choose_dtype
from gptlib.errors import ConfigError, GPTLibError, TrainingDiverged
from gptlib.training.distributed import all_reduce_mean, no_sync, rank, unwrap_model
from gptlib.training.metrics import Row
from gptlib.training.optimizer import clip_gradients

OUT_OF_MEMORY = ("out of memory", "can't allocate memory")  # CUDA's and Apple's words, the CPU's
PEER_LOST = ("gloo", "Connection closed by peer", "Connection reset by peer")
MicroBatch = tuple[Tensor, Tensor]  # x and y, (B, T) each


class Precision:
    """The format of one run's matrix products.

    float16 ends at 6e-8, above many gradients: PyTorch's `GradScaler` multiplies the loss by a
    scale before the backward pass and divides the gradients by it after. A scale that is too
    large makes them infinite; then the step is skipped and the scale halved. float32 and bfloat16
    reach down to 1e-38 and need no scale.

    Args:
        wanted: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        device: where the model computes.

    Raises:
        ConfigError: the GPU would only emulate bfloat16, slower than float32.
    """

    def __init__(self, wanted: str, device: torch.device) -> None:
        best = choose_dtype(device)
        self.dtype = best if wanted == "auto" else getattr(torch, wanted)
        if self.dtype is torch.bfloat16 and device.type == "cuda" and best is torch.float16:
            raise ConfigError(
                f"{torch.cuda.get_device_name()} does not compute bfloat16, it emulates it: "
                f"use precision auto or float16"
            )
        why = "asked for" if wanted != "auto" else f"the best format of this {device.type} device"
        self.reason = f"{str(self.dtype).removeprefix('torch.')}, {why}"
        self.device_type = device.type
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype is torch.float16)

    def autocast(self) -> torch.autocast:
        """Within it, matrix products are computed in the short format."""
        return torch.autocast(self.device_type, self.dtype, enabled=self.dtype is not torch.float32)

    def unscale_and_check(self, optimizer: torch.optim.Optimizer) -> bool:
        """Divide the gradients by the scale, and adapt it; returns whether it was too large.

        ``scaler.step`` is not used: :func:`training_step` leaves the update out by itself.
        """
        scale = self.scaler.get_scale()
        self.scaler.unscale_(optimizer)  # notes whether all is finite
        self.scaler.update()
        if self.scaler.get_scale() < 1:
            raise TrainingDiverged(
                "the gradient overflows float16 whatever the loss scale: lower the learning rate, "
                "or use precision float32"
            )
        return self.scaler.get_scale() < scale

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the ``scaler.state_dict()`` of a checkpoint.

        One of another format has none: then this run's scale begins anew. Earlier checkpoints call
        the number of steps since the scale last changed ``good_steps``.
        """
        known = "_growth_tracker" in state or state.get("scale", 1) > 1
        if self.scaler.is_enabled() and known:
            since = state.get("_growth_tracker", state.get("good_steps"))
            found = {"scale": state["scale"], "_growth_tracker": since}
            self.scaler.load_state_dict(self.scaler.state_dict() | found)


def training_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    micro_batches: Sequence[MicroBatch],
    learning_rate: float,
    clip_norm: float,
    precision: Precision | None = None,
    seeds: Sequence[int] = (),
) -> Row:
    """Update the parameters once.

    Args:
        model: in train mode; gives the loss of (ids, targets).
        optimizer: over its parameters.
        micro_batches: of one size; their averaged gradient is that of one batch of all of them.
        learning_rate: of this step.
        clip_norm: the longest gradient that reaches the optimizer.
        precision: of matrix products; float32 by default.
        seeds: one for the dropout of each micro-batch; empty draws on from where PyTorch is.

    Returns:
        The true mean loss before the update, and the gradient's norm before and after clipping;
        ``skipped`` instead of the norms where float16 could not hold the gradient.

    Raises:
        TrainingDiverged: loss or gradient is not finite; the parameters are as they were.
    """
    device, n = next(model.parameters()).device, len(micro_batches)
    precision = precision or Precision("float32", device)
    total = torch.zeros((), device=device)
    optimizer.zero_grad()
    for number, (x, y) in enumerate(micro_batches):
        if seeds:
            torch.manual_seed(seeds[number])
        with no_sync(model, unless=number == n - 1):
            with precision.autocast():
                loss = model(x.to(device), y.to(device))
            precision.scaler.scale(loss / n).backward()
        total += loss.detach()
    mean_loss = all_reduce_mean(total / n).item()
    if not math.isfinite(mean_loss):
        raise TrainingDiverged(
            f"the loss is {mean_loss}: lower the learning rate, or look for bad values in the model"
        )
    if precision.unscale_and_check(optimizer):
        return {"loss": mean_loss, "skipped": True}
    norm, clipped = clip_gradients(unwrap_model(model), clip_norm)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    return {"loss": mean_loss, "gradient_norm": norm, "clipped_norm": clipped}


def seed_for_position(seed: int, position: int) -> int:
    """The seed of all that is random to the windows after `position` others: nothing to save."""
    return int(np.random.SeedSequence((seed, position)).generate_state(1, np.uint64)[0])


@contextmanager
def explained(
    step: int, config: TrainingConfig, context_length: int, saved_step: int
) -> Iterator[None]:
    """Within it, what goes wrong in a step becomes one line with its number and the way out.

    `saved_step` is that of the last checkpoint, 0 for none.

    Raises:
        TrainingDiverged, GPTLibError: in the place of what PyTorch raises.
    """
    kept = f"the checkpoint of step {saved_step} is intact" if saved_step else "none was saved"
    if rank() > 0:  # only the first one saves
        kept = "the first process says which checkpoint is intact"
    try:
        yield
    except TrainingDiverged as error:
        raise TrainingDiverged(f"step {step}: {error}") from error
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY):
            raise GPTLibError(
                f"step {step} ran out of memory with {config.batch_size} windows of "
                f"{context_length:,} tokens at a time: {smaller_step(config, context_length)}; "
                f"{kept}"
            ) from error
        if torch.distributed.is_initialized() and any(sign in str(error) for sign in PEER_LOST):
            raise GPTLibError(
                f"step {step}: another process has ended: run the same command again with "
                f"--resume; {kept}"
            ) from error
        raise


def smaller_step(config: TrainingConfig, context_length: int) -> str:
    """Settings that need about half the memory for activations."""
    if config.batch_size > 1:
        return (
            f"--batch-size {-(-config.batch_size // 2)} --accumulation {config.accumulation * 2} "
            f"takes steps of the same size with half of them at a time"
        )
    return (
        f"a batch cannot be smaller, so halve the context (--context-length "
        f"{max(1, context_length // 2)}) or take a smaller model (--model)"
    )

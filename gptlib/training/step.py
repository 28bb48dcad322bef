"""One update of the parameters."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gptlib.errors import TrainingDiverged
from gptlib.model import GPT
from gptlib.training import parallel
from gptlib.training.clipping import clip_gradients
from gptlib.training.loss import next_token_loss
from gptlib.training.metrics import Row
from gptlib.training.precision import Precision

MicroBatch = tuple[Tensor, Tensor]  # x and y, (B, T) each


def training_step(
    model: GPT,
    optimizer: torch.optim.Optimizer,
    micro_batches: Sequence[MicroBatch],
    learning_rate: float,
    clip_norm: float,
    precision: Precision | None = None,
    seeds: Sequence[int] = (),
) -> Row:
    """Update the parameters once.

    Args:
        model: in train mode.
        optimizer: over its parameters.
        micro_batches: pairs (x, y) of one size; their gradients are averaged, which gives the
            gradient of one batch of all of them in the memory of one of them.
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
    precision = precision or Precision("float32", model.device)
    optimizer.zero_grad()
    total = torch.zeros((), device=model.device)
    for number, (x, y) in enumerate(micro_batches):
        if seeds:
            torch.manual_seed(seeds[number])
        with precision.autocast():
            loss = next_token_loss(model, x.to(model.device), y.to(model.device))
        (loss * precision.scale / len(micro_batches)).backward()
        total += loss.detach()
    mean_loss = finite(parallel.mean(total / len(micro_batches)).item())
    parallel.average_gradients(model)
    precision.unscale(model)
    if precision.overflowed(model):
        return {"loss": mean_loss, "skipped": True}
    norm, clipped = clip_gradients(model, clip_norm)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    return {"loss": mean_loss, "gradient_norm": norm, "clipped_norm": clipped}


def finite(loss: float) -> float:
    """The loss itself, unless it is NaN or infinite."""
    if not math.isfinite(loss):
        raise TrainingDiverged(
            f"the loss is {loss}: lower the learning rate, or look for bad values in the model"
        )
    return loss


def seed_at(seed: int, position: int) -> int:
    """The seed of everything random that happens to the windows after `position` others.

    A function of the run's seed and the place in it, like the order of the windows: nothing to
    save, nothing to restore, and the same for one process as for eight.
    """
    return int(np.random.SeedSequence((seed, position)).generate_state(1, np.uint64)[0])

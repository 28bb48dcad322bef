"""One update of the parameters."""

import torch
from torch import Tensor

from gptlib.model import GPT
from gptlib.training.clipping import clip_gradients
from gptlib.training.loss import next_token_loss
from gptlib.training.metrics import Row

Windows = tuple[Tensor, Tensor]  # x and y, (n, T) each


def training_step(
    model: GPT,
    optimizer: torch.optim.Optimizer,
    micro_batches: list[Windows],
    learning_rate: float,
    clip_norm: float,
) -> Row:
    """Update the parameters once.

    Args:
        model: in train mode.
        optimizer: over its parameters.
        micro_batches: pairs (x, y) of one size; their gradients are averaged, which gives the
            gradient of one batch of all of them in the memory of one of them.
        learning_rate: of this step.
        clip_norm: the longest gradient that reaches the optimizer.

    Returns:
        The true mean loss before the update, and the gradient's norm before and after clipping.

    Raises:
        TrainingDiverged: the gradient is not finite; the parameters are as they were.
    """
    optimizer.zero_grad()
    total = 0.0
    for x, y in micro_batches:
        loss = next_token_loss(model, x.to(model.device), y.to(model.device))
        (loss / len(micro_batches)).backward()
        total += loss.item()
    norm, clipped = clip_gradients(model, clip_norm)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    return {"loss": total / len(micro_batches), "gradient_norm": norm, "clipped_norm": clipped}

"""Validation: the same loss on text that the model does not train on."""

import torch

from gptlib.data.windows import Rows, Windows
from gptlib.generation import eval_mode
from gptlib.model import GPT
from gptlib.training.loss import next_token_loss


@torch.no_grad()
def evaluate(model: GPT, x: Rows, y: Rows, batch_size: int = 8) -> float:
    """The mean loss over all tokens of some windows, always in the same order.

    Dropout is off and no random number is drawn, so evaluating more often changes nothing in
    training; the model's train or eval mode is put back.

    Args:
        model: left in the mode in which it came.
        x, y: (n, T) windows and targets; every one is used.
        batch_size: windows at a time; a last, smaller batch weighs by its tokens.

    Returns:
        Nats per token.
    """
    total = 0.0
    with eval_mode(model):
        for inputs, targets in zip(x.split(batch_size), y.split(batch_size), strict=True):
            loss = next_token_loss(model, inputs.to(model.device), targets.to(model.device))
            total += loss.item() * targets.numel()
    return total / y.numel()


def spread(windows: Windows, count: int) -> Windows:
    """Some windows at even distances, always the same: a cheaper sample of a large split.

    Args:
        windows: x and y, (n, T) each.
        count: how many to keep; 0, or more than there are, keeps all.
    """
    x, y = windows
    if count == 0 or count >= len(x):
        return windows
    places = torch.arange(count) * len(x) // count
    return x[places], y[places]

"""Validation: the same loss on text that the model does not train on."""

import torch

from gptlib.data.dataset import TokenDataset
from gptlib.generation import eval_mode
from gptlib.model import GPT
from gptlib.training.loss import next_token_loss


@torch.no_grad()
def evaluate(model: GPT, data: TokenDataset, batch_size: int = 8) -> float:
    """The mean loss over all targets of some windows, always in the same order.

    Dropout is off and no random number is drawn, so evaluating more often changes nothing in
    training; the model's train or eval mode is put back.

    Args:
        model: left in the mode in which it came.
        data: n windows and their targets; every one is used.
        batch_size: windows at a time; a last, smaller batch weighs by its tokens.

    Returns:
        Nats per token.
    """
    total, n_targets = 0.0, 0
    with eval_mode(model):
        for first in range(0, len(data), batch_size):
            x, y = data[first : first + batch_size]  # (B, T) each
            loss = next_token_loss(model, x.to(model.device), y.to(model.device))
            total += loss.item() * y.numel()
            n_targets += y.numel()
    return total / n_targets


def subsample(data: TokenDataset, count: int) -> TokenDataset:
    """`count` windows at even distances, always the same: a cheaper sample of a large split.

    Args:
        data: n windows.
        count: how many to keep; 0, or more than there are, keeps all.
    """
    n = len(data)
    return data.subset(i * n // count for i in range(count)) if 0 < count < n else data

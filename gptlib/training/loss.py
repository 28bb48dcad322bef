"""The loss: how surprised the model is by what came next."""

from torch import Tensor, nn
from torch.nn import functional as F


def next_token_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The mean surprise −ln p(target) over all positions, in nats per token.

    Args:
        model: ids (B, T) to logits (B, T, V).
        x: (B, T) inputs.
        y: (B, T) targets, x one position later.

    Returns:
        A scalar that can be differentiated; ln V for a model that knows nothing.
    """
    logits = model(x)  # (B, T, V)
    return F.cross_entropy(logits.flatten(0, 1), y.flatten())  # rows (B·T, V) against (B·T,)

"""The gradient as one long vector: its norm, and a limit on it."""

import torch
from torch import Tensor, nn

from gptlib.errors import TrainingDiverged


def gradient_norm(model: nn.Module) -> Tensor:
    """The length of all gradients together, √(Σ g²), as a scalar."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return torch.stack([gradient.norm() for gradient in gradients]).norm()


def layer_norms(model: nn.Module, scale: float = 1.0) -> dict[str, float]:
    """The gradient's norm in each layer: the embeddings, every block, the final LayerNorm.

    Squared and summed they give the square of :func:`gradient_norm`.

    Args:
        model: after a backward pass.
        scale: multiplies every norm; undoes a clipping that has already happened.
    """
    parts: dict[str, list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            parts.setdefault(layer_of(name), []).append(parameter.grad.norm())
    return {layer: scale * torch.stack(norms).norm().item() for layer, norms in parts.items()}


def layer_of(name: str) -> str:
    """The layer that a parameter belongs to, as it is called in figures."""
    if name.startswith("blocks."):
        return f"block {int(name.split('.')[1]) + 1}"
    return "embeddings" if "embedding" in name else "final LayerNorm"


def clip_gradients(model: nn.Module, limit: float) -> tuple[float, float]:
    """Shorten the gradient to `limit` if it is longer, without turning it.

    Args:
        model: its gradients are scaled in place.
        limit: the largest norm that is let through.

    Returns:
        The norm before and after.

    Raises:
        TrainingDiverged: the norm is not finite. Scaling by it would make every gradient NaN,
            so nothing has been changed.

    Source: Pascanu et al. 2013, algorithm 1.
    """
    before = gradient_norm(model).item()
    if not before < float("inf"):
        raise TrainingDiverged(
            f"the gradient of {first_not_finite(model)} is not finite: lower the learning rate, "
            f"or look for bad values in the data"
        )
    if before <= limit:
        return before, before
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(limit / before)
    return before, limit


def first_not_finite(model: nn.Module) -> str:
    """The name of the first parameter whose gradient holds NaN or infinity."""
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            return name
    return "all parameters together"  # each is finite, their sum of squares is not

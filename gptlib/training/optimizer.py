"""From gradients to a step: its length is limited, its rate follows a schedule, AdamW takes it."""

import math
from itertools import chain

import torch
from torch import Tensor, nn

from gptlib.config import TrainingConfig
from gptlib.errors import TrainingDiverged

FUSED = ("cpu", "cuda")  # devices on which every PyTorch from 2.10 on has AdamW in one kernel


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW over any module's parameters in two groups, of which an empty one is left out.

    Weight matrices and embeddings decay. Biases and LayerNorm's scales do not: they are few, and
    pulling a scale toward 0 would switch its channel off.

    Source: Loshchilov & Hutter 2019; the groups as in Brown et al. 2020's followers.
    """
    named = list(model.named_parameters())  # a shared tensor is listed once
    matrices = [(name, tensor) for name, tensor in named if tensor.dim() >= 2]
    vectors = [(name, tensor) for name, tensor in named if tensor.dim() < 2]
    fused = all(tensor.device.type in FUSED for _, tensor in named)
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused)


def moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What AdamW remembers of past gradients, each tensor under its parameter's name."""
    remembered = optimizer.state_dict()["state"]
    return {
        f"{name}.{key}": tensor
        for index, name in enumerate(chain(*parameter_groups(optimizer)))
        for key, tensor in remembered.get(index, {}).items()
    }


def restore_moments(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`moments` returned."""
    state = optimizer.state_dict()
    state["state"] = {
        index: {key: tensors[f"{name}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        for index, name in enumerate(chain(*parameter_groups(optimizer)))
        if f"{name}.step" in tensors  # a frozen parameter has none
    }
    optimizer.load_state_dict(state)


def parameter_groups(optimizer: torch.optim.Optimizer) -> list[list[str]]:
    """The parameters' names, group by group: in this order the optimizer numbers them."""
    return [list(group["param_names"]) for group in optimizer.param_groups]


def learning_rate_at(
    step: int, peak: float, floor: float, warmup_steps: int, total_steps: int
) -> float:
    """The learning rate of one step, from its number alone: nothing to save, nothing to resume.

    Args:
        step: 0 for the first update.
        peak: the highest rate, reached at step `warmup_steps` − 1.
        floor: the rate from `total_steps` on; equal to `peak` it gives a constant rate.
        warmup_steps: steps of the rise, whose first is above 0; 0 starts at the peak.
        total_steps: where the cosine reaches the floor.

    Source: Loshchilov & Hutter 2017 (cosine); Goyal et al. 2017, section 2.2 (warm-up).
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if step >= total_steps:
        return floor
    progress = (step - warmup_steps) / (total_steps - warmup_steps)  # 0 … 1
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2


def learning_rate_of(step: int, config: TrainingConfig) -> float:
    """The learning rate of one step under a run's settings; see :func:`learning_rate_at`."""
    c = config
    return learning_rate_at(
        step, c.learning_rate, c.min_learning_rate, c.warmup_steps, c.planned_steps
    )


def gradient_norm(model: nn.Module) -> Tensor:
    """The length of all gradients together, √(Σ g²), as a scalar; 0 where there are none."""
    norms = [p.grad.norm() for p in model.parameters() if p.grad is not None]
    return torch.stack(norms).norm() if norms else torch.zeros(())


def gradient_norm_by_layer(model: nn.Module, scale: float = 1.0) -> dict[str, float]:
    """The gradient's norm in each layer; their squares add up to that of :func:`gradient_norm`.

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
    """Shorten the gradient to `limit` if it is longer, in place, without turning it.

    Returns:
        The norm before and after.

    Raises:
        TrainingDiverged: the norm is not finite, and nothing has been changed.

    Source: Pascanu et al. 2013, algorithm 1.
    """
    before = gradient_norm(model).item()
    if not math.isfinite(before):
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

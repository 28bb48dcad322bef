"""AdamW, with weight decay on matrices only."""

import torch
from torch import Tensor, nn

from gptlib.config import TrainingConfig

FUSED = ("cpu", "cuda")  # devices on which every PyTorch from 2.10 on has AdamW in one kernel


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW over a model's parameters in two groups.

    Weight matrices and embeddings decay. Biases and LayerNorm's scales do not: they are few,
    and pulling a scale towards 0 would switch its channel off. The tied head is the token
    embedding, so it stands in its group once.

    Args:
        model: any module.
        config: reads `learning_rate`, `betas` and `weight_decay`.

    Where the device has it, each update is one kernel that reads and writes a number once.

    Source: Loshchilov & Hutter 2019; the groups as in Brown et al. 2020's followers.
    """
    named = list(model.named_parameters())  # a shared tensor is listed once
    decaying = [(name, tensor) for name, tensor in named if tensor.dim() >= 2]
    free = [(name, tensor) for name, tensor in named if tensor.dim() < 2]
    fused = all(tensor.device.type in FUSED for _, tensor in named)
    groups = [
        {"params": decaying, "weight_decay": config.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused)


def moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What AdamW remembers of past gradients, each tensor under its parameter's name."""
    remembered = optimizer.state_dict()["state"]
    return {
        f"{name}.{key}": tensor
        for index, name in enumerate(parameter_names(optimizer))
        for key, tensor in remembered.get(index, {}).items()
    }


def restore_moments(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`moments` returned."""
    state = optimizer.state_dict()
    state["state"] = {
        index: {key: tensors[f"{name}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        for index, name in enumerate(parameter_names(optimizer))
        if f"{name}.step" in tensors  # a frozen parameter has none
    }
    optimizer.load_state_dict(state)


def parameter_names(optimizer: torch.optim.Optimizer) -> list[str]:
    """Names in the order in which the optimizer numbers its parameters."""
    return [name for group in optimizer.param_groups for name in group["param_names"]]

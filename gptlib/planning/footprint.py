"""How many bytes training holds at its fullest moment, by part, from the shapes alone."""

from dataclasses import dataclass

import torch

from gptlib.config import GPTConfig
from gptlib.model import count_parameters
from gptlib.training.loss import LOGITS_AT_A_TIME

FLOAT32 = 4  # bytes: parameters, gradients, moments and sums always have this format


@dataclass(frozen=True)
class Batch:
    """What one process works on in a step."""

    size: int  # B, windows in a micro-batch
    accumulation: int = 1  # micro-batches one after the other


def activation_bytes(
    config: GPTConfig, batch_size: int, dtype: torch.dtype, device_type: str = "cpu"
) -> int:
    """What the forward pass keeps for the backward pass, from the ids to the final LayerNorm.

    For each of the R = B·T positions, a block keeps both LayerNorms' inputs (2C in float32, and
    4 numbers for mean and deviation), and in the format of matrix products what each of them
    read: the normalised C twice, queries, keys and values 3C, what attention gathered C, the
    MLP's 4C before and 4C after the gate. Dropout keeps a mask wherever it is applied.

    Args:
        config: the shape; windows are as long as its context.
        batch_size: B, windows in a micro-batch.
        dtype: the format of matrix products.
        device_type: ``cuda``'s fused attention never keeps (T, T) weights; a CPU's does when
            there is dropout, an Apple GPU's always.
    """
    B, T, C, L, H = (
        batch_size,
        config.context_length,
        config.width,
        config.n_layers,
        config.n_heads,
    )
    R, low = B * T, dtype.itemsize
    mask = (1 if device_type == "cuda" else low) * R * C if config.dropout else 0
    block = R * C * (2 * FLOAT32 + 14 * low) + 4 * R * FLOAT32 + 2 * mask
    fused = device_type == "cuda" or (device_type == "cpu" and not config.dropout)
    if fused:
        block += B * H * T * FLOAT32  # one number for each row of weights
    else:
        block += (3 if config.dropout else 1) * B * H * T * T * low
        block += 2 * R * C * low if B == 1 else 0  # scaled copies beside the whole (q, k, v)
    ids_and_positions = 8 * (R + T)
    ends = 2 * R * C * FLOAT32 + 2 * R * FLOAT32 + mask  # embedding's mask, final LayerNorm
    return L * block + ends + ids_and_positions


def memory_parts(
    config: GPTConfig, batch: Batch, dtype: torch.dtype, device_type: str = "cpu"
) -> dict[str, int]:
    """Bytes held at the fullest moment of a step, by part; the process itself comes on top.

    That moment is either the end of a forward pass, when all activations are there, or the end
    of the last backward pass, when all gradients are.

    Args: see :func:`activation_bytes`.
    """
    counts = count_parameters(config)
    weights, table = counts["total"] * FLOAT32, counts["token embedding"] * FLOAT32
    low = dtype.itemsize
    halves = weights * low // FLOAT32 if low < FLOAT32 else 0  # autocast's copies of the weights
    gradients_stay = batch.accumulation > 1
    forward_ends = {
        "gradients": weights if gradients_stay else 0,
        "activations": activation_bytes(config, batch.size, dtype, device_type) + halves,
        "loss": logits_bytes(config, batch.size, dtype) + table,  # and the head's gradient
    }
    backward_ends = {
        "gradients": weights,
        "activations": halves,
        "loss": table if gradients_stay else 0,  # the table's gradients as head and as input
    }
    backward_ends["loss"] += table
    fullest = max(forward_ends, backward_ends, key=lambda parts: sum(parts.values()))
    return {"parameters": weights, "AdamW's moments": 2 * weights, **fullest}


def logits_bytes(config: GPTConfig, batch_size: int, dtype: torch.dtype) -> int:
    """The rows of logits that the loss holds at a time; in short formats also in float32."""
    numbers = min(batch_size * config.context_length * config.vocab_size, LOGITS_AT_A_TIME)
    return numbers * (FLOAT32 if dtype.itemsize == FLOAT32 else FLOAT32 + 2 * dtype.itemsize)

"""How much arithmetic a token costs, and how much of what the device can do is used.

A multiplication and an addition are two floating-point operations (FLOPs), so a matrix product
(m, k) @ (k, n) costs 2·m·k·n. Softmax, LayerNorm and GELU are left out: under a percent.
"""

import time
from functools import lru_cache

import torch

from gptlib.config import GPTConfig
from gptlib.model import count_parameters
from gptlib.training.gpus import find_gpu

BACKWARD = 2  # a product's backward is two such products: for its input and for its weight


def flops_per_token(config: GPTConfig, context_length: int | None = None) -> int:
    """FLOPs to train on one token: 6N + 12·L·H·D·T.

    N counts every parameter but the position embeddings, which are only looked up; the tied
    table counts once, as the head. Each costs 2 FLOPs forward and 4 backward. The second part
    is attention's, which no parameter stands for, as if every position saw the whole window.

    Args:
        config: the model's shape.
        context_length: T, tokens in a window; the model's own by default.

    Returns:
        855,166,464 for gpt2 at T = 1,024.

    Source: Chowdhery et al. 2022 (PaLM), appendix B.
    """
    T = config.context_length if context_length is None else context_length
    counts = count_parameters(config)
    N = counts["total"] - counts["position embedding"]
    return 6 * N + 12 * config.n_layers * config.n_heads * config.head_width * T


def forward_flops(config: GPTConfig, context_length: int | None = None) -> dict[str, int]:
    """FLOPs of the matrix products of one forward pass, per token and by part.

    A block's two sides are 24C² + 4TC; only "attention scores" grows with the window. The whole
    training step costs three times the sum.

    Args:
        config: the model's shape.
        context_length: T, tokens in a window; the model's own by default.
    """
    T = config.context_length if context_length is None else context_length
    C, L = config.width, config.n_layers
    return {
        "attention projections": L * 8 * C * C,  # (C, 3C) in, (C, C) out
        "attention scores": L * 4 * T * C,  # query @ key, then weights @ value: 2TC each
        "MLP": L * 16 * C * C,  # (C, 4C) and back
        "head": 2 * C * config.vocab_size,
    }


def throughput(
    tokens: int, seconds: float, flops_per_token: float, peak: float
) -> tuple[float, float]:
    """How fast a step was, in two ways.

    Args:
        tokens: of the whole step, all micro-batches and processes together.
        seconds: that it took.
        flops_per_token: see :func:`flops_per_token`.
        peak: FLOP/s of all devices together, see :func:`peak_flops`.

    Returns:
        Tokens per second, and utilisation: the share of `peak` that went into the model.
    """
    rate = tokens / seconds
    return rate, rate * flops_per_token / peak


@lru_cache
def peak_flops(device: torch.device, dtype: torch.dtype) -> tuple[float, str]:
    """The most FLOP/s that a device reaches in matrix products, and where the figure is from.

    A maker's figure where the GPU is in the table, else the best of some matrix products: takes
    under half a second once, and draws no random number.

    Args:
        device: where the model trains.
        dtype: the format of its matrix products.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    gpu = find_gpu(name)
    # With TF32 switched on, float32 products are faster than the table's float32.
    listed = dtype != torch.float32 or torch.get_float32_matmul_precision() == "highest"
    promised = gpu.peak_flops(dtype) if gpu and listed else None
    if gpu and promised:
        return promised, f"NVIDIA's figure for {gpu.name}"
    return measured_flops(device, dtype), "measured by a matrix product"


def measured_flops(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a square matrix product large enough to take 10 ms, the best in 0.3 s.

    The best, since whatever else the machine does only makes a product slower.
    """
    size, seconds = 256, 0.0
    while seconds < 0.01 and size < 16_384:
        size *= 2
        matrix = torch.ones(size, size, device=device, dtype=dtype)
        timed_product(matrix)  # the first one of a size sets its kernel up
        seconds = timed_product(matrix)
    spent = 0.0
    while spent < 0.3:
        again = timed_product(matrix)
        spent, seconds = spent + again, min(seconds, again)
    return 2 * size**3 / seconds


def timed_product(matrix: torch.Tensor) -> float:
    """Seconds of one product of a square matrix with itself."""
    started = time.perf_counter()
    (matrix @ matrix)[0, 0].item()  # reading a number waits for the device
    return time.perf_counter() - started

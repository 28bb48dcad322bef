"""How much arithmetic a token costs, and how much of what the device can do is used.

A multiplication and an addition are two floating-point operations (FLOPs), so a matrix product
(m, k) @ (k, n) costs 2·m·k·n. Softmax, LayerNorm and GELU are left out: under a percent.
"""

import math
import platform
import sys
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

import gptlib
from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.corpora import Corpus
from gptlib.data.prepare import PreparedCorpus
from gptlib.model import GPT, count_parameters
from gptlib.tokenizer import Tokenizer
from gptlib.training.distributed import world_size

if sys.platform != "win32":
    import resource

STATUS = Path("/proc/self/status")  # Linux alone has it


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
    training step costs three times the sum. Arguments as in :func:`flops_per_token`.
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
    """Tokens per second, and utilization: the share of `peak` that went into the model.

    Args:
        tokens: of the whole step, all micro-batches and processes together.
        seconds: that it took.
        flops_per_token: see :func:`flops_per_token`.
        peak: FLOP/s of all devices together, see :func:`peak_flops`.
    """
    rate = tokens / seconds
    return rate, rate * flops_per_token / peak


@dataclass(frozen=True)
class GPU:
    """One card. Peaks are its maker's: dense (half of "with sparsity"), sums kept in float32."""

    name: str
    memory: float  # GiB that PyTorch reports, a little less than is printed on the box
    float16: float  # TFLOP/s of matrix products, tensor cores
    float32: float  # TFLOP/s without TF32, PyTorch's default for matrix products
    bfloat16: bool = True  # whether it computes bfloat16 itself, at float16's speed

    def peak_flops(self, dtype: torch.dtype) -> float | None:
        """FLOP/s of matrix products in a format; None where it has no such hardware."""
        if dtype == torch.float32:
            return self.float32 * 1e12
        native = dtype == torch.float16 or (dtype == torch.bfloat16 and self.bfloat16)
        return self.float16 * 1e12 if native else None

    @property
    def dtype(self) -> torch.dtype:
        """The format that training takes here; see :func:`gptlib.environment.choose_dtype`."""
        return torch.bfloat16 if self.bfloat16 else torch.float16


# Sources: NVIDIA's data sheets of T4 (2019), V100 (2020), A100 (2021), H100 (2023), L4 (2023) and
# H200 (2024); the white papers GA102 (RTX 3090, 2020) and Ada (RTX 4090, 2022).
GPUS = (
    GPU("T4", 14.6, 65, 8.1, bfloat16=False),
    GPU("V100 SXM2", 15.8, 125, 15.7, bfloat16=False),
    GPU("V100 PCIe", 15.8, 112, 14, bfloat16=False),
    GPU("L4", 22.0, 121, 30.3),
    GPU("A100", 39.5, 312, 19.5),
    GPU("H100 PCIe", 79.1, 756, 51),
    GPU("H100", 79.1, 989, 67),
    GPU("H200", 139.8, 989, 67),
    GPU("RTX 3090", 23.6, 71, 35.6),
    GPU("RTX 4090", 23.6, 165, 82.6),
)
OTHER_CARDS = {"ti", "d", "laptop", "mig", "nvl"}  # such a word makes another card of a name


def find_gpu(name: str) -> GPU | None:
    """The table's row for a device's name, such as ``Tesla T4`` or ``NVIDIA H100 80GB HBM3``."""
    words = set(name.lower().replace("-", " ").split())
    if words & OTHER_CARDS:
        return None
    return next((gpu for gpu in GPUS if set(gpu.name.lower().split()) <= words), None)


def device_name(device: torch.device) -> str:
    """``cpu``, or the GPU's own name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@lru_cache
def peak_flops(device: torch.device, dtype: torch.dtype) -> tuple[float, str]:
    """The most FLOP/s that a device reaches in matrix products, and where the figure is from.

    A maker's figure where the GPU is in the table, else the best of some matrix products, which
    take under a second once.
    """
    gpu = find_gpu(device_name(device))
    # With TF32 switched on, float32 products are faster than the table's float32.
    listed = dtype != torch.float32 or torch.get_float32_matmul_precision() == "highest"
    promised = gpu.peak_flops(dtype) if gpu and listed else None
    if gpu and promised:
        return promised, f"NVIDIA's figure for {gpu.name}"
    return measured_flops(device, dtype), "measured by a matrix product"


def measured_flops(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of the fastest of some square matrix products: other work only makes them slower."""
    size, seconds, spent = 256, 0.0, 0.0
    while spent < 0.3:
        if seconds < 0.01 and size < 16_384:  # too short to be timed
            size *= 2
            matrix = torch.ones(size, size, device=device, dtype=dtype)
            (matrix @ matrix)[0, 0].item()  # the first one of a size sets its kernel up
            seconds, spent = math.inf, 0.0
        started = time.perf_counter()
        (matrix @ matrix)[0, 0].item()  # reading a number waits for the device
        took = time.perf_counter() - started
        spent, seconds = spent + took, min(seconds, took)
    return 2 * size**3 / seconds


def peak_memory(device: torch.device) -> int | None:
    """The most bytes held at any moment since the process began; None on Windows.

    On a CUDA device, what its tensors took. Elsewhere, the process's resident memory: Python and
    PyTorch's own code as well.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if STATUS.exists():  # getrusage's figure would begin with that of the process that started us
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024  # "VmHWM:   223456 kB"
    if sys.platform == "win32":
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS


def run_info(
    model: GPT,
    config: TrainingConfig,
    dtype: torch.dtype,
    context_length: int,
    corpus: Corpus | PreparedCorpus | None,
    tokenizer: Tokenizer | None,
) -> dict[str, Any]:
    """The first line of the metrics: what the curves cannot be read without.

    `dtype` is the format of matrix products, `context_length` T of the windows, which may be less
    than the model's.
    """
    peak, source = peak_flops(model.device, dtype)
    where = {"device": device_name(model.device), "dtype": str(dtype).removeprefix("torch.")}
    return {
        "model": model.config.to_dict(),
        "parameters": model.n_parameters(),
        "training": config.to_dict(),
        **where,
        "corpus": corpus and {"name": corpus.name, "fingerprint": corpus.fingerprint},
        "tokenizer": tokenizer and tokenizer.name,
        "flops_per_token": flops_per_token(model.config, context_length),
        "peak_flops": peak * world_size(),
        "peak_flops_source": source,
        "environment": {  # with another the last bits of a result may differ
            "gptlib": gptlib.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            **where,
            "processes": world_size(),
        },
    }


def step_metrics(
    info: dict[str, Any], tokens: int, seconds: float, device: torch.device
) -> dict[str, Any]:
    """What one step took, over all processes, for its row of the metrics."""
    rate, share = throughput(tokens, seconds, info["flops_per_token"], info["peak_flops"])
    return {
        "seconds": seconds,
        "tokens_per_second": rate,
        "utilization": share,
        "peak_memory": peak_memory(device),  # bytes
    }

"""GPUs by name: what their makers promise, and what PyTorch finds free on them.

Peak figures are NVIDIA's own, dense (half of those "with sparsity") and with sums kept in float32,
which is how training multiplies. Sources: the data sheets of T4 (2019), V100 (2020), A100 (2021),
H100 (2023), L4 (2023) and H200 (2024); the architecture white papers GA102 (RTX 3090, 2020) and
Ada (RTX 4090, 2022).
"""

from dataclasses import dataclass

import torch

TERA = 1e12
# Words that make another card of a name: its figures are not those of the table.
OTHER_CARDS = {"ti", "d", "laptop", "mig", "nvl"}


@dataclass(frozen=True)
class GPU:
    """One card: its name's words, its memory, and the most it can compute."""

    name: str
    memory: float  # GiB that PyTorch reports, a little less than is printed on the box
    float16: float  # TFLOP/s of matrix products, tensor cores
    float32: float  # TFLOP/s without TF32, PyTorch's default for matrix products
    bfloat16: bool = True  # whether it computes bfloat16 itself, at float16's speed

    def peak_flops(self, dtype: torch.dtype) -> float | None:
        """FLOP/s of matrix products in a format; None where it has no such hardware."""
        if dtype == torch.float32:
            return self.float32 * TERA
        native = dtype == torch.float16 or (dtype == torch.bfloat16 and self.bfloat16)
        return self.float16 * TERA if native else None

    @property
    def dtype(self) -> torch.dtype:
        """The format that training takes here; see :func:`gptlib.environment.choose_dtype`."""
        return torch.bfloat16 if self.bfloat16 else torch.float16


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


def find_gpu(name: str) -> GPU | None:
    """The table's row for a device's name, such as ``Tesla T4`` or ``NVIDIA H100 80GB HBM3``."""
    words = set(name.lower().replace("-", " ").split())
    if words & OTHER_CARDS:
        return None
    return next((gpu for gpu in GPUS if set(gpu.name.lower().split()) <= words), None)

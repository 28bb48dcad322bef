"""The same model, its weights laid out for writing.

One token at a time, a step costs what it takes to read every weight once from memory. So the
layout of the weights decides, and their size: 8 bits a weight are read in a quarter of the time.
"""

import warnings

import torch
from torch import Tensor, nn

from gptlib.errors import ConfigError
from gptlib.model import GPT

DTYPES = ("float32", "bfloat16", "int8")


class WideLinear(nn.Module):
    """A linear layer whose weight is kept as (in, out).

    A product with one row reads it about a third faster than nn.Linear's (out, in): it adds whole
    rows up instead of summing within each.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().T.contiguous())  # (in, out)
        self.register_buffer("bias", None if bias is None else bias.detach())
        self.weight: Tensor
        self.bias: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.weight  # (..., out)
        return y if self.bias is None else y + self.bias


class Int8Linear(nn.Module):
    """A linear layer with 8-bit weights, each row with a scale of its own; on CPUs only.

    Inputs are rounded to 7 bits as they come, with one scale for all of them; sums and results
    are wider. Source: Jacob et al. 2018, section 2; the kernel is PyTorch's own.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        rows = weight.detach().float()  # (out, in)
        scales = rows.abs().amax(dim=1).clamp(min=1e-12) / 127  # (out,)
        zeros = torch.zeros(len(rows), dtype=torch.long)
        with warnings.catch_warnings():
            # PyTorch will replace quantised tensors some day; this kernel has no other door yet
            warnings.filterwarnings("ignore", "torch.quantize_per_tensor.*are deprecated")
            rounded = torch.quantize_per_channel(rows, scales, zeros, 0, torch.qint8)
        bias = None if bias is None else bias.detach().float()
        self.packed = torch.ops.quantized.linear_prepack(rounded, bias)

    def forward(self, x: Tensor) -> Tensor:
        # the 8th bit could overflow in the older processors' sums of products
        return torch.ops.quantized.linear_dynamic(x, self.packed, reduce_range=True)


class LaidOutGPT(GPT):
    """A model with other linear layers in the places of its own, and a head of the same kind.

    Args:
        model: is taken over: train or save it before, not after.
        kind: of the layers, made from a weight (out, in) and a bias.
    """

    def __init__(self, model: GPT, kind: type[WideLinear] | type[Int8Linear]) -> None:
        super(GPT, self).__init__()
        self.config, self.training = model.config, model.training
        for name, part in model.named_children():
            self.add_module(name, part)
        for part in list(self.modules()):
            for name, layer in list(part.named_children()):
                if isinstance(layer, nn.Linear):
                    setattr(part, name, kind(layer.weight, layer.bias))
        self.own_head = kind(self.head, None)

    def logits(self, features: Tensor) -> Tensor:
        """See :meth:`GPT.logits`."""
        return self.own_head(features)  # (..., V)


def lay_out(model: GPT, dtype: str = "float32") -> GPT:
    """Prepare a model for writing.

    Args:
        model: is taken over: train or save it before, not after.
        dtype: ``float32`` gives the same logits, to rounding; ``bfloat16`` rounds weights and
            activations to 8 significant bits, for GPUs; ``int8`` rounds weights to 8 bits and
            inputs of each layer to 7, for CPUs.

    Raises:
        ConfigError: the dtype is unknown, or the model's device cannot use it.
    """
    on_cpu = model.device.type == "cpu"
    if dtype not in DTYPES:
        raise ConfigError(f"dtype is {dtype!r}: use one of {', '.join(DTYPES)}")
    if dtype == "int8" and not on_cpu:
        raise ConfigError(f"dtype int8 is for CPUs, the model is on {model.device}: use bfloat16")
    if dtype == "bfloat16":
        return model.bfloat16()
    if dtype == "int8":
        return LaidOutGPT(model, Int8Linear)
    return LaidOutGPT(model, WideLinear) if on_cpu else model

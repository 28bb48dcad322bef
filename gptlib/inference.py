"""The same model, its weights packed for generation.

One token at a time, a step costs what it takes to read every weight once from memory. So the
layout of the weights decides, and their size: 8 bits a weight are read in a quarter of the time.
"""

import warnings
from typing import cast

import torch
from torch import Tensor, nn

from gptlib.block import Block
from gptlib.errors import ConfigError
from gptlib.model import GPT

DTYPES = ("float32", "bfloat16", "int8")


class PackedLinear(nn.Module):
    """A linear layer whose weight is kept in small blocks, as oneDNN's kernels read it; CPUs only.

    PyTorch hands a product with few rows to a library that reads nn.Linear's rows at half of the
    memory's rate, or less. Source: oneDNN's developer guide, "Understanding Memory Formats".
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.bias = None if bias is None else bias.detach()
        # blocks made for 8 rows were read fastest, or as fast, from 1 row to 32
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")


class Int8Linear(nn.Module):
    """A linear layer with 8-bit weights, each row with a scale of its own; on CPUs only.

    Inputs are rounded to 7 bits as they come, with one scale for all of them; sums and results
    are wider. Source: Jacob et al. 2018, section 2. The kernel is PyTorch's own, called here
    because PyTorch has deprecated the function around it, `quantize_dynamic`.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        rows = weight.detach().float()  # (out, in)
        scales = rows.abs().amax(dim=1).clamp(min=1e-12) / 127  # (out,)
        zeros = torch.zeros(len(rows), dtype=torch.long)
        with warnings.catch_warnings():
            # PyTorch will replace quantized tensors some day; this kernel has no other door yet
            warnings.filterwarnings("ignore", "torch.quantize_per_tensor.*are deprecated")
            rounded = torch.quantize_per_channel(rows, scales, zeros, 0, torch.qint8)
        bias = None if bias is None else bias.detach().float()
        self.packed = torch.ops.quantized.linear_prepack(rounded, bias)

    def forward(self, x: Tensor) -> Tensor:
        # the 8th bit could overflow in the older processors' sums of products
        return torch.ops.quantized.linear_dynamic(x, self.packed, reduce_range=True)


class InferenceGPT(GPT):
    """A model with other linear layers in the places of its own, and a head of the same kind.

    Args:
        model: is taken over: train or save it before, not after.
        kind: of the layers, made from a weight (out, in) and a bias.
    """

    def __init__(self, model: GPT, kind: type[PackedLinear] | type[Int8Linear]) -> None:
        super(GPT, self).__init__()
        self.config, self.training = model.config, model.training
        for name, part in model.named_children():
            self.add_module(name, part)
        for part in list(self.modules()):
            for name, layer in list(part.named_children()):
                if isinstance(layer, nn.Linear):
                    setattr(part, name, kind(layer.weight, layer.bias))
        self.packed_head = kind(self.lm_head_weight, None)

    def logits(self, hidden_states: Tensor) -> Tensor:
        """See :meth:`GPT.logits`."""
        return self.packed_head(hidden_states)  # (..., V)


def prepare_for_inference(model: GPT, dtype: str = "float32", compiled: bool = False) -> GPT:
    """Return a model that generates faster.

    Args:
        model: is taken over: train or save it before, not after.
        dtype: ``float32`` gives the same logits, to rounding; ``bfloat16`` rounds weights and
            activations to 8 significant bits, for GPUs; ``int8`` rounds weights to 8 bits and
            inputs of each layer to 7, for CPUs.
        compiled: compile each block's MLP, the half of a step that has the same shape at every
            token; meant for GPUs. The first tokens wait for it. A CPU gains nothing: PyTorch
            compiles plain layers only, and packed ones are faster there.

    Raises:
        ConfigError: the dtype is unknown, or the model's device cannot use it; or int8 layers
            are to be compiled.
    """
    on_cpu = model.device.type == "cpu"
    if dtype not in DTYPES:
        raise ConfigError(f"dtype is {dtype!r}: use one of {', '.join(DTYPES)}")
    if dtype == "int8" and not on_cpu:
        raise ConfigError(f"dtype int8 is for CPUs, the model is on {model.device}: use bfloat16")
    if dtype == "int8" and compiled:
        raise ConfigError("int8 layers cannot be compiled: leave one of the two out")
    if dtype == "bfloat16":
        model = model.bfloat16()
    if compiled:
        for block in cast(list[Block], model.blocks):
            block.mlp.compile(dynamic=True)  # in place: parameters keep their names
    if dtype == "bfloat16" or compiled:
        return model
    if dtype == "int8":
        return InferenceGPT(model, Int8Linear)
    can_pack = torch.backends.mkldnn.is_available()  # not in every wheel for Macs
    can_pack = can_pack and model.lm_head_weight.dtype == torch.float32  # they know no float64
    return InferenceGPT(model, PackedLinear) if on_cpu and can_pack else model

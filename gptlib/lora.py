"""LoRA: a frozen model learns through two thin matrices beside each large one.

A layer computes x @ W.T. Beside it stand A (r, in) and B (out, r), and the layer gives
x @ W.T + α/r · x @ A.T @ B.T: the change of W has rank r, and r·(in + out) numbers instead of
in·out: 12,288 instead of 589,824 for r = 8 and 768 × 768. B starts at 0, so the model starts as
it was. Source: Hu et al. 2021, section 4.1.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from gptlib.config import require
from gptlib.errors import PretrainedError
from gptlib.files import new_folder, write_json
from gptlib.model import GPT
from gptlib.pretrained.weights import hf_name

# The layers that can have one, and what they are called where Hugging Face's `peft` looks for them.
PEFT_MODULES = {
    "attention.qkv": "attn.c_attn",
    "attention.projection": "attn.c_proj",
    "mlp.expand": "mlp.c_fc",
    "mlp.projection": "mlp.c_proj",
}
TARGETS = tuple(PEFT_MODULES)
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."


class LoRALinear(nn.Module):
    """A linear layer whose own weight is frozen, with a change of rank r that is learned.

    Weight and bias keep their names, so a base's parameters stay where they were.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.weight, self.bias = base.weight, base.bias  # (out, in), (out,)
        self.lora_A = nn.Parameter(base.weight.new_empty(rank, base.in_features))  # (r, in)
        self.lora_B = nn.Parameter(base.weight.new_zeros(base.out_features, rank))  # (out, r)
        self.rank, self.alpha = rank, alpha
        self.scale = alpha / rank  # so that another rank needs no other learning rate

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        change = F.linear(F.linear(x, self.lora_A), self.lora_B)  # (…, in) → (…, r) → (…, out)
        return F.linear(x, self.weight, self.bias) + self.scale * change

    def merged(self) -> nn.Linear:
        """One linear layer that computes the same: W + α/r · B @ A."""
        weight = self.weight.detach() + self.scale * (self.lora_B @ self.lora_A).detach()
        linear = nn.Linear(weight.shape[1], len(weight), self.bias is not None, device="meta")
        linear.weight, linear.bias = nn.Parameter(weight), self.bias
        return linear


def add_lora(
    model: GPT, rank: int = 8, alpha: float = 16.0, targets: Sequence[str] = TARGETS, seed: int = 0
) -> GPT:
    """Freeze a model and put A and B beside the layers named, in place; returns the model.

    A classifier's new head still learns: there is nothing in it to keep.

    Args:
        rank: r, from 1 to the smaller side of the layers.
        alpha: α; the change is multiplied by α / r.
        targets: some of `TARGETS`, in every block.
        seed: draws A, as `peft` does, from U(−1/√in, 1/√in).

    Raises:
        ConfigError: a target is unknown, the rank too large, or LoRA is there already.
    """
    known, width = set(targets) <= set(TARGETS), model.config.width
    require(bool(targets) and known, f"targets are {targets}: use some of {', '.join(TARGETS)}")
    require(1 <= rank <= width, f"rank is {rank}: it lies between 1 and the width of {width}")
    require(alpha > 0, f"alpha is {alpha}: it must be above 0, such as twice the rank")
    require(not lora_layers(model), "the model has LoRA already: merge it, or begin with the base")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("score."))
    generator = torch.Generator(model.device).manual_seed(seed)
    for block in model.blocks:
        for target in targets:
            layer = LoRALinear(block.get_submodule(target), rank, alpha)  # type: ignore[arg-type]
            bound = 1 / math.sqrt(layer.weight.shape[1])
            nn.init.uniform_(layer.lora_A, -bound, bound, generator=generator)
            block.set_submodule(target, layer)
    return model


def merge_lora(model: GPT) -> GPT:
    """Add every change to its weight, in place: an ordinary model again, of the same speed.

    Logits change by rounding alone, 1e-4 in float32. The base's own tensors are left as they
    were: another model that shares them keeps them. All parameters learn again.
    """
    for name, layer in lora_layers(model).items():
        model.set_submodule(name, layer.merged())
    return model.requires_grad_(True)


def lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    """The layers with LoRA, by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, LoRALinear)}


def save_lora(folder: str | Path, model: GPT) -> None:
    """Write what was learned, A and B of each layer and a classifier's head, and nothing else.

    The folder is laid out as `peft` writes one. Raises FolderError if it exists.
    """
    layers = lora_layers(model)
    require(bool(layers), "the model has no LoRA to save: call add_lora, or export the model")
    one = next(iter(layers.values()))
    learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
    its_head = "score.weight" in learned
    config = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if its_head else "CAUSAL_LM",
        "base_model_name_or_path": None,
        "r": one.rank,
        "lora_alpha": one.alpha,
        "fan_in_fan_out": True,  # GPT-2's layers hold their weights transposed there
        "target_modules": [PEFT_MODULES[t] for t in TARGETS if any(n.endswith(t) for n in layers)],
        "modules_to_save": ["score"] if its_head else None,
        "inference_mode": True,
    }
    tensors = {peft_name(name): p.detach().contiguous() for name, p in learned.items()}
    with new_folder(Path(folder)) as part:
        write_json(part / CONFIG, config)
        save_file(tensors, part / WEIGHTS, metadata={"format": "pt", "base": base_sha256(model)})


def load_lora(folder: str | Path, model: GPT) -> GPT:
    """Add to a base, in place, the LoRA that :func:`save_lora` wrote; returns the model.

    Raises:
        PretrainedError: the folder is damaged, or was made for another base; nothing is changed.
    """
    config, tensors, base = read_lora(Path(folder))
    if base not in (None, base_sha256(model)):
        raise PretrainedError(
            f"{folder} is the LoRA of another model: give the base that it was trained on"
        )
    theirs = config.get("target_modules", ())
    targets = tuple(name for name in TARGETS if PEFT_MODULES[name] in theirs)
    add_lora(model, config.get("r", 0), config.get("lora_alpha", 0), targets)
    learned = {peft_name(name): p for name, p in model.named_parameters() if p.requires_grad}
    found, ours = ({n: tuple(t.shape) for n, t in x.items()} for x in (tensors, learned))
    for name, _ in sorted(found.items() ^ ours.items()):
        merge_lora(model)  # B is 0: the base again
        raise PretrainedError(
            f"{folder}: {name} is {found.get(name, 'missing')}, of this model "
            f"{ours.get(name, 'missing')}: give the base that it was trained on"
        )
    with torch.no_grad():
        for name, parameter in learned.items():
            parameter.copy_(tensors[name])
    return model


def read_lora(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], str | None]:
    """A folder's settings, its tensors, and the hash of the base they belong to, if it says so."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        with safe_open(folder / WEIGHTS, "pt") as file:
            base = (file.metadata() or {}).get("base")
        return config, load_file(folder / WEIGHTS), base
    except (OSError, ValueError, SafetensorError) as error:
        raise PretrainedError(f"{folder} holds no LoRA ({error}): give PEFT's folder") from error


def peft_name(name: str) -> str:
    """PEFT's name of one of the tensors that are learned."""
    if name.startswith("score."):
        return PREFIX + name
    module, _, kind = name.rpartition(".")  # kind: lora_A or lora_B
    return f"{PREFIX}transformer.{hf_name(f'{module}.{kind}')}.weight"


def base_sha256(model: GPT) -> str:
    """A hash of the frozen parameters, the same before LoRA stands beside them and after."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if "lora_" not in name and not name.startswith("score."):
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()

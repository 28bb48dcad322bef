"""GPT-2's parameters by both names: ours, and those of OpenAI's weights on the hub."""

import re

from torch import Tensor

# Our module → theirs; {} stands for the number of the block.
MODULES = {
    "token_embedding": "wte",
    "position_embedding": "wpe",
    "blocks.{}.ln_1": "h.{}.ln_1",
    "blocks.{}.attention.qkv": "h.{}.attn.c_attn",
    "blocks.{}.attention.projection": "h.{}.attn.c_proj",
    "blocks.{}.ln_2": "h.{}.ln_2",
    "blocks.{}.mlp.expand": "h.{}.mlp.c_fc",
    "blocks.{}.mlp.projection": "h.{}.mlp.c_proj",
    "ln_final": "ln_f",
}
# OpenAI wrote y = x W + b ("Conv1D"): these weights are (in, out), where nn.Linear has (out, in).
CONV1D = ("c_attn", "c_proj", "c_fc")
PREFIX = "transformer."  # before every name but the head's, where the model was saved with its head
HEAD = "lm_head.weight"  # a second name of the token embedding
# Not parameters: the causal mask and the value behind it, which older files hold.
BUFFER = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")


def their_name(name: str) -> str:
    """The name in OpenAI's weights of one of our parameters, without their prefix."""
    module, _, kind = name.rpartition(".")
    number = re.match(r"blocks\.(\d+)\.", module)
    if number is None:
        return f"{MODULES[module]}.{kind}"
    in_block = MODULES[f"blocks.{{}}.{module[number.end() :]}"]
    return f"{in_block.format(number[1])}.{kind}"


def swap_layout(their_name: str, tensor: Tensor) -> Tensor:
    """Turn a weight between their layout and ours, the same way in both directions."""
    *_, module, kind = their_name.split(".")
    return tensor.T if module in CONV1D and kind == "weight" else tensor

"""Exercise 8.2: one tensor of OpenAI's file, as our model knows it."""

import re
from collections.abc import Iterator

import torch
from torch import Tensor

from gptcourse.exercises.exercise import Case, Exercise
from gptlib.pretrained.names import BUFFER, CONV1D, HEAD, MODULES, PREFIX, swap_layout

Ours = tuple[str, Tensor] | None
THEIRS = {theirs: ours for ours, theirs in MODULES.items()}
C, V, CONTEXT = 6, 11, 5  # pairwise different, and c_proj of attention still a square


def our_name(name: str) -> str:
    """Our name of a parameter whose name in the file, without the prefix, is `name`."""
    module, _, kind = name.rpartition(".")
    number = re.match(r"h\.(\d+)\.", module)
    if number is None:
        return f"{THEIRS[module]}.{kind}"
    return f"{THEIRS['h.{}.' + module[number.end() :]].format(number[1])}.{kind}"


def to_ours(name: str, tensor: Tensor) -> Ours:
    """Our name and our layout; None for what is no parameter of ours."""
    name = name.removeprefix(PREFIX)
    if name == HEAD or BUFFER.fullmatch(name):
        return None
    return our_name(name), swap_layout(name, tensor)


def cases() -> Iterator[Case]:
    """One of every kind, with the prefix and without, and what is no parameter."""
    generator = torch.Generator().manual_seed(0)
    for name, shape in {
        "wte.weight": (V, C),
        "wpe.weight": (CONTEXT, C),
        "h.0.ln_1.weight": (C,),
        "h.3.ln_2.bias": (C,),
        "h.0.attn.c_attn.weight": (C, 3 * C),
        "h.1.attn.c_attn.bias": (3 * C,),
        "h.2.attn.c_proj.weight": (C, C),
        "h.11.mlp.c_fc.weight": (C, 4 * C),
        "h.0.mlp.c_fc.bias": (4 * C,),
        "h.4.mlp.c_proj.weight": (4 * C, C),
        "ln_f.bias": (C,),
        "transformer.wte.weight": (V, C),
        "transformer.h.10.attn.c_proj.weight": (C, C),
        "transformer.ln_f.weight": (C,),
        "lm_head.weight": (V, C),
        "h.7.attn.bias": (1, 1, CONTEXT, CONTEXT),
        "transformer.h.0.attn.masked_bias": (),
    }.items():
        yield Case(f"{name} {shape}", (name, 0.3 * torch.randn(shape, generator=generator)))


def turned(name: str, tensor: Tensor, modules: tuple[str, ...]) -> Ours:
    """The right names; of these modules, the weights are turned."""
    right = to_ours(name, tensor)
    is_one = name.split(".")[-2] in modules and name.endswith(".weight")
    return right and (right[0], tensor.T if is_one else tensor)


def none_turned(name: str, tensor: Tensor) -> Ours:
    """This looks like tensors as they are: no weight of a Conv1D was turned."""
    return turned(name, tensor, ())


def squares_left(name: str, tensor: Tensor) -> Ours:
    """This looks like turning only where the shapes do not fit: a square fits both ways."""
    square = tensor.dim() == 2 and tensor.shape[0] == tensor.shape[1]
    return turned(name, tensor, () if square else CONV1D)


def tokens_turned(name: str, tensor: Tensor) -> Ours:
    """This looks like turning the token embedding too: it is a table of rows in both models."""
    return turned(name, tensor, (*CONV1D, "wte"))


def positions_turned(name: str, tensor: Tensor) -> Ours:
    """This looks like turning the position embedding too: it is a table of rows in both models."""
    return turned(name, tensor, (*CONV1D, "wpe"))


def every_matrix_turned(name: str, tensor: Tensor) -> Ours:
    """This looks like turning every matrix, the two embeddings among them."""
    return turned(name, tensor, (*CONV1D, "wte", "wpe"))


def reshaped(name: str, tensor: Tensor) -> Ours:
    """This looks like a reshape where a transpose is needed: the shape is right, the numbers stand
    in other places."""
    right = to_ours(name, tensor)
    return right and (right[0], tensor.reshape(right[1].shape))


def keys_first(name: str, tensor: Tensor) -> Ours:
    """This looks like keys, queries, values: in c_attn the queries come first, as in ours."""
    if ".c_attn." in name:
        query, key, value = tensor.chunk(3, dim=-1)
        tensor = torch.cat([key, query, value], dim=-1)
    return to_ours(name, tensor)


def cut_and_stacked(name: str, tensor: Tensor) -> Ours:
    """This looks like cutting c_attn into queries, keys and values and stacking these as they are:
    the shape is right, but each part has still to be turned."""
    right = to_ours(name, tensor)
    if right and name.endswith(".c_attn.weight"):
        return right[0], torch.cat(tensor.chunk(3, dim=1), dim=0)
    return right


def norms_swapped(name: str, tensor: Tensor) -> Ours:
    """This looks like ln_1 and ln_2 in each other's place: both have C numbers, so all fits."""
    other = {"ln_1": "ln_2", "ln_2": "ln_1"}
    return to_ours(re.sub(r"\bln_[12]\b", lambda found: other[found[0]], name), tensor)


def own_head(name: str, tensor: Tensor) -> Ours:
    """This looks like a head with a table of its own: in GPT-2 it is the token embedding."""
    return (name, tensor) if name == HEAD else to_ours(name, tensor)


def mask_taken(name: str, tensor: Tensor) -> Ours:
    """This looks like taking attn.bias for a parameter: it is the causal mask."""
    found = re.fullmatch(r"(?:transformer\.)?h\.(\d+)\.attn\.(\w+)", name)
    return (f"blocks.{found[1]}.attention.{found[2]}", tensor) if found else to_ours(name, tensor)


def endings_alike(name: str, tensor: Tensor) -> Ours:
    """This looks like taking each name that ends in attn.bias for a mask: c_attn.bias ends so too,
    and is a parameter."""
    masks = ("attn.bias", "attn.masked_bias")
    return None if name.endswith(masks) else to_ours(name, tensor)


def prefix_left(name: str, tensor: Tensor) -> Ours:
    """This looks like names that may not begin with "transformer.", as they do in some files."""
    if name == HEAD or BUFFER.fullmatch(name):
        return None
    return our_name(name), swap_layout(name, tensor)


def one_digit(name: str, tensor: Tensor) -> Ours:
    """This looks like reading one digit of the block's number: GPT-2 has blocks 10 and 11."""
    return to_ours(re.sub(r"\bh\.(\d)\d+", r"h.\1", name), tensor)


def by_replacing(name: str, tensor: Tensor) -> Ours:
    """The same by replacing one word after the other."""
    if name.endswith(("lm_head.weight", ".attn.bias", ".attn.masked_bias")):
        return None
    if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
        tensor = tensor.transpose(0, 1)
    for theirs, ours in (
        ("transformer.", ""),
        ("h.", "blocks."),
        ("c_attn", "qkv"),
        ("c_proj", "projection"),
        ("c_fc", "expand"),
        ("attn.", "attention."),
        ("ln_f", "ln_final"),
        ("wte", "token_embedding"),
        ("wpe", "position_embedding"),
    ):
        name = name.replace(theirs, ours)
    return name, tensor


def by_parts(name: str, tensor: Tensor) -> Ours:
    """The same, the name taken apart at its dots."""
    *parts, kind = [part for part in name.split(".") if part != "transformer"]
    if parts[-1] in ("lm_head", "attn"):
        return None
    numbers = [part for part in parts if part.isdigit()]
    ours = THEIRS[".".join("{}" if part.isdigit() else part for part in parts)]
    turn = parts[-1].startswith("c_") and tensor.dim() == 2
    return f"{ours.format(*numbers)}.{kind}", tensor.t().clone() if turn else tensor


EXERCISE = Exercise(
    name="to_ours",
    notebook="08_openai_weights",
    rating=2,
    minutes=30,
    right=to_ours,
    cases=cases,
    mistakes=(
        none_turned,
        squares_left,
        tokens_turned,
        positions_turned,
        every_matrix_turned,
        reshaped,
        keys_first,
        cut_and_stacked,
        norms_swapped,
        own_head,
        mask_taken,
        endings_alike,
        prefix_left,
        one_digit,
    ),
    also_right=(by_replacing, by_parts),
)

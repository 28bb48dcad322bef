"""What a Hugging Face folder says of a model in its JSON files, read and written."""

import json
import warnings
from pathlib import Path
from typing import Any

from gptlib.config import GPTConfig
from gptlib.errors import ConfigError, PretrainedError
from gptlib.model import GPT

CONFIG, GENERATION_CONFIG = "config.json", "generation_config.json"
FIELDS = {  # of config.json, theirs → ours
    "vocab_size": "vocab_size",
    "n_positions": "context_length",
    "n_layer": "n_layers",
    "n_head": "n_heads",
    "n_embd": "width",
    "resid_pdrop": "dropout",
    "layer_norm_epsilon": "layer_norm_epsilon",
}
# What a config.json may say and still be GPT-2's: another value computes something else.
ALLOWED: dict[str, tuple[Any, ...]] = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
}


def read_config(folder: Path) -> GPTConfig:
    """A model's shape; fields that its ``config.json`` leaves out are GPT-2's own."""
    path = folder / CONFIG
    if not path.is_file():
        raise PretrainedError(f"{folder} holds no {CONFIG}: give a folder with a model")
    theirs = read_object(path, "a model's")
    for key, known in ALLOWED.items():
        if key in theirs and theirs[key] not in known:
            raise PretrainedError(
                f"{path}: {key} is {theirs[key]!r}, GPT-2's is {known[0]!r}: give a GPT-2 model"
            )
    shape = {ours: theirs[key] for key, ours in FIELDS.items() if key in theirs}
    try:
        config = GPTConfig.from_dict(shape)
    except (ConfigError, TypeError) as error:
        raise PretrainedError(f"{path}: {error}") from error
    if theirs.get("n_inner") not in (None, 4 * config.width):
        raise PretrainedError(
            f"{path}: n_inner is {theirs['n_inner']!r}, GPT-2's is 4 * n_embd, here "
            f"{4 * config.width}: give a GPT-2 model"
        )
    dropouts = {name: theirs.get(name, config.dropout) for name in ("embd_pdrop", "attn_pdrop")}
    if set(dropouts.values()) != {config.dropout}:
        said = " and ".join(f"{name} {value}" for name, value in dropouts.items())
        warnings.warn(
            f"{path}: {said} become {config.dropout}, its resid_pdrop: our model has one dropout, "
            f"which counts in training only",
            stacklevel=2,
        )
    return config


def hf_config(model: GPT) -> dict[str, Any]:
    """What ``config.json`` says of a model's shape; see ``GPT2Config`` of transformers."""
    ours = model.config.to_dict()
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        **{theirs: ours[name] for theirs, name in FIELDS.items()},
        "n_ctx": ours["context_length"],  # its older name, which converters still ask for
        "embd_pdrop": ours["dropout"],
        "attn_pdrop": ours["dropout"],
        "n_inner": None,  # 4 * n_embd
        "activation_function": "gelu_new",  # the approximation with tanh
        "initializer_range": 0.02,
        "scale_attn_weights": True,
        "summary_activation": None,  # these five shape a head that is put on later
        "summary_first_dropout": 0.1,
        "summary_proj_to_labels": True,
        "summary_type": "cls_index",
        "summary_use_proj": True,
        "tie_word_embeddings": True,
        "dtype": str(model.token_embedding.weight.dtype).removeprefix("torch."),
    }


def read_object(path: Path, kind: str) -> dict[str, Any]:
    """The JSON object in a file that was made elsewhere."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise PretrainedError(f"{path} cannot be read as {kind}: bring it again")
    return content

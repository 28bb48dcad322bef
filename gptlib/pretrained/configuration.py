"""The shape of a model from the ``config.json`` of a Hugging Face folder."""

import json
from pathlib import Path
from typing import Any

from gptlib.config import GPTConfig
from gptlib.errors import ConfigError, PretrainedError

CONFIG = "config.json"
FIELDS = {  # theirs → ours
    "vocab_size": "vocab_size",
    "n_positions": "context_length",
    "n_layer": "n_layers",
    "n_head": "n_heads",
    "n_embd": "width",
    "resid_pdrop": "dropout",
    "layer_norm_epsilon": "layer_norm_epsilon",
}
# What a model may say of itself and still be ours; another value computes something else.
ALLOWED: dict[str, tuple[Any, ...]] = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
}


def read_config(folder: Path) -> GPTConfig:
    """Read a model's shape; fields that it leaves out are GPT-2's own.

    Raises:
        PretrainedError: there is no such file, it cannot be read, or it is of another model.
    """
    path = folder / CONFIG
    try:
        theirs = json.loads(path.read_bytes())
        four_wide = 4 * int(theirs.get("n_embd", GPTConfig.width))
    except FileNotFoundError as error:
        raise PretrainedError(f"{folder} holds no {CONFIG}: give a folder with a model") from error
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise PretrainedError(f"{path} cannot be read as a model's: bring it again") from error
    allowed = {**ALLOWED, "n_inner": (None, four_wide)}
    for key, known in allowed.items():
        if key in theirs and theirs[key] not in known:
            raise PretrainedError(
                f"{path}: {key} is {theirs[key]!r}, GPT-2's is {known[0]!r}: give a GPT-2 model"
            )
    shape = {ours: theirs[key] for key, ours in FIELDS.items() if key in theirs}
    try:
        return GPTConfig.from_dict(shape)
    except (ConfigError, TypeError) as error:
        raise PretrainedError(f"{path}: {error}") from error

"""What a Hugging Face folder says of a model in its ``config.json``, read and written."""

import json
import warnings
from collections.abc import Mapping
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
Allowed = Mapping[str, tuple[Any, ...]]  # field → the values that are GPT-2's, its own first
OFF = (False,)  # or nothing, or 0, or ""
ALLOWED: Allowed = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": OFF,
    "add_cross_attention": OFF,
    "tie_word_embeddings": (True,),
}


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file that was made elsewhere; an empty one where there is no file."""
    try:
        content = json.loads(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise PretrainedError(f"{path} cannot be read as a JSON object: bring it again")
    return content


def check_fields(path: Path, content: Mapping[str, Any], allowed: Allowed, where: str = "") -> None:
    """Refuse a field with another value than GPT-2's: it would compute something else."""
    for field, known in allowed.items():
        if (content.get(field, known[0]) or False) not in known:
            raise PretrainedError(
                f"{path}: {where}{field} is {content[field]!r}, GPT-2's is {known[0]!r}: "
                f"give a GPT-2 model"
            )


def read_config(folder: Path) -> GPTConfig:
    """A model's shape; fields that its ``config.json`` leaves out are GPT-2's own."""
    path = folder / CONFIG
    if not path.is_file():
        raise PretrainedError(f"{folder} holds no {CONFIG}: give a folder with a model")
    theirs = read_object(path)
    check_fields(path, theirs, ALLOWED)
    try:
        config = GPTConfig.from_dict({o: theirs[t] for t, o in FIELDS.items() if t in theirs})
    except (ConfigError, TypeError) as error:
        raise PretrainedError(f"{path}: {error}") from error
    check_fields(path, theirs, {"n_inner": (4 * config.width, *OFF)})
    for name in ("embd_pdrop", "attn_pdrop"):
        if theirs.get(name, config.dropout) != config.dropout:
            warnings.warn(
                f"{path}: {name} {theirs[name]} becomes {config.dropout}, its resid_pdrop: our "
                f"model has one dropout, which counts in training only",
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

"""Models as folders of Hugging Face's libraries: ours out, and such folders in.

::

    FOLDER/  config.json  generation_config.json  model.safetensors
             tokenizer.json  tokenizer_config.json  vocab.json  merges.txt
             README.md  loss.png        the model card, where it is exported from a run

No code travels: ``AutoModelForCausalLM`` and ``AutoTokenizer`` open it with their own.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from gptlib.config import GPTConfig
from gptlib.errors import PretrainedError
from gptlib.files import new_folder, write_json
from gptlib.model import GPT
from gptlib.pretrained.configuration import CONFIG, FIELDS
from gptlib.pretrained.names import PREFIX, swap_layout, their_name
from gptlib.pretrained.openai import load_openai
from gptlib.pretrained.tensors import WEIGHTS
from gptlib.pretrained.tokenizer_files import read_tokenizer, write_tokenizer
from gptlib.tokenizer import Tokenizer

GENERATION_CONFIG = "generation_config.json"
CARD, FIGURE = "README.md", "loss.png"


def export_model(folder: str | Path, model: GPT, tokenizer: Tokenizer | None) -> None:
    """Write a model as a folder that transformers opens, all or nothing.

    Spare rows of the token table are left out: no token has them, and their logits are never
    computed here, while transformers would draw from them. A model without biases of its
    queries, keys and values gets zeros, since theirs has such biases: it computes the same.

    Args:
        folder: must not exist.
        model: its parameters are written as they are, in their own precision.
        tokenizer: the one that the model was trained with; None for a model without.

    Raises:
        PretrainedError: model and tokenizer do not belong together.
        FolderError: the folder exists or cannot be written; nothing is left of the attempt.
    """
    with new_folder(Path(folder)) as part:
        write_model(part, model, tokenizer)


def write_model(part: Path, model: GPT, tokenizer: Tokenizer | None) -> None:
    """Write the files of :func:`export_model` into a new folder."""
    known = tokenizer.vocab_size if tokenizer else model.config.vocab_size
    if known != model.config.vocab_size:
        raise PretrainedError(
            f"the model scores {model.config.vocab_size:,} tokens but its tokenizer has {known:,}: "
            f"give the one that it was trained with"
        )
    end = tokenizer.end_of_text if tokenizer else None
    write_json(part / CONFIG, {**their_config(model), "bos_token_id": end, "eos_token_id": end})
    ids = {} if end is None else dict.fromkeys(("bos", "eos", "pad"), end)
    write_json(part / GENERATION_CONFIG, {f"{name}_token_id": i for name, i in ids.items()})
    if tokenizer:
        write_tokenizer(part, tokenizer, model.config.context_length)
    # without the format's name transformers would not know whose tensors these are
    save_file(their_tensors(model), part / WEIGHTS, metadata={"format": "pt"})


def their_config(model: GPT) -> dict[str, Any]:
    """What ``config.json`` says of a model's shape; see ``GPT2Config`` of transformers."""
    ours = model.config.to_dict()
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        **{theirs: ours[name] for theirs, name in FIELDS.items()},
        "embd_pdrop": ours["dropout"],
        "attn_pdrop": ours["dropout"],
        "n_inner": None,
        "activation_function": "gelu_new",  # the approximation with tanh
        "initializer_range": 0.02,
        "scale_attn_weights": True,
        "tie_word_embeddings": True,
        "dtype": str(model.token_embedding.weight.dtype).removeprefix("torch."),
    }


def their_tensors(model: GPT) -> dict[str, Tensor]:
    """The parameters under GPT-2's names and in its layout, the tied head once."""
    found = dict(model.state_dict())
    found["token_embedding.weight"] = model.head  # without spare rows
    if not model.config.qkv_bias:
        zeros = model.head.new_zeros(3 * model.config.width)
        for layer in range(model.config.n_layers):
            found[f"blocks.{layer}.attention.qkv.bias"] = zeros.clone()
    return {
        PREFIX + (name := their_name(ours)): swap_layout(name, tensor).contiguous()
        for ours, tensor in found.items()
    }


def import_model(
    folder: str | Path, dtype: torch.dtype = torch.float32, mapped: bool = False
) -> tuple[GPT, Tokenizer | None]:
    """Read a folder that :func:`export_model` or transformers has written.

    A table with more rows than the tokenizer has tokens keeps the rest as spare rows, which are
    never scored.

    Args:
        folder: see above; of GPT-2 models only.
        dtype, mapped: see :func:`load_openai`.

    Returns:
        The model in eval mode on the CPU, and its tokenizer or None if the folder holds none.

    Raises:
        PretrainedError: names the tensor or the file that is missing, damaged, unsafe to read
            or of another model.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PretrainedError(f"no folder {folder}: give one that holds a model")
    tokenizer = read_tokenizer(folder)
    model = load_openai(folder, dtype, mapped)
    if tokenizer:
        model.config = with_tokens(folder, model.config, tokenizer.vocab_size)
    return model, tokenizer


def with_tokens(folder: Path, config: GPTConfig, tokens: int) -> GPTConfig:
    """The shape of a model whose table has `vocab_size` rows for so many tokens."""
    rows = config.vocab_size
    if tokens > rows:
        raise PretrainedError(
            f"{folder}: the tokenizer has {tokens:,} tokens but the model only {rows:,} rows: "
            f"they are of different models"
        )
    return config if tokens == rows else replace(config, vocab_size=tokens, vocab_multiple=rows)

"""GPT-2's weights as others keep them: OpenAI's on the hub, or any folder of the same layout.

::

    FOLDER/  config.json        the model's shape
             model.safetensors  its tensors, or several such files and model.safetensors.index.json
             tokenizer.json     the tokenizer, or vocab.json and merges.txt

Only safetensors files are read, memory-mapped: other formats of weights can run code.
"""

import importlib
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gptlib import environment
from gptlib.config import SIZES, GPTConfig
from gptlib.data.hub import libraries, one_line
from gptlib.errors import DownloadError, PretrainedError
from gptlib.files import sha256_of
from gptlib.model import GPT
from gptlib.pretrained.config_files import CONFIG, read_config, read_object
from gptlib.pretrained.tokenizer_files import read_tokenizer
from gptlib.tokenizer import Tokenizer

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"  # beside weights that are split over several files
SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")  # of weights, whoever wrote them
# OpenAI's models, openai-community/NAME on the hub: a commit, which never changes, and the size.
RELEASES = {
    "gpt2": ("607a30d783dfa663caf39e06633721c8d4cfcd7e", "548 MB"),
    "gpt2-medium": ("6dcaa7a952f72f9298047fd5137cd6e4f05f41da", "1.5 GB"),
    "gpt2-large": ("32b71b12589c2f8d625668d2335a01cac3249519", "3.2 GB"),
    "gpt2-xl": ("15ea56dee5df4983c59b2538573817e1667135e2", "6.4 GB"),
}
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
# Before every name of a model that was wrapped: to train on several devices, or compiled.
WRAPPED = re.compile(r"((module|_orig_mod)\.)*")
HEAD = "lm_head.weight"  # a second name of the token embedding
# Not parameters: the causal mask and the value behind it, which older files hold.
BUFFER = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")


def load_openai(
    name_or_folder: str | Path, dtype: torch.dtype = torch.float32, mapped: bool = False
) -> GPT:
    """Load GPT-2's weights into our model.

    Args:
        name_or_folder: ``gpt2`` … ``gpt2-xl`` or a size, such as ``124M``, downloaded once; or a
            folder as above.
        dtype: of the parameters; a file in half precision is widened.
        mapped: leave parameters of this dtype in the file's memory map. The model starts at once
            and takes no memory of its own, but the file must stay as it is, and weights that
            OpenAI keeps transposed are not contiguous: to write with, not to train or save.

    Returns the model in eval mode on the CPU, its parameters in memory once; raises
    PretrainedError, which names what is missing, damaged, unsafe to read or of another model.
    """
    name = SIZES.get(str(name_or_folder), str(name_or_folder))
    if name in RELEASES:
        return load_weights(fetch(name), GPTConfig.named(name), dtype, mapped)
    folder = Path(name_or_folder)
    if not folder.is_dir():
        raise PretrainedError(
            f"{name_or_folder} is neither a folder nor a name: give one of {', '.join(RELEASES)}, "
            f"or a folder with {CONFIG} and {WEIGHTS}"
        )
    return load_weights(folder, read_config(folder), dtype, mapped)


def import_model(
    folder: str | Path, dtype: torch.dtype = torch.float32, mapped: bool = False
) -> tuple[GPT, Tokenizer | None]:
    """The model of a folder, and its tokenizer or None if there is none; see :func:`load_openai`.

    A table with more rows than the tokenizer has tokens keeps the rest as spare rows, which are
    never scored.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PretrainedError(f"no folder {folder}: give one that holds a model")
    tokenizer = read_tokenizer(folder)
    model = load_openai(folder, dtype, mapped)
    rows = model.config.vocab_size
    tokens = tokenizer.vocab_size if tokenizer else rows
    if tokens > rows:
        raise PretrainedError(
            f"{folder}: the tokenizer has {tokens:,} tokens but the model only {rows:,} rows: "
            f"they are of different models"
        )
    if tokens < rows:
        model.config = replace(model.config, vocab_size=tokens, vocab_multiple=rows)
    return model, tokenizer


def load_weights(folder: Path, config: GPTConfig, dtype: torch.dtype, mapped: bool) -> GPT:
    """Build a model of this shape around the tensors of a folder; see :func:`load_openai`."""
    with torch.device("meta"):
        model = GPT(config)  # names and shapes; the memory comes with the tensors
    files = open_tensors(folder)
    check_tensors(folder, files, model)
    parameters = {}
    for ours in model.state_dict():
        tensor = transpose_conv1d(hf_name(ours), read_tensor(files, hf_name(ours)))
        if mapped:
            parameters[ours] = tensor.to(dtype)
        else:  # in memory of its own, whatever becomes of the file
            parameters[ours] = torch.empty(tensor.shape, dtype=dtype).copy_(tensor)
    model.load_state_dict(parameters, assign=True)
    if HEAD in files:
        check_tied(folder, read_tensor(files, HEAD).to(dtype), model)
    return model.eval()


def hf_name(name: str) -> str:
    """The name in OpenAI's weights of one of our parameters, without their prefix."""
    module, _, kind = name.rpartition(".")
    number = re.search(r"\.(\d+)\.", module)  # of the block
    if number is None:
        return f"{MODULES[module]}.{kind}"
    in_block = MODULES[module.replace(number[0], ".{}.")]
    return f"{in_block.format(number[1])}.{kind}"


def transpose_conv1d(hf_name: str, tensor: Tensor) -> Tensor:
    """Turn a weight between their layout and ours, the same way in both directions."""
    *_, module, kind = hf_name.split(".")
    return tensor.T if module in CONV1D and kind == "weight" else tensor


def read_tensor(files: dict[str, Any], name: str) -> Tensor:
    """A tensor in its file's memory map, refused if it is not finite."""
    key, file, path = files[name]
    tensor: Tensor = file.get_tensor(key)
    # a sum shows NaN and infinity in a tenth of the time; one that overflows needs a look
    if not tensor.sum().isfinite() and not tensor.isfinite().all():
        raise PretrainedError(f"{path}: {key} holds NaN or infinity: bring the file again")
    return tensor


def check_tensors(folder: Path, files: dict[str, Any], model: GPT) -> None:
    """Refuse weights that are not this model's, before any parameter is read."""
    shapes = {}
    for ours, parameter in model.state_dict().items():
        shapes[hf_name(ours)] = tuple(transpose_conv1d(hf_name(ours), parameter).shape)
    lacks = sorted(shapes.keys() - files.keys())
    more = sorted(n for n in files.keys() - shapes.keys() - {HEAD} if not BUFFER.fullmatch(n))
    for what, names in (("lacks", lacks), ("holds the unknown", more)):
        if names:
            others = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
            raise PretrainedError(
                f"{folder} {what} tensor {names[0]}{others}: give the weights of a whole GPT-2 "
                f"model whose {CONFIG} fits them"
            )
    for name, expected in shapes.items():
        key, file, _ = files[name]
        if (shape := tuple(file.get_slice(key).get_shape())) != expected:
            raise PretrainedError(
                f"{folder}: {name} has shape {shape}, not {expected}: the weights and the "
                f"{CONFIG} are of different models"
            )


def check_tied(folder: Path, head: Tensor, model: GPT) -> None:
    """Refuse a head of its own: ours is the token embedding."""
    if not torch.equal(head, model.lm_head_weight):
        raise PretrainedError(
            f"{folder}: {HEAD} is not the token embedding: our head is tied, give a model whose "
            f"head is tied as well"
        )


def open_tensors(folder: Path) -> dict[str, tuple[str, Any, Path]]:
    """Each tensor's name without prefix → its name in the file, the open file, and its path.

    A file is memory-mapped, and its head is held against its length; no number is read yet.
    """
    found: dict[str, tuple[str, Any, Path]] = {}
    for path in weight_files(folder):
        try:
            file = safe_open(path, framework="pt")
        except (SafetensorError, OSError) as error:
            reason = " ".join(str(error).split())
            raise PretrainedError(
                f"{path} is cut short or damaged, or a pickle, which is never read ({reason}): "
                f"bring the safetensors file again"
            ) from error
        for name in file.keys():  # noqa: SIM118, it is no dictionary
            bare = WRAPPED.sub("", name, count=1).removeprefix(PREFIX)
            if bare in found:
                raise PretrainedError(
                    f"{folder} holds {found[bare][0]} and {name}, which are one tensor: "
                    f"bring the weights again, each once"
                )
            found[bare] = name, file, path
    return found


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, each of them inside of it."""
    index = folder / INDEX
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not index.is_file():
        others = sorted(path.name for path in folder.iterdir() if path.suffix in SUFFIXES)
        raise PretrainedError(
            f"{folder} holds no {WEIGHTS} and no {INDEX} of its parts"
            f"{', only ' if others else ''}{', '.join(others[:3])}: save the whole model as "
            f"safetensors (a pickle can run code and is never read)"
        )
    places = read_object(index).get("weight_map")
    if not isinstance(places, dict):
        raise PretrainedError(f"{index} has no weight_map: bring it again")
    for name in places.values():
        if Path(str(name)).name != name or not (folder / name).is_file():
            raise PretrainedError(f"{index} lists {name!r}, which is no file of that folder")
    return [folder / name for name in sorted(set(places.values()))]


def fetch(name: str) -> Path:
    """The folder with one of OpenAI's models, downloaded unless the hub's cache has it.

    A broken download goes on where it stopped, and has to have the sha256 that the hub names.
    Raises PretrainedError, which names each way out.
    """
    repository, (revision, size) = f"openai-community/{name}", RELEASES[name]
    place = {"repo_id": repository, "filename": WEIGHTS, "revision": revision}
    kept = importlib.import_module("huggingface_hub").try_to_load_from_cache(**place)
    if isinstance(kept, str):
        return Path(kept).parent
    try:
        hub = libraries()[1]
        sha256 = hub.get_hf_file_metadata(hub.hf_hub_url(**place)).etag
        with suppress(Exception):  # before hub 1.32 a broken download goes on at the second call
            hub.hf_hub_download(**place)
        path = Path(hub.hf_hub_download(**place))
        if sha256_of(path) != sha256:
            path.resolve().unlink()
            path.unlink(missing_ok=True)
            raise DownloadError(f"another file came than the one with sha256 {sha256[:12]}…")
        return path.parent
    except Exception as error:
        way = (
            "unset HF_HUB_OFFLINE and connect" if environment.offline() else "connect and try again"
        )
        raise PretrainedError(
            f"{name} ({repository}, {size}) is not stored here and did not come "
            f"({one_line(error)}): {way}, or give a folder with its {CONFIG} and {WEIGHTS}"
        ) from error

"""OpenAI's GPT-2 in our class: the weights of the hub, or of a folder in the same layout."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from gptlib.config import SIZES, GPTConfig
from gptlib.errors import PretrainedError
from gptlib.model import GPT
from gptlib.pretrained.configuration import read_config
from gptlib.pretrained.hub import RELEASES, fetch
from gptlib.pretrained.names import BUFFER, HEAD, PREFIX, swap_layout, their_name
from gptlib.pretrained.tensors import TensorFiles


def load_openai(
    name_or_folder: str | Path, dtype: torch.dtype = torch.float32, mapped: bool = False
) -> GPT:
    """Load GPT-2's weights into our model.

    Args:
        name_or_folder: ``gpt2``, ``gpt2-medium``, ``gpt2-large`` or ``gpt2-xl`` (or a size, such
            as ``124M``), downloaded once; or a folder with ``config.json`` and
            ``model.safetensors``, or several such files and their index.
        dtype: of the parameters; a file in half precision is widened.
        mapped: leave the parameters in the file's memory map, where they have this dtype. The
            model starts at once and takes no memory of its own, but the file must stay as it is
            while the model lives, and weights that OpenAI keeps transposed are not contiguous:
            to write with, not to train or save.

    Returns:
        The model in eval mode on the CPU, its parameters in memory once.

    Raises:
        PretrainedError: the weights are not there, damaged, or of another model.
    """
    name = SIZES.get(str(name_or_folder), str(name_or_folder))
    if name in RELEASES:
        return load_weights(fetch(name), GPTConfig.named(name), dtype, mapped)
    folder = Path(name_or_folder)
    if not folder.is_dir():
        raise PretrainedError(
            f"{name_or_folder} is neither a folder nor a name: give one of {', '.join(RELEASES)}, "
            f"or a folder with config.json and model.safetensors"
        )
    return load_weights(folder, read_config(folder), dtype, mapped)


def load_weights(folder: Path, config: GPTConfig, dtype: torch.dtype, mapped: bool) -> GPT:
    """Build a model of this shape around the tensors of a folder; see :func:`load_openai`."""
    with torch.device("meta"):
        model = GPT(config)  # names and shapes; the memory comes with the tensors
    files = TensorFiles(folder)
    found = {name.removeprefix(PREFIX): name for name in files.shapes}
    wanted = {their_name(ours): ours for ours in model.state_dict()}
    check_names(folder, set(found), set(wanted))
    shapes = {theirs: tuple(files.shapes[name]) for theirs, name in found.items()}
    for theirs, ours in wanted.items():
        check_shape(folder, theirs, shapes[theirs], model.get_parameter(ours))
    parameters = {}
    for theirs, tensor in read_checked(files, {found[theirs]: theirs for theirs in wanted}):
        ours, tensor = wanted[theirs], swap_layout(theirs, tensor)
        if mapped:
            parameters[ours] = tensor.to(dtype)
        else:  # of its own, whatever becomes of the file
            parameters[ours] = torch.empty(tensor.shape, dtype=dtype).copy_(tensor)
    model.load_state_dict(parameters, assign=True)
    if HEAD in found:
        check_tied(files, model)
    return model.eval()


def read_checked(files: TensorFiles, wanted: dict[str, str]) -> Iterator[tuple[str, Tensor]]:
    """Yield the wanted tensors by their name without prefix, refusing what is not finite."""
    for name, tensor in files.read(list(wanted)):
        # a sum shows NaN and infinity in a tenth of the time; one that overflows needs a look
        if not tensor.sum().isfinite() and not tensor.isfinite().all():
            raise PretrainedError(
                f"{files.files[name]}: {name} holds NaN or infinity: bring the file again"
            )
        yield wanted[name], tensor


def check_names(folder: Path, found: set[str], wanted: set[str]) -> None:
    """Refuse weights that lack a tensor or hold one that the model has no place for."""
    surplus = sorted(name for name in found - wanted - {HEAD} if not BUFFER.fullmatch(name))
    for what, names in (("lacks", sorted(wanted - found)), ("holds the unknown", surplus)):
        if names:
            more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
            raise PretrainedError(
                f"{folder} {what} tensor {names[0]}{more}: give the weights of a whole GPT-2 "
                f"model whose config.json fits them"
            )


def check_shape(folder: Path, name: str, shape: tuple[int, ...], parameter: Tensor) -> None:
    """Refuse a tensor that does not fit its parameter, named as it stands in the file."""
    expected = tuple(swap_layout(name, parameter).shape)
    if shape != expected:
        raise PretrainedError(
            f"{folder}: {name} has shape {shape}, not {expected}: the weights and the "
            f"config.json are of different models"
        )


def check_tied(files: TensorFiles, model: GPT) -> None:
    """Refuse a head of its own: ours is the token embedding."""
    for _, head in files.read([HEAD]):
        if not torch.equal(head.to(model.token_embedding.weight.dtype), model.head):
            raise PretrainedError(
                f"{files.files[HEAD]}: {HEAD} is not the token embedding: our head is tied, "
                f"give a model whose head is tied as well"
            )

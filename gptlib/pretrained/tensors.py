"""Named tensors of safetensors files, memory-mapped; nothing that is read here can run code."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from gptlib.errors import PretrainedError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"  # beside weights that are split over several files
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")  # weights in files that can run code when read


class TensorFiles:
    """The tensors of a folder by name; each is read when it is asked for.

    Args:
        folder: holds ``model.safetensors``, or several files and their index.

    Raises:
        PretrainedError: there are no such files, or one is no whole safetensors file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = {}  # name of a tensor -> its file
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path in weight_files(folder):
            for name, shape in _shapes(path):
                self.files[name] = path
                self.shapes[name] = shape

    def read(self, names: list[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield tensors that lie in the file's memory map: copy what shall stay."""
        for path in sorted({self.files[name] for name in names}):
            with safe_open(path, framework="pt") as file:
                for name in names:
                    if self.files[name] == path:
                        yield name, file.get_tensor(name)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder."""
    index = folder / INDEX
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if index.is_file():
        return [folder / name for name in _listed(index)]
    found = [path.name for pattern in PICKLES for path in folder.glob(pattern)]
    if found:
        raise PretrainedError(
            f"{folder} holds {found[0]} but no {WEIGHTS}: a pickle can run code and is never "
            f"read: save the model as safetensors"
        )
    raise PretrainedError(f"{folder} holds no {WEIGHTS}: give a folder with a model's weights")


def _listed(index: Path) -> list[str]:
    """The files that an index names, each of them inside its folder."""
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PretrainedError(f"{index} cannot be read as an index: bring it again") from error
    for name in names:
        if not (isinstance(name, str) and re.fullmatch(r"\w[\w.-]*\.safetensors", name)):
            raise PretrainedError(
                f"{index} lists {name!r}, which is no safetensors file in that folder: do not "
                f"trust it"
            )
    return names


def _shapes(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The names and shapes that a file's head gives; the head must fit the file's length."""
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118, it is no dictionary
                yield name, tuple(file.get_slice(name).get_shape())
    except (SafetensorError, OSError) as error:
        kind = "a pickle" if _pickled(path) else "cut short or damaged"
        reason = " ".join(str(error).split())
        raise PretrainedError(
            f"{path} is no whole safetensors file but {kind} ({reason}): bring it again"
        ) from error


def _pickled(path: Path) -> bool:
    """Whether a file begins as PyTorch's pickles do: a zip archive, or a pickle's first byte."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

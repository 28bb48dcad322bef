"""Windows: T inputs and, one position later, their T targets."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from gptlib.errors import ConfigError, TextTooShort
from gptlib.tokenizer import Tokenizer


class Rows(Protocol):
    """Windows (n, T): a tensor, or what reads them from the disk when they are asked for."""

    @property
    def shape(self) -> torch.Size:
        """(n, T)."""

    def __len__(self) -> int:
        """How many windows there are."""

    def __getitem__(self, rows: int | slice | Tensor, /) -> Tensor:
        """One window (T,), or several (B, T)."""

    def split(self, batch_size: int, /) -> Iterable[Tensor]:
        """All windows in order, (batch_size, T) at a time."""

    def numel(self) -> int:
        """How many ids all windows have together."""


Windows = tuple[Rows, Rows]  # x and y, (n, T) each


def encode_documents(tokenizer: Tokenizer, documents: Iterable[str]) -> list[int]:
    """Token ids of all documents, with the end-of-text id between them if there is one.

    Without it the model would be asked to predict one document's start from another's end.
    """
    ids: list[int] = []
    for number, document in enumerate(documents):
        if number and tokenizer.end_of_text is not None:
            ids.append(tokenizer.end_of_text)
        ids += tokenizer.encode(document)
    return ids


def windows(
    ids: Sequence[int] | Tensor, context_length: int, stride: int | None = None
) -> tuple[Tensor, Tensor]:
    """Cut a line of ids into windows and their targets.

    Args:
        ids: N token ids.
        context_length: T, the positions of one window.
        stride: the ids from one window's start to the next's; by default T, so that every id
            is predicted once. Smaller strides overlap.

    Returns:
        x and y, each (n, T) with n = (N − T − 1) // stride + 1: y is x one id later. Ids at the
        end that do not fill a window and its last target are left out.

    Raises:
        TextTooShort: N is below T + 1.
        ConfigError: T or the stride is below 1.
    """
    stride = context_length if stride is None else stride
    if context_length < 1 or stride < 1:
        raise ConfigError(f"context_length {context_length} and stride {stride} must be 1 or more")
    line = torch.as_tensor(ids, dtype=torch.long)  # (N,)
    if len(line) < context_length + 1:
        raise TextTooShort(
            f"{len(line):,} ids but one window of {context_length:,} and its last target need "
            f"{context_length + 1:,}: use a longer text or a shorter context"
        )
    spans = line.unfold(0, context_length + 1, stride)  # (n, T + 1), a view
    return spans[:, :-1].clone(), spans[:, 1:].clone()  # (n, T) each

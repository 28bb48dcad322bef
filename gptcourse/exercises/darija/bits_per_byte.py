"""Exercise 7.2: from the losses of some rows to the bits that each of their bytes costs."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from gptcourse.exercises.exercise import Case, Exercise
from gptlib.training.bits import bits_per_byte as in_all


def bits_per_byte(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """Bits per byte of N rows; row i of the losses (N, T) holds `n_tokens[i]`, then padding."""
    nats = sum(losses[i, :n].sum().item() for i, n in enumerate(n_tokens))
    return in_all(nats, sum(len(row.encode()) for row in rows))


def cases() -> Iterator[Case]:
    """One word in two vocabularies, then rows of different length with losses beside the text."""
    word = "وحد"
    yield Case("one word in single bytes", ([word], torch.full((1, 6), math.log(256)), [6]))
    yield Case("one word in pairs of bytes", ([word], torch.full((1, 3), math.log(65_536)), [3]))
    generator = torch.Generator().manual_seed(0)
    rows = ["\ufeffراني رايح للسوق", "wach rak\n", "هاذي la robe شابة", "déjà vu", " خويا"]
    for label, n_rows, width, n_tokens in (
        ("two rows, padded", 2, 12, [11, 4]),
        ("the same rows in fewer tokens", 2, 7, [6, 3]),
        ("five rows, padded", 5, 9, [9, 5, 7, 3, 4]),
    ):
        losses = 6 * torch.rand(n_rows, width, generator=generator) + 1
        yield Case(label, (rows[:n_rows], losses, n_tokens))
    losses = 6 * torch.rand(3, 5, generator=generator) + 1
    yield Case("an empty row among three", (["oui", "", "لا"], losses, [4, 1, 5]))


def nats_of(losses: Tensor, n_tokens: list[int]) -> float:
    """The sum without the padding, right: what several mistakes go wrong after."""
    return sum(losses[i, :n].sum().item() for i, n in enumerate(n_tokens))


def bytes_of(rows: list[str]) -> int:
    """The bytes of all rows, right: what several mistakes go wrong after."""
    return sum(len(row.encode()) for row in rows)


def in_nats(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """This looks like nats per byte: one bit is ln 2 nats."""
    return nats_of(losses, n_tokens) / bytes_of(rows)


def multiplied(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """This looks like multiplying by ln 2: a bit is less than a nat, so there must be more
    bits than nats."""
    return nats_of(losses, n_tokens) * math.log(2) / bytes_of(rows)


def per_character(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """This looks like bits per character: len of a text counts characters, and an Arabic letter
    has two bytes."""
    return nats_of(losses, n_tokens) / math.log(2) / sum(map(len, rows))


def per_token(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """This looks like bits per token: with other tokens the same text gets another number."""
    return nats_of(losses, n_tokens) / math.log(2) / sum(n_tokens)


def perplexity(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """This looks like the perplexity, e to the mean loss: it too depends on the vocabulary."""
    return math.exp(nats_of(losses, n_tokens) / sum(n_tokens))


def mean_of_rows(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """This looks like the mean of each row's own ratio: a short row would weigh as much as a long
    one. Add up nats and bytes first, divide once."""
    each = [losses[i, :n].sum().item() / len(rows[i].encode()) for i, n in enumerate(n_tokens)]
    return sum(each) / math.log(2) / len(each)


def padding_counted(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """This looks like a sum over all of the tensor: the losses behind a row's last token belong
    to the padding."""
    return losses.sum().item() / math.log(2) / bytes_of(rows)


def bytes_lost(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """This looks like the bytes of a text that lost letters on the way: errors="ignore" throws
    away what a narrower encoding cannot hold."""
    n_bytes = sum(len(row.encode("ascii", errors="ignore")) for row in rows)
    return nats_of(losses, n_tokens) / math.log(2) / n_bytes


def first_token_missing(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """This looks like each row's first loss left out while the first token's bytes are counted:
    the model seems better than it is."""
    nats = sum(losses[i, 1:n].sum().item() for i, n in enumerate(n_tokens))
    return nats / math.log(2) / bytes_of(rows)


def mean_loss(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """This looks like the mean loss of a token divided by the bytes of the whole text: the bytes
    of the whole need the sum."""
    return nats_of(losses, n_tokens) / sum(n_tokens) / math.log(2) / bytes_of(rows)


def two_bytes_each(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """This looks like UTF-16, where every letter has at least two bytes: the course counts those
    of UTF-8."""
    n_bytes = sum(len(row.encode("utf-16-le")) for row in rows)
    return nats_of(losses, n_tokens) / math.log(2) / n_bytes


def with_a_mask(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """The same without a loop over rows: a mask takes the padding out."""
    real = torch.arange(losses.shape[1]) < torch.tensor(n_tokens)[:, None]  # (N, T)
    nats = losses[real].sum().item()
    return nats / (len("".join(rows).encode()) * math.log(2))


def number_by_number(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """The same in plain Python, each loss made to bits before it is added."""
    bits = n_bytes = 0.0
    for row, nats, n in zip(rows, losses.tolist(), n_tokens, strict=True):
        bits += sum(math.log2(math.e) * number for number in nats[:n])
        n_bytes += len(bytes(row, "utf-8"))
    return bits / n_bytes


def as_a_tensor(rows: list[str], losses: Tensor, n_tokens: list[int]) -> Tensor:
    """The same, as a tensor of one number."""
    kept = torch.cat([row[:n] for row, n in zip(losses, n_tokens, strict=True)])
    return kept.sum() / math.log(2) / bytes_of(rows)


EXERCISE = Exercise(
    name="bits_per_byte",
    notebook="07_pretraining_darija",
    rating=2,
    minutes=15,
    right=bits_per_byte,
    cases=cases,
    mistakes=(
        in_nats,
        multiplied,
        per_character,
        per_token,
        perplexity,
        mean_of_rows,
        padding_counted,
        bytes_lost,
        first_token_missing,
        mean_loss,
        two_bytes_each,
    ),
    also_right=(with_a_mask, number_by_number, as_a_tensor),
)

"""Bits per byte: how surprised a model is by a text, whatever its tokens are.

Nats per token cannot compare two vocabularies: a token of four bytes says more than one of two.
The bytes of a text are the same for every model.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from gptlib.errors import ConfigError, TextTooShort
from gptlib.generation import eval_mode
from gptlib.model import GPT
from gptlib.tokenizer import Tokenizer
from gptlib.training.loss import next_token_loss


def bits_per_byte(total_nats: float, n_bytes: int) -> float:
    """The surprise of a text in bits, spread over its bytes.

    Args:
        total_nats: the sum of −ln p over every token of the text, not their mean.
        n_bytes: the text's length in UTF-8.

    Returns:
        Bits per byte: 8 for a model that thinks all bytes equally likely. A text can be stored
        in about this many bits for each of its bytes.

    Raises:
        TextTooShort: the text has no byte.
    """
    if n_bytes < 1:
        raise TextTooShort(f"{n_bytes} bytes have no bits per byte: give a text that is not empty")
    return total_nats / math.log(2) / n_bytes


@dataclass(frozen=True)
class Surprise:
    """What some documents cost a model."""

    nats: float  # in total
    n_tokens: int  # predicted, each document's end among them
    n_bytes: int  # of the documents in UTF-8; a document's end has none

    @property
    def nats_per_token(self) -> float:
        """The loss; it compares models of one vocabulary only."""
        return self.nats / self.n_tokens

    @property
    def bits_per_byte(self) -> float:
        """The loss that compares models of any vocabularies."""
        return bits_per_byte(self.nats, self.n_bytes)


@torch.no_grad()
def surprise(model: GPT, tokenizer: Tokenizer, documents: Iterable[str]) -> Surprise:
    """Ask a model for every token of some documents, from the first to each document's end.

    A document is read after an end-of-text, as in training, so its first token is predicted too:
    no byte goes uncounted. One that is longer than the context is read in parts, each from
    nothing. The model's train or eval mode is put back.

    Raises:
        ConfigError: the tokenizer has no end-of-text.
    """
    end, length = tokenizer.end_of_text, model.config.context_length
    if end is None:
        raise ConfigError(
            f"tokenizer {tokenizer.name} has no end-of-text, from which a document's first token "
            f"is predicted: use one that has, such as gpt2"
        )
    nats, n_tokens, n_bytes = 0.0, 0, 0
    with eval_mode(model):
        for document in documents:
            ids = torch.tensor([[end, *tokenizer.encode(document), end]])  # (1, N + 2)
            x, y = ids[:, :-1].split(length, dim=1), ids[:, 1:].split(length, dim=1)
            for inputs, targets in zip(x, y, strict=True):  # (1, T) each, the last shorter
                loss = next_token_loss(model, inputs.to(model.device), targets.to(model.device))
                nats += loss.item() * targets.numel()
                n_tokens += targets.numel()
            n_bytes += len(document.encode())
    return Surprise(nats, n_tokens, n_bytes)

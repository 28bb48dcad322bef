"""How surprised a model is: the loss on held-out windows, and bits per byte of any text."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from gptlib.data.dataset import TokenDataset
from gptlib.errors import TextTooShort
from gptlib.generation import eval_mode
from gptlib.model import GPT
from gptlib.tokenizer import Tokenizer


@torch.no_grad()
def evaluate(model: GPT, data: TokenDataset, batch_size: int = 8) -> float:
    """The mean loss over all targets of some windows, in nats per token.

    Every window is used, `batch_size` at a time; a last, smaller batch weighs by its tokens.
    Dropout is off, no random number is drawn and the model's mode is put back, so evaluating
    more often changes nothing in training.
    """
    total, n_targets = 0.0, 0
    with eval_mode(model):
        for first in range(0, len(data), batch_size):
            x, y = data[first : first + batch_size]  # (B, T) each
            loss = model(x.to(model.device), y.to(model.device))
            taught = int((y >= 0).sum())  # −100 teaches nothing
            total += loss.item() * taught
            n_targets += taught
    return total / n_targets


def subsample(data: TokenDataset, count: int) -> TokenDataset:
    """`count` windows at even distances, always the same; 0 keeps all, as more than there are."""
    n = len(data)
    return data.subset(i * n // count for i in range(count)) if 0 < count < n else data


def bits_per_byte(total_nats: float, n_bytes: int) -> float:
    """The surprise of a text in bits, spread over its bytes; TextTooShort where there are none.

    Nats per token cannot compare two vocabularies: a token of four bytes says more than one of
    two. The bytes of a text are the same for every model, and about this many bits for each of
    them could store the text: 8 for a model that thinks all bytes equally likely.

    Args:
        total_nats: the sum of −ln p over every token of the text, not their mean.
        n_bytes: the text's length in UTF-8.
    """
    if n_bytes < 1:
        raise TextTooShort(f"{n_bytes} bytes have no bits per byte: give a text that is not empty")
    return total_nats / math.log(2) / n_bytes


@dataclass(frozen=True)
class TextLoss:
    """What some documents cost a model."""

    nats: float  # in total
    n_tokens: int  # predicted, each document's end among them
    n_bytes: int  # of the documents in UTF-8; a document's end has none

    @property
    def nats_per_token(self) -> float:
        """The loss; it compares models of one vocabulary only."""
        return self.nats / self.n_tokens

    @property
    def perplexity(self) -> float:
        """Between how many equally likely tokens the model wavered, on average."""
        return math.exp(self.nats_per_token) if self.nats_per_token < 709 else math.inf

    @property
    def bits_per_byte(self) -> float:
        """The loss that compares models of any vocabularies."""
        return bits_per_byte(self.nats, self.n_bytes)


@torch.no_grad()
def evaluate_text(model: GPT, tokenizer: Tokenizer, documents: Iterable[str]) -> TextLoss:
    """Ask a model for every token of some documents, and for the end of each.

    A document is read after an end-of-text, as in training, so its first token is predicted too,
    and so is the end-of-text behind it: whoever stores documents must store where they end. One
    that is longer than the context is read in parts, each from nothing but the last token of the
    part before. A tokenizer without an end-of-text leaves both ends out: the first token only
    begins, and its bytes do not count.

    lm-evaluation-harness reads the same windows (``loglikelihood_rolling``) without the end.
    """
    length, end = model.config.context_length, tokenizer.end_of_text
    ends = [] if end is None else [end]
    nats, n_tokens, n_bytes = 0.0, 0, 0
    with eval_mode(model):
        for document in documents:
            tokens = tokenizer.encode(document)
            ids = torch.tensor([ends + tokens + ends])  # (1, N + 2)
            x, y = ids[:, :-1].split(length, dim=1), ids[:, 1:].split(length, dim=1)
            for inputs, targets in zip(x, y, strict=True):  # (1, T) each, the last shorter
                if not targets.numel():  # a document without its end that is one token, or none
                    continue
                loss = model(inputs.to(model.device), targets.to(model.device))
                nats += loss.item() * targets.numel()
                n_tokens += targets.numel()
            n_bytes += len(tokenizer.decode_bytes(tokens if ends else tokens[1:]))
    return TextLoss(nats, n_tokens, n_bytes)

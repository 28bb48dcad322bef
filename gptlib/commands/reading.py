"""What ``evaluate`` does: how well a model foretells a text."""

import math
from dataclasses import dataclass

import torch

from gptlib.commands.models import open_model
from gptlib.errors import TextTooShort
from gptlib.generation import token_log_probs


def counted(number: int, name: str) -> str:
    """How many there are, such as ``1 token`` or ``4,748 tokens``."""
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


@dataclass(frozen=True)
class Reading:
    """How surprised a model was by a text."""

    tokens: int  # that were foretold
    bytes: int  # of the text that these tokens spell
    nats: float  # in total

    @property
    def perplexity(self) -> float:
        """Between how many equally likely tokens the model wavered, on average."""
        return math.exp(self.nats / self.tokens)

    @property
    def bits_per_byte(self) -> float:
        """What the text would cost, packed with this model; tokenizers can be compared by it."""
        return self.nats / math.log(2) / self.bytes


def read_text(source: str, text: str) -> Reading:
    """Foretell a text in windows that move by half a context.

    Args:
        source: which model; see :func:`open_model`.
        text: read as one document. A tokenizer with an end-of-text token sets it before the
            first token, which is then foretold as well; without one, the first only begins.

    Raises:
        TextTooShort: there is no token to foretell.
    """
    model, tokenizer = open_model(source)
    ids = tokenizer.encode(text)
    before = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
    foretold = ids if before else ids[1:]
    if not foretold:
        raise TextTooShort(
            f"the text has {counted(len(ids), 'token')}: give at least {2 - len(before)}"
        )
    nats = -token_log_probs(model, torch.tensor([before + ids])).double().sum().item()
    return Reading(len(foretold), len(tokenizer.decode_bytes(foretold)), nats)

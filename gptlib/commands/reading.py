"""What ``evaluate`` does: how well a model foretells a text."""

from gptlib.commands.models import open_model
from gptlib.errors import TextTooShort
from gptlib.training.evaluation import TextLoss, evaluate_text


def counted(number: int, name: str) -> str:
    """How many there are, such as ``1 token`` or ``4,748 tokens``."""
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


def read_text(source: str, text: str) -> TextLoss:
    """Foretell a text, read as one document; see :func:`evaluate_text`.

    Args:
        source: which model; see :func:`open_model`.
        text: a document, from its beginning to its end.

    Raises:
        TextTooShort: there is nothing to foretell.
    """
    model, tokenizer = open_model(source)
    loss = evaluate_text(model, tokenizer, [text])
    if loss.n_bytes == 0:
        least = 1 if tokenizer.end_of_text is not None else 2
        tokens = counted(len(tokenizer.encode(text)), "token")
        raise TextTooShort(f"the text has {tokens}: give at least {least}")
    return loss

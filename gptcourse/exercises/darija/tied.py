"""The smallest model with one table used twice, for the exercise on spare rows."""

from torch import Tensor, nn


class TiedModel(nn.Module):
    """Guess the next token from the last one: a table of tokens, and a head that *is* the table.

    Other courses build GPT-2's head like this, as a layer of its own whose weight is tied. Ours
    computes with the table directly, and has nothing to tie (`gptlib.model.GPT.head`).

    Args:
        vocab_size: V, the columns of the logits, however many rows the table has.
        width: C.
    """

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.table = nn.Embedding(vocab_size, width)
        self.head = nn.Linear(width, vocab_size, bias=False)
        self.head.weight = self.table.weight  # one parameter, two uses

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (B, T) to logits (B, T, V)."""
        logits: Tensor = self.head(self.table(ids))  # (B, T, rows)
        return logits[..., : self.vocab_size]  # (B, T, V)

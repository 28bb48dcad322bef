"""Which finished definitions each notebook quotes: the one list behind the ``in-step`` cells.

A notebook's in-step cells stand in the order of its entries. Each cell begins with its file's
path as a comment; ``python -m gptlib course refresh`` writes the rest from the package. Every
definition that the course builds is quoted in exactly one notebook.
"""

from typing import NamedTuple


class Quote(NamedTuple):
    """One in-step cell: definitions (functions, classes, constants) of one file, in order."""

    file: str  # from the repository's root, with forward slashes
    names: tuple[str, ...]


QUOTES: dict[str, list[Quote]] = {
    "01_tokenization": [
        Quote("gptlib/tokenizer/training.py", ("Pair", "count_pairs")),
        Quote("gptlib/tokenizer/training.py", ("merge",)),
        Quote(
            "gptlib/tokenizer/training.py", ("Queue", "OPPOSITE", "END", "tie_order", "best_pair")
        ),
        Quote("gptlib/tokenizer/training.py", ("train_bpe",)),
        Quote("gptlib/tokenizer/encoding.py", ("encode_piece",)),
        Quote("gptlib/tokenizer/streaming.py", ("decode_stream",)),
    ],
    "02_attention": [
        Quote("gptlib/attention.py", ("split_heads", "merge_heads")),
        Quote("gptlib/attention.py", ("causal_weights",)),
        Quote("gptlib/attention.py", ("CausalSelfAttention",)),
    ],
    "03_transformer_block": [],
    "04_gpt2_124m": [],
    "05_pretraining_the_verdict": [],
}

"""A vocabulary for a language, learned from any amount of text by the Rust library `tokenizers`.

The same algorithm, pieces and files as in ``training``, on all cores of the machine. One thing
differs: of equally frequent pairs our own training takes the greatest pair of byte strings, Rust
the pair whose tokens are the oldest. So one text may give two lists of merges, each of a most
frequent pair at its turn. Given the same merges, both libraries give the same ids.
"""

import json
from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from gptlib.tokenizer.bpe import END_OF_TEXT, BPETokenizer
from gptlib.tokenizer.interface import check_unicode
from gptlib.tokenizer.pieces import split_special, whole_pieces
from gptlib.tokenizer.spelling import BytePair, unspell
from gptlib.tokenizer.training import warn_out_of_pairs
from gptlib.tokenizer.vocabulary import room_for_merges


def train_tokenizer(documents: str | Iterable[str], vocab_size: int) -> BPETokenizer:
    """Learn a vocabulary: 256 bytes, then merges, then ``<|endoftext|>`` as the last id.

    The order of the documents does not matter. They are read one by one; what stays in memory
    is each distinct piece with its count.

    Args:
        documents: one text, or documents one by one; give the training split only.
        vocab_size: how many tokens; fewer come, with an OutOfPairsWarning, of a short text.

    Raises:
        TokenizerError: ``vocab_size`` has no room for the bytes or is beyond reason, or a
            document holds a lone surrogate.
    """
    n_merges = room_for_merges(vocab_size, [END_OF_TEXT])
    parts = plain_parts([documents] if isinstance(documents, str) else documents)
    return BPETokenizer.from_merges(learn_merges(parts, n_merges), [END_OF_TEXT])


def learn_merges(texts: Iterable[str], n_merges: int) -> list[BytePair]:
    """Let Rust learn merges from texts, cut into GPT-2's pieces; oldest merge first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + n_merges,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),  # all bytes, met or not
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    if len(merges) < n_merges:
        warn_out_of_pairs(len(merges), n_merges)
    return [(unspell(left), unspell(right)) for left, right in merges]


def plain_parts(documents: Iterable[str]) -> Iterator[str]:
    """The documents without ``<|endoftext|>``, in parts that cut through no piece.

    Rust takes some eighty times the memory of the text that it is given at a time.
    """
    for document in documents:
        check_unicode(document)
        for plain in split_special(document, [END_OF_TEXT])[::2]:
            yield from whole_pieces([plain])

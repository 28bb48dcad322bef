"""GPT-2's own vocabulary, encoded by tiktoken: the same ids as ``BPETokenizer``, only faster."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import tiktoken

from gptlib.tokenizer.bpe import END_OF_TEXT
from gptlib.tokenizer.encoding import encode_piece
from gptlib.tokenizer.interface import check_unicode, fingerprint_of, out_of_range
from gptlib.tokenizer.pieces import PATTERN, whole_pieces
from gptlib.tokenizer.spelling import BytePair, spell, write_vocabulary
from gptlib.tokenizer.training import Pair

# Of the 50,256 ranks and <|endoftext|>: what a folder must hold to be GPT-2's own vocabulary.
GPT2_FINGERPRINT = "a5623714bcf19049eb0fd78df19b6daa1e61ac435b86a5deae767768e7fcdc3d"


class GPT2Tokenizer:
    """GPT-2's 50,257 tokens: 256 bytes, 50,000 merges and ``<|endoftext|>``, the last id."""

    name = "gpt2"
    fingerprint = GPT2_FINGERPRINT

    def __init__(self, ranks: Mapping[bytes, int]) -> None:
        """Hand the vocabulary to tiktoken.

        Args:
            ranks: the bytes of each ordinary token → its id, see ``gptlib.tokenizer.ranks``.
        """
        self.ranks = dict(ranks)
        self.special_tokens = {END_OF_TEXT: len(self.ranks)}
        self.end_of_text = self.special_tokens[END_OF_TEXT]
        self.vocab_size = len(self.ranks) + 1
        self._encoding = tiktoken.Encoding(
            name=self.name,
            pat_str=PATTERN.pattern,
            mergeable_ranks=self.ranks,
            special_tokens=self.special_tokens,
        )

    @property
    def merges(self) -> list[BytePair]:
        """The 50,000 merges, oldest first; worked out from the ranks, in half a second."""
        return merges_of(self.ranks)

    def save(self, folder: str | Path) -> None:
        """Write ``vocab.json`` and ``merges.txt``: a folder that needs no download any more."""
        ordinary = {spell(token): token_id for token, token_id in self.ranks.items()}
        write_vocabulary(folder, ordinary | self.special_tokens, self.merges)

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """The ids of a text; ``<|endoftext|>`` in it is plain text unless ``allow_special``.

        Raises:
            TokenizerError: the text holds a lone surrogate.
        """
        check_unicode(text)
        if allow_special:
            return self._encoding.encode(text, allowed_special="all")
        return self._encoding.encode_ordinary(text)

    def encode_iterable(self, chunks: Iterable[str]) -> Iterator[int]:
        """The ids of a text that comes in chunks: those of the whole, in constant memory."""
        for part in whole_pieces(chunks):
            yield from self._encoding.encode_ordinary(part)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids: bytes are joined first, as a character may span two tokens."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of some ids; raises TokenOutOfRange for an id that no token has."""
        ids = list(ids)
        for token_id in ids:
            if not 0 <= token_id < self.vocab_size:
                raise out_of_range(token_id, self.vocab_size)
        return self._encoding.decode_bytes(ids)


def merges_of(ranks: Mapping[bytes, int]) -> list[BytePair]:
    """The merges behind a vocabulary whose ids are in the order of training.

    A token was made from the two parts that all merges before it leave of its bytes.

    Args:
        ranks: the bytes of each ordinary token → its id; the 256 bytes come first.

    Returns:
        the pairs of tokens, oldest merge first.
    """
    tokens = [bytes([byte]) for byte in range(256)]
    merged: dict[Pair, int] = {}
    for token in sorted(ranks, key=ranks.__getitem__)[256:]:
        left, right = encode_piece(token, merged)
        merged[left, right] = len(tokens)
        tokens.append(token)
    return [(tokens[left], tokens[right]) for left, right in merged]


def fingerprint_of_ranks(ranks: Mapping[bytes, int]) -> str:
    """The fingerprint of ranks followed by ``<|endoftext|>``."""
    return fingerprint_of([*sorted(ranks, key=ranks.__getitem__), END_OF_TEXT.encode()])

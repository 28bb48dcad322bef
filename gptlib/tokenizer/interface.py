"""What every tokenizer promises, so that the model, the trainer and the notebooks need not ask."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from gptlib.errors import TokenizerError, TokenOutOfRange


class Tokenizer(Protocol):
    """Text to token ids and back; ``decode(encode(text)) == text`` for every valid text."""

    @property
    def name(self) -> str:
        """A short name for logs and plots, such as ``gpt2``."""

    @property
    def vocab_size(self) -> int:
        """How many ids there are: 0 to ``vocab_size - 1``."""

    @property
    def end_of_text(self) -> int | None:
        """The id that parts one document from the next, if there is one."""

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """The strings with an id of their own, which only ``allow_special`` gives them."""

    @property
    def fingerprint(self) -> str:
        """The sha256 of what every id means: equal fingerprints, interchangeable tokenizers."""

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """The ids of a text; ``<|endoftext|>`` in it is plain text unless ``allow_special``."""

    def encode_iterable(self, chunks: Iterable[str]) -> Iterator[int]:
        """The ids of a text that comes in chunks, as those of the whole, in constant memory."""

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids; bytes that are no valid UTF-8 become ``�``."""

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of some ids: one token may end within a character."""

    def save(self, folder: str | Path) -> None:
        """Write the tokenizer's files into a folder, for ``load_tokenizer``."""


def check_unicode(text: str, start: int = 0) -> None:
    """Refuse a text that UTF-8 cannot write: one with a lone surrogate.

    Args:
        text: the text to look at.
        start: where it stands in a longer text, for the position in the message.

    Raises:
        TokenizerError: names the first bad code point, its position and the way out.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise TokenizerError(
            f"lone surrogate U+{code:04X} at position {start + error.start:,} is half a character "
            "that UTF-8 cannot write: repair the text where it was read, or drop it with "
            'text.encode("utf-8", "ignore").decode()'
        ) from None


def out_of_range(token: object, vocab_size: int) -> TokenOutOfRange:
    """The error for an id that no token has."""
    return TokenOutOfRange(
        f"token id {token} is outside the vocabulary of {vocab_size:,} tokens: "
        f"use ids from 0 to {vocab_size - 1:,}, or the tokenizer that made these"
    )


def fingerprint_of(tokens: Iterable[bytes]) -> str:
    """The sha256 of a vocabulary.

    Args:
        tokens: the bytes of token 0, 1, 2, …

    Returns:
        64 hexadecimal digits. Each length is hashed too: ``ab, c`` and ``a, bc`` differ.
    """
    digest = hashlib.sha256()
    for token in tokens:
        digest.update(len(token).to_bytes(4, "little") + token)
    return digest.hexdigest()

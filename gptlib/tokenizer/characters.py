"""One id per character: the smallest tokenizer there is, for experiments on small texts."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from gptlib.errors import TokenizerError
from gptlib.files import write_json
from gptlib.tokenizer.interface import check_unicode, fingerprint_of, out_of_range


class CharacterTokenizer:
    """The characters of one text, numbered in the order of Unicode.

    Not handled: characters that the text did not have, and special tokens.
    """

    name = "characters"
    end_of_text = None
    special_tokens: Mapping[str, int] = MappingProxyType({})

    def __init__(self, characters: str) -> None:
        """Number some characters.

        Args:
            characters: each once; the first gets id 0.

        Raises:
            TokenizerError: there is none, one stands twice, or one is a lone surrogate.
        """
        check_unicode(characters)
        if not characters or len(set(characters)) < len(characters):
            raise TokenizerError(
                f"{len(characters)} characters, {len(set(characters))} of them different: "
                "give one or more, each once"
            )
        self.characters = characters
        self._ids = {character: token_id for token_id, character in enumerate(characters)}
        self.fingerprint = fingerprint_of(character.encode() for character in characters)

    @classmethod
    def train(cls, text: str | Iterable[str]) -> "CharacterTokenizer":
        """Collect the characters of one text, or of documents one by one."""
        return cls("".join(sorted(set().union(*([text] if isinstance(text, str) else text)))))

    @classmethod
    def load(cls, folder: str | Path) -> "CharacterTokenizer":
        """Read ``characters.json``; raises TokenizerError where it does not hold characters."""
        file = Path(folder) / "characters.json"
        try:
            characters = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise TokenizerError(f"{file} is not readable: {error}; save it anew") from error
        if not isinstance(characters, str):
            raise TokenizerError(f"{file} holds no JSON string of characters: save it anew")
        return cls(characters)

    def save(self, folder: str | Path) -> None:
        """Write ``characters.json``."""
        write_json(Path(folder) / "characters.json", self.characters)

    @property
    def vocab_size(self) -> int:
        """How many characters."""
        return len(self.characters)

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """The ids of a text; there are no special tokens to allow.

        Raises:
            TokenizerError: names the first character that the vocabulary lacks.
        """
        return self._encode(text, 0)

    def encode_iterable(self, chunks: Iterable[str]) -> Iterator[int]:
        """The ids of a text that comes in chunks."""
        start = 0
        for chunk in chunks:
            yield from self._encode(chunk, start)
            start += len(chunk)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids; raises TokenOutOfRange for an id that no character has."""
        return self.decode_bytes(ids).decode()

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The UTF-8 bytes of some ids; every id is a whole character."""
        text = []
        for token_id in ids:
            if not 0 <= token_id < self.vocab_size:
                raise out_of_range(token_id, self.vocab_size)
            text.append(self.characters[token_id])
        return "".join(text).encode()

    def _encode(self, text: str, start: int) -> list[int]:
        """The ids of a text that begins ``start`` characters after the beginning."""
        check_unicode(text, start)
        try:
            return [self._ids[character] for character in text]
        except KeyError as error:
            character = error.args[0]
            raise TokenizerError(
                f"character {character!r} (U+{ord(character):04X}) at position "
                f"{start + text.index(character):,} is not among the {self.vocab_size} of this "
                "tokenizer: train it on a text that has it, or use BPE, which knows every byte"
            ) from None

"""Text → token ids → text, and back: byte-level BPE, or one id per character."""

import codecs
import hashlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import index
from pathlib import Path

from gptlib.errors import OutOfPairsWarning, TokenizerError, TokenOutOfRange
from gptlib.files import write_json
from gptlib.tokenizer import bpe
from gptlib.tokenizer.roles import read_roles, write_roles
from gptlib.tokenizer.vocabulary import (
    BytePair,
    check_merges,
    check_vocabulary,
    learn_in_rust,
    read_vocabulary,
    room_for_merges,
    write_vocabulary,
)

END_OF_TEXT = "<|endoftext|>"
REMEMBERED = 1 << 16  # pieces whose ids are kept: some 15 MB, and most of a language's words


class Tokenizer(ABC):
    """Text to token ids and back; ``decode(encode(text)) == text`` for every valid text."""

    def __init__(self, name: str, tokens: Sequence[bytes], special: Mapping[str, int]) -> None:
        self.name = name  # for logs and plots
        self.tokens = tokens  # the bytes of token 0, 1, 2, …
        self.vocab_size = len(tokens)
        self.special_tokens = dict(special)  # only allow_special gives these strings their ids
        self.roles: dict[str, str] = {}  # such as eos_token → </s>, where a file has named them
        digest = hashlib.sha256()
        for token in tokens:  # with its length: "ab, c" and "a, bc" differ
            digest.update(len(token).to_bytes(4, "little") + token)
        self.fingerprint = digest.hexdigest()  # equal ones: interchangeable tokenizers

    @property
    def end_of_text(self) -> int | None:
        """The id that parts documents: of ``<|endoftext|>``, or of another token in its role."""
        return self.special_tokens.get(self.roles.get("eos_token", END_OF_TEXT))

    @abstractmethod
    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """The ids of a text.

        Args:
            text: any text that UTF-8 can write.
            allow_special: whether special tokens in it get their own ids, the longest first;
                otherwise they are text like any other, as a stranger's text should be.

        Raises:
            TokenizerError: the text holds a lone surrogate, or what the vocabulary lacks.
        """

    def encode_iterable(self, chunks: Iterable[str], allow_special: bool = False) -> Iterator[int]:
        """The ids of a text that comes in chunks: those of the whole, in constant memory."""
        special = self.special_tokens if allow_special else ()
        for chunk in bpe.safe_chunks(chunks, special_tokens=special):
            yield from self.encode(chunk, allow_special)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids; bytes that are no valid UTF-8 become ``�``."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of some ids: one token may end within a character.

        Args:
            ids: integers, Python's or numpy's, or one row of them as an array or a tensor.

        Raises:
            TokenOutOfRange: an id that no token has.
            TokenizerError: what is no integer, such as a float.
        """
        tokens = []
        for token_id in ids.tolist() if hasattr(ids, "tolist") else ids:
            try:
                number = index(token_id)
            except TypeError:
                raise TokenizerError(
                    f"token id {token_id!r} is no integer: give whole numbers in one row"
                ) from None
            if not 0 <= number < self.vocab_size:
                raise out_of_range(number, self.vocab_size)
            tokens.append(self.tokens[number])
        return b"".join(tokens)

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write the tokenizer's files into a folder, for :func:`load_tokenizer`."""


def out_of_range(token_id: object, vocab_size: int) -> TokenOutOfRange:
    """The error for an id that no token has."""
    return TokenOutOfRange(
        f"token id {token_id} is outside the vocabulary of {vocab_size:,} tokens: "
        f"use ids from 0 to {vocab_size - 1:,}, or the tokenizer that made these"
    )


class BPETokenizer(Tokenizer):
    """Byte-level BPE, written from scratch: it knows no language and refuses no text.

    Not handled: other patterns than GPT-2's, other bases than bytes, merges that drop out at
    random (BPE-dropout).
    """

    def __init__(
        self,
        vocabulary: Mapping[bytes, int],
        merges: Sequence[BytePair],
        special_tokens: Mapping[str, int] | None = None,
    ) -> None:
        """Refuse, by TokenizerError, what does not fill the ids from 0 without a gap.

        Args:
            vocabulary: the bytes of each ordinary token → its id.
            merges: pairs of tokens, oldest first, each made of bytes or of older merges.
            special_tokens: each special token → its id; none by default.
        """
        special_tokens = special_tokens or {}
        self.vocabulary, self.merges = dict(vocabulary), list(merges)
        tokens, self._merged = check_merges(self.merges)
        check_vocabulary(self.vocabulary, tokens, special_tokens)
        # Merging counts in its own ids (bytes, then merges by age); GPT-2 numbers bytes otherwise.
        self._id_of = [self.vocabulary[token] for token in tokens]
        self._known: dict[str, tuple[int, ...]] = {}  # the ids of pieces that were met
        by_id = {i: token for token, i in self.vocabulary.items()}
        by_id |= {i: token.encode() for token, i in special_tokens.items()}
        super().__init__(f"bpe-{len(by_id)}", [by_id[i] for i in sorted(by_id)], special_tokens)

    @classmethod
    def train(
        cls,
        texts: str | Iterable[str],
        vocab_size: int,
        special_tokens: Sequence[str] = (),
        fast: bool = False,
    ) -> "BPETokenizer":
        """Learn a vocabulary: 256 bytes, then merges, then the special tokens.

        Args:
            texts: one text, or documents one by one, in any order; the training split only.
            vocab_size: how many tokens; fewer come, with an OutOfPairsWarning, of a short text.
            special_tokens: strings that are never merged with their neighbors.
            fast: let the Rust library ``tokenizers`` learn, on all cores: for any amount of text.
                The same algorithm, but of equally frequent pairs it takes the one whose tokens
                are the oldest; ours takes the greatest pair of byte strings.

        Raises:
            TokenizerError: ``vocab_size`` has no room for the bytes, or a text a lone surrogate.
        """
        n_merges = room_for_merges(vocab_size, special_tokens)
        texts = [texts] if isinstance(texts, str) else texts
        parts = bpe.plain_parts(texts, special_tokens)
        if fast:
            merges = learn_in_rust(parts, n_merges)
        else:
            merges = bpe.train_bpe(bpe.count_pretokens(parts), n_merges)
        if len(merges) < n_merges:
            warnings.warn(
                f"the text has no pair left after {len(merges):,} of {n_merges:,} merges: the "
                "vocabulary is smaller than asked for; train on more text or ask for a smaller one",
                OutOfPairsWarning,
                stacklevel=2,
            )
        return cls.from_merges(merges, special_tokens)

    @classmethod
    def from_merges(
        cls, merges: Sequence[BytePair], special_tokens: Sequence[str] = ()
    ) -> "BPETokenizer":
        """Number the 256 bytes, then what the merges make, oldest first, then special tokens."""
        tokens, _ = check_merges(merges)
        vocabulary = {token: i for i, token in enumerate(tokens)}
        return cls(vocabulary, merges, {t: i for i, t in enumerate(special_tokens, len(tokens))})

    @classmethod
    def load(cls, folder: Path) -> "BPETokenizer":
        """Read what :meth:`save` has written; raises TokenizerError where it does not fit."""
        tokenizer = cls(*read_vocabulary(folder))
        tokenizer.roles = read_roles(folder, tokenizer.special_tokens)
        return tokenizer

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        bpe.check_unicode(text)
        ids: list[int] = []
        parts = bpe.split_special(text, self.special_tokens if allow_special else ())
        for number, part in enumerate(parts):
            if number % 2:
                ids.append(self.special_tokens[part])
                continue
            for piece in bpe.pretokens(part):
                ids += self._known.get(piece) or self._encode_new(piece)
        return ids

    def _encode_new(self, piece: str) -> tuple[int, ...]:
        """The ids of a piece that was not met before, or not lately."""
        token = piece.encode()
        whole = self.vocabulary.get(token)
        if whole is not None:  # most words are a token: no merge need be replayed
            ids: tuple[int, ...] = (whole,)
        else:
            encode = bpe.encode_piece if len(token) <= 256 else bpe.encode_long_piece
            ids = tuple([self._id_of[i] for i in encode(token, self._merged)])
        if len(piece) <= 64:  # longer ones hardly come twice
            if len(self._known) >= REMEMBERED:
                self._known.clear()  # or a stream of any size would fill the memory
            self._known[piece] = ids
        return ids

    def save(self, folder: str | Path) -> None:
        """Write ``vocab.json`` and ``merges.txt``, which Hugging Face's libraries read too."""
        write_vocabulary(folder, self.vocabulary, self.merges, self.special_tokens)
        write_roles(folder, self.roles)


class CharacterTokenizer(Tokenizer):
    """One id per character: the smallest tokenizer there is, for experiments on small texts.

    Not handled: characters that it was not made of, and special tokens.
    """

    def __init__(self, characters: str) -> None:
        """Number some characters, each once; raises TokenizerError for none or one twice."""
        bpe.check_unicode(characters)
        if not characters or len(set(characters)) < len(characters):
            raise TokenizerError(
                f"{len(characters)} characters, {len(set(characters))} of them different: "
                "give one or more, each once"
            )
        self.characters = characters
        self._ids = {character: i for i, character in enumerate(characters)}
        super().__init__("characters", [character.encode() for character in characters], {})

    @classmethod
    def train(cls, texts: str | Iterable[str]) -> "CharacterTokenizer":
        """Number the characters of one text, or of documents, in the order of Unicode."""
        return cls("".join(sorted(set().union(*texts))))

    def encode(self, text: str, allow_special: bool = False, start: int = 0) -> list[int]:
        """The ids of a text that begins ``start`` characters after the beginning."""
        bpe.check_unicode(text, start)
        try:
            return [self._ids[character] for character in text]
        except KeyError as error:
            character = error.args[0]
            raise TokenizerError(
                f"character {character!r} (U+{ord(character):04X}) at position "
                f"{start + text.index(character):,} is not among the {self.vocab_size} of this "
                "tokenizer: train it on a text that has it, or use BPE, which knows every byte"
            ) from None

    def encode_iterable(self, chunks: Iterable[str], allow_special: bool = False) -> Iterator[int]:
        """The ids of a text that comes in chunks."""
        start = 0
        for chunk in chunks:
            yield from self.encode(chunk, start=start)
            start += len(chunk)

    def save(self, folder: str | Path) -> None:
        """Write ``characters.json``."""
        write_json(Path(folder) / "characters.json", self.characters)


def decode_stream(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Yield text as soon as its characters are whole: an Arabic letter is two bytes.

    Args:
        tokenizer: the one that the ids belong to.
        ids: tokens as they are generated.

    Yields:
        non-empty strings that join to ``tokenizer.decode(ids)``; bytes that never become a
        character are shown as ``�``, those at the very end included.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token_id in ids:
        if text := decoder.decode(tokenizer.decode_bytes([token_id])):
            yield text
    if rest := decoder.decode(b"", final=True):
        yield rest

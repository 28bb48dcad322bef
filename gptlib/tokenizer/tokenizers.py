"""Text → token ids → text, and back: byte-level BPE, or one id per character."""

import codecs
import hashlib
import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import index
from pathlib import Path

import tokenizers  # Hugging Face's library, in Rust

from gptlib.errors import OutOfPairsWarning, TokenizerError, TokenOutOfRange
from gptlib.files import atomic_write, write_json
from gptlib.tokenizer import bpe
from gptlib.tokenizer import vocabulary as vocab
from gptlib.tokenizer.vocabulary import ROLES_FILE, BytePair, read_roles

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
        """The ids of a text; raises TokenizerError for a lone surrogate or an unknown character.

        allow_special: special tokens in it get their own ids, the longest first; by default they
            are text like any other, as a stranger's text should be.
        """

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write the tokenizer's files into a folder, for :func:`load_tokenizer`."""

    def encode_iterable(self, chunks: Iterable[str], allow_special: bool = False) -> Iterator[int]:
        """The ids of a text that comes in chunks: those of the whole, in constant memory."""
        special = self.special_tokens if allow_special else ()
        for chunk in bpe.safe_chunks(chunks, special_tokens=special):
            yield from self.encode(chunk, allow_special)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids, see :meth:`decode_bytes`; invalid UTF-8 is shown as ``�``."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of some ids, Python's or numpy's integers, or one row as an array or a tensor.

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


def out_of_range(token_id: object, vocab_size: int) -> TokenOutOfRange:
    """The error for an id that no token has."""
    return TokenOutOfRange(
        f"token id {token_id} is outside the vocabulary of {vocab_size:,} tokens: "
        f"use ids from 0 to {vocab_size - 1:,}, or the tokenizer that made these"
    )


class BPETokenizer(Tokenizer):
    """Byte-level BPE, written from scratch: it knows no language and refuses no text.

    Args:
        vocabulary: the bytes of each ordinary token → its id.
        merges: pairs of tokens, oldest first, each made of bytes or of older merges.
        special_tokens: each special token → its id; the ids have no gap. None by default.

    Not handled: patterns other than GPT-2's, merges that drop out at random (BPE-dropout).
    """

    def __init__(
        self,
        vocabulary: Mapping[bytes, int],
        merges: Sequence[BytePair],
        special_tokens: Mapping[str, int] | None = None,
    ) -> None:
        special_tokens = special_tokens or {}
        self.vocabulary, self.merges = dict(vocabulary), list(merges)
        # Merging counts in its own ids (bytes, then merges by age); GPT-2 numbers bytes otherwise.
        made, self._merged = vocab.number_merges(merges)
        vocab.check_vocabulary(vocabulary, made, special_tokens)
        self._id_of = [vocabulary[token] for token in made]
        self._known: dict[str, tuple[int, ...]] = {}  # the ids of pieces that were met
        token_of = {i: token for token, i in self.vocabulary.items()}
        token_of |= {i: token.encode() for token, i in special_tokens.items()}
        tokens = [token_of[i] for i in range(len(token_of))]
        super().__init__(f"bpe-{len(tokens)}", tokens, special_tokens)

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
                Of equally frequent pairs it takes the oldest tokens, ours the greatest bytes.

        Raises:
            TokenizerError: ``vocab_size`` has no room for the bytes, or a text a lone surrogate.
        """
        n_merges = vocab.room_for_merges(vocab_size, special_tokens)
        texts = [texts] if isinstance(texts, str) else texts
        parts = bpe.plain_parts(texts, special_tokens)
        if fast:
            rust = tokenizers.ByteLevelBPETokenizer()
            rust.train_from_iterator(parts, 256 + n_merges, min_frequency=0, show_progress=False)
            merges = vocab.merges_of(json.loads(rust.to_str())["model"]["merges"])
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
        tokens, _ = vocab.number_merges(merges)
        ids = {token: i for i, token in enumerate(tokens)}
        return cls(ids, merges, {t: i for i, t in enumerate(special_tokens, len(tokens))})

    @classmethod
    def load(cls, folder: Path) -> "BPETokenizer":
        """Read what :meth:`save` has written, or GPT-2's own files; raises TokenizerError."""
        tokenizer = cls(*vocab.read_vocabulary(folder))
        tokenizer.roles = read_roles(folder, tokenizer.special_tokens)
        return tokenizer

    def save(self, folder: str | Path) -> None:
        """Write ``vocab.json`` and ``merges.txt``, which Hugging Face's libraries read too."""
        spelled = {vocab.bytes_to_unicode(token): i for token, i in self.vocabulary.items()}
        with atomic_write(Path(folder) / "vocab.json", "w") as file:
            json.dump(spelled | self.special_tokens, file, ensure_ascii=False)
        with atomic_write(Path(folder) / "merges.txt", "w") as file:
            file.write("#version: 0.2\n")  # GPT-2's own first line
            for left, right in self.merges:
                file.write(f"{vocab.bytes_to_unicode(left)} {vocab.bytes_to_unicode(right)}\n")
        if set(self.roles.values()) - {END_OF_TEXT}:
            write_json(Path(folder) / ROLES_FILE, self.roles)

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
        if token in self.vocabulary:  # most words are a token: no merge need be replayed
            ids: tuple[int, ...] = (self.vocabulary[token],)
        else:
            encode = bpe.encode_piece if len(token) <= 256 else bpe.encode_long_piece
            ids = tuple([self._id_of[i] for i in encode(token, self._merged)])
        if len(piece) <= 64:  # longer ones hardly come twice
            if len(self._known) >= REMEMBERED:
                self._known.clear()  # or a stream of any size would fill the memory
            self._known[piece] = ids
        return ids


class CharacterTokenizer(Tokenizer):
    """One id per character, each once: the smallest tokenizer, for experiments on small texts.

    Not handled: characters that it was not made of, and special tokens.
    """

    def __init__(self, characters: str) -> None:
        bpe.check_unicode(characters)
        if not characters or len(set(characters)) < len(characters):
            raise TokenizerError(f"characters are {characters[:40]!r}: give some, each once")
        self.characters = characters
        self._ids = {character: i for i, character in enumerate(characters)}
        super().__init__("characters", [character.encode() for character in characters], {})

    @classmethod
    def train(cls, texts: str | Iterable[str]) -> "CharacterTokenizer":
        """Number the characters of one text, or of documents, in the order of Unicode."""
        return cls("".join(sorted(set().union(*texts))))

    def save(self, folder: str | Path) -> None:
        """Write ``characters.json``."""
        write_json(Path(folder) / "characters.json", self.characters)

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        bpe.check_unicode(text)
        try:
            return [self._ids[character] for character in text]
        except KeyError as error:
            character, place = error.args[0], text.index(error.args[0])
            raise TokenizerError(
                f"character {character!r} (U+{ord(character):04X}) in {text[: place + 20][-40:]!r} "
                f"is not among the {self.vocab_size} of this tokenizer: train it on a text that "
                "has it, or use BPE, which knows every byte"
            ) from None


def decode_stream(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Yield the text of ids as soon as its characters are whole: an Arabic letter is two bytes.

    The parts are non-empty and join to ``tokenizer.decode(ids)``; bytes that never become a
    character are shown as ``�``, those at the very end included.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token_id in ids:
        if text := decoder.decode(tokenizer.decode_bytes([token_id])):
            yield text
    if rest := decoder.decode(b"", final=True):
        yield rest

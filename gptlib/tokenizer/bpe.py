"""A byte-level BPE tokenizer, written from scratch: it knows no language and refuses no text."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from gptlib.tokenizer.encoding import encode_piece
from gptlib.tokenizer.interface import check_unicode, fingerprint_of, out_of_range
from gptlib.tokenizer.pieces import PATTERN, split_special, whole_pieces
from gptlib.tokenizer.roles import read_roles, write_roles
from gptlib.tokenizer.spelling import BytePair, read_vocabulary, spell, unspell, write_vocabulary
from gptlib.tokenizer.training import count_pieces, train_bpe
from gptlib.tokenizer.vocabulary import check_vocabulary, replay, room_for_merges

END_OF_TEXT = "<|endoftext|>"
REMEMBERED = 1 << 16  # pieces whose ids are kept: some 15 MB, and most of a language's words
MEMORABLE = 64  # characters: longer pieces hardly come twice


class BPETokenizer:
    """Text → pieces → bytes → merged pairs → ids, and back.

    Not handled: other patterns than GPT-2's, other bases than bytes, merges that drop out at
    random (BPE-dropout).
    """

    def __init__(
        self,
        vocabulary: Mapping[bytes, int],
        merges: Sequence[BytePair],
        special_tokens: Mapping[str, int] | None = None,
    ) -> None:
        """Check that bytes, merges and special tokens fill the ids from 0 without a gap.

        Args:
            vocabulary: the bytes of each ordinary token → its id.
            merges: pairs of tokens, oldest first, each made of bytes or of older merges.
            special_tokens: each special token → its id; none by default.

        Raises:
            TokenizerError: names the token that is missing, made twice or never made.
        """
        self.special_tokens = dict(special_tokens or {})
        self.roles: dict[str, str] = {}  # such as eos_token → </s>, where a file has named them
        self.merges = list(merges)
        self.vocabulary = dict(vocabulary)
        tokens, self._merged = replay(self.merges)
        check_vocabulary(self.vocabulary, tokens, self.special_tokens)
        # Merging counts in its own ids (bytes, then merges by age); GPT-2 numbers bytes otherwise.
        self._vocabulary_id = [self.vocabulary[token] for token in tokens]
        self._bytes = {token_id: token for token, token_id in self.vocabulary.items()}
        self._bytes |= {token_id: text.encode() for text, token_id in self.special_tokens.items()}
        self._known: dict[str, tuple[int, ...]] = {}
        self.fingerprint = fingerprint_of(self._bytes[i] for i in range(self.vocab_size))

    @classmethod
    def train(
        cls, text: str | Iterable[str], vocab_size: int, special_tokens: Sequence[str] = ()
    ) -> "BPETokenizer":
        """Learn a vocabulary: 256 bytes, then merges, then the special tokens.

        Args:
            text: one text, or documents one by one; give the training split only.
            vocab_size: how many tokens; fewer come, with an OutOfPairsWarning, of a short text.
            special_tokens: strings that are never merged with their neighbours.

        Raises:
            TokenizerError: ``vocab_size`` has no room for the bytes, or the text a lone surrogate.

        For a large text: :func:`gptlib.tokenizer.language.train_tokenizer`.
        """
        n_merges = room_for_merges(vocab_size, special_tokens)
        documents = [text] if isinstance(text, str) else text
        learned = train_bpe(count_pieces(documents, special_tokens), n_merges)
        tokens = [bytes([byte]) for byte in range(256)]
        for left, right in learned:
            tokens.append(tokens[left] + tokens[right])
        merges = [(tokens[left], tokens[right]) for left, right in learned]
        return cls.from_merges(merges, special_tokens)

    @classmethod
    def from_merges(
        cls, merges: Sequence[BytePair], special_tokens: Sequence[str] = ()
    ) -> "BPETokenizer":
        """Number the 256 bytes, then what the merges make, oldest first, then the special tokens.

        Raises:
            TokenizerError: see the constructor.
        """
        tokens, _ = replay(merges)
        vocabulary = {token: token_id for token_id, token in enumerate(tokens)}
        special = {token: len(tokens) + i for i, token in enumerate(special_tokens)}
        return cls(vocabulary, merges, special)

    @classmethod
    def from_vocabulary(
        cls, vocabulary: Mapping[str, int], merges: Iterable[tuple[str, str]]
    ) -> "BPETokenizer":
        """Build one from what ``vocab.json`` and ``merges.txt`` hold, in GPT-2's spelling.

        A token that is no byte and that no merge makes is a special token.

        Raises:
            TokenizerError: see the constructor.
        """
        pairs = [(unspell(left), unspell(right)) for left, right in merges]
        ordinary = {spell(bytes([byte])) for byte in range(256)}
        ordinary |= {spell(left + right) for left, right in pairs}
        return cls(
            {unspell(word): i for word, i in vocabulary.items() if word in ordinary},
            pairs,
            {word: i for word, i in vocabulary.items() if word not in ordinary},
        )

    @classmethod
    def load(cls, folder: str | Path) -> "BPETokenizer":
        """Read ``vocab.json`` and ``merges.txt``; raises TokenizerError where they do not fit."""
        tokenizer = cls.from_vocabulary(*read_vocabulary(folder))
        tokenizer.roles = read_roles(folder, tokenizer.special_tokens)
        return tokenizer

    def save(self, folder: str | Path) -> None:
        """Write ``vocab.json`` and ``merges.txt``, which Hugging Face's libraries read too."""
        ordinary = {spell(token): i for token, i in self.vocabulary.items()}
        write_vocabulary(folder, ordinary | self.special_tokens, self.merges)
        write_roles(folder, self.roles)

    @property
    def name(self) -> str:
        """``bpe-`` and the size of the vocabulary."""
        return f"bpe-{self.vocab_size}"

    @property
    def vocab_size(self) -> int:
        """Bytes, merges and special tokens together."""
        return len(self.vocabulary) + len(self.special_tokens)

    @property
    def end_of_text(self) -> int | None:
        """The id of ``<|endoftext|>`` where that is a special token, or of the one in its role."""
        return self.special_tokens.get(self.roles.get("eos_token", END_OF_TEXT))

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """The ids of a text.

        Args:
            text: any text that UTF-8 can write.
            allow_special: whether special tokens in it get their own ids, the longest first;
                otherwise they are text like any other, as a stranger's text should be.

        Raises:
            TokenizerError: the text holds a lone surrogate.
        """
        check_unicode(text)
        ids: list[int] = []
        parts = split_special(text, self.special_tokens if allow_special else ())
        for number, part in enumerate(parts):
            if number % 2:
                ids.append(self.special_tokens[part])
            else:
                self._append_plain(part, ids)
        return ids

    def encode_iterable(self, chunks: Iterable[str]) -> Iterator[int]:
        """The ids of a text that comes in chunks: those of the whole, in constant memory."""
        for part in whole_pieces(chunks):
            yield from self.encode(part)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids: bytes are joined first, as a character may span two tokens."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of some ids; raises TokenOutOfRange for an id that no token has."""
        try:
            return b"".join([self._bytes[token_id] for token_id in ids])
        except KeyError as error:
            raise out_of_range(error.args[0], self.vocab_size) from None

    def _append_plain(self, text: str, ids: list[int]) -> None:
        """Append the ids of a text without special tokens; a word that repeats is done once."""
        for piece in PATTERN.findall(text):
            known = self._known.get(piece)
            if known is None:
                known = self._encode_new(piece)
            ids.extend(known)

    def _encode_new(self, piece: str) -> tuple[int, ...]:
        """The ids of a piece that was not met before, or not lately."""
        token = piece.encode()
        whole = self.vocabulary.get(token)  # most words are a token: no merge need be replayed
        if whole is not None:
            ids: tuple[int, ...] = (whole,)
        else:
            ids = tuple([self._vocabulary_id[i] for i in encode_piece(token, self._merged)])
        if len(piece) <= MEMORABLE:
            if len(self._known) >= REMEMBERED:
                self._known.clear()  # or a stream of any size would fill the memory
            self._known[piece] = ids
        return ids

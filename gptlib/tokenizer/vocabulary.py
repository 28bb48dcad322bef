"""A vocabulary of bytes and merges: its files, its training in Rust, its checks.

Files hold characters, tokens are bytes; so GPT-2 gives each of the 256 bytes a printable
character of its own. A space is written ``Ġ``, a line end ``Ċ``.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers

from gptlib.errors import TokenizerError
from gptlib.files import atomic_write
from gptlib.tokenizer.bpe import Pair

BytePair = tuple[bytes, bytes]
Vocabulary = tuple[dict[bytes, int], list[BytePair], dict[str, int]]  # ordinary, merges, special
VERSION_LINE = "#version: 0.2"  # stands first in GPT-2's own merges, and other readers skip it


def byte_characters() -> dict[int, str]:
    """GPT-2's character for each byte, in the order of GPT-2's first 256 ids.

    Printable bytes of Latin-1 stand for themselves; the others, in order, get the characters
    from U+0100 on (Radford et al. 2019, ``bytes_to_unicode`` in encoder.py).
    """
    characters = {byte: chr(byte) for byte in range(256) if chr(byte).isprintable()}
    del characters[ord(" ")]  # a space would part the two halves of a line in merges.txt
    for byte in range(256):
        if byte not in characters:
            characters[byte] = chr(256 + len(characters) - 188)  # 188 bytes speak for themselves
    return characters


BYTE_TO_CHARACTER = byte_characters()
CHARACTER_TO_BYTE = {character: byte for byte, character in BYTE_TO_CHARACTER.items()}


def bytes_to_unicode(token: bytes) -> str:
    """A token's bytes as printable characters: ``b" the"`` is ``Ġthe``."""
    return "".join([BYTE_TO_CHARACTER[byte] for byte in token])


def unicode_to_bytes(word: str) -> bytes:
    """The bytes of a spelled token; raises TokenizerError for a character that is no byte's."""
    try:
        return bytes([CHARACTER_TO_BYTE[character] for character in word])
    except KeyError as error:
        raise TokenizerError(
            f"token {word!r} holds {error.args[0]!r}, which stands for no byte: "
            "spell tokens as GPT-2's vocab.json does"
        ) from None


def write_vocabulary(
    folder: str | Path,
    vocabulary: Mapping[bytes, int],
    merges: Iterable[BytePair],
    special_tokens: Mapping[str, int],
) -> None:
    """Write ``vocab.json`` (spelled token → id) and ``merges.txt`` into a folder."""
    spelled = {bytes_to_unicode(token): i for token, i in vocabulary.items()}
    with atomic_write(Path(folder) / "vocab.json", "w") as file:
        json.dump(spelled | dict(special_tokens), file, ensure_ascii=False)
    with atomic_write(Path(folder) / "merges.txt", "w") as file:
        lines = (f"{bytes_to_unicode(left)} {bytes_to_unicode(right)}" for left, right in merges)
        file.write("\n".join([VERSION_LINE, *lines]) + "\n")


def read_vocabulary(folder: Path) -> Vocabulary:
    """Read ``vocab.json`` (spelled token → id) and ``merges.txt`` (pairs of spelled tokens)."""
    words = read_file(folder / "vocab.json", json.loads)
    if not isinstance(words, dict) or not all(type(i) is int for i in words.values()):
        raise TokenizerError(f"{folder / 'vocab.json'} is no JSON object of ids: save it anew")
    return from_unicode(words, read_file(folder / "merges.txt", parse_merges))


def from_unicode(words: Mapping[str, int], pairs: Iterable[tuple[str, str]]) -> Vocabulary:
    """Spelled words and pairs in bytes; a word that no merge makes is a special token."""
    merges = [(unicode_to_bytes(left), unicode_to_bytes(right)) for left, right in pairs]
    made = [bytes([byte]) for byte in range(256)] + [left + right for left, right in merges]
    spelled = {bytes_to_unicode(token): token for token in made}
    ordinary = {spelled[word]: i for word, i in words.items() if word in spelled}
    return ordinary, merges, {word: i for word, i in words.items() if word not in spelled}


def read_file(file: Path, parse: Callable[[str], Any]) -> Any:
    """What a tokenizer's file holds; raises TokenizerError where it cannot be read or parsed."""
    try:
        return parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(f"{file} is not readable ({error}): save it anew") from error


def parse_merges(text: str) -> list[tuple[str, str]]:
    """The pairs of spelled tokens in a ``merges.txt``, oldest first."""
    merges = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line and not (number == 1 and line.startswith("#version")):
            left, _, right = line.partition(" ")
            if not left or not right or " " in right:
                raise ValueError(f"line {number}, {line!r}, is not two tokens parted by a space")
            merges.append((left, right))
    return merges


def learn_in_rust(texts: Iterable[str], n_merges: int) -> list[BytePair]:
    """Let the library ``tokenizers`` learn merges from texts, cut into GPT-2's pieces."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=256 + n_merges,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),  # all bytes, met or not
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(unicode_to_bytes(left), unicode_to_bytes(right)) for left, right in merges]


def room_for_merges(vocab_size: int, special_tokens: Sequence[str]) -> int:
    """How many merges fit beside the 256 bytes and the special tokens; refuses what cannot be."""
    smallest = 256 + len(special_tokens)
    if vocab_size < smallest:
        raise TokenizerError(
            f"vocab_size {vocab_size:,} is below 256 bytes + {len(special_tokens)} special "
            f"tokens: ask for {smallest:,} or more"
        )
    if vocab_size > 1_000_000:  # a slip of the pen: the largest vocabularies have a quarter
        raise TokenizerError(
            f"vocab_size {vocab_size:,} is above 1,000,000: ask for fewer; GPT-2 has 50,257"
        )
    return vocab_size - smallest


def check_merges(merges: Iterable[BytePair]) -> tuple[list[bytes], dict[Pair, int]]:
    """Number the 256 bytes, then what each merge makes; refuse a merge out of order.

    Returns:
        the bytes of token 0, 1, 2, … in this numbering, and pair of numbers → number made.
    """
    numbers = {bytes([byte]): byte for byte in range(256)}
    merged: dict[Pair, int] = {}
    for left, right in merges:
        if left not in numbers or right not in numbers:
            raise TokenizerError(
                f"merge {left!r} + {right!r} uses a token before any merge made it: "
                "keep the merges in the order of training"
            )
        if left + right in numbers:
            raise TokenizerError(f"token {left + right!r} is made twice: drop the later merge")
        merged[numbers[left], numbers[right]] = numbers[left + right] = len(numbers)
    return list(numbers), merged


def check_vocabulary(
    vocabulary: Mapping[bytes, int], tokens: Iterable[bytes], special_tokens: Mapping[str, int]
) -> None:
    """Refuse ids that do not belong to the tokens, ordinary and special, one to one."""
    tokens = set(tokens)
    for token in sorted(tokens ^ vocabulary.keys()):
        if token in tokens:
            raise TokenizerError(f"token {token!r} has no id: add it to the vocabulary")
        raise TokenizerError(f"no merge makes token {token!r}: add the merge or drop the token")
    for special in special_tokens:  # vocab.json could not tell it from a token of that spelling
        spelled = all(character in CHARACTER_TO_BYTE for character in special)
        if not special or (spelled and unicode_to_bytes(special) in tokens):
            raise TokenizerError(
                f"special token {special!r} is empty or an ordinary token: choose another"
            )
    ids = [*vocabulary.values(), *special_tokens.values()]
    if sorted(ids) != list(range(len(ids))):
        raise TokenizerError(
            f"the ids of {len(ids):,} tokens are not 0 to {len(ids) - 1:,}, each once: "
            "number them without gaps"
        )

"""What the files of a tokenizer hold, and what is refused of them.

Files hold characters, tokens are bytes; so GPT-2 gives each of the 256 bytes a printable
character of its own. A space is written ``Ġ``, a line end ``Ċ``.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gptlib.errors import TokenizerError
from gptlib.tokenizer.bpe import Pair

BytePair = tuple[bytes, bytes]
Vocabulary = tuple[dict[bytes, int], list[BytePair], dict[str, int]]  # ordinary, merges, special

# What a special token is for. GPT-2 has one, ``<|endoftext|>``, for all of it.
ROLES = ("eos_token", "bos_token", "pad_token", "unk_token")
ROLES_FILE = "special_tokens_map.json"

BYTES = [bytes([byte]) for byte in range(256)]
# Printable bytes of Latin-1 stand for themselves (but the space, which parts the two halves of a
# line in merges.txt); the others, in order, get the characters from U+0100 on. GPT-2's first 256
# ids are in the order of this table (Radford et al. 2019, bytes_to_unicode in encoder.py).
SHOWN = [byte for byte in range(256) if chr(byte).isprintable() and byte != ord(" ")]
HIDDEN = [byte for byte in range(256) if byte not in SHOWN]
BYTE_TO_CHARACTER = {b: chr(b) for b in SHOWN} | {b: chr(256 + n) for n, b in enumerate(HIDDEN)}
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


def merges_of(pairs: Iterable[tuple[str, str]]) -> list[BytePair]:
    """Pairs of spelled tokens as pairs of bytes."""
    return [(unicode_to_bytes(left), unicode_to_bytes(right)) for left, right in pairs]


def from_unicode(words: Mapping[str, int], pairs: Iterable[tuple[str, str]]) -> Vocabulary:
    """Spelled words and pairs in bytes; a word that no merge makes is a special token."""
    merges = merges_of(pairs)
    made = [*BYTES, *(left + right for left, right in merges)]
    spelled = {bytes_to_unicode(token): token for token in made}
    ordinary = {spelled[word]: i for word, i in words.items() if word in spelled}
    return ordinary, merges, {word: i for word, i in words.items() if word not in spelled}


def read_vocabulary(folder: Path) -> Vocabulary:
    """Read ``vocab.json`` (spelled token → id) and ``merges.txt`` (pairs of spelled tokens)."""
    pairs = parse_file(folder / "merges.txt", parse_merges)
    words = read_json(folder / "vocab.json", dict)
    if not all(type(i) is int for i in words.values()):
        raise TokenizerError(f"{folder / 'vocab.json'} holds no ids: save it anew")
    return from_unicode(words, pairs)


def read_roles(folder: Path, special_tokens: Mapping[str, int]) -> dict[str, str]:
    """Role → special token, as Hugging Face's files in a folder say; none where there are none."""
    roles: dict[str, str] = {}
    for path in (folder / ROLES_FILE, folder / "tokenizer_config.json"):
        content = read_json(path, dict) if path.is_file() else {}
        for role in ROLES:
            token = content.get(role)
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str) and token in special_tokens:
                roles[role] = token
            elif token is not None:
                raise TokenizerError(
                    f"{path}: the {role} {token!r} is no special token of this vocabulary: give "
                    "the files that belong together"
                )
    return roles


def parse_merges(text: str) -> list[tuple[str, str]]:
    """The pairs of spelled tokens in a ``merges.txt``, oldest first."""
    merges = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line and not (number == 1 and line.startswith("#version")):
            if line.count(" ") != 1:
                raise ValueError(f"line {number}, {line!r}, is not two tokens parted by a space")
            left, right = line.split(" ")
            merges.append((left, right))
    return merges


def read_json(path: Path, kind: type) -> Any:
    """The value of a tokenizer's JSON file; raises TokenizerError where it is of another kind."""
    value = parse_file(path, json.loads)
    if not isinstance(value, kind):
        raise TokenizerError(f"{path} holds no JSON {kind.__name__}: save it anew")
    return value


def parse_file(path: Path, parse: Callable[[str], Any]) -> Any:
    """What a tokenizer's file holds; raises TokenizerError where it cannot be read or parsed."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(f"{path} is not readable ({error}): save it anew") from error


def room_for_merges(vocab_size: int, special_tokens: Sequence[str]) -> int:
    """How many merges fit beside the 256 bytes and the special tokens; refuses what cannot be."""
    smallest, largest = 256 + len(special_tokens), 1_000_000  # more is a slip of the pen
    if not smallest <= vocab_size <= largest:
        raise TokenizerError(
            f"vocab_size {vocab_size:,} is below {smallest:,} (256 bytes and {len(special_tokens)} "
            f"special tokens) or is above {largest:,}: ask for one between; GPT-2 has 50,257"
        )
    return vocab_size - smallest


def number_merges(merges: Iterable[BytePair]) -> tuple[list[bytes], dict[Pair, int]]:
    """Number the 256 bytes, then what each merge makes; refuse a merge out of order.

    Returns the bytes of token 0, 1, 2, … of this numbering, and pair of numbers → number made.
    """
    numbers = {token: number for number, token in enumerate(BYTES)}
    merged: dict[Pair, int] = {}
    for left, right in merges:
        if left not in numbers or right not in numbers:
            raise TokenizerError(
                f"merge {left!r} + {right!r} uses a token before any merge made it: keep the order"
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
    if wrong := sorted(tokens ^ vocabulary.keys()):
        raise TokenizerError(
            f"token {wrong[0]!r} has no id, or no merge makes it: save vocabulary and merges anew"
        )
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

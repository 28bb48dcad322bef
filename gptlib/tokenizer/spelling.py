"""``vocab.json`` and ``merges.txt``: a vocabulary on disk, in GPT-2's own spelling.

JSON and text files hold characters, tokens are bytes; so GPT-2 gives each of the 256 bytes a
printable character of its own. A space is written ``Ġ``, a line end ``Ċ``.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from gptlib.errors import TokenizerError
from gptlib.files import atomic_write

BytePair = tuple[bytes, bytes]
SpelledPair = tuple[str, str]
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


def spell(token: bytes) -> str:
    """A token's bytes as printable characters: ``b" the"`` is ``Ġthe``."""
    return "".join(BYTE_TO_CHARACTER[byte] for byte in token)


def unspell(word: str) -> bytes:
    """The bytes of a spelled token.

    Raises:
        TokenizerError: a character that stands for no byte.
    """
    try:
        return bytes(CHARACTER_TO_BYTE[character] for character in word)
    except KeyError as error:
        raise TokenizerError(
            f"token {word!r} holds {error.args[0]!r}, which stands for no byte: "
            "spell tokens as GPT-2's vocab.json does"
        ) from None


def write_vocabulary(
    folder: str | Path, vocabulary: Mapping[str, int], merges: Sequence[BytePair]
) -> None:
    """Write ``vocab.json`` (spelled token → id) and ``merges.txt`` into a folder."""
    with atomic_write(Path(folder) / "vocab.json", "w") as file:
        json.dump(vocabulary, file, ensure_ascii=False)
    with atomic_write(Path(folder) / "merges.txt", "w") as file:
        lines = [VERSION_LINE, *(f"{spell(left)} {spell(right)}" for left, right in merges)]
        file.write("\n".join(lines) + "\n")


def read_vocabulary(folder: str | Path) -> tuple[dict[str, int], list[SpelledPair]]:
    """Read ``vocab.json`` (spelled token → id) and ``merges.txt`` (pairs of spelled tokens).

    Raises:
        TokenizerError: a file is missing or is not what its name says.
    """
    file = Path(folder) / "vocab.json"
    try:
        vocabulary = json.loads(file.read_text(encoding="utf-8"))
        merges = parse_merges(Path(folder) / "merges.txt")
    except TokenizerError:
        raise  # names its line
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(
            f"{folder} holds no readable vocabulary: {error}; copy vocab.json and merges.txt there"
        ) from error
    if not isinstance(vocabulary, dict) or not all(type(i) is int for i in vocabulary.values()):
        raise TokenizerError(f"{file} is no JSON object of tokens and ids: save it anew")
    return vocabulary, merges


def parse_merges(file: Path) -> list[SpelledPair]:
    """The pairs of spelled tokens in a ``merges.txt``, oldest first.

    Raises:
        TokenizerError: names the first line that is not two tokens.
    """
    merges = []
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), start=1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        words = line.split(" ")
        if len(words) != 2:
            raise TokenizerError(
                f"{file}, line {number}: {line!r} is not two tokens parted by a space: "
                "save the tokenizer anew"
            )
        merges.append((words[0], words[1]))
    return merges

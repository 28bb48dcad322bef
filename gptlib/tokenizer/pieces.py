"""Pieces: how a text is cut before any pair is merged, and where a stream may be cut."""

from collections.abc import Iterable, Iterator

import regex

from gptlib.tokenizer.interface import check_unicode

# GPT-2's own pattern (Radford et al. 2019, encoder.py). A piece is an English ending ('s, 'll),
# or letters, or digits, or other signs, each with the one space before it; or white space. What
# counts as a letter is a matter of the Unicode edition: characters younger than one's libraries
# are "other signs" to them.
PATTERN = regex.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)

# No piece goes on from a letter to anything else, nor from a visible character to white space,
# so the pieces on either side of such a place are the same with or without the other side.
# (?r) searches from the right, and so finds the last such place first.
LAST_SAFE_CUT = regex.compile(r"(?r)(?<=\p{L})(?=\P{L})|(?<=\S)(?=\s)")

PART_SIZE = 1 << 16  # characters encoded at a time: enough to be quick, little to hold


def split_special(text: str, special_tokens: Iterable[str]) -> list[str]:
    """Cut a text around special tokens; plain text at even places, special tokens at odd ones.

    Args:
        text: the text, perhaps with special tokens in it.
        special_tokens: where two of them match at one place, the longest wins.

    Returns:
        ``[plain, special, plain, special, …, plain]``; a plain part may be empty.
    """
    longest_first = sorted(special_tokens, key=len, reverse=True)
    if not longest_first:
        return [text]
    return regex.split("(" + "|".join(map(regex.escape, longest_first)) + ")", text)


def whole_pieces(chunks: Iterable[str], size: int = PART_SIZE) -> Iterator[str]:
    """Regroup a stream of text into parts that never cut through a piece.

    Args:
        chunks: the text, cut anywhere: lines, blocks of a file, single characters.
        size: about how many characters a part should have.

    Yields:
        parts that join to the same text. A part is longer than ``size`` only where the text
        itself has no place to cut, such as 100,000 letters in a row.

    Raises:
        TokenizerError: the text holds a lone surrogate.
    """
    waiting: list[str] = []  # joined only when there is enough: joining each time is quadratic
    length, enough, start = 0, size, 0
    for chunk in chunks:
        for first in range(0, len(chunk), size):
            block = chunk[first : first + size]
            check_unicode(block, start)
            start += len(block)
            waiting.append(block)
            length += len(block)
            if length < enough:
                continue
            text = "".join(waiting)
            cut = LAST_SAFE_CUT.search(text)
            if cut is None:
                enough = 2 * length  # look again when it has doubled, not at every character
                continue
            yield text[: cut.start()]
            waiting = [text[cut.start() :]]
            length, enough = len(waiting[0]), size
    if waiting:
        yield "".join(waiting)

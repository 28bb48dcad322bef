"""Texts that are piped into a command."""

import io
import sys

from gptlib.errors import CorpusError


def standard_input() -> str:
    """All of standard input, read as UTF-8; a byte-order mark is left out.

    Raises:
        CorpusError: it is no UTF-8.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Windows pipes in an older code page, and a bare locale lets broken bytes through
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"standard input is not UTF-8 text (byte {error.object[error.start]:#04x}): "
            f"convert what you pipe in"
        ) from error

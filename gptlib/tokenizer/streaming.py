"""Text from ids that come one by one, in whole characters."""

import codecs
from collections.abc import Iterable, Iterator

from gptlib.tokenizer.interface import Tokenizer


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

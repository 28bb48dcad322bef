"""Exercise 1.4, spot the bug: text from ids that come one by one, in whole letters."""

import codecs
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from gptcourse.exercises.exercise import LONGEST, Case, Exercise, Function
from gptlib.tokenizer.bpe import BPETokenizer
from gptlib.tokenizer.interface import Tokenizer
from gptlib.tokenizer.streaming import decode_stream

MERGES = [
    *((b"h", b"e"), (b"t", b"he"), (b" ", b"the"), (b" ", b"\xd9"), (b"\xd8", b"\xaf")),
    *((b"\xf0", b"\x9f"), (b"\x99", b"\x82"), (b"m", b"\n")),
]


def cases() -> Iterator[Case]:
    """Letters of one byte to four, cut in every way."""
    tokenizer = BPETokenizer.from_merges(MERGES)
    for text in ("the hem", "وحد نهار", "🙂 the café", "them\nthe\thé", "語 "):
        label = text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "→")
        yield Case(label, (tokenizer, tokenizer.encode(text)))
    yield Case("ends inside a letter", (tokenizer, tokenizer.encode("the ح")[:-1]))
    yield Case("half a letter, then the␣the", (tokenizer, [0xD8, *tokenizer.encode("the the")]))
    yield Case("no ids", (tokenizer, []))


def observe(function: Function, tokenizer: Tokenizer, ids: list[int]) -> dict[str, Any]:
    """What a reader sees after each id, and whether empty parts came."""
    seen = [f"the text shown after id number {number}" for number in range(1, len(ids) + 1)]
    seen.append("the text shown after the end")
    shown, empty, read = dict.fromkeys(seen, ""), 0, 0

    def arriving() -> Iterator[int]:
        nonlocal read
        for token_id in ids:
            yield token_id
            read += 1

    parts = function(tokenizer, arriving())
    if not hasattr(parts, "__iter__"):
        return {"the result": parts}
    for part in islice(parts, LONGEST):
        if not isinstance(part, str):
            raise TypeError(f"each part has to be text, came {type(part).__name__}")
        shown[seen[read]] += part
        empty += not part
    return {**shown, "parts without text": empty}


def token_by_token(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """This looks like decoding each token by itself: half a letter alone is shown as �."""
    for token_id in ids:
        yield tokenizer.decode([token_id])


def halves_dropped(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """This looks like errors="ignore" for each token: both halves of a letter are dropped."""
    for token_id in ids:
        if text := tokenizer.decode_bytes([token_id]).decode("utf-8", errors="ignore"):
            yield text


def never_flushed(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """This looks like forgetting the bytes that still wait after the last id."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token_id in ids:
        if text := decoder.decode(tokenizer.decode_bytes([token_id])):
            yield text


def at_spaces(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """This looks like waiting for a space: whole letters should not wait for the word's end."""
    waiting = b""
    for token_id in ids:
        token = tokenizer.decode_bytes([token_id])
        if b" " in token and waiting:
            yield waiting.decode("utf-8", errors="replace")
            waiting = b""
        waiting += token
    if waiting:
        yield waiting.decode("utf-8", errors="replace")


def all_at_the_end(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """This looks like reading every id before any text is shown: then nothing streams."""
    if text := tokenizer.decode(list(ids)):
        yield text


def with_empty_parts(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """This looks like yielding an empty text while a letter waits for its second half."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token_id in ids:
        yield decoder.decode(tokenizer.decode_bytes([token_id]))
    if rest := decoder.decode(b"", final=True):
        yield rest


def stuck(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """This looks like waiting until all bytes are valid together: whole letters wait for the half
    one behind them, and a broken one blocks everything."""
    waiting = b""
    for token_id in ids:
        waiting += tokenizer.decode_bytes([token_id])
        try:
            text = waiting.decode("utf-8")
        except UnicodeDecodeError:
            continue
        waiting = b""
        yield text
    if waiting:
        yield waiting.decode("utf-8", errors="replace")


def until_no_sign(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """This looks like holding everything back while the text ends in �: the whole letters before
    the half one wait with it."""
    waiting = b""
    for token_id in ids:
        waiting += tokenizer.decode_bytes([token_id])
        text = waiting.decode("utf-8", errors="replace")
        if not text.endswith("�"):
            yield text
            waiting = b""
    if waiting:
        yield waiting.decode("utf-8", errors="replace")


def strict(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """This looks like a decoder without errors="replace": bytes that never become a letter are an
    error to it."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for token_id in ids:
        if text := decoder.decode(tokenizer.decode_bytes([token_id])):
            yield text
    if rest := decoder.decode(b"", final=True):
        yield rest


def again_and_again(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """This looks like yielding the whole text so far each time instead of what is new."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    so_far = ""
    for token_id in ids:
        if text := decoder.decode(tokenizer.decode_bytes([token_id])):
            so_far += text
            yield so_far
    if rest := decoder.decode(b"", final=True):
        yield so_far + rest


def forgetful(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """This looks like a new decoder for each token: what waits in the old one is lost."""
    for token_id in ids:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        if text := decoder.decode(tokenizer.decode_bytes([token_id])):
            yield text


def by_length(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Decode everything each time, and keep back what could still become a letter."""
    read: list[int] = []
    shown = 0
    for token_id in ids:
        read.append(token_id)
        data = tokenizer.decode_bytes(read)
        text, _ = codecs.utf_8_decode(data, "replace", False)
        if len(text) > shown:
            yield text[shown:]
            shown = len(text)
    if len(text := tokenizer.decode(read)) > shown:
        yield text[shown:]


def by_hand(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Ask the error whether the bytes merely end too soon."""
    waiting = b""
    for token_id in ids:
        waiting += tokenizer.decode_bytes([token_id])
        text = ""
        while waiting:
            try:
                text, waiting = text + waiting.decode(), b""
            except UnicodeDecodeError as problem:
                text += waiting[: problem.start].decode()
                waiting = waiting[problem.start :]
                if problem.reason == "unexpected end of data":
                    break
                text, waiting = text + "�", waiting[problem.end - problem.start :]
        if text:
            yield text
    if waiting:
        yield waiting.decode(errors="replace")


EXERCISE = Exercise(
    name="decode_stream",
    notebook="01_tokenization",
    rating=2,
    minutes=15,
    right=decode_stream,
    cases=cases,
    mistakes=(
        *(token_by_token, halves_dropped, never_flushed, at_spaces, all_at_the_end),
        *(with_empty_parts, stuck, until_no_sign, strict, again_and_again, forgetful),
    ),
    also_right=(by_length, by_hand),
    given=token_by_token,
    observe=observe,
)

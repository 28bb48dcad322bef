"""Documents out of .txt, .jsonl and .parquet files and folders; what cannot be read is named.

Files are read block by block: only one document, or one block of rows, is in memory at a time.
"""

import codecs
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from gptlib.errors import CorpusError
from gptlib.files import BLOCK

COLUMN = "text"  # where the documents of a table stand, unless it has only one column of strings
ROWS = 256  # rows of a parquet file read at a time: some megabytes where each is a long article


def read_documents(path: Path, separator: str | None = None) -> list[str]:
    """All documents of `stream_documents` in memory; raises as it does."""
    return list(stream_documents(path, separator))


def stream_documents(path: Path, separator: str | None = None) -> Iterator[str]:
    """The documents of one file, or of all readable files under a folder, by name, one by one.

    Args:
        path: a .txt, .jsonl or .parquet file, or a folder of these.
        separator: what parts the documents of a .txt file; without it a file is one document,
            which is held in memory whole.

    Yields:
        The documents without the blank ones; ``\\r\\n`` is read as ``\\n``, in the separator too.

    Raises:
        CorpusError: a file cannot be read, which may show after documents that could; or there
            is no text.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in READERS)
    else:
        files = [path]
    empty = True
    for file in files:
        for text in reader_of(file)(file, separator):
            if text.strip():
                empty = False
                yield text
    if empty:
        raise CorpusError(
            f"{path} holds no text: give a .txt, .jsonl or .parquet file with text in it, "
            f"or a folder of these"
        )


def reader_of(path: Path) -> "Reader":
    """The function that reads files of this kind."""
    if path.suffix.lower() not in READERS:
        raise CorpusError(
            f"{path}: cannot read a {path.suffix or 'nameless'} file as text: "
            f"convert it to {', '.join(READERS)}"
        )
    return READERS[path.suffix.lower()]


def read_txt(path: Path, separator: str | None = None) -> Iterator[str]:
    """What stands between the separators, or the whole file."""
    if separator:
        yield from parted(text_blocks(path), separator.replace("\r\n", "\n"))
    else:
        yield "".join(text_blocks(path))


def text_blocks(path: Path) -> Iterator[str]:
    """The text of a file in blocks, ``\\r\\n`` as ``\\n``, without the byte-order mark."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    position, block, kept, mark = 0, b"\0", "", "\ufeff"
    try:
        with path.open("rb") as file:
            while block:
                block, begun = file.read(BLOCK), len(decoder.getstate()[0])
                text = kept + decoder.decode(block, final=not block)
                text, mark = text.removeprefix(mark), "" if text else mark
                kept = "\r" if block and text.endswith("\r") else ""  # its \n may be in the next
                yield text.removesuffix(kept).replace("\r\n", "\n")
                position += len(block)
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}: byte {position - begun + error.start:,} is not UTF-8: save the file as UTF-8"
        ) from error
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be opened ({error.strerror}): check its rights"
        ) from error


def parted(blocks: Iterable[str], separator: str) -> Iterator[str]:
    """``"".join(blocks).split(separator)``, part by part."""
    begun: list[str] = []  # the part that is being read, but for an end that may be half separator
    end, half = "", len(separator) - 1
    for block in blocks:
        *done, rest = (end + block).split(separator)
        for part in done:
            yield "".join([*begun, part])
            begun = []
        end = rest[max(0, len(rest) - half) :]
        begun.append(rest[: len(rest) - len(end)])
    yield "".join([*begun, end])


def read_jsonl(path: Path, separator: str | None = None) -> Iterator[str]:
    """One JSON object a line, the document under its key ``text`` or its only string."""
    column = ""
    for number, line in enumerate(parted(text_blocks(path), "\n"), start=1):
        if line.strip():
            row = parse_line(path, number, line)
            strings = [key for key, value in row.items() if isinstance(value, str)]
            column = column or choose_column(path, list(row), strings)
            text = checked_text(row.get(column), f"{path}, line {number}", column)
            yield text.replace("\r\n", "\n")


def parse_line(path: Path, number: int, line: str) -> dict[str, Any]:
    """One line's JSON object."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"{path}, line {number} is not JSON ({error}): mend the line") from error
    if not isinstance(row, dict):
        raise CorpusError(f'{path}, line {number} is no object: write {{"text": "…"}}')
    return row


def read_parquet(path: Path, separator: str | None = None) -> Iterator[str]:
    """The column ``text``, or the only column of strings."""
    try:
        # As it comes, it would read a whole group of rows ahead: 160 MB for 50,000 articles.
        with parquet.ParquetFile(path, buffer_size=BLOCK, pre_buffer=False) as table:
            schema = table.schema_arrow
            strings = [
                field.name
                for field in schema
                if pyarrow.types.is_string(field.type) or pyarrow.types.is_large_string(field.type)
            ]
            column, number = choose_column(path, schema.names, strings), 0
            for batch in table.iter_batches(ROWS, columns=[column]):
                for value in batch.column(0).to_pylist():
                    text = checked_text(value, f"{path}, row {number}", column)
                    yield text.replace("\r\n", "\n")
                    number += 1
    except (OSError, pyarrow.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise CorpusError(
            f"{path} cannot be read as parquet ({reason}): fetch or write it again"
        ) from error


def choose_column(path: Path, columns: list[str], strings: list[str]) -> str:
    """`COLUMN` where it is there, else the only column of strings."""
    if COLUMN in columns:
        return COLUMN
    if len(strings) == 1:
        return strings[0]
    raise CorpusError(
        f"{path} has no column {COLUMN!r} but {', '.join(columns) or 'none'}: "
        f"rename the one that holds the documents to {COLUMN!r}"
    )


def checked_text(value: Any, place: str, column: str) -> str:
    """`value` if it is text that UTF-8 can hold."""
    if not isinstance(value, str):
        raise CorpusError(f"{place}: {column!r} holds {value!r}, not text: give a string")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # JSON can spell half a character: "\ud800"
        raise CorpusError(
            f"{place}: character {error.start:,} is half of one (a lone surrogate): remove it"
        ) from error
    return value


Reader = Callable[[Path, str | None], Iterator[str]]
READERS: dict[str, Reader] = {
    ".txt": read_txt,
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
}

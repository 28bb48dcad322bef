"""Documents out of .txt, .jsonl and .parquet files and folders; what cannot be read is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from gptlib.errors import CorpusError

COLUMN = "text"  # where the documents of a table stand, unless it has only one column of strings


def read_documents(path: Path, separator: str | None = None) -> list[str]:
    """The documents of one file, or of all readable files under a folder, by name.

    Args:
        path: a .txt, .jsonl or .parquet file, or a folder of these.
        separator: what parts the documents of a .txt file; without it a file is one document.

    Returns:
        The documents without the blank ones; ``\\r\\n`` is read as ``\\n``.

    Raises:
        CorpusError: a file cannot be read, or there is no text.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in READERS)
    else:
        files = [path]
    documents: list[str] = []
    for file in files:
        if file.suffix.lower() == ".txt" and separator:
            documents += read_txt(file)[0].split(separator)
        else:
            documents += reader_of(file)(file)
    documents = [text.replace("\r\n", "\n") for text in documents if text.strip()]
    if not documents:
        raise CorpusError(
            f"{path} holds no text: give a .txt, .jsonl or .parquet file with text in it, "
            f"or a folder of these"
        )
    return documents


def reader_of(path: Path) -> Callable[[Path], list[str]]:
    """The function that reads files of this kind."""
    if path.suffix.lower() not in READERS:
        raise CorpusError(
            f"{path}: cannot read a {path.suffix or 'nameless'} file as text: "
            f"convert it to {', '.join(READERS)}"
        )
    return READERS[path.suffix.lower()]


def read_txt(path: Path) -> list[str]:
    """A whole file as one document."""
    try:
        return [path.read_bytes().decode("utf-8-sig")]  # a byte-order mark is no text
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}: byte {error.start:,} is not UTF-8: save the file as UTF-8"
        ) from error
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be opened ({error.strerror}): check its rights"
        ) from error


def read_jsonl(path: Path) -> list[str]:
    """One JSON object a line, the document under its key ``text`` or its only string."""
    rows = []
    for number, line in enumerate(read_txt(path)[0].split("\n"), start=1):
        if line.strip():
            rows.append((number, parse_line(path, number, line)))
    if not rows:
        return []
    strings = [key for key, value in rows[0][1].items() if isinstance(value, str)]
    column = choose_column(path, list(rows[0][1]), strings)
    return [checked_text(row.get(column), f"{path}, line {number}", column) for number, row in rows]


def parse_line(path: Path, number: int, line: str) -> dict[str, Any]:
    """One line's JSON object."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"{path}, line {number} is not JSON ({error}): mend the line") from error
    if not isinstance(row, dict):
        raise CorpusError(f'{path}, line {number} is no object: write {{"text": "…"}}')
    return row


def read_parquet(path: Path) -> list[str]:
    """The column ``text``, or the only column of strings."""
    try:
        table = parquet.ParquetFile(path)
        schema = table.schema_arrow
        strings = [
            field.name
            for field in schema
            if pyarrow.types.is_string(field.type) or pyarrow.types.is_large_string(field.type)
        ]
        column = choose_column(path, schema.names, strings)
        values = table.read(columns=[column]).column(column).to_pylist()
    except (OSError, pyarrow.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise CorpusError(
            f"{path} cannot be read as parquet ({reason}): fetch or write it again"
        ) from error
    return [
        checked_text(value, f"{path}, row {number}", column) for number, value in enumerate(values)
    ]


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


READERS: dict[str, Callable[[Path], list[str]]] = {
    ".txt": read_txt,
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
}

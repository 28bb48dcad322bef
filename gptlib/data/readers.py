"""Documents out of .txt, .jsonl and .parquet files and folders; what cannot be read is named.

One document, or one block of a file, is in memory at a time.
"""

import importlib
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from gptlib.errors import CorpusError
from gptlib.files import BLOCK

COLUMN = "text"  # where the documents of a table stand, unless it has only one column of strings
ROWS = 256  # rows of a parquet file read at a time: some megabytes where each is a long article


def stream_documents(path: Path, separator: str | None = None) -> Iterator[str]:
    """The documents of one file, or of all readable files under a folder, by name, one by one.

    Args:
        path: a .txt, .jsonl or .parquet file, or a folder of these.
        separator: what splits a .txt file into documents; without it a file is one document,
            which is held in memory whole.

    Yields:
        The documents without the blank ones; ``\\r\\n`` is read as ``\\n``, in the separator too,
        and in .txt files so is ``\\r``.

    Raises:
        CorpusError: a file cannot be read, which may show after documents that could; or there
            is no text.
    """
    files = files_of(path) if path.is_dir() else [path]
    empty = True
    for file in files:
        if (read := READERS.get(file.suffix.lower())) is None:
            raise CorpusError(
                f"{file}: cannot read a {file.suffix or 'nameless'} file as text: "
                f"convert it to {', '.join(READERS)}"
            )
        for text in read(file, separator):
            if text.strip():
                empty = False
                yield text
    if empty:
        raise CorpusError(
            f"{path} holds no text: give a .txt, .jsonl or .parquet file with text in it, "
            f"or a folder of these"
        )


def files_of(folder: Path) -> list[Path]:
    """The files under a folder that have a reader; a warning counts hidden ones and what is none.

    macOS puts a hidden ``._a.txt`` beside ``a.txt``; a table may be a folder named ``x.parquet``.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in READERS)
    files = [
        path
        for path in found
        if path.is_file() and not any(part[0] == "." for part in path.relative_to(folder).parts)
    ]
    if left := len(found) - len(files):
        warnings.warn(f"{folder}: {left:,} hidden or no plain files are left out", stacklevel=3)
    return files


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """A file of UTF-8, without its byte-order mark and with ``\\n`` for line ends of all kinds."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield file
    except UnicodeDecodeError:
        raise CorpusError(
            f"{path}: byte {first_bad_byte(path):,} is not UTF-8: save the file as UTF-8"
        ) from None
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be opened ({error.strerror}): check its rights"
        ) from error


def first_bad_byte(path: Path) -> int:
    """The place of the first byte that UTF-8 does not allow."""
    place = 0
    with path.open("rb") as file:
        for line in file:
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return place + error.start
            place += len(line)
    return place


def read_txt(path: Path, separator: str | None = None) -> Iterator[str]:
    """The whole file, or what stands between the separators."""
    with open_text(path) as file:
        if not separator:
            yield file.read()
            return
        separator, rest = separator.replace("\r\n", "\n"), ""
        # Where nothing splits, twice as much is read each time: a fixed size would be quadratic.
        while block := file.read(max(BLOCK, len(rest))):
            *documents, rest = (rest + block).split(separator)
            yield from documents
    yield rest


def read_jsonl(path: Path, separator: str | None = None) -> Iterator[str]:
    """One JSON object a line, the document under its key ``text`` or its only string."""
    column = ""
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise CorpusError(
                    f"{path}, line {number} is not JSON ({error}): mend the line"
                ) from error
            if not isinstance(row, dict):
                raise CorpusError(f'{path}, line {number} is no object: write {{"text": "…"}}')
            strings = [key for key, value in row.items() if isinstance(value, str)]
            column = column or choose_column(path, list(row), strings)
            yield check_text(row.get(column), f"{path}, line {number}", column)


def read_parquet(path: Path, separator: str | None = None) -> Iterator[str]:
    """The column ``text``, or the only column of strings."""
    pyarrow = importlib.import_module("pyarrow")  # slow, and few texts need it
    parquet = importlib.import_module("pyarrow.parquet")
    is_text = pyarrow.types.is_string, pyarrow.types.is_large_string
    try:
        # As it comes, it would read a whole group of rows ahead: 160 MB for 50,000 articles.
        with parquet.ParquetFile(path, buffer_size=BLOCK, pre_buffer=False) as table:
            fields = table.schema_arrow
            strings = [field.name for field in fields if any(test(field.type) for test in is_text)]
            column, number = choose_column(path, fields.names, strings), 0
            for batch in table.iter_batches(ROWS, columns=[column]):
                for value in batch.column(0).to_pylist():
                    yield check_text(value, f"{path}, row {number}", column)
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


def check_text(value: Any, place: str, column: str) -> str:
    """A value of a table, if it is text that UTF-8 can hold, with ``\\n`` for ``\\r\\n``."""
    if not isinstance(value, str):
        raise CorpusError(f"{place}: {column!r} holds {value!r}, not text: give a string")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # JSON can spell half a character: "\ud800"
        raise CorpusError(
            f"{place}: character {error.start:,} is half of one (a lone surrogate): remove it"
        ) from error
    return value.replace("\r\n", "\n")


READERS: dict[str, Callable[[Path, str | None], Iterator[str]]] = {
    ".txt": read_txt,
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
}

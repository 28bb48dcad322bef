"""Files that are whole or absent: atomic writes, hashes, locks and checked downloads."""

import errno
import hashlib
import http.client
import json
import os
import stat
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import filelock

from gptlib.errors import DownloadError

NOT_OFFERED = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)  # what a mount may say to fsync
BLOCK = 1 << 20  # bytes read at a time: large files never stand in memory whole


@contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file that appears under its name only once it is complete.

    Args:
        path: the file's final place; missing parent folders are made.
        mode: ``"wb"`` for bytes, ``"w"`` for text (UTF-8, line ends as written).

    Yields:
        an open temporary file in the same folder. Leaving the block renames it over ``path``;
        an exception removes it, and what stood at ``path`` is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with open(handle, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the new name with no content
        os.chmod(temporary, _usual_permissions())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _usual_permissions() -> int:
    """What a plain ``open`` would give a new file; ``mkstemp`` lets only the owner read."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON, atomically; Arabic and emoji stay readable."""
    with atomic_write(path, "w") as file:
        json.dump(value, file, indent=1, ensure_ascii=False)
        file.write("\n")


def sha256_of(path: str | Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Write a folder's list of names through to the disk, where the disk offers it."""
    if os.name == "nt":
        return  # Windows cannot open a folder, and orders its renames itself
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise
    finally:
        os.close(handle)


def sealed_bytes(state: dict[str, Any]) -> bytes:
    """The only spelling of a JSON file that ends with its own hash, so that any change shows."""
    seal = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
    return json.dumps({**state, "sha256": seal}, indent=1).encode()


def wrong_names(folder: Path, listed: set[str]) -> str | None:
    """What is said against a folder that should hold exactly the listed names; None if it does."""
    try:
        found = {path.name for path in folder.iterdir()}
    except OSError as error:
        return f"it cannot be listed ({error.strerror})"
    names = ", ".join(repr(name) for name in sorted(found ^ listed)[:3])
    return f"files {names} are missing or added" if names else None


def wrong_file(path: Path, size: int | None, most: int) -> str | None:
    """What is said against a link, pipe or device, which could block or lead elsewhere, or a size.

    Args:
        path: of the file.
        size: in bytes; None if it is not known beforehand.
        most: the most bytes of a file whose size is not known.
    """
    try:
        facts = path.lstat()
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})"
    if not stat.S_ISREG(facts.st_mode):
        return f"{path.name} is not a plain file"
    if size is not None and facts.st_size != size:
        return f"{path.name} has {facts.st_size:,} bytes, not {size:,}"
    if size is None and facts.st_size > most:
        return f"{path.name} has {facts.st_size:,} bytes, not at most {most:,}"
    return None


@contextmanager
def lock(path: str | Path, timeout: float = 600.0) -> Iterator[None]:
    """Hold ``<path>.lock``, so that one process at a time makes ``path``.

    Args:
        path: the file or folder to protect; missing parent folders are made.
        timeout: seconds to wait for another process; long, as it may be downloading.

    Raises:
        filelock.Timeout: another process still held the lock after ``timeout`` seconds.
    """
    place = Path(f"{path}.lock")
    place.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(place, timeout=timeout):
        yield


def download(
    url: str, path: str | Path, sha256: str, tries: int = 3, timeout: float = 30.0
) -> Path:
    """Fetch a file whose content is known beforehand; what does not match is never kept.

    Args:
        url: where it is.
        path: where it shall be; a file that stands there with the right hash is used as it is.
        sha256: the hexadecimal sha256 of the right bytes.
        tries: how often to ask before giving up.
        timeout: seconds without an answer, or without another byte, that end one try.

    Returns:
        ``path``, holding exactly the expected bytes.

    Raises:
        DownloadError: what came instead, after the last try; nothing was written.
    """
    path = Path(path)
    with lock(path):
        if path.is_file() and sha256_of(path) == sha256:
            return path
        for attempt in range(1, tries + 1):
            try:
                _fetch(url, path, sha256, timeout)
                return path
            except (DownloadError, http.client.HTTPException, OSError) as error:
                if attempt == tries:
                    reason = _what_came(error, timeout)
                    often = "once" if tries == 1 else f"{tries} times"
                    raise DownloadError(f"{url}, asked {often}: {reason}") from error
    raise AssertionError("unreachable: the last try returns or raises")


def _fetch(url: str, path: Path, sha256: str, timeout: float) -> None:
    """One try: stream into a temporary file, check it, and only then let it take its name."""
    with urllib.request.urlopen(url, timeout=timeout) as answer, atomic_write(path) as file:
        expected = answer.headers.get("Content-Length")
        digest, received, start = hashlib.sha256(), 0, b""
        while block := answer.read(BLOCK):
            start = start or block[:200]
            received += len(block)
            digest.update(block)
            file.write(block)
        if expected is not None and received < int(expected):
            raise DownloadError(f"cut short after {received:,} of {int(expected):,} bytes")
        if digest.hexdigest() != sha256:
            found = f"{received:,} bytes with sha256 {digest.hexdigest()[:12]}…"
            if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
                found = f"an HTML page ({received:,} bytes), perhaps a login or error page,"
            raise DownloadError(f"{found} came instead of the file with sha256 {sha256[:12]}…")


def _what_came(error: Exception, timeout: float) -> str:
    """The reason in one line, in words rather than in a class name where we know better."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered HTTP {error.code} {error.reason}"
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} seconds"
    if isinstance(error, http.client.IncompleteRead):
        return f"cut short after {len(error.partial):,} bytes"
    reason = str(getattr(error, "reason", error)) or type(error).__name__
    return " ".join(reason.split())

"""Files and folders that are whole or absent, the manifest that vouches for them, and downloads.

Checkpoints, token shards, prepared folders and exports are all folders that are written beside
their place and renamed once everything is on the disk. A manifest is a JSON file that ends with
its own hash and lists the size and hash of other files: nothing is parsed before it was checked.
"""

import errno
import hashlib
import http.client
import json
import os
import secrets
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

import filelock
from safetensors import SafetensorError

from gptlib.errors import Damaged, DownloadError, FolderError

BLOCK = 1 << 20  # bytes read at a time: large files never stand in memory whole


@contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file that takes its name once it is complete; until then, what has it stays.

    Args:
        path: the file's final place; missing parent folders are made.
        mode: ``"wb"`` for bytes, ``"w"`` for text (UTF-8, line ends as written).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
    try:
        with part.open(mode, encoding=encoding, newline=newline) as file:
            yield file
        sync(part)  # or a power cut could leave the new name with no content
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON, atomically; Arabic and emoji stay readable."""
    with atomic_write(path, "w") as file:
        json.dump(value, file, indent=1, ensure_ascii=False)
        file.write("\n")


@contextmanager
def lock(path: str | Path, timeout: float = 600.0) -> Iterator[None]:
    """Hold ``<path>.lock``, so that one process at a time makes the file or folder of that path.

    Waits `timeout` seconds for another, long, as it may be downloading; then filelock.Timeout.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{path}.lock", timeout=timeout):
        yield


@contextmanager
def new_folder(folder: Path, replace: bool = False, locked: bool = False) -> Iterator[Path]:
    """A folder to write in that gets its name when the block ends well, and is removed if not.

    Args:
        folder: its final place.
        replace: let a folder of that name give way, once the new one is on the disk.
        locked: the caller already holds a lock that keeps other writers away.

    Raises:
        FolderError: there is such a folder, another process writes it, or the disk refuses.
    """
    folder = Path(os.path.abspath(folder))
    part, old = hidden_names(folder)
    if not replace:
        check_absent(folder)
    try:
        with nullcontext() if locked else lock(part, timeout=0):
            clean_up(folder)
            part.mkdir(parents=True)
            try:
                yield part
                for path in (*part.rglob("*"), part):
                    if path.is_file():
                        path.chmod(part.stat().st_mode & 0o666)  # safetensors gives 0o600
                    sync(path)
                if replace and folder.exists():
                    os.rename(folder, old)
                os.rename(part, folder)
                sync(folder.parent)
            finally:
                clean_up(folder)
    except filelock.Timeout as error:
        raise FolderError(
            f"{folder} is being written by another process: wait for it or give another folder"
        ) from error
    except (OSError, SafetensorError) as error:  # the second is how safetensors reports the first
        raise FolderError(
            f"{folder} could not be written ({error}): make room or choose another folder"
        ) from error


def check_absent(folder: str | Path) -> None:
    """Refuse a folder that stands there already, were it a broken link, or inside of a file."""
    if os.path.lexists(folder):
        raise FolderError(f"{folder} exists: give another folder, or remove it yourself")
    for above in Path(os.path.abspath(folder)).parents:
        if above.is_file():
            raise FolderError(f"{folder}: {above} is a file: give another folder")


def hidden_names(folder: Path) -> tuple[Path, Path]:
    """What a folder is called while it is not whole, and while a new one takes its place."""
    return folder.with_name(f".{folder.name}.part"), folder.with_name(f".{folder.name}.old")


def clean_up(folder: Path) -> None:
    """Remove what a killed writer left beside a folder; one that had just given way comes back.

    Only with a lock held: what another process is writing looks the same.
    """
    part, old = hidden_names(folder)
    shutil.rmtree(part, ignore_errors=True)
    if old.exists() and not folder.exists():
        os.rename(old, folder)
    shutil.rmtree(old, ignore_errors=True)


def delete_folder(folder: Path) -> None:
    """Delete a folder: first its name, so that no reader finds half of it."""
    os.rename(folder, hidden_names(folder)[0])
    clean_up(folder)


def sync(path: Path) -> None:
    """Return once a file, or a folder's list of names, would survive a power cut."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder, and orders its renames itself
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):  # no such service here
            raise
    finally:
        os.close(handle)


def sha256_of(path: str | Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_facts(path: Path) -> dict[str, Any]:
    """What a manifest says of a file."""
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def manifest_bytes(content: Mapping[str, Any]) -> bytes:
    """The only spelling of a JSON file that ends with its own hash, so that any change shows."""
    content = json.loads(json.dumps(content))  # keys become text, as a reader will find them
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return json.dumps({**content, "sha256": digest}, indent=1).encode()


def write_manifest(path: Path, content: Mapping[str, Any]) -> None:
    """Write a manifest: last, since it vouches for the other files of its folder."""
    path.write_bytes(manifest_bytes(content))


def read_manifest(path: Path) -> dict[str, Any]:
    """The content of a manifest, once its hash has been checked; raises Damaged."""
    if wrong := wrong_file(path):
        raise Damaged(wrong)
    try:
        text = path.read_bytes()
        content: dict[str, Any] = json.loads(text)
        content.pop("sha256")
        intact = text == manifest_bytes(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"{path.name} cannot be read") from error
    if not intact:
        raise Damaged(f"{path.name} was altered")
    return content


def check_files(manifest: Path, sizes: Mapping[str, int]) -> None:
    """Refuse other files beside a manifest than those it lists, or of other sizes; raises Damaged.

    A name cannot lead elsewhere: it has to be found in the folder.
    """
    found = {path.name for path in manifest.parent.iterdir()}
    if names := ", ".join(repr(name) for name in sorted(found ^ {manifest.name, *sizes})[:3]):
        raise Damaged(f"files {names} are missing or added (remove what was added)")
    for name, size in sizes.items():
        if wrong := wrong_file(manifest.with_name(name), size):
            raise Damaged(wrong)


def wrong_file(path: Path, size: int | None = None) -> str | None:
    """What is said against a link, which could lead elsewhere, a pipe, or another size."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        return f"{path.name} is not a plain file"
    if size is not None and path.stat().st_size != size:
        return f"{path.name} has {path.stat().st_size:,} bytes, not {size:,}"
    return None


def read_file(path: Path, sha256: str) -> bytes:
    """The bytes of a listed file, those that were hashed; raises Damaged."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise Damaged(f"{path.name} was altered")
    return content


def download(
    url: str, path: str | Path, sha256: str, tries: int = 3, timeout: float = 30.0
) -> Path:
    """Fetch a small file whose content is known beforehand; what does not match is never kept.

    Args:
        url: where it is.
        path: where it shall be; a file that stands there with the right hash is used as it is.
        sha256: the hexadecimal sha256 of the right bytes.
        tries: how often to ask before giving up.
        timeout: seconds without an answer, or without another byte, that end one try.

    Raises:
        DownloadError: what came instead, after the last try; nothing was written.
    """
    path, reason = Path(path), ""
    with lock(path):
        if path.is_file() and sha256_of(path) == sha256:
            return path
        for _ in range(tries):
            try:
                with urllib.request.urlopen(url, timeout=timeout) as answer:
                    content = answer.read()
                if hashlib.sha256(content).hexdigest() == sha256:
                    with atomic_write(path) as file:
                        file.write(content)
                    return path
                page = content[:200].lstrip().lower().startswith((b"<!doctype html", b"<html"))
                found = "an HTML page, perhaps to log in," if page else f"{len(content):,} bytes"
                reason = f"{found} came instead of the file with sha256 {sha256[:12]}…"
            except http.client.IncompleteRead as error:
                whole = len(error.partial) + (error.expected or 0)
                reason = f"cut short after {len(error.partial):,} of {whole:,} bytes"
            except TimeoutError:
                reason = f"no answer within {timeout:g} seconds"
            except (http.client.HTTPException, OSError) as error:
                reason = " ".join(str(error).split()) or type(error).__name__
    raise DownloadError(f"{url}, tried {tries} times: {reason}")

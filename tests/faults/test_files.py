"""Files are whole or absent, and a download is exactly what was asked for."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from gptlib.errors import DownloadError
from gptlib.files import atomic_write, download, lock, sha256_of, write_json

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(HTTPServer):
    """A loopback server that gives its answers in turn, the last one for ever, and counts."""

    answers: list[tuple[int, bytes, int]]  # status, body, announced length
    requests: int


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        answers = self.server.answers
        status, body, length = answers[min(self.server.requests, len(answers)) - 1]
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def serving(*bodies: tuple[int, bytes, int]) -> Iterator[tuple[Server, str]]:
    server = Server(("127.0.0.1", 0), Answer)
    server.answers, server.requests = list(bodies), 0
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_port}/file"
    finally:
        server.shutdown()
        thread.join(timeout=5)
        server.server_close()


def good(body: bytes = CONTENT, status: int = 200) -> tuple[int, bytes, int]:
    return status, body, len(body)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_an_atomic_write_appears_whole(tmp_path: Path) -> None:
    file = tmp_path / "new" / "file.bin"
    with atomic_write(file) as out:
        out.write(b"one")
        out.flush()
        assert not file.exists()
        out.write(b"two")
    assert file.read_bytes() == b"onetwo"
    assert names(file.parent) == ["file.bin"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file.txt"
    file.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(file, "w") as out:
        out.write("new")
        raise KeyboardInterrupt
    assert file.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_written_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with atomic_write(tmp_path / "atomic") as out:
        out.write(b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_json_keeps_arabic_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"day": "وحد نهار"})
    assert "وحد نهار" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with lock(tmp_path / "x"), pytest.raises(TimeoutError), lock(tmp_path / "x", timeout=0.01):
        pass
    with lock(tmp_path / "x", timeout=0.01):
        pass


def test_a_download_is_checked_kept_and_not_asked_for_again(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "file"
    with serving(good()) as (server, url):
        assert download(url, file, SHA256) == file
        assert sha256_of(file) == SHA256
        download(url, file, SHA256)
        assert server.requests == 1
    assert names(file.parent) == ["file"]


def test_a_damaged_file_is_fetched_anew(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT[:-1])
    with serving(good()) as (_, url):
        download(url, file, SHA256)
    assert file.read_bytes() == CONTENT


def test_a_second_try_mends_a_first_that_failed(tmp_path: Path) -> None:
    with serving(good(b"busy", 503), (200, CONTENT[:5000], len(CONTENT)), good()) as (server, url):
        download(url, tmp_path / "file", SHA256)
        assert server.requests == 3
    assert sha256_of(tmp_path / "file") == SHA256


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (good(b"other"), "5 bytes with sha256"),
        ((200, CONTENT[:5000], len(CONTENT)), "cut short after 5,000 of 256,000 bytes"),
        (good(b"\n<!DOCTYPE html><html>log in</html>"), "HTML page"),
        (good(b"no", 404), "HTTP 404"),
        (good(b""), "0 bytes with sha256"),
    ],
    ids=["wrong-hash", "cut-short", "html-page", "not-found", "empty"],
)
def test_what_came_instead_is_said_in_one_line(
    tmp_path: Path, answer: tuple[int, bytes, int], said: str
) -> None:
    file = tmp_path / "file"
    with (
        serving(answer) as (server, url),
        pytest.raises(DownloadError, match=said) as caught,
    ):
        download(url, file, SHA256)
    assert server.requests == 3  # at most three tries
    assert "\n" not in str(caught.value) and url in str(caught.value)
    assert names(tmp_path) == []


def test_a_failed_download_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    with serving(good(b"other")) as (_, url), pytest.raises(DownloadError):
        download(url, file, SHA256, tries=1)
    assert file.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_no_server_is_a_download_error(tmp_path: Path) -> None:
    with serving(good()) as (_, url):
        pass  # the port is free again, so nobody answers
    with pytest.raises(DownloadError, match="refused"):
        download(url, tmp_path / "file", SHA256, timeout=2)


def test_a_silent_server_ends_a_try_in_time(tmp_path: Path) -> None:
    with serving((200, CONTENT[:100], len(CONTENT))) as (server, url):
        hold = threading.Event()
        server.RequestHandlerClass = type(
            "Silent", (Answer,), {"do_GET": lambda _: hold.wait(timeout=5)}
        )
        with pytest.raises(DownloadError, match=r"no answer within 0\.2 seconds"):
            download(url, tmp_path / "file", SHA256, tries=1, timeout=0.2)
        hold.set()

"""A small hub on the loopback: the protocol that `huggingface_hub` speaks, and its failures.

Bounded: it answers at most `REQUESTS` requests, and no answer takes longer than `STALL` seconds.
"""

import hashlib
import io
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pyarrow
from hub_uploads import Uploads
from pyarrow import parquet

REQUESTS = 3000
STALL = 60.0
HTML = b"<!DOCTYPE html><html><body>Please log in to this network</body></html>"


def table(row_group=None, **columns):
    """A parquet file; each row group is read on its own."""
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), buffer, row_group_size=row_group)
    return buffer.getvalue()


def paths_under(files, folder):
    """Every file and folder inside a folder of a repository; "" is the whole."""
    folders = {file[:place] for file in files for place, letter in enumerate(file) if letter == "/"}
    inside = f"{folder}/" if folder else ""
    return sorted(path for path in {*files, *folders} if path.startswith(inside))


class Hub(ThreadingHTTPServer):
    """Repositories and their files, what was asked of them, and the fault to show."""

    daemon_threads = True

    def __init__(self, repositories):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories, self.uploads = repositories, Uploads(repositories)
        self.gated: dict[str, str] = {}  # repository -> the token that opens it
        self.fault, self.where = "", ""  # which fault, on the paths that hold this text
        self.asked: list[tuple[str, str, str]] = []  # method, path, Range
        self.sent = 0  # bytes of parquet files
        self.tokens: set[str] = set()  # authorizations that came
        self.ended = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, repository):
        """The commit follows from the files, as in git."""
        digest = hashlib.sha1(repository.encode())
        for path, content in sorted(self.repositories[repository].items()):
            digest.update(path.encode() + content)
        return digest.hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = STALL
    server: Hub

    def do_GET(self):
        hub, path = self.server, unquote(urlsplit(self.path).path)
        hub.asked.append((self.command, path, self.headers.get("Range", "")))
        hub.tokens.add(self.headers.get("Authorization", ""))
        self.body = body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if len(hub.asked) > REQUESTS:
            return self.reply(410, {}, b"enough")
        if hub.fault and hub.where in path:
            return getattr(self, f"fault_{hub.fault}")(path)
        self.reply(*self.answer(path, body))

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *_):
        """Stay silent."""

    def reply(self, status, headers, body):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.server.sent += len(body) if ".parquet" in self.path else 0

    def answer(self, path, body):
        """The answer of a hub in order."""
        token = self.headers.get("Authorization", "")
        sent = self.server.uploads.answer(self.server.url, path, token, body)
        if sent and self.command in ("POST", "PUT"):
            return sent
        match = re.fullmatch(r"/(?:api/)?(?:datasets/|models/)?([^/]+/[^/]+)(/.*)?", path)
        if not match or match[1] not in self.server.repositories:
            return self.refusal(404, "RepoNotFound", "Repository not found")
        repository, rest = match[1], (match[2] or "").split("/", 3)[1:]
        token = self.server.gated.get(repository)
        if token and "/resolve/" in path and self.headers.get("Authorization") != f"Bearer {token}":
            status = 403 if self.headers.get("Authorization") else 401
            return self.refusal(status, "GatedRepo", f"Access to {repository} is restricted")
        revision = rest[1] if len(rest) > 1 else "main"
        if revision not in ("main", self.server.commit(repository)):
            return self.refusal(404, "RevisionNotFound", "Invalid rev id")
        if rest and rest[0] == "resolve":
            return self.file(repository, rest[2])
        return self.about(repository, rest, body)

    def refusal(self, status, code, message):
        return status, {"X-Error-Code": code, "X-Error-Message": message}, b""

    def file(self, repository, path):
        commit, files = self.server.commit(repository), self.server.repositories[repository]
        if path not in files:
            status, headers, body = self.refusal(404, "EntryNotFound", "Entry not found")
            return status, headers | {"X-Repo-Commit": commit}, body
        content = files[path]
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            return 200, headers, content
        start, end = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        return 206, headers, content[start : end + 1]

    def about(self, repository, rest, body):
        """What the API says of a repository, its tree or some of its paths."""
        files = self.server.repositories[repository]
        if rest and rest[0] == "tree":
            paths = paths_under(files, rest[2] if len(rest) > 2 else "")
            if "recursive=true" not in self.path.lower():
                depth = min((path.count("/") for path in paths), default=0)
                paths = [path for path in paths if path.count("/") == depth]
            found: object = self.entries(files, paths)
        elif rest and rest[0] == "paths-info":
            paths = json.loads(body)["paths"] if body.startswith(b"{") else []
            found = self.entries(files, paths)
        else:
            siblings = [{"rfilename": path} for path in files]
            commit = self.server.commit(repository)
            found = {"id": repository, "sha": commit, "siblings": siblings, "private": False}
        return 200, {"Content-Type": "application/json"}, json.dumps(found).encode()

    def entries(self, files, paths):
        found: list[dict[str, object]] = []
        for path in paths:
            if path in files:
                oid = hashlib.sha1(files[path]).hexdigest()
                found.append({"type": "file", "oid": oid, "size": len(files[path]), "path": path})
            elif any(file.startswith(f"{path}/") for file in files):
                found.append({"type": "directory", "oid": "0" * 40, "size": 0, "path": path})
        return found

    # Faults: what a network can do to an answer

    def fault_cut(self, path):
        """The whole length is announced, half of it is sent, and the line goes dead."""
        status, headers, body = self.answer(path, b"")
        self.close_connection = True
        self.reply(status, headers | {"Content-Length": str(len(body) + 1)}, body[: len(body) // 2])

    def fault_cut_first(self, path):
        """Only an answer from the beginning on is cut."""
        whole = self.command == "GET" and not self.headers.get("Range")
        self.fault_cut(path) if whole else self.reply(*self.answer(path, b""))

    def fault_short(self, path):
        """Half of the file, announced as such."""
        status, headers, body = self.answer(path, b"")
        self.reply(status, headers, body[: len(body) // 2])

    def fault_altered(self, path):
        """One byte at the end is another."""
        status, headers, body = self.answer(path, b"")
        self.reply(status, headers, body[:-1] + b"?")

    def fault_html(self, path):
        self.reply(200, {"Content-Type": "text/html; charset=utf-8"}, HTML)

    def fault_disguised_html(self, path):
        _, headers, body = self.answer(path, b"")
        self.reply(200, headers, (HTML + b" " * len(body))[: len(body)])

    def fault_busy(self, path):
        self.reply(429, {}, b"")

    def fault_busy_for_long(self, path):
        self.reply(429, {"Retry-After": "300"}, b"")

    def fault_broken(self, path):
        self.reply(500, {}, b"")

    def fault_slow(self, path):
        """The right answer, after a second."""
        self.server.ended.wait(1.0)
        self.reply(*self.answer(path, self.body))

    def fault_stall(self, path):
        """Not a byte until the hub closes."""
        self.close_connection = True
        self.server.ended.wait(STALL)

    def fault_stall_in_the_middle(self, path):
        self.fault_cut(path)
        self.wfile.flush()
        self.server.ended.wait(STALL)


@contextmanager
def running(repositories):
    """A hub that serves until the block ends."""
    hub = Hub(repositories)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.ended.set()
        hub.shutdown()
        thread.join(timeout=5)
        hub.server_close()

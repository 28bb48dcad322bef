"""What the small hub does with files that are sent to it: repositories made, commits taken."""

import base64
import hashlib
import json
import re

LARGE = (".safetensors", ".png")  # sent to a store of their own before the commit


def in_json(status, content):
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()


class Uploads:
    """Sent files, for whoever holds the right token; a commit is taken whole or not at all."""

    def __init__(self, repositories):
        self.repositories = repositories
        self.writer = ""  # the token that may write
        self.owner = ""  # the name under which it may
        self.private: dict[str, bool] = {}
        self.store: dict[str, bytes] = {}  # sha256 → a large file that is in no commit yet

    def answer(self, url, path, token, body):
        """The answer to one who sends; None for one who only asks."""
        if path.startswith("/store/"):
            return self.keep(path.removeprefix("/store/"), body)
        if path == "/api/validate-yaml":
            return in_json(200, {"errors": [], "warnings": []})
        made = path == "/api/repos/create"
        place = re.fullmatch(
            r"/(?:api/models/)?([^/]+/[^/]+?)(/preupload/main|/commit/main|\.git/info/lfs/.*)", path
        )
        if not made and not place:
            return None
        if not self.writer or token != f"Bearer {self.writer}":
            return in_json(401, {"error": "Invalid username or password."})
        if made:
            return self.create(url, json.loads(body))
        assert place
        if place[2] == "/preupload/main":
            return self.modes(json.loads(body))
        if place[2] == "/commit/main":
            return self.commit(url, place[1], body)
        return self.batch(url, json.loads(body))

    def create(self, url, wish):
        if wish.get("organization") != self.owner:
            return in_json(403, {"error": "You have no rights to write there"})
        name = f"{self.owner}/{wish['name']}"
        if name in self.repositories:
            return in_json(409, {"error": "You already have it", "url": f"{url}/{name}"})
        self.repositories[name] = {}
        self.private[name] = wish.get("visibility") == "private" or bool(wish.get("private"))
        return in_json(200, {"url": f"{url}/{name}", "id": name})

    def modes(self, wish):
        def mode(path):
            kind = "lfs" if path.endswith(LARGE) else "regular"
            return {"path": path, "uploadMode": kind, "shouldIgnore": False, "oid": None}

        return in_json(200, {"files": [mode(file["path"]) for file in wish["files"]]})

    def batch(self, url, wish):
        objects = [
            {**wanted, "actions": {"upload": {"href": f"{url}/store/{wanted['oid']}"}}}
            for wanted in wish["objects"]
        ]
        return in_json(200, {"transfer": "basic", "objects": objects})

    def keep(self, oid, body):
        if hashlib.sha256(body).hexdigest() != oid:
            return in_json(400, {"error": "other bytes than announced"})
        self.store[oid] = body
        return in_json(200, {})

    def commit(self, url, name, body):
        lines = [json.loads(line) for line in body.splitlines()]
        files = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.store[value["oid"]]
        self.repositories[name].update(files)
        oid = hashlib.sha1(body).hexdigest()
        return in_json(200, {"commitUrl": f"{url}/{name}/commit/{oid}", "commitOid": oid})

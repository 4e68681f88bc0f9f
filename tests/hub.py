"""A stand-in for the Hugging Face hub's API, as huggingface_hub speaks it: repositories, LFS, commits."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_good"


class Hub:
    """What it holds: repositories with their visibility, files by path, LFS objects by hash, commits with files."""

    def __init__(self) -> None:
        self.private: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.commits: list[tuple[str, list[str]]] = []
        self.url = ""
        self.uploads_at = ""  # where LFS objects are to be put; empty: here

    def oid(self, path: str) -> str | None:
        """As the real one tells: SHA-256 of an LFS file, git's SHA-1 of any other."""
        content = self.files.get(path)
        if content is None:
            return None
        if path.endswith(".parquet"):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args: Any) -> None:
        """Not on the test's output."""

    def _answer(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_GET(self) -> None:
        repository = re.fullmatch("/api/datasets/([^/]+/[^/]+?)(?:/revision/main)?", self.path)
        if not repository or repository[1] not in self.hub.private:
            return self._answer({"error": "Repository not found"}, 404)
        known = {"id": repository[1], "private": self.hub.private[repository[1]], "siblings": []}
        return self._answer({**known, "sha": f"{len(self.hub.commits):040x}"})

    def do_PUT(self) -> None:
        content = self._body()
        self.hub.objects[hashlib.sha256(content).hexdigest()] = content
        self._answer({})

    def do_POST(self) -> None:
        body = self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer({"error": "Invalid token"}, 401)
        if self.path == "/api/repos/create":
            return self._create(json.loads(body))
        if self.path == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        if self.path.endswith("/preupload/main"):
            return self._answer({"files": [self._mode(file["path"]) for file in json.loads(body)["files"]]})
        if self.path.endswith(".git/info/lfs/objects/batch"):
            return self._answer(
                {"transfer": "basic", "objects": [self._upload(o) for o in json.loads(body)["objects"]]}
            )
        if self.path.endswith("/commit/main"):
            return self._commit([json.loads(line) for line in body.splitlines()])
        return self._answer({"error": f"nothing at {self.path}"}, 404)

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        status = 409 if name in self.hub.private else 200
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.private.setdefault(name, private)
        self._answer({"url": f"{self.hub.url}/datasets/{name}", "name": name}, status)

    def _mode(self, path: str) -> dict[str, Any]:
        mode = "lfs" if path.endswith(".parquet") else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": self.hub.oid(path)}

    def _upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if wanted["oid"] in self.hub.objects:
            return wanted
        where = self.hub.uploads_at or self.hub.url
        return {**wanted, "actions": {"upload": {"href": f"{where}/lfs/{wanted['oid']}"}}}

    def _commit(self, said: list[dict[str, Any]]) -> None:
        header = next(entry["value"] for entry in said if entry["key"] == "header")
        paths = []
        for entry in said:
            value = entry["value"]
            if entry["key"] == "file":
                self.hub.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                self.hub.files[value["path"]] = self.hub.objects[value["oid"]]
            if entry["key"] != "header":
                paths.append(value["path"])
        self.hub.commits.append((header["summary"], sorted(paths)))
        oid = f"{len(self.hub.commits):040x}"
        repository = self.path.removeprefix("/api/").removesuffix("/commit/main")
        self._answer({"commitUrl": f"{self.hub.url}/{repository}/commit/{oid}", "commitOid": oid, "success": True})


@contextmanager
def serving() -> Iterator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()

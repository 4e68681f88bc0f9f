"""A stand-in for a server of ours, over real sockets, that does on command what networks and old servers do."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "tbk_0123abcd_good"
ROWS = {"train": 500, "validation": 30, "test": 20}


def line_of(split: str, n: int) -> bytes:
    return json.dumps({"id": f"{split}-{n}", "text": "日本\u2028" * 20}, ensure_ascii=False).encode() + b"\n"


class Stand:
    """One dataset, chat@3, and one project. The lists of faults are used up one by one."""

    def __init__(self) -> None:
        self.files = {
            f"{split}.parquet": b"PAR1" + b"".join(line_of(split, i) for i in range(n)) for split, n in ROWS.items()
        }
        self.rows_sha256 = "3" * 64
        self.etag, self.etag_after_a_cut = '"one"', ""
        self.cuts: list[int] = []  # bytes after which the next bodies break off
        self.statuses: list[int] = []  # answers in place of the next ones
        self.spoiled: list[str] = []  # files whose next bodies have another first byte
        self.scopes = ["export"]
        self.ranges = self.counts = self.tokens = True
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[tuple[dict[str, str], bytes]] = []
        self.runs: list[list[dict[str, Any]]] = []  # a run's states, one a look
        self.rejects: dict[int, bytes] = {}

    def manifest(self) -> dict[str, Any]:
        files = [
            {
                "name": name,
                "split": name.split(".")[0],
                "rows": ROWS[name.split(".")[0]],
                "sha256": hashlib.sha256(content).hexdigest(),
                "size": len(content),
                "url": f"http://elsewhere.invalid/{name}",
            }
            for name, content in self.files.items()
        ]
        return {
            "dataset": "chat", "number": 3, "status": "ready", "rows_sha256": self.rows_sha256, "splits": ROWS,
            "files": files, "card": "# chat\n", "recipe": {},
        }  # fmt: skip

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.asked]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand: Stand

    def log_message(self, *args: Any) -> None:
        """Not on the test's output."""

    def do_GET(self) -> None:
        self.stand.asked.append(("GET", self.path, dict(self.headers)))
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if self.stand.statuses:
            return self._problem(self.stand.statuses.pop(0), "unavailable")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._problem(401, "authentication_failed")
        if parts.path == "/api/v1/projects/":
            return self._json({"next": None, "results": [{"slug": "chat"}]})
        if parts.path == "/api/v1/datasets/":
            return self._json({"next": None, "results": [{"name": "chat", "versions": [1, 3]}]})
        if parts.path == "/api/v1/token/" and self.stand.tokens:
            return self._json({"user": "ada", "scopes": self.stand.scopes, "expires_at": "2027-01-01T00:00:00Z"})
        if re.fullmatch("/api/v1/datasets/chat/versions/(3|latest|prod)/", parts.path):
            return self._json(self.stand.manifest())
        if found := re.fullmatch(r"/api/v1/datasets/chat/versions/3/files/([\w.-]+)", parts.path):
            return self._file(found[1])
        if parts.path == "/api/v1/datasets/chat/versions/3/rows/":
            return self._rows(query)
        if parts.path == "/api/v1/datasets/chat/versions/3/removed/":
            return self._body(200, b'{"id": "gone", "withdrawn": false}\n', {})
        if found := re.fullmatch(r"/api/v1/runs/([0-9]+)/", parts.path):
            states = self.stand.runs[int(found[1]) - 1]
            return self._json(states.pop(0) if len(states) > 1 else states[0])
        if found := re.fullmatch(r"/api/v1/runs/([0-9]+)/rejects/", parts.path):
            return self._body(200, self.stand.rejects[int(found[1])], {})
        return self._problem(404, "no_version", "There is no version 9 of a dataset 'chat' that you may read.")

    def do_POST(self) -> None:  # noqa: RET503
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.stand.asked.append(("POST", self.path, dict(self.headers)))
        if self.stand.statuses:
            return self._problem(self.stand.statuses.pop(0), "unavailable")
        self.stand.bodies.append((dict(self.headers), body))
        number = len(self.stand.bodies)
        if len(self.stand.runs) < number:
            result = {"created": 1, "rejected": 1 if number in self.stand.rejects else 0}
            kept = [{"name": "rejects.jsonl"}] if number in self.stand.rejects else []
            self.stand.runs.append([{"id": number, "status": "succeeded", "result": result, "artifacts": kept}])
        self._json({"id": number, "status": "queued", "result": {}, "artifacts": []}, 202)

    def _file(self, name: str) -> None:
        if name == "test.parquet" and self.stand.scopes == ["train"]:
            return self._problem(403, "protected_split", "This token is for training.")
        content = self.stand.files[name]
        if name in self.stand.spoiled:
            self.stand.spoiled.remove(name)
            content = b"X" + content[1:]
        asked = re.fullmatch(r"bytes=([0-9]+)-", self.headers.get("Range", ""))
        if asked and self.stand.ranges:
            at = int(asked[1])
            return self._body(206, content[at:], {"Content-Range": f"bytes {at}-{len(content) - 1}/{len(content)}"})
        return self._body(200, content, {"Accept-Ranges": "bytes"})

    def _rows(self, query: dict[str, str]) -> None:
        split = query.get("split", "train")
        if split == "test" and self.stand.scopes == ["train"]:
            return self._problem(403, "protected_split", "This token is for training.")
        if self.headers.get("If-None-Match") == self.stand.etag:
            return self._body(304, b"", {"ETag": self.stand.etag})
        if self.headers.get("If-Match", "*") not in ("*", self.stand.etag):
            return self._problem(412, "rows_changed", "Rows were taken back since that ETag: begin again.")
        told = {"ETag": self.stand.etag, "X-Tiebreak-Rows": str(ROWS[split]), "X-Tiebreak-Left-Out": "2"}
        if "since" in query:
            told["X-Tiebreak-Since"] = f"chat@{query['since']}"
        if self.stand.etag_after_a_cut and self.stand.cuts:
            self.stand.etag = self.stand.etag_after_a_cut
        lines = [line_of(split, i) for i in range(int(query.get("cursor", 0)), ROWS[split])]
        return self._body(200, b"".join(lines), told if self.stand.counts else {})

    def _problem(self, status: int, code: str, detail: str = "Not now.") -> None:
        told = {"type": f"urn:tiebreak:{code}", "title": "No", "status": status, "detail": detail}
        self._body(status, json.dumps(told).encode(), {"Content-Type": "application/problem+json", "Retry-After": "7"})

    def _json(self, value: Any, status: int = 200) -> None:
        self._body(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _body(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        streams = "/files/" in self.path or "/rows/" in self.path
        if streams and status < 300 and self.stand.cuts:
            self.wfile.write(content[: self.stand.cuts.pop(0)])
            self.close_connection = True
            return
        self.wfile.write(content)


@contextmanager
def standing() -> Iterator[tuple[Stand, str]]:
    """A stand and its address."""
    stand = Stand()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"stand": stand}))
    server.daemon_threads, server.handle_error = True, lambda *gone: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield stand, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()

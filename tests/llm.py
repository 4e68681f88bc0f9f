"""A real OpenAI-compatible server for tests: answers by rule, and on demand slowly, brokenly or with nonsense."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MARK = re.compile(r'ballot "([0-9a-f]+)"')
SHOWN = re.compile(r"\[BEGIN (first|second) response ([0-9a-f]+)\]\n(.*?)\n\[END \1 response \2\]", re.S)


def longer_wins(prompt: str) -> str:
    """The verdict of a judge that likes length."""
    marks = MARK.findall(prompt)
    shown = {name: text for name, _, text in SHOWN.findall(prompt)}
    winner = "tie"
    if len(shown["first"]) != len(shown["second"]):
        winner = max(shown, key=lambda name: len(shown[name]))
    verdict = {"ballot": marks[-1], "critique": "The longer one.", "winner": winner, "strength": 2}
    return json.dumps(verdict)


@dataclass
class Server:
    """What it was asked, and how it answers: set `answer`, `delay` or `status` while it runs."""

    url: str = ""
    answer: Callable[[str], str] = longer_wins
    delay: float = 0.0
    status: int = 200
    prompts: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = body["messages"][-1]["content"]
            with server.lock:
                server.prompts.append(prompt)
                server.authorizations.append(self.headers.get("Authorization", ""))
            time.sleep(server.delay)
            content = server.answer(prompt)
            told = {
                "model": body["model"],
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
                ],
                "usage": {"prompt_tokens": 100, "completion_tokens": 20},
            }
            data = json.dumps(told).encode()
            self.send_response(server.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that was killed in the middle is what some tests are about."""

    http = Quiet(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()

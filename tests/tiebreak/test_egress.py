"""The door to the outside world: nothing that a user writes or a name server answers reaches an address of our own."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from models_rt.backends import BackendError
from models_rt.backends.base import Request
from models_rt.backends.openai import OpenAIBackend, RetryPolicy
from tiebreak.core.egress import Allowed, check_url, connector, is_public
from tiebreak.core.errors import Invalid

NOTHING = Allowed(())

# Written by somebody who wants our metadata service, our database or our loopback. `{port}` is a server of this test.
HOSTILE = [
    # this machine
    "http://127.0.0.1:{port}/", "https://127.0.0.1:{port}/", "http://127.0.0.2:{port}/", "http://127.255.255.254/",
    "http://0.0.0.0:{port}/", "http://0.1.2.3/", "https://[::1]:{port}/", "http://[::]:{port}/", "https://[0:0:0:0:0:0:0:1]/",
    # addresses in disguise: short, decimal, octal, hexadecimal, mixed, padded
    "https://127.1:{port}/", "https://127.0.1:{port}/", "https://2130706433:{port}/", "https://017700000001:{port}/",
    "https://0x7f000001:{port}/", "https://0x7f.0x0.0x0.0x1:{port}/", "https://0x7f.1/", "https://0177.0.0.1:{port}/",
    "https://0177.0.0.0x1/", "https://127.0.0.01/", "https://00127.0.0.1/", "https://127.000.000.001/", "https://0/",
    "https://0x0/", "https://0x/", "https://127.0.0.1./", "https://127.1./", "https://4294967297/", "https://1.2.3.4.5/",
    "https://256.1.1.1/", "https://example.com.127.0.0.0x1/", "https://8.8.8.8.8/", "https://1e3.1/",
    # other alphabets and escapes that one parser folds into digits and dots, and another does not
    "https://127\u30020\u30020\u30021/", "https://①②⑦.⓪.⓪.①/", "https://１２７.0.0.1/", "https://127.0.0.1\uff0f.example/",
    "https://%31%32%37.0.0.1/", "https://127%2e0%2e0%2e1/", "https://ⓛocalhost/", "https://local\u00adhost/",
    # IPv6 that carries IPv4, or is not global
    "https://[::ffff:127.0.0.1]:{port}/", "https://[::ffff:7f00:1]/", "https://[::ffff:169.254.169.254]/",
    "https://[::ffff:8.8.8.8]/", "https://[::127.0.0.1]/", "https://[::7f00:1]/", "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::169.254.169.254]/", "https://[64:ff9b:1::1]/", "https://[2002:7f00:1::]/", "https://[2001:0:7f00:1::]/",
    "https://[2001:db8::1]/", "https://[3fff::1]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/", "https://[fe80::1%eth0]/",
    "https://[fec0::1]/", "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[ff02::1]/", "https://[ff0e::1]/",
    "https://[100::1]/", "https://[5f00::1]/", "https://[4000::1]/", "https://[2606:4700::1111%25lo]/",
    # networks that are not public
    "http://10.0.0.1/", "https://10.255.255.255/", "https://172.16.0.1/", "https://172.31.255.1/", "https://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/", "https://169.254.169.254/", "https://169.254.170.2/v2/credentials/",
    "https://192.0.0.192/", "https://192.0.0.170/", "https://100.64.0.1/", "https://100.100.100.200/latest/",
    "https://100.127.255.254/", "https://168.63.129.16/", "https://198.18.0.1/", "https://198.19.255.1/", "https://192.0.2.1/",
    "https://198.51.100.7/", "https://203.0.113.9/", "https://192.88.99.1/", "https://224.0.0.1/", "https://239.255.255.250/",
    "https://240.0.0.1/", "https://255.255.255.255/",
    # what two parsers read differently
    "https://user@127.0.0.1/", "https://example.com@127.0.0.1/", "https://user:secret@example.com/", "https://@example.com/",
    "https://:@example.com/", "https://example.com\\@127.0.0.1/", "https:\\\\127.0.0.1/", "https://127.0.0.1\\.example.com/",
    "https://example.com#@127.0.0.1:{port}@/ ", "https://example.com /", "https://exa\tmple.com/", "https://exa\nmple.com/",
    "https://example.com/\r\nHost: inside", "https://example.com/\x00", " https://example.com/", "https://[::1/",
    "https://[::1]x/", "https://[v1.example]/", "https://[example.com]/", "https://exam[ple].com/", "https://[127.0.0.1]/",
    "https://-example.com/", "https://example..com/", "https://.example.com/", "https://exa$mple.com/", "https://exa,mple.com/",
    # other schemes and no host
    "file:///etc/passwd", "gopher://127.0.0.1:6379/_FLUSHALL", "ftp://example.com/", "ws://example.com/", "",
    "javascript:alert(1)", "unix:///run/redis.sock", "data:text/plain,x", "//example.com/", "example.com", "https://",
    "https:///path", "http:",
    "https:example.com", "https:/example.com",
    # ports of other services, and none at all
    "https://example.com:22/", "https://example.com:25/", "https://example.com:0/", "https://example.com:99999/",
    "https://example.com:-1/", "https://example.com:x/",
    # keys in the clear
    "http://example.com/", "http://8.8.8.8/v1", "http://[2606:4700::1111]/",
]  # fmt: skip


class Names(AbstractResolver):
    """A name server of the attacker: answers each look-up with the next list of addresses."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is open."""


class Inside(ThreadingHTTPServer):
    """A service that only this machine should reach; counts every connection, even one that says nothing."""

    daemon_threads = True
    connections = 0
    location = ""

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        self.connections += 1
        return super().get_request()


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        location = self.server.location  # type: ignore[attr-defined]
        self.send_response(307 if location else 200)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def inside() -> Iterator[Inside]:
    with Inside(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def fetch(url: str, *, allow: tuple[str, ...] = (), names: AbstractResolver | None = None) -> int:
    """The status, through the guard alone: as if somebody had forgotten `check_url`."""

    async def get() -> int:
        timeout = aiohttp.ClientTimeout(total=5)
        async with (
            aiohttp.ClientSession(connector=connector(allow, inner=names), timeout=timeout) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            return response.status

    return asyncio.run(get())


def ask(url: str, *, allow: tuple[str, ...] = (), names: AbstractResolver | None = None) -> object:
    """What the OpenAI backend makes of a judge at this URL."""

    async def complete() -> object:
        backend = OpenAIBackend(
            url, "m", retry=RetryPolicy(tries=1), rng=random.Random(0), connector=lambda: connector(allow, inner=names)
        )
        request = Request(messages=({"role": "user", "content": "?"},))
        return next(iter([found async for _, found in backend.complete([request])]))

    return asyncio.run(complete())


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_is_refused_before_anything_is_looked_up(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_url(url.replace("{port}", "8000"), NOTHING, field="base_url")
    assert refused.value.params["field"] == "base_url"
    assert "secret" not in refused.value.message  # a password in a URL is not repeated


def test_the_table_is_long_enough() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 80


@pytest.mark.parametrize("url", [url for url in HOSTILE if "{port}" in url])
def test_even_unchecked_a_hostile_url_opens_no_connection(url: str, inside: Inside) -> None:
    with pytest.raises((aiohttp.ClientError, ValueError)):
        fetch(url.replace("{port}", str(inside.server_port)).replace("https://", "http://").strip())
    assert inside.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/v1",
        "https://api.example.com:8443/v1",
        "https://8.8.8.8/v1",
        "https://[2606:4700::1111]/v1",
        "https://xn--bcher-kva.example/",
        "https://my_host.example.com/",
        "https://example.com./",
        "https://3com.example/",
        "http://localhost:8000/v1",  # its addresses decide, at the resolver
    ],
)
def test_a_public_url_passes_as_it_is(url: str) -> None:
    assert check_url(url, NOTHING) == url


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/v1"),
        ("10.0.0.0/8", "http://10.1.2.3:8000/v1"),
        ("::1", "http://[::1]:8000/v1"),
        ("[::1]:8000", "http://[::1]:8000/v1"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("judge.lan", "http://judge.lan/v1"),
        ("Judge.LAN:81", "http://judge.lan:81/v1"),
    ],
)
def test_the_operator_may_allow_a_judge_of_their_own(entry: str, url: str) -> None:
    assert check_url(url, Allowed([entry])) == url


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("127.0.0.1", "http://127.0.0.2/"),
        ("127.0.0.1:8000", "http://127.0.0.1:6379/"),
        ("[::1]:8000", "http://[::1]:6379/"),
        ("judge.lan", "http://judge.lan.evil.example/"),
        ("judge.lan", "http://user@judge.lan/"),
        ("10.0.0.0/8", "http://[::ffff:10.0.0.1]/"),
        ("10.0.0.0/8", "http://167772161/"),
    ],
)
def test_what_is_allowed_opens_nothing_beside_it(entry: str, url: str) -> None:
    with pytest.raises(Invalid):
        check_url(url, Allowed([entry]))


def test_an_allowed_judge_is_reached(inside: Inside) -> None:
    assert fetch(f"http://127.0.0.1:{inside.server_port}/", allow=("127.0.0.0/8",)) == 200
    assert fetch(f"http://judge.lan:{inside.server_port}/", allow=("judge.lan",), names=Names(["127.0.0.1"])) == 200
    assert inside.connections == 2


def test_a_name_of_a_private_address_is_refused_and_the_operator_told_why(inside: Inside) -> None:
    url = f"http://innocent.example:{inside.server_port}/v1"
    refused = ask(url, names=Names(["127.0.0.1"]))
    assert isinstance(refused, BackendError)
    assert refused.permanent
    assert "innocent.example resolves to 127.0.0.1, which is not a public address" in str(refused)
    assert inside.connections == 0


@pytest.mark.parametrize(
    "private", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1%lo", "169.254.169.254", "2130706433"]
)
def test_one_private_address_among_public_ones_refuses_them_all(private: str, inside: Inside) -> None:
    names = Names(["93.184.215.14", private])
    with pytest.raises(aiohttp.ClientConnectorError):
        fetch(f"http://mixed.example:{inside.server_port}/", names=names)
    assert inside.connections == 0


def test_a_name_that_changes_its_mind_is_asked_once_and_refused_when_it_does(inside: Inside) -> None:
    # First look-up: allowed network. Second: loopback. Each request looks once, and connects to what it saw.
    names = Names(["127.0.0.2"], ["127.0.0.1"])
    with pytest.raises(aiohttp.ClientConnectorError) as first:
        fetch(f"http://rebind.example:{inside.server_port}/", allow=("127.0.0.2",), names=names)
    assert "127.0.0.2" in str(first.value) or "rebind.example" in str(first.value)
    with pytest.raises(aiohttp.ClientConnectorError):
        fetch(f"http://rebind.example:{inside.server_port}/", allow=("127.0.0.2",), names=names)
    assert inside.connections == 0


@pytest.mark.parametrize("target", ["http://127.0.0.1:{port}/", "http://169.254.169.254/", "/elsewhere"])
def test_a_judge_that_redirects_is_not_followed(target: str, inside: Inside) -> None:
    with Inside(("127.0.0.1", 0), Answer) as judge:
        judge.location = target.replace("{port}", str(inside.server_port))
        threading.Thread(target=judge.serve_forever, args=(0.02,), daemon=True).start()
        told = ask(f"http://127.0.0.1:{judge.server_port}/v1", allow=("127.0.0.1",))
        judge.shutdown()
    assert isinstance(told, BackendError)
    assert told.permanent
    assert "redirects are not followed" in str(told)
    assert (judge.connections, inside.connections) == (1, 0)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450::8a"]
)
def test_the_public_internet_is_public(address: str) -> None:
    assert is_public(address)

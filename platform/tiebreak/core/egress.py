"""The one door to the outside world: every outbound URL that a user or a response can influence goes through here.

A URL is read strictly (what two parsers could read differently is refused), its name is resolved once, every address
that it resolves to is checked, and the socket is made for a checked address only: DNS that changes its mind between
check and use changes nothing. No redirects. Addresses that are not public, plain http and ports of other services are
refused unless the operator lists the host in TIEBREAK_EGRESS_ALLOW (a judge of one's own).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from .errors import Invalid

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Python 3.11 calls some of these global; they are not, or (168.63.129.16) a cloud answers there with its secrets.
NEVER_PUBLIC: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(n)
    for n in (
        "192.0.0.0/24", "192.88.99.0/24", "100.64.0.0/10", "168.63.129.16/32",
        "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "3fff::/20",
    )
)  # fmt: skip
GLOBAL_UNICAST: Final = ipaddress.ip_network("2000::/3")
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Allowed:
    """What the operator allows beyond the public internet: host names, host:port pairs and networks."""

    def __init__(self, entries: Iterable[str]) -> None:
        self.hosts: set[str] = set()
        self.networks: list[Network] = []
        for entry in entries:
            try:
                self.networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self.hosts.add(entry.lower().replace("[", "").replace("]", ""))

    def host(self, name: str, port: int) -> bool:
        return name.lower() in self.hosts or f"{name.lower()}:{port}" in self.hosts

    def address(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address.version == n.version and address in n for n in self.networks)


def _address(text: str) -> Address | None:
    """The address that a canonical literal names; None for names, zones, and octal, hexadecimal or short forms."""
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def is_public(text: str) -> bool:
    """True for an address of the public internet and for nothing else."""
    address = _address(text)
    if address is None or any(address.version == n.version and address in n for n in NEVER_PUBLIC):
        return False
    if address.version == 6 and address not in GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved and not address.is_unspecified


def check_url(url: str, allowed: Allowed, *, field: str = "url") -> str:
    """Refuse what no resolver need be asked about. Returns the URL; raises Invalid naming the field."""
    host, port, scheme = _parts(url, field)
    if allowed.host(host, port) or allowed.address(host):
        return url
    literal = _address(host)
    if literal is not None and not is_public(host):
        raise Invalid(
            f"{field}: {host} is not a public address, and TIEBREAK_EGRESS_ALLOW does not list it.", field=field
        )
    if scheme == "http" and (literal is not None or not _is_local_name(host)):
        raise Invalid(f"{field}: https is expected for a host outside TIEBREAK_EGRESS_ALLOW.", field=field)
    if port < 1024 and port not in (80, 443):
        raise Invalid(f"{field}: port {port} is for hosts that TIEBREAK_EGRESS_ALLOW lists.", field=field)
    return url


def check_host(url: str, allowed: Allowed, *, field: str = "url") -> str:
    """`check_url`, and every address that the name has now. For clients that resolve it again by themselves, and
    so for URLs of the operator's own alone. Raises Invalid, also where nobody knows the name.
    """
    check_url(url, allowed, field=field)
    host, port, _ = _parts(url, field)
    if allowed.host(host, port):
        return url
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise Invalid(f"{field}: {host} cannot be resolved ({error}).", field=field) from None
    if refused := sorted(a for a in found if not (is_public(a) or allowed.address(a))):
        raise Invalid(
            f"{field}: {host} resolves to {refused[0]}, which is not a public address; "
            "list it in TIEBREAK_EGRESS_ALLOW if you mean it.",
            field=field,
        )
    return url


def _parts(url: str, field: str) -> tuple[str, int, str]:
    """Host, port and scheme of a URL that every parser reads alike; raises Invalid for any other."""
    if "\\" in url or not all(33 <= ord(c) < 127 for c in url):
        expected = "a URL in ASCII without spaces, control characters or backslashes (xn--… for other names)"
        raise Invalid(f"{field}: {expected} is expected.", field=field)
    try:
        parts = urlsplit(url)
        port = {"http": 80, "https": 443}.get(parts.scheme, 0) if parts.port is None else parts.port
    except ValueError as error:
        raise Invalid(f"{field}: not a URL ({error}).", field=field) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid(f"{field}: expected http:// or https:// and a host, got {url[:100]!r}.", field=field)
    if "@" in parts.netloc:
        raise Invalid(f"{field}: a URL must not carry a user name or password.", field=field)
    host = parts.hostname
    is_v6 = isinstance(_address(host), ipaddress.IPv6Address)
    if not (is_v6 if "[" in parts.netloc else _is_ipv4_or_name(host)) or port == 0:
        raise Invalid(f"{field}: {parts.netloc[:100]!r} is not a host with a port that can be called.", field=field)
    return host, port, parts.scheme


def _is_ipv4_or_name(host: str) -> bool:
    """A canonical dotted quad, or a name whose last label is no number (`127.1` and `0x7f.1` are addresses)."""
    if _address(host) is not None:
        return True
    return _NAME.fullmatch(host) is not None and not _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2])


def _is_local_name(host: str) -> bool:
    """Names that the resolver decides about: they get a precise refusal when their addresses are known."""
    return host == "localhost" or host.endswith((".local", ".internal")) or "." not in host


class GuardedResolver(AbstractResolver):
    """Resolves once and passes on only if every address is allowed; aiohttp connects to just these addresses."""

    def __init__(self, allowed: Allowed, inner: AbstractResolver | None = None) -> None:
        self.allowed = allowed
        self.inner = inner
        self.passed: set[tuple[str, int]] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if self.inner is None:
            self.inner = ThreadedResolver()
        found = await self.inner.resolve(host, port, family)
        if self.allowed.host(host, port):
            self.passed.update((result["host"], result["port"]) for result in found)
            return found
        for result in found:
            if not (is_public(result["host"]) or self.allowed.address(result["host"])):
                raise OSError(
                    f"{host} resolves to {result['host']}, which is not a public address; "
                    "list it in TIEBREAK_EGRESS_ALLOW if you mean it"
                )
        return found

    def make_socket(self, info: Any) -> socket.socket:
        """The last look, at the very address that is connected to: a literal host never came through `resolve`."""
        family, kind, protocol, _, (host, port, *_) = info
        known = (host, port) in self.passed or self.allowed.address(host) or self.allowed.host(host, port)
        if not (known or is_public(host)):
            raise OSError(f"{host} is not a public address; list it in TIEBREAK_EGRESS_ALLOW if you mean it")
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        if self.inner is not None:
            await self.inner.close()


def connector(allowed_entries: Sequence[str], *, inner: AbstractResolver | None = None, **options: Any) -> TCPConnector:
    """An aiohttp connector through the guard. Call inside a running loop. Callers also pass allow_redirects=False
    and put the URL through `check_url` first, for a refusal in words."""
    guard = GuardedResolver(Allowed(allowed_entries), inner)
    return TCPConnector(resolver=guard, socket_factory=guard.make_socket, use_dns_cache=False, **options)

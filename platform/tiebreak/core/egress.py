"""The one door to the outside world: every outbound URL that a user or a response can influence goes through here.

Scheme and port are allow-listed, the name is resolved once, every address that it resolves to is checked, and the
connection goes to a checked address: DNS that changes its mind between check and use changes nothing. No redirects.
Addresses that are not public are refused unless the operator lists them in TIEBREAK_EGRESS_ALLOW (a judge of one's own).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from .errors import Invalid

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Python 3.11 calls some of these global; they are not.
NEVER_PUBLIC: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(n) for n in ("192.0.0.0/24", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "100.64.0.0/10")
)


class Allowed:
    """What the operator allows beyond the public internet: host names, host:port pairs and networks."""

    def __init__(self, entries: Iterable[str]) -> None:
        self.hosts: set[str] = set()
        self.networks: list[Network] = []
        for entry in entries:
            try:
                self.networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self.hosts.add(entry.lower())

    def host(self, name: str, port: int) -> bool:
        return name.lower() in self.hosts or f"{name.lower()}:{port}" in self.hosts

    def address(self, text: str) -> bool:
        address = ipaddress.ip_address(text)
        return any(address.version == n.version and address in n for n in self.networks)


def is_public(text: str) -> bool:
    """True for an address of the public internet and for nothing else."""
    address = ipaddress.ip_address(text.split("%", 1)[0])
    if any(address.version == n.version and address in n for n in NEVER_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved and not address.is_unspecified


def check_url(url: str, allowed: Allowed, *, field: str = "url") -> str:
    """Refuse what no resolver need be asked about. Returns the URL; raises Invalid naming the field."""
    if "\\" in url or any(ord(c) < 33 for c in url):
        raise Invalid(f"{field}: a URL without spaces, control characters or backslashes is expected.", field=field)
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError as error:
        raise Invalid(f"{field}: not a URL ({error}).", field=field) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid(f"{field}: expected http:// or https:// and a host, got {url[:100]!r}.", field=field)
    if parts.username is not None or parts.password is not None:
        raise Invalid(f"{field}: a URL must not carry a user name or password.", field=field)
    host = parts.hostname
    listed = allowed.host(host, port)
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        if parts.scheme == "http" and not listed and not _is_local_name(host):
            raise Invalid(f"{field}: https is expected for a host outside TIEBREAK_EGRESS_ALLOW.", field=field) from None
    else:
        if not (listed or allowed.address(str(literal)) or is_public(str(literal))):
            raise Invalid(
                f"{field}: {host} is not a public address, and TIEBREAK_EGRESS_ALLOW does not list it.", field=field
            )
    return url


def _is_local_name(host: str) -> bool:
    """Names that the resolver decides about: they get a precise refusal when their addresses are known."""
    return host == "localhost" or host.endswith((".local", ".internal")) or "." not in host


class GuardedResolver(AbstractResolver):
    """Resolves once and passes on only if every address is allowed; aiohttp connects to just these addresses."""

    def __init__(self, allowed: Allowed, inner: AbstractResolver | None = None) -> None:
        self.allowed = allowed
        self.inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if self.inner is None:
            self.inner = ThreadedResolver()
        found = await self.inner.resolve(host, port, family)
        if self.allowed.host(host, port):
            return found
        for result in found:
            if not (is_public(result["host"]) or self.allowed.address(result["host"])):
                raise OSError(
                    f"{host} resolves to {result['host']}, which is not a public address; "
                    "list it in TIEBREAK_EGRESS_ALLOW if you mean it"
                )
        return found

    async def close(self) -> None:
        if self.inner is not None:
            await self.inner.close()


def connector(allowed_entries: Sequence[str], **options: Any) -> TCPConnector:
    """An aiohttp connector through the guard. Call inside a running loop. Callers also pass allow_redirects=False
    and put the URL through `check_url` first: a literal address never reaches a resolver."""
    return TCPConnector(resolver=GuardedResolver(Allowed(allowed_entries)), use_dns_cache=False, **options)

"""Which server, and by which token: from the arguments, the environment, or what `tiebreak login` kept.

`TIEBREAK_URL` and `TIEBREAK_TOKEN` stand before the file, which is the user's own (0600) and holds a token a server.
"""

from __future__ import annotations

import json
import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from platformdirs import user_config_path

from .errors import ClientError


class Login(NamedTuple):
    url: str
    token: str


def path() -> Path:
    return user_config_path("tiebreak", appauthor=False) / "logins.json"


def address(url: str, *, plain: bool = False) -> str:
    """The server's address without what follows its host. Raises ClientError for one that a token must not be sent to:
    plain http is for this machine alone, unless `plain`."""
    given = url if "://" in url else f"https://{url}"
    try:
        parts = urlsplit(given.rstrip("/"))
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ClientError(f"url: expected an address such as https://tiebreak.example.org, got {url!r}.", code="no_url")
    plain = plain or os.environ.get("TIEBREAK_PLAIN_HTTP") == "1"
    if parts.scheme == "http" and not plain and not _is_here(parts.hostname):
        raise ClientError(
            f"url: {url} would carry the token in the clear; use https; or login --plain-http, or "
            "TIEBREAK_PLAIN_HTTP=1, if the network is yours alone.",
            code="plain_http",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.removesuffix('/api/v1')}"


def find(url: str | None = None, token: str | None = None) -> Login:
    """The login to use. Raises ClientError where there is none."""
    kept = _read()
    wanted = url or os.environ.get("TIEBREAK_URL") or kept.get("default")
    if not wanted:
        raise ClientError("No server is known yet: tiebreak login URL, or set TIEBREAK_URL.", code="no_login")
    server = address(wanted, plain=True)
    found = token or os.environ.get("TIEBREAK_TOKEN") or kept.get("tokens", {}).get(server)
    if not found:
        raise ClientError(f"No token for {server}: tiebreak login {server}, or set TIEBREAK_TOKEN.", code="no_login")
    return Login(address(wanted, plain=server in kept.get("tokens", {})), found)


def keep(login: Login) -> Path:
    """Write the login down for this user alone, as the one that is used from now on."""
    kept = _read()
    tokens = {**kept.get("tokens", {}), login.url: login.token}
    where = path()
    where.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = where.with_name(f".{where.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({"default": login.url, "tokens": tokens}, file, indent=2)
        part.replace(where)
    finally:
        part.unlink(missing_ok=True)
    return where


def _read() -> dict[str, Any]:
    try:
        kept = json.loads(path().read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        told = f"{path()} cannot be read ({error}); remove it and log in again."
        raise ClientError(told, code="no_login") from None
    usable = isinstance(kept, dict) and isinstance(kept.get("tokens", {}), dict)
    return kept if usable else {}


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

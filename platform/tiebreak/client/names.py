"""NAME@REF, and names of files that a server gives us."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from .errors import ClientError
from .wire import Wire

POLL_SECONDS: Final = 5.0
_REFERENCE: Final = re.compile(r"([a-z0-9-]+)(?:@([a-z0-9-]+))?")
_FILE: Final = re.compile(r"\w[\w.-]{0,99}")


class Version(NamedTuple):
    """A version by its number: a tag, or `latest`, may name another one tomorrow."""

    dataset: str
    number: int
    manifest: dict[str, Any]

    @property
    def path(self) -> str:
        return f"/api/v1/datasets/{self.dataset}/versions/{self.number}/"

    def __str__(self) -> str:
        return f"{self.dataset}@{self.number}"


def resolve(wire: Wire, reference: str) -> Version:
    """The version that NAME, NAME@N, NAME@TAG or NAME@latest names now. Raises ClientError where none can be read."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ClientError(f"version: expected NAME@N, NAME@TAG or NAME, got {reference!r}.", code="no_version")
    name, which = match[1], match[2] or "latest"
    try:
        manifest = wire.json(f"/api/v1/datasets/{name}/versions/{which}/")
    except ClientError as error:
        if error.status == 404 and error.code == "no_address":  # a server from before tags
            raise ClientError(f"There is no version {reference!r}.", code="no_version", status=404) from None
        raise
    if manifest.get("status", "ready") != "ready":
        named, status = f"{name}@{manifest['number']}", manifest["status"]
        never = f"{named} was never built: {manifest.get('failed_because') or 'it failed'}"
        raise ClientError(
            never if status == "failed" else f"{named} is {status}: not ready to be read yet.",
            code=f"version_{status}",
        )
    return Version(name, int(manifest["number"]), manifest)


def awaited(wire: Wire, reference: str, wait: float) -> Version:
    """`resolve`; one that is still being built is asked for again, over some `wait` seconds. Raises ClientError."""
    left = wait
    while True:
        try:
            return resolve(wire, reference)
        except ClientError as error:
            if error.code != "version_building" or left <= 0:
                raise
        pause = min(POLL_SECONDS, left)
        wire.sleep(pause)
        left -= pause


def safe(name: object) -> str:
    """The name of a file as a manifest gives it. Raises ClientError for one that would be written somewhere else."""
    if not isinstance(name, str) or not _FILE.fullmatch(name) or name.endswith(".part"):
        raise ClientError(f"The manifest names a file {name!r}, which is no name of a file.", code="bad_manifest")
    return name

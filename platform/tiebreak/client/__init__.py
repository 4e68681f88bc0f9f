"""The Python client: versions pulled, rows pushed, over REST. Needs neither Django nor anything else of the server.

from tiebreak.client import Client

client = Client()                               # the server that `tiebreak login` kept, or TIEBREAK_URL and _TOKEN
client.pull("chat@3", to="data/chat-3")         # Parquet, proved by its hashes
for row in client.rows("chat@3", split="train"):
    ...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from . import logins, pulling, pushing
from .errors import ClientError
from .rows import rows
from .wire import Wire

__all__ = ["Client", "ClientError", "verify"]


class Client:
    """One server as one token sees it. All methods raise ClientError; a client may be pickled, as data loaders do."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        progress: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        login = logins.find(url, token)
        self.wire = Wire(login.url, login.token, sleep=sleep)
        self.progress = progress

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go; the next call makes new ones."""
        self.wire.session.close()

    def pull(
        self,
        reference: str,
        to: str | PathLike[str],
        *,
        format: str = pulling.PARQUET,
        splits: Sequence[str] = (),
        since: int | str | None = None,
        undecided: bool = False,
        wait: float = 0,
    ) -> dict[str, Any]:
        """Files of NAME@N, NAME@TAG or NAME (its latest) in a folder, with the card and a manifest.

        `format` is parquet or one that the server lists; `since` leaves out the rows that version M had already;
        `undecided` adds the ties and both-bad rows that the recipe kept. Without `splits`, all that the token may read.
        A version that is still being built is waited for, over `wait` seconds.
        """
        asked = pulling.Asked(format, tuple(splits), since, undecided)
        return pulling.pull(self.wire, reference, Path(to), asked, wait=wait, show=self.progress)

    def rows(
        self,
        reference: str,
        *,
        split: str | None = None,
        format: str = "native",
        since: int | str | None = None,
        undecided: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Rows one by one, streamed; after a broken connection it goes on with the next."""
        return rows(self.wire, reference, split=split, format=format, since=since, undecided=undecided)

    def push(
        self,
        project: str,
        file: str | PathLike[str],
        *,
        format: str = "rows",
        rejects: str | PathLike[str] | None = None,
    ) -> dict[str, Any]:
        """Import a file: JSON Lines, a JSON list, CSV or Parquet, gzipped or not. Waits for the server's runs."""
        where = Path(rejects) if rejects else None
        return pushing.push(self.wire, project, Path(file), format=format, rejects=where, show=self.progress)

    def status(self) -> dict[str, Any]:
        """Who this is on which server, and what it can read."""
        token: dict[str, Any] | None
        try:
            token = self.wire.json("/api/v1/token/")
        except ClientError as error:
            if error.status != 404:  # a server from before this address
                raise
            token = None
        projects = [project["slug"] for project in self.wire.pages("/api/v1/projects/")]
        try:
            datasets = {found["name"]: found["versions"] for found in self.wire.pages("/api/v1/datasets/")}
        except ClientError as error:
            if error.status != 403:  # a token that only imports reads no datasets
                raise
            datasets = {}
        return {"server": self.wire.url, "token": token, "projects": projects, "datasets": datasets}


def verify(folder: str | PathLike[str]) -> dict[str, Any]:
    """Hold a pulled or exported folder against its manifest. Raises ClientError naming the files that differ."""
    return pulling.verify(Path(folder))

"""Pushing a version to the Hugging Face hub: its card and its Parquet files, in one commit, through the egress guard.

Off unless TIEBREAK_HUB_PUSH is 1. The protected test split stays here unless it is asked for, and the card that goes
tells of no file that does not. Pushed again, the same files are no commit.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from annotate.models import Rater
from curation.models import DatasetVersion
from tiebreak.core.egress import Allowed, check_url, is_public
from tiebreak.core.errors import BackendError, Conflict, Invalid, NotAllowed, Unavailable
from tiebreak.core.models import record
from tiebreak.runs import store

HUB: Final = "https://huggingface.co"
CARD: Final = "README.md"
PROTECTED: Final = "test"
REPOSITORY: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def publish(
    version: DatasetVersion,
    *,
    to: str,
    private: bool = False,
    include_test: bool = False,
    force: bool = False,
    by: Any = None,
) -> dict[str, Any]:
    """Push a ready version to the repository `to`, which is made where it is missing, and leave an audit event.

    Raises NotAllowed where the flag is off or judgements are simulated and not `force`, Invalid for a name, an endpoint
    or a missing licence, Conflict where it is to be private and the repository is there and public, BackendError where
    the hub refuses or does not answer.
    """
    endpoint, token = _door()
    if not REPOSITORY.fullmatch(to):
        raise Invalid(f"to: expected ORGANISATION/NAME, got {to[:100]!r}.", field="to")
    _may_be_seen(version, force=force)
    files = [file for file in version.files.select_related("artifact") if include_test or file.split != PROTECTED]
    if not files:
        raise Conflict(f"{version} has no files beside its {PROTECTED} split.", code="no_files")
    with tempfile.TemporaryDirectory(prefix="tiebreak-hub-") as scratch:
        paths = {CARD: Path(scratch) / CARD}
        paths[CARD].write_text(card_of(version, {file.name for file in files}), encoding="utf-8")
        for file in files:
            paths[file.name] = Path(scratch) / file.name
            with store.open_artifact(file.artifact) as source, paths[file.name].open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        commit = _push(paths, endpoint, token, to=to, private=private, message=f"{version}, {version.rows_sha256[:16]}")
    told = {"repository": to, "files": sorted(paths), "commit": commit, "private": private}
    record("dataset.published", version, by=by, project=version.dataset.project_id, endpoint=endpoint, **told)
    return {"version": str(version), "endpoint": endpoint, **told}


def card_of(version: DatasetVersion, names: Iterable[str]) -> str:
    """The card, its front matter without the files that are not pushed: who loads the repository misses nothing."""
    import yaml

    there = set(names)
    _, front, body = version.card.split("---\n", 2) if version.card.startswith("---\n") else ("", "", version.card)
    meta = yaml.safe_load(front) or {}
    for config in meta.get("configs", []):
        kept = [{**data, "path": _among(data["path"], there)} for data in config["data_files"]]
        config["data_files"] = [data for data in kept if data["path"]]
    meta |= {"configs": [config for config in meta["configs"] if config["data_files"]]} if "configs" in meta else {}
    if not meta:
        return body
    return f"---\n{yaml.safe_dump(meta, sort_keys=False, allow_unicode=True)}---\n{body}"


def _among(path: str | list[str], there: set[str]) -> str | list[str]:
    """The named files that go; empty where none does."""
    if isinstance(path, str):
        return path if path in there else ""
    return [each for each in path if each in there]


def _door() -> tuple[str, str]:
    """The hub's address, which the egress guard lets through, and the token for it."""
    if not settings.ENV.hub_push:
        raise NotAllowed("Pushing to a hub is switched off; TIEBREAK_HUB_PUSH=1 switches it on.", code="hub_push_off")
    endpoint = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    check_url(endpoint, Allowed(settings.ENV.egress_allow), field="HF_ENDPOINT")
    token = os.environ.get("HF_TOKEN", "")
    if not token:
        raise Invalid("HF_TOKEN: expected a token of the hub that may write, got nothing.", field="HF_TOKEN")
    return endpoint, token


def _may_be_seen(version: DatasetVersion, *, force: bool) -> None:
    """What must not leave the house by accident."""
    dataset = version.dataset
    if not dataset.licence:
        raise Invalid(f"licence: {dataset} has none; say under which others may use it, then push.", field="licence")
    if not force and Rater.objects.filter(project=dataset.project_id, simulated=True).exists():
        raise NotAllowed(
            f"Some of the judgements in {dataset.project} are simulated; --force pushes them as they are, and the card "
            "says so.",
            code="simulated",
        )


def _push(paths: dict[str, Path], endpoint: str, token: str, *, to: str, private: bool, message: str) -> str:
    """One commit, or none where the hub has these very files. Returns the id of the newest commit."""
    try:
        from httpx2 import HTTPError
        from huggingface_hub import CommitOperationAdd, HfApi
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise Unavailable("huggingface_hub is not installed: pip install 'tiebreak[hub]'.", code="no_hub") from None
    api = HfApi(endpoint=endpoint, token=token)
    try:
        with _guarded():
            api.create_repo(to, repo_type="dataset", private=private, exist_ok=True)
            if private and not api.repo_info(to, repo_type="dataset").private:  # one that was there stays as it was
                raise Conflict(f"{to} is there already, and public: nothing was pushed.", code="public", field="to")
            added = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=path) for name, path in paths.items()]
            return str(api.create_commit(to, added, repo_type="dataset", commit_message=message).oid)
    except HfHubHTTPError as error:
        status = error.response.status_code
        words = "it does not take the token" if status in (401, 403) else str(error.server_message or error)[:300]
        raise BackendError(f"{endpoint} answered {status}: {words}", permanent=status < 500) from error
    except RuntimeError as error:  # what a thread that uploads ended with
        raise BackendError(f"{endpoint}: {error} {error.__cause__ or ''}".strip(), permanent=False) from error
    except (HTTPError, OSError) as error:
        raise BackendError(f"{endpoint}: {error}", permanent=False) from error


@contextmanager
def _guarded() -> Iterator[None]:
    """While this lasts, huggingface_hub calls through the guard: every URL that it follows, those that the hub answers
    with too, and every address that is connected to. Xet's uploads go past its client, so there are none.
    """
    import httpx2
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils import _http

    allowed = Allowed(settings.ENV.egress_allow)

    def check(request: httpx2.Request) -> None:
        check_url(str(request.url), allowed, field="url")

    def client() -> httpx2.Client:
        transport = httpx2.HTTPTransport()
        transport._pool._network_backend = _backend(allowed)
        hooks = {"request": [_http.hf_request_event_hook, check]}
        return httpx2.Client(transport=transport, event_hooks=hooks, timeout=60.0, trust_env=False)

    before, constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_XET, True
    set_client_factory(client)
    try:
        yield
    finally:
        set_client_factory(_http.default_client_factory)
        constants.HF_HUB_DISABLE_XET = before


def _backend(allowed: Allowed) -> Any:
    """A network that resolves a name once and connects to an address that was looked at."""
    import httpcore2

    class Guard(httpcore2.SyncBackend):
        def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> Any:
            return super().connect_tcp(_address(host, port, allowed), port, *args, **options)

    return Guard()


def _address(host: str, port: int, allowed: Allowed) -> str:
    """One address of a host, all of which may be called. Raises OSError otherwise."""
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    refused = [a for a in found if not (allowed.host(host, port) or allowed.address(a) or is_public(a))]
    if refused:
        raise OSError(
            f"{host} resolves to {refused[0]}, which is not a public address and TIEBREAK_EGRESS_ALLOW lacks."
        )
    return found[0]

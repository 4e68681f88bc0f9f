"""Images that texts name: found at an import, fetched through the egress guard or uploaded, cleaned, and kept.

No page ever asks a foreign host for one. What is shown comes from our own store, and was decoded and encoded again by
a process with little memory and no rights worth having (see decode_image).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from django.conf import settings
from django.db import transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast
from django.urls import reverse
from django.utils.translation import gettext as _

from annotate.formats import Row
from annotate.models import Comparison, Completion, Form, Image, Prompt
from annotate.rendering import Picture, image_sources
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Can
from tiebreak.core import egress
from tiebreak.core.errors import Conflict, Invalid, NotAllowed
from tiebreak.core.models import record
from tiebreak.core.transitions import move
from tiebreak.runs import ledger, store
from tiebreak.runs.models import Run

Status = Image.Status
KIND: Final = "fetch-images"
UPLOAD: Final = "upload:"
MOST_BYTES: Final = 20 * 1024 * 1024  # of one image as it comes
MOST_OF_A_TEXT: Final = 100  # images; the others stay words
MOST_SOURCE: Final = 2_000  # characters: what the column holds
AT_ONCE: Final = 8
FETCH_SECONDS: Final = 30
DECODER: Final = Path(__file__).with_name("decode_image.py")
DECODER_BYTES: Final = 480 * 1024 * 1024
DECODER_SECONDS: Final = 20


# What pages show


def shown(project: Project, sources: Iterable[str]) -> Mapping[str, Picture]:
    """How the images stand that a text names, by their sources; what nobody knows of is left out."""
    rows = Image.objects.filter(project=project, source__in=[s for s in sources if len(s) <= MOST_SOURCE])
    return {image.source: _picture(image, project) for image in rows}


def _picture(image: Image, project: Project) -> Picture:
    if image.status == Status.READY:
        return Picture(address_of(image, project), image.width or 0, image.height or 0)
    if image.status == Status.FAILED:  # the reason may tell of our network: it is for curators
        return Picture(why=_("It could not be fetched."))
    waits = _("It has not been uploaded yet.") if image.source.startswith(UPLOAD) else _("It is not fetched yet.")
    return Picture(why=waits)


def address_of(image: Image, project: Project) -> str:
    return reverse("image", args=[project.slug, image.pk])


def addresses_for_clients(project: Project, texts: Iterable[str]) -> dict[str, str | None]:
    """For clients of the API, by source: where they get an image, None while it is not ready. Costs nothing without."""
    sources = [source for text in texts if "![" in text for source in image_sources(text)]
    if not sources:
        return {}
    ready = dict(
        Image.objects.filter(project=project, source__in=sources, status=Status.READY).values_list("source", "pk")
    )
    return {s: reverse("api-image", args=[project.slug, ready[s]]) if s in ready else None for s in sources}


# Finding them


def find(project: Project, texts: Iterable[str]) -> int:
    """Note the images that the texts name; returns how many were not known. For the transaction of an import."""
    named = {source: None for text in texts for source in image_sources(text)[:MOST_OF_A_TEXT]}
    sources = [source for source in named if len(source) <= MOST_SOURCE]
    if not sources:
        return 0
    known = set(Image.objects.filter(project=project, source__in=sources).values_list("source", flat=True))
    new = [Image(project=project, source=source) for source in sources if source not in known]
    Image.objects.bulk_create(new, ignore_conflicts=True)
    return len(new)


def texts_of(rows: Iterable[Row]) -> Iterator[str]:
    """The texts of imported rows that may name an image."""
    for row in rows:
        turns = (*row.prompt.messages, *row.a.turns.messages, *row.b.turns.messages)
        for text in (*(message["content"] for message in turns), row.context, row.reference):
            if text and "!" in text and "![" in text:  # one character is looked for ten times as fast as two
                yield text


def find_everywhere(project: Project) -> int:
    """Look through all stored texts of a project: those that came before images did, and its guidelines."""
    count, batch = 0, []
    for text in _stored_texts(project):
        batch.append(text)
        if len(batch) == 500:
            count += find(project, batch)
            batch = []
    return count + find(project, batch)


def _stored_texts(project: Project) -> Iterator[str]:
    prompts = Prompt.objects.filter(project=project).annotate(told=Cast("messages", TextField()))
    for messages in prompts.filter(told__contains="![").values_list("messages", flat=True).iterator(500):
        yield from (message["content"] for message in messages)
    completions = Completion.objects.filter(prompt__project=project, text__contains="![")
    yield from completions.values_list("text", flat=True).iterator(500)
    beside = Comparison.objects.filter(Q(context__contains="![") | Q(reference__contains="!["), project=project)
    for texts in beside.values_list("context", "reference").iterator(500):
        yield from (text for text in texts if text)
    yield from Form.objects.filter(project=project, current=True).values_list("guidelines", flat=True)


def named_anywhere(project: Project, source: str) -> bool:
    """Whether a text of the project still names the image."""
    return any(source in image_sources(text) for text in _stored_texts(project) if source in text)


# Fetching them


def start(project: Project, *, by: Any, everywhere: bool = False) -> Run:
    """Queue a run that fetches what waits; `everywhere`: after looking through all stored texts."""
    if project.archived_at is not None:
        raise Conflict(f"{project} is archived; nothing is fetched for it.", code="archived")
    params = {"everywhere": everywhere}
    queued = Run.objects.filter(project=project, kind=KIND, status=Run.Status.QUEUED, params=params).first()
    return queued or ledger.start(KIND, project=project, params=params, by=by)


def start_if_any(project: Project, *, by: Any) -> Run | None:
    """After an import: a run, where it brought images that can be fetched."""
    return start(project, by=by) if _to_fetch(project).exists() else None


def look_again(project: Project, *, by: Any) -> Run:
    """A curator's word: find what was missed, and try again what could not be fetched."""
    _only_curator(project, by)
    with transaction.atomic():
        failed = Image.objects.filter(project=project, status=Status.FAILED)
        count = failed.update(status=Status.WAITING, error="")
        record("images.retried", project, by=by, project=project, failed=count)
        return start(project, by=by, everywhere=True)


def run(execution: ledger.Execution) -> Mapping[str, Any]:
    """The handler of kind "fetch-images". What was fetched is kept: a run that was killed goes on with what waits."""
    project = execution.run.project
    if project is None:
        raise Invalid("Images belong to a project.", field="project")
    found = find_everywhere(project) if execution.params.get("everywhere") else 0
    total, done, ready = _to_fetch(project).count(), 0, 0
    while waiting := list(_to_fetch(project).order_by("pk")[:AT_ONCE]):
        for image, got in zip(waiting, fetch([image.source for image in waiting]), strict=True):
            ready += _settle(image, got, execution)
        done += len(waiting)
        execution.progress(done, max(total, done), note=f"{ready:,} images are ready")
    return {"found": found, "ready": ready, "failed": done - ready}


def _to_fetch(project: Project) -> Any:
    return Image.objects.filter(project=project, status=Status.WAITING).exclude(source__startswith=UPLOAD)


def _settle(image: Image, got: bytes | Invalid, execution: ledger.Execution) -> bool:
    """Keep what came, or the reason why nothing did; True where the image is ready."""
    try:
        if isinstance(got, Invalid):
            raise got
        changes = _kept(decode(got))
    except Invalid as error:
        changes = {"status": Status.FAILED, "error": error.message[:300]}
    try:
        with transaction.atomic():
            execution.fence()
            move(image, changes.pop("status"), **changes)
    except Conflict:  # another run was first
        return False
    return image.status == Status.READY


def fetch(urls: Sequence[str]) -> list[bytes | Invalid]:
    """What is at the addresses, or why it cannot be had."""
    return asyncio.run(_fetch_all(urls))


async def _fetch_all(urls: Sequence[str]) -> list[bytes | Invalid]:
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS, connect=10)
    async with aiohttp.ClientSession(
        connector=egress.connector(settings.ENV.egress_allow, limit=AT_ONCE),
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "Tiebreak"},
        auto_decompress=False,  # what is packed twice may unpack without end
    ) as session:
        return list(await asyncio.gather(*(_fetch(session, url) for url in urls)))


async def _fetch(session: aiohttp.ClientSession, url: str) -> bytes | Invalid:
    try:
        egress.check_url(url, egress.Allowed(settings.ENV.egress_allow), field="source")
        async with session.get(url, allow_redirects=False) as response:
            return await _body(response)
    except Invalid as error:
        return error
    except TimeoutError:
        return Invalid(f"The host did not answer within {FETCH_SECONDS} seconds.")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Invalid(f"It could not be fetched: {error or type(error).__name__}.")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    if 300 <= response.status < 400:
        where = response.headers.get("Location", "")[:150]
        raise Invalid(f"The host redirects to {where!r}: write that address in the text.")
    if response.status != 200:
        raise Invalid(f"The host answered {response.status}.")
    data = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        data += chunk
        if len(data) > MOST_BYTES:
            raise _too_large()
    return bytes(data)


# Uploading them


def upload(project: Project, data: bytes, *, by: Any) -> Image:
    """Keep an image that a curator sends; texts name it by `image.source`. The same bytes are the same image."""
    _only_curator(project, by)
    source = f"{UPLOAD}{hashlib.sha256(data).hexdigest()}"
    if known := Image.objects.filter(project=project, source=source, status=Status.READY).first():
        return known
    if len(data) > MOST_BYTES:
        raise _too_large()
    changes = _kept(decode(data))
    to = changes.pop("status")
    with transaction.atomic():
        image, _created = Image.objects.get_or_create(project=project, source=source)
        image = Image.objects.select_for_update(no_key=True).get(pk=image.pk)
        if image.status == Status.READY:  # the same bytes, sent at the same time
            return image
        return move(image, to, by=by, project=project, event="image.uploaded", **changes)


def markdown_of(image: Image) -> str:
    """What a text says to show the image."""
    return f"![]({image.source})"


def _only_curator(project: Project, by: Any) -> None:
    if by is not None and not project.allows(by, Can.CURATE):
        raise NotAllowed("Your role does not allow you to bring images.", code="role_too_small")
    if project.archived_at is not None:
        raise Conflict(f"{project} is archived; nothing is added to it.", code="archived")


def _too_large() -> Invalid:
    return Invalid(f"It is larger than {MOST_BYTES:,} bytes.", field="image", code="image_refused")


# Cleaning them


@dataclass(frozen=True)
class Decoded:
    data: bytes
    media_type: str
    width: int
    height: int


def decode(data: bytes) -> Decoded:
    """The image, decoded and encoded again in a process with limits. Raises Invalid with the reason."""
    command = [sys.executable, "-I", str(DECODER), str(DECODER_BYTES), str(DECODER_SECONDS)]
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        try:
            done = subprocess.run(  # noqa: S603 - our own
                command, stdin=file, capture_output=True, timeout=DECODER_SECONDS * 2, check=False
            )
        except subprocess.TimeoutExpired:
            raise _refused(f"decoding it takes more than {DECODER_SECONDS * 2} seconds") from None
    told = (done.stderr.decode(errors="replace").splitlines() or [""])[-1]
    if done.returncode < 0:
        raise _refused("decoding it takes too much time or memory")
    if done.returncode != 0:
        raise _refused(told)
    return Decoded(done.stdout, **json.loads(told))


def _refused(reason: str) -> Invalid:
    return Invalid(f"The image is not taken: {reason}.", field="image", code="image_refused")


def _kept(decoded: Decoded) -> dict[str, Any]:
    """The columns of a ready image, its file in the store."""
    return {
        "status": Status.READY,
        "artifact": store.put(decoded.data, decoded.media_type),
        "media_type": decoded.media_type,
        "width": decoded.width,
        "height": decoded.height,
        "error": "",
    }

"""Pages around a version: its tags and notes, its rows and where each of them came from."""

from __future__ import annotations

import re
from typing import Any

from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tiebreak.accounts.roles import Can
from tiebreak.core.errors import NotFound
from tiebreak.core.models import record

from .desk import Desk, page
from .exports.schema import SPLITS
from .models import DatasetVersion
from .services import tagging, verbs
from .services.reading import datasets as dataset_pages
from .services.reading import differences, lineage, reach
from .services.reading import rows as row_pages
from .views import cursor_of, found


def version_of(desk: Desk, name: str, number: int) -> DatasetVersion:
    version: DatasetVersion = found(dataset_pages.version(desk.project, name, number))
    return version


# Tags and notes


@page(Can.CURATE, methods="POST")
def tag(desk: Desk, name: str, number: int) -> HttpResponse:
    version = version_of(desk, name, number)
    with desk.refusals():
        made = tagging.tag(version, desk.request.POST.get("tag", "").strip(), by=desk.user)
        desk.say(_("%(tag)s is %(version)s now.") % {"tag": f"{name}@{made.name}", "version": version})
    return desk.go("version", name, number)


@page(Can.CURATE, methods="POST")
def untag(desk: Desk, name: str, number: int) -> HttpResponse:
    version = version_of(desk, name, number)
    with desk.refusals():
        tagging.untag(version.dataset, desk.request.POST.get("tag", ""), by=desk.user)
        desk.say(_("The tag is gone."))
    return desk.go("version", name, number)


@page(Can.CURATE, methods="POST")
def note(desk: Desk, name: str, number: int) -> HttpResponse:
    version = version_of(desk, name, number)
    with desk.refusals():
        tagging.note(version, desk.request.POST.get("text", ""), by=desk.user)
        desk.say(_("Noted."))
    return desk.go("version", name, number)


# Rows


@page()
def rows(desk: Desk, name: str, number: int) -> HttpResponse:
    """All rows, or those that stand out; an id that is asked for leads to its row."""
    version, query = version_of(desk, name, number), desk.request.GET
    if wanted := query.get("id", "").replace("\x00", ""):
        return desk.go("version-row", name, number, wanted)
    filters = row_pages.Filters.of(query)
    lines = row_pages.rows(version, filters, cursor_of(query))
    shown: dict[str, Any] = {"filters": filters, "splits": SPLITS, "verdicts": row_pages.VERDICTS}
    return desk.render("rows.html", version=version, page=lines, **shown)


@page()
def row(desk: Desk, name: str, number: int, external_id: str) -> HttpResponse:
    version = version_of(desk, name, number)
    made = found(lineage.find(version, external_id))
    gone = 410 if made.state == "withdrawn" else 200
    return desk.render("row.html", status=gone, version=version, page=made, sides=_sides(made.native))


def _sides(native: dict[str, Any]) -> list[dict[str, Any]]:
    """The completions as the row has them, the chosen one first."""
    titles = {"chosen": _("Chosen"), "rejected": _("Rejected"), "completion_a": "A", "completion_b": "B"}
    generators = {"completion_a": "generator_a", "completion_b": "generator_b"}
    return [
        {"title": title, "messages": native[key], "generator": native.get(generators.get(key, f"generator_{key}"))}
        for key, title in titles.items()
        if key in native
    ]


@page()
def origins(desk: Desk) -> HttpResponse:
    """Which versions and models the work of each rater, and under each form and rubric, went into."""
    return desk.render("origins.html", page=reach.page(desk.project))


# Differences


def _two(desk: Desk, name: str, number: int, since: int) -> tuple[DatasetVersion, DatasetVersion]:
    """Both ready, in the order of their numbers, however they are named."""
    two = sorted({since, number}) if since != number else [number, number]
    try:
        earlier, later = (verbs.ready(version_of(desk, name, each)) for each in two)
    except NotFound as error:
        raise Http404(error.message) from None
    return earlier, later


@page()
def difference(desk: Desk, name: str, number: int, since: int) -> HttpResponse:
    """What came, went or changed between two versions, a page of one kind at a time."""
    earlier, later = _two(desk, name, number, since)
    query = desk.request.GET
    filters = differences.Filters.of(query)
    made = differences.between(earlier, later, filters=filters, after=cursor_of(query).after or 0)
    shown: dict[str, Any] = {"filters": filters, "splits": SPLITS, "causes": CAUSES}
    return desk.render("difference.html", page=made, version=later, numbers=_numbers(later), **shown)


CAUSES = {name: gettext_lazy(words) for name, words in differences.CAUSES.items()}


def _numbers(version: DatasetVersion) -> list[int]:
    """Versions that may be compared."""
    ready = DatasetVersion.objects.filter(dataset=version.dataset_id, status=DatasetVersion.Status.READY)
    return list(ready.order_by("-number").values_list("number", flat=True)[:200])


@page()
def compare(desk: Desk, name: str) -> HttpResponse:
    """To the difference of the two versions that a form names."""
    numbers = [desk.request.GET.get(key, "") for key in ("from", "to")]
    if not all(re.fullmatch("[0-9]{1,9}", each) for each in numbers):
        raise Http404
    earlier, later = (version_of(desk, name, number).number for number in sorted(map(int, numbers)))
    return desk.go("difference", name, later, earlier)


@page()
def difference_rows(desk: Desk, name: str, number: int, since: int) -> HttpResponseBase:
    """The whole difference as NDJSON."""
    earlier, later = _two(desk, name, number, since)
    lines = differences.lines(earlier, later, filters=differences.Filters.of(desk.request.GET))
    record("dataset.difference_read", later, by=desk.user, project=desk.project, since=earlier.number)
    response = StreamingHttpResponse(lines, content_type="application/x-ndjson")
    response["Content-Disposition"] = f'attachment; filename="{name}-{later.number}-since-{earlier.number}.jsonl"'
    return response

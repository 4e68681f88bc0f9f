"""Pages around a version: its tags and notes, its rows and where each of them came from."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _

from tiebreak.accounts.roles import Can

from .desk import Desk, page
from .exports.schema import SPLITS
from .models import DatasetVersion
from .services import tagging
from .services.reading import datasets as dataset_pages
from .services.reading import lineage, reach
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
    return desk.render("row.html", version=version, page=made, sides=_sides(made.native))


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

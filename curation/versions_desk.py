"""Pages around a version: its tags and notes, its rows and where each of them came from."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext as _

from tiebreak.accounts.roles import Can

from .desk import Desk, page
from .models import DatasetVersion
from .services import tagging
from .services.reading import datasets as dataset_pages
from .views import found


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

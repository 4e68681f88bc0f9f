"""Which version is meant: NAME@NUMBER, NAME@TAG, NAME@latest or NAME, wherever somebody may type one."""

from __future__ import annotations

import re
from typing import Final

from django.db.models import QuerySet

from curation.models import DatasetVersion
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid, NotFound

LATEST: Final = "latest"
TAG: Final = r"[a-z][a-z0-9-]{0,39}"
SPEC: Final = rf"[0-9]{{1,9}}|{TAG}"
"""A number, a tag, or `latest`: as a part of an address, too."""


def find(name: str, spec: str, *, visible: QuerySet[DatasetVersion]) -> DatasetVersion:
    """The version of a dataset that a number, a tag or `latest` (the last that is ready) means, of those visible.

    One query. A version that is still building is found by its number: whether it may be read is `verbs.ready`'s
    to say. Raises Invalid where the words cannot mean any version, NotFound where they mean none.
    """
    if not re.fullmatch(SPEC, spec):
        raise Invalid(f"version: expected a number, a tag or {LATEST}, got {spec[:60]!r}.", field="version")
    versions = visible.filter(dataset__name=name).select_related("dataset__project").order_by("-number")
    if spec == LATEST:
        versions = versions.filter(status=DatasetVersion.Status.READY)
    else:
        versions = versions.filter(number=int(spec)) if spec.isdecimal() else versions.filter(tags__name=spec)
    found = versions.first()
    if found is None:
        raise NotFound(f"There is no version {spec} of a dataset {name!r} that you may read.", code="no_version")
    return found


def named(text: str, project: Project | None = None) -> DatasetVersion:
    """NAME@NUMBER, NAME@TAG, NAME@latest, or NAME for the latest, of one project or of any (one query).

    Raises NotFound where there is none, in the same words whether it does not exist or is another project's.
    """
    name, at, spec = text.partition("@")
    if at and not re.fullmatch(SPEC, spec):
        raise Invalid(f"version: expected NAME@NUMBER or NAME@TAG, got {text!r}.", field="version")
    versions = DatasetVersion.objects.all()
    visible = versions if project is None else versions.filter(dataset__project=project)
    try:
        return find(name, spec or LATEST, visible=visible)
    except NotFound:
        raise NotFound(f"There is no dataset version {text!r}.", code="no_version") from None

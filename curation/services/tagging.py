"""What people write beside a version, which itself never changes: tags that move, and notes that stay."""

from __future__ import annotations

import re
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from curation.models import Dataset, DatasetVersion, VersionNote, VersionTag
from tiebreak.core.errors import Conflict, Invalid, NotFound
from tiebreak.core.models import record
from tiebreak.core.text import TextError, clean_text

from . import versions

MAX_NOTE_CHARS: Final = 10_000


def tag(version: DatasetVersion, name: str, *, by: Any) -> VersionTag:
    """Give a ready version a tag, or move it there from another version of the dataset. Locks the dataset.

    Where it stands already nothing happens; every move is audited with the version that it left.
    """
    if version.status != DatasetVersion.Status.READY:
        raise Conflict(gettext("Only a version that is ready can have a tag."), code=f"version_{version.status}")
    if name == versions.LATEST or not re.fullmatch(versions.TAG, name):
        expected = gettext("up to 40 lower-case letters, digits and hyphens, a letter first, and not latest")
        raise Invalid(f"name: {expected} (got {name[:60]!r})", field="name")
    with transaction.atomic():
        Dataset.objects.select_for_update().get(pk=version.dataset_id)
        stands = VersionTag.objects.select_related("version").filter(dataset=version.dataset, name=name).first()
        if stands is not None and stands.version_id == version.pk:
            return stands
        left = stands.version.number if stands else None
        made, _ = VersionTag.objects.update_or_create(
            dataset=version.dataset, name=name, defaults={"version": version, "by": by, "at": timezone.now()}
        )
        _audit("dataset.tagged", version, by, tag=name, number=version.number, left=left)
    return made


def untag(dataset: Dataset, name: str, *, by: Any) -> None:
    """Take a tag away from whatever version has it."""
    with transaction.atomic():
        Dataset.objects.select_for_update().get(pk=dataset.pk)
        tags = VersionTag.objects.select_related("version__dataset").filter(dataset=dataset)
        stands = tags.filter(name=name).first() if re.fullmatch(versions.TAG, name) else None
        if stands is None:
            raise NotFound(gettext("This dataset has no such tag."), code="no_tag")
        stands.delete()
        _audit("dataset.untagged", stands.version, by, tag=name, number=stands.version.number)


def note(version: DatasetVersion, text: str, *, by: Any) -> VersionNote:
    """Write something down about a version. It is never altered: whoever errs writes another."""
    try:
        said = clean_text(text.strip(), field="text", max_chars=MAX_NOTE_CHARS)
    except TextError as error:
        raise Invalid(f"text: expected {error.expected}, got {error.got}.", field="text") from None
    if not said:
        raise Invalid(gettext("text: a note says something."), field="text")
    with transaction.atomic():
        made = VersionNote.objects.create(version=version, text=said, by=by)
        _audit("dataset.noted", version, by, note=made.pk)
    return made


def _audit(verb: str, version: DatasetVersion, by: Any, **data: Any) -> None:
    record(verb, version, by=by, project=version.dataset.project_id, **data)

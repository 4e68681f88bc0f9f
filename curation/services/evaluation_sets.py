"""Evaluation sets: the texts of benchmarks that no training row may repeat, by name; recipes are held against them.

A set never changes, since cards name it with its hash; and it stays while a version names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import IO, Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet

from curation.exports.near import Contamination
from curation.exports.recipe import Recipe
from curation.models import DatasetVersion, EvaluationSet
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Conflict, Invalid, TooLarge
from tiebreak.core.models import record
from tiebreak.runs import store

from . import evaluation_files

MOST_BYTES: Final = 64 << 20
"""Of a set's texts: held against it, each word takes some 30 bytes of memory."""
MEDIA_TYPE: Final = "application/x-ndjson"


def add(
    project: Project, name: str, file: IO[bytes], *, field: str = "", filename: str = "", by: Any = None
) -> EvaluationSet:
    """A set of a file's texts: JSON Lines, a JSON list, CSV or Parquet, gzipped or not; or plain text, a text a line.

    ``field`` names where the texts of a record are, several with commas between; each is a text of its own. A set of
    the same name with the same texts is returned as it is. Raises Invalid naming the line that cannot be read, where
    there is no text, and where the name is none; TooLarge; Conflict where the name is taken by other texts.
    """
    row = EvaluationSet(project=project, name=name, texts=0, sha256="")
    _check_name(row)
    count = size = 0
    with store.writing(MEDIA_TYPE) as incoming:
        for text in evaluation_files.texts(file, field, filename):
            line = json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n"
            count, size = count + 1, size + len(line)
            if size > MOST_BYTES:
                raise TooLarge(
                    f"At most {MOST_BYTES >> 20} MB of texts in a set: give it the field that matters, or two names."
                )
            incoming.file.write(line)
        if not count:
            raise Invalid("file: expected a text with a word in it, got none.", field="file", code="no_texts")
    row.texts, row.artifact, row.sha256 = count, incoming.artifact, incoming.artifact.sha256
    return _kept(row, by)


def _check_name(row: EvaluationSet) -> None:
    try:
        row.clean_fields(exclude=["project", "artifact", "by", "sha256"])
    except ValidationError as error:
        told = " ".join(error.message_dict.get("name", error.messages))
        raise Invalid(f"name: {told} (got {row.name!r})", field="name") from None


def _kept(row: EvaluationSet, by: Any) -> EvaluationSet:
    row.by = by if getattr(by, "pk", None) else None
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=row.project_id)
        there = EvaluationSet.objects.filter(project=row.project, name=row.name).first()
        if there is None:
            row.save()
            record("evaluation_set.added", row, by=by, project=row.project, name=row.name, texts=row.texts,
                   sha256=row.sha256)  # fmt: skip
            row.refresh_from_db()
            return row
    if there.sha256 != row.sha256:
        raise Conflict(f"{row.name} is taken by other texts: choose another name.", code="set_differs", field="name")
    return there


def remove(row: EvaluationSet, *, by: Any) -> None:
    """Raises Conflict while a version's recipe names the set: what it was held against must stay to be looked up."""
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=row.project_id)
        using = [str(version) for version in versions_using(row.project, row.name)[:3]]
        if using:
            raise Conflict(f"{row.name} stays: {', '.join(using)} is held against it.", code="set_in_use")
        record("evaluation_set.removed", row, by=by, project=row.project, name=row.name, sha256=row.sha256)
        row.delete()


def versions_using(project: Project, name: str) -> QuerySet[DatasetVersion]:
    named = DatasetVersion.objects.filter(
        dataset__project=project, recipe__decontaminate__against__contains=[name]
    ).exclude(status=DatasetVersion.Status.FAILED)
    return named.select_related("dataset")


def listed(project: Project) -> list[tuple[EvaluationSet, Sequence[DatasetVersion]]]:
    """The project's sets by name, each with the versions that were held against it (two queries)."""
    rows = EvaluationSet.objects.filter(project=project).select_related("by")
    versions = DatasetVersion.objects.filter(dataset__project=project, recipe__has_key="decontaminate")
    using: dict[str, list[DatasetVersion]] = {}
    for version in versions.exclude(status=DatasetVersion.Status.FAILED).select_related("dataset"):
        for name in (version.recipe["decontaminate"] or {}).get("against", ()):
            using.setdefault(name, []).append(version)
    return [(row, using.get(row.name, ())) for row in rows]


def named(project: Project, recipe: Recipe) -> list[EvaluationSet]:
    """The sets that the recipe names, by name. Raises Invalid for one that is not there."""
    wanted = set(recipe.decontaminate.against if recipe.decontaminate else ())
    rows = {row.name: row for row in EvaluationSet.objects.filter(project=project)} if wanted else {}
    for name in sorted(wanted - set(rows)):
        expected = f"an evaluation set of this project (there are: {', '.join(rows) or 'none yet'})"
        raise Invalid(
            f"decontaminate.against: expected {expected}, got {name!r}.", field="decontaminate.against", code="no_set"
        )
    return [rows[name] for name in sorted(wanted)]


def contamination_of(project: Project, recipe: Recipe) -> Contamination | None:
    """What the recipe's rows are held against; None where it names no set. Raises Invalid for one that is not there."""
    if recipe.decontaminate is None:
        return None
    sets = {row.name: texts_of(row) for row in named(project, recipe)}
    return Contamination(sets, words=recipe.decontaminate.words)


def texts_of(row: EvaluationSet) -> Iterator[str]:
    with store.open_artifact(row.artifact) as file:
        for line in file:
            yield json.loads(line)["text"]

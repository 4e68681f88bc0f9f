"""Building a dataset version: a recipe applied to the judgements of one moment, row by row, then frozen.

Rows come in the order of their external ids and raters under names that do not depend on the database, so that the same
judgements under the same recipe give the same bytes anywhere.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max

from curation.exports.facts import Statistics
from curation.exports.following import Made, count_dropped, follow, raters_of
from curation.exports.recipe import Recipe
from curation.exports.rules import Dropped
from curation.models import Dataset, DatasetVersion, VersionContribution
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid, NotFound
from tiebreak.core.models import record
from tiebreak.core.transitions import move
from tiebreak.runs import ledger
from tiebreak.runs.ledger import Execution
from tiebreak.runs.models import Run

from . import tracing
from .describing import Outcome, describe
from .evaluation_sets import contamination_of, named
from .material import Material
from .spooling import FileSpool
from .words import told
from .writing import Writer, reasons

SAID: Final = 2_000  # rows written between two words about how far it is


def start(name: str, project: Project, recipe: Mapping[str, Any], *, by: Any, wake: bool = True) -> DatasetVersion:
    """A new version, still building, and its run. Checks the recipe first; locks the dataset for its number."""
    with told():
        parsed = Recipe.from_dict(recipe)
    named(project, parsed)  # a set that is not there would fail the run anyway
    as_json = json.loads(json.dumps(parsed.to_dict()))
    digest = hashlib.sha256(json.dumps(as_json, sort_keys=True).encode()).hexdigest()
    with transaction.atomic():
        dataset = _dataset(name, project, by)
        last = DatasetVersion.objects.filter(dataset=dataset).aggregate(last=Max("number"))["last"] or 0
        version = DatasetVersion.objects.create(
            dataset=dataset,
            number=last + 1,
            recipe=as_json,
            recipe_sha256=digest,
            code_version=code_version(),
            created_by=by if getattr(by, "pk", None) else None,
        )
        run_ = ledger.start("build", project=project, params={"version": version.pk}, by=by, wake=wake)
        DatasetVersion.objects.filter(pk=version.pk).update(run=run_)
        record("dataset.build_started", version, by=by, project=project, recipe=digest)
    version.refresh_from_db()
    return version


def _dataset(name: str, project: Project, by: Any) -> Dataset:
    dataset = Dataset.objects.select_for_update().filter(name=name).first()
    if dataset is None:
        dataset = Dataset(project=project, name=name)
        try:
            dataset.clean_fields(exclude=["project"])
        except ValidationError as error:
            raise Invalid(f"name: {' '.join(error.messages)} (got {name!r})", field="name") from None
        _, new = Dataset.objects.get_or_create(name=name, defaults={"project": project})
        dataset = Dataset.objects.select_for_update().get(name=name)  # perhaps made by another in the meantime
        if new:
            record("dataset.created", dataset, by=by, project=project)
    if dataset.project_id != project.pk:
        raise NotFound(f"The name {name!r} belongs to a dataset of another project.", code="dataset_elsewhere")
    return dataset


@cache
def code_version() -> str:
    """The release, with the commit where the code runs from a checkout."""
    try:
        told_ = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(settings.BASE_DIR), "rev-parse", "--short=12", "HEAD"],  # noqa: S607
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return str(settings.VERSION)
    return f"{settings.VERSION}+{told_.stdout.strip()}"


def run(execution: Execution) -> Mapping[str, Any]:
    """Params: version (id). A build that was killed starts over: nobody has seen its rows.

    Whatever is written holds the run's row, so that of two workers that believe in their lease only one writes.
    """
    version = DatasetVersion.objects.select_related("dataset__project").get(pk=execution.params["version"])
    if version.status == DatasetVersion.Status.READY:
        return _told(version)
    with transaction.atomic():
        execution.fence()
        if version.status == DatasetVersion.Status.FAILED:
            move(version, DatasetVersion.Status.BUILDING)
        for part in (version.files, version.rows, version.dropped_rows, version.contributions):
            part.all().delete()
    _build(execution, version)
    return _told(version)


def stopped(run_: Run) -> None:
    """The build's run failed or was cancelled, in a worker's hands or in the queue: its version will not come."""
    for version in DatasetVersion.objects.filter(run=run_, status=DatasetVersion.Status.BUILDING):
        move(version, DatasetVersion.Status.FAILED, event="dataset.failed", project=run_.project_id)


def _build(execution: Execution, version: DatasetVersion) -> None:
    project, recipe = version.dataset.project, Recipe.from_dict(version.recipe)
    execution.progress(0, note="making the consensus")
    material = Material(project, recipe)
    total, raters, statistics = material.count(), raters_of(recipe), Statistics()
    contamination = contamination_of(project, recipe)

    with FileSpool(settings.ENV.data_dir / "spool") as spool, Writer(execution, version, recipe, total) as writer:
        candidates = material.candidates(lambda done: execution.progress(done, total, note="following the recipe"))
        followed = follow(recipe, candidates, contamination=contamination, spool=spool, raters=raters)
        _write(execution, followed, writer, statistics)
        if writer.position == 0:
            why = f"{total} comparisons, dropped by {reasons(writer.dropped)}"
            raise Invalid(f"The recipe leaves no row: {why}.", code="no_rows")
        writer.end()
    _contribute(execution, version, material, writer)
    outcome = Outcome(
        rows_sha256=writer.digest.hexdigest(),
        chain_sha256=writer.chain.hexdigest(),
        dropped={**count_dropped(()), **writer.dropped},
        changed=dict(writer.changed),
        raters=material.told(raters),
        agreement=material.agreement,
        method=material.fitted.method,
        because=material.fitted.because,
        muted=material.silent,
    )
    _finish(execution, version, outcome, material, writer, statistics)
    execution.progress(total, total)


def _write(execution: Execution, followed: Iterable[Made | Dropped], writer: Writer, statistics: Statistics) -> None:
    with told():
        for made in followed:
            if isinstance(made, Dropped):
                writer.drop(made)
                continue
            writer.add(made)
            statistics.add(made.row)
            if writer.position % SAID == 0:
                execution.progress(execution.run.done, note=f"writing row {writer.position}")


def _contribute(execution: Execution, version: DatasetVersion, material: Material, writer: Writer) -> None:
    """Whose words the version holds, and what it rests on."""
    with transaction.atomic():
        execution.fence()
        VersionContribution.objects.bulk_create(
            VersionContribution(version=version, rater_id=rater, rows=rows, judgements=judgements)
            for rater, rows, judgements in material.contributions(writer.kept)
        )
        tracing.keep(version)


def _finish(
    execution: Execution,
    version: DatasetVersion,
    outcome: Outcome,
    material: Material,
    writer: Writer,
    statistics: Statistics,
) -> None:
    described = describe(version, statistics, outcome)
    chosen = {"method": material.fitted.method, "because": material.fitted.because}
    undecided = {split: dict(counts) for split, counts in sorted(writer.undecided.items())}
    with transaction.atomic():
        execution.fence()
        move(
            version,
            DatasetVersion.Status.READY,
            by=execution.run.created_by,
            project=version.dataset.project,
            event="dataset.ready",
            rows_sha256=outcome.rows_sha256,
            chain_sha256=outcome.chain_sha256,
            counts=dict(writer.counts),
            dropped={rule: n for rule, n in outcome.dropped.items() if n},
            changed=outcome.changed,
            statistics=described.figures | {"consensus": chosen} | ({"undecided": undecided} if undecided else {}),
            card=described.card,
        )


def _told(version: DatasetVersion) -> Mapping[str, Any]:
    return {
        "version": str(version),
        "rows_sha256": version.rows_sha256,
        "counts": version.counts,
        "dropped": version.dropped,
        "files": {file.name: file.artifact_id for file in version.files.all()},
    }

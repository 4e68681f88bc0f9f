"""Building a dataset version: a recipe applied to the judgements of one moment, row by row, then frozen.

Rows come in the order of their external ids and raters under names that do not depend on the database, so that the same
judgements under the same recipe give the same bytes anywhere.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Collate

from annotate.models import Adjudication, Comparison, Judgement, Rater
from curation.exports.candidates import Candidate, Decision, Treatment
from curation.exports.card import RaterFacts, Statistics
from curation.exports.files import ROW_GROUP_ROWS, Chain, RowsDigest, ndjson_line
from curation.exports.following import count_dropped, follow
from curation.exports.recipe import Recipe
from curation.exports.rules import Dropped
from curation.exports.schema import SCHEMA, SPLITS, VoteRow
from curation.models import Dataset, DatasetRow, DatasetVersion, DroppedRow, NoiseDecision, NoiseScore, VersionFile
from curation.stats import Aggregate, Estimate, Votes
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid, NotFound
from tiebreak.core.models import record
from tiebreak.core.transitions import move
from tiebreak.runs import ledger, store
from tiebreak.runs.ledger import Execution
from tiebreak.runs.models import Run

from . import admitting, loading
from .aggregating import METHODS, alpha_of
from .describing import Outcome, describe
from .words import told

BATCH: Final = 2_000


def start(name: str, project: Project, recipe: Mapping[str, Any], *, by: Any, wake: bool = True) -> DatasetVersion:
    """A new version, still building, and its run. Checks the recipe first; locks the dataset for its number."""
    with told():
        parsed = Recipe.from_dict(recipe)
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
    material = Material(project, recipe)
    total = material.count()
    execution.progress(0, total, note="following the recipe")
    digest, links, statistics, causes = RowsDigest(), Chain(), Statistics(), Counter[str]()
    position = seen = 0
    batch: list[Any] = []
    ids: dict[str, int] = {}
    for made in follow(recipe, material.candidates(ids)):
        verdict: Any = made if isinstance(made, Dropped) else made.row
        batch.append(verdict)
        if isinstance(verdict, Dropped):
            causes[verdict.rule] += 1
        else:
            digest.add(verdict)
            statistics.add(verdict)
        if len(batch) >= BATCH:
            position += _store(execution, version, batch, ids, position, links)
            seen += len(batch)
            batch.clear()
            execution.progress(seen, total)
    position += _store(execution, version, batch, ids, position, links)
    if position == 0:
        why = ", ".join(f"{rule} {n}" for rule, n in causes.most_common())
        raise Invalid(f"The recipe leaves no row: {total} comparisons, dropped by {why or 'nothing'}.", code="no_rows")
    for split in SPLITS:
        _write_file(execution, version, split)
    dropped = {**count_dropped(()), **causes}
    outcome = Outcome(
        rows_sha256=digest.hexdigest(),
        chain_sha256=links.hexdigest(),
        dropped=dropped,
        changed={},
        raters=material.told(),
        agreement=material.agreement,
        muted=material.silent,
    )
    described = describe(version, statistics, outcome)
    with transaction.atomic():
        execution.fence()
        move(
            version,
            DatasetVersion.Status.READY,
            by=execution.run.created_by,
            project=project,
            event="dataset.ready",
            rows_sha256=outcome.rows_sha256,
            chain_sha256=outcome.chain_sha256,
            counts={split: statistics.splits[split] for split in SPLITS},
            dropped={rule: n for rule, n in dropped.items() if n},
            statistics=described.figures,
            card=described.card,
        )
    execution.progress(total, total)


def _told(version: DatasetVersion) -> Mapping[str, Any]:
    return {
        "version": str(version),
        "rows_sha256": version.rows_sha256,
        "counts": version.counts,
        "dropped": version.dropped,
        "files": {file.name: file.artifact_id for file in version.files.all()},
    }


def _store(
    execution: Execution,
    version: DatasetVersion,
    batch: Sequence[Any],
    ids: dict[str, int],
    position: int,
    links: Chain,
) -> int:
    rows = [verdict for verdict in batch if not isinstance(verdict, Dropped)]
    made = [(line, hashlib.sha256(line).hexdigest()) for line in map(ndjson_line, rows)]
    for _, sha256 in made:
        links.add(sha256)
    with transaction.atomic():
        execution.fence()
        DatasetRow.objects.bulk_create(
            DatasetRow(
                version=version,
                position=position + i,
                comparison_id=ids[row["id"]],
                split=row["split"],
                side=row["chosen_side"],
                probability=row["probability"],
                n_annotators=row["n_annotators"],
                n_judges=row["n_judges"],
                line=line[:-1].decode(),
                sha256=sha256,
            )
            for i, (row, (line, sha256)) in enumerate(zip(rows, made, strict=True))
        )
        DroppedRow.objects.bulk_create(
            DroppedRow(version=version, comparison_id=ids[d.id], rule=d.rule, cause=d.cause[:300])
            for d in batch
            if isinstance(d, Dropped)
        )
    return len(rows)


def _write_file(execution: Execution, version: DatasetVersion, split: str) -> None:
    """One typed Parquet file a split, in row groups, straight into the store."""
    rows = version.rows.filter(split=split).order_by("position").values_list("line", flat=True)
    written, block = 0, []
    with (
        store.writing("application/vnd.apache.parquet") as incoming,
        pq.ParquetWriter(incoming.file, SCHEMA, compression="zstd") as writer,
    ):
        for row in rows.iterator(chunk_size=BATCH):
            block.append(json.loads(row))
            if len(block) == ROW_GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(block, schema=SCHEMA))
                written += len(block)
                block.clear()
                execution.check()
        writer.write_table(pa.Table.from_pylist(block, schema=SCHEMA))
        written += len(block)
    name = f"{split}.parquet"
    with transaction.atomic():
        execution.fence()
        VersionFile.objects.create(version=version, name=name, split=split, rows=written, artifact=incoming.artifact)
        execution.keep(incoming.artifact, name)


class Material:
    """What a recipe is applied to: a project's comparisons with the consensus that the recipe asks for."""

    def __init__(self, project: Project, recipe: Recipe) -> None:
        self.project, self.recipe = project, recipe
        judgements = loading.judgements_of(project)
        people = loading.raters_of(project, Rater.Kind.ANNOTATOR)
        self.muted = admitting.muted(project)
        self.votes: Votes = judgements.votes(None if recipe.include_judges else people, muted=self.muted)
        if self.votes.n == 0 and self.muted:
            raise Invalid("Only judges that gold refuses have judged here: ask people first.", code="muted")
        if self.votes.n == 0:
            raise Invalid("There are no judgements to build from yet.", code="empty")
        self.fit: Aggregate = METHODS[recipe.method](self.votes)
        self.place = {int(str(c)): i for i, c in enumerate(self.votes.comparisons)}
        self.agreement: Estimate = alpha_of(judgements.votes(people), seed=0)
        self.decisions = loading.decisions_of(project)
        self.raters = {r.pk: r for r in Rater.objects.filter(project=project).select_related("user")}

    @property
    def silent(self) -> list[str]:
        """Judges of whose words no label was made, since gold refuses them."""
        return [public_name(self.raters[pk], self.project) for pk in self.muted]

    def count(self) -> int:
        return Comparison.objects.filter(project=self.project).exclude(status="withdrawn").count()

    def candidates(self, ids: dict[str, int]) -> Iterator[Candidate]:
        """Comparisons in the order of their external ids, byte by byte; `ids` learns the row behind each of them."""
        rows = (
            Comparison.objects.filter(project=self.project)
            .exclude(status=Comparison.Status.WITHDRAWN)
            .select_related("prompt", "completion_a", "completion_b")
            .order_by(Collate("external_id", "C"))
        )
        batch: list[Comparison] = []
        for row in rows.iterator(chunk_size=BATCH):
            batch.append(row)
            if len(batch) == BATCH:
                yield from self._candidates(batch, ids)
                batch = []
        yield from self._candidates(batch, ids)

    def _candidates(self, rows: Sequence[Comparison], ids: dict[str, int]) -> Iterator[Candidate]:
        keys = [row.pk for row in rows]
        votes = self._votes(keys)
        noise, treatments = self._noise(keys), _treatments(keys)
        for row in rows:
            ids[row.external_id] = row.pk
            (a, tie, b), preference = self._consensus(row.pk)
            decided = self.decisions.get(row.pk)
            yield Candidate(
                id=row.external_id,
                prompt=row.prompt.messages,
                completion_a=row.completion_a.messages,
                completion_b=row.completion_b.messages,
                posterior=(round(a, 6), round(tie, 6), round(b, 6)),
                preference=round(preference, 6),
                votes=votes.get(row.pk, ()),
                group=row.group,
                generator_a=row.completion_a.generator or None,
                generator_b=row.completion_b.generator or None,
                noise=noise.get(row.pk, {}),
                treatment=treatments.get(row.pk),
                metadata=row.metadata,
                decision=None if decided is None else self._decision(decided),
            )

    def _noise(self, keys: Sequence[int]) -> dict[int, dict[str, float]]:
        """Scores by method, of the one that the recipe asks about."""
        scores: dict[int, dict[str, float]] = {}
        if self.recipe.noise is None or self.recipe.noise.method is None:
            return scores
        asked = NoiseScore.objects.filter(comparison__in=keys, method=self.recipe.noise.method)
        for pk, method, score in asked.values_list("comparison_id", "method", "score"):
            scores.setdefault(pk, {})[method] = score
        return scores

    def _consensus(self, pk: int) -> tuple[Sequence[float], float]:
        """Probabilities of a, tie, b, and the signed strength: as it was decided, else as the votes were fitted."""
        place, decided = self.place.get(pk), self.decisions.get(pk)
        if decided is not None:
            return loading.certain(decided), float(decided.preference or 0)
        if place is None:
            return (1 / 3, 1 / 3, 1 / 3), 0.0
        return self.fit.posterior[place].tolist(), float(np.clip(self.fit.strength[place], -3, 3))

    def _decision(self, decided: Adjudication) -> Decision:
        return Decision(
            by=pseudonym("adjudicator", decided.by.username, self.project),
            preference=decided.preference,
            both_bad=decided.both_bad,
        )

    def _votes(self, keys: Sequence[int]) -> dict[int, list[VoteRow]]:
        """One vote a rater, the muted aside: a judge's two orders are their mean, with no order of their own."""
        said: dict[int, dict[int, list[tuple[int | None, bool, str | None]]]] = {}
        rows = Judgement.objects.current().filter(comparison__in=keys).exclude(rater__in=self.muted).order_by("repeat")
        for comparison, rater, preference, both_bad, order in rows.values_list(
            "comparison_id", "rater_id", "preference", "both_bad", "order"
        ):
            said.setdefault(comparison, {}).setdefault(rater, []).append((preference, both_bad, order))
        return {
            comparison: sorted(
                (self._vote(rater, readings) for rater, readings in by_rater.items()),
                key=lambda vote: (vote["kind"], vote["rater"]),
            )
            for comparison, by_rater in said.items()
        }

    def _vote(self, rater: int, readings: Sequence[tuple[int | None, bool, str | None]]) -> VoteRow:
        parsed = [p for p, _, _ in readings if p is not None]
        return {
            "rater": public_name(self.raters[rater], self.project),
            "kind": self.raters[rater].kind,
            "preference": sum(parsed) / len(parsed) if parsed else None,
            "both_bad": all(bad for _, bad, _ in readings),
            "order": readings[0][2] if len(readings) == 1 else None,
        }

    def told(self) -> list[RaterFacts]:
        """Those whose votes made the consensus, with how much each was found to be worth."""
        skills = zip(self.fit.skill, self.fit.skill_low, self.fit.skill_high, self.fit.n_votes, strict=True)
        return [
            RaterFacts(
                name=public_name(self.raters[int(str(rater))], self.project),
                kind=self.raters[int(str(rater))].kind,
                n_votes=int(n),
                skill=Estimate(float(skill), float(low), float(high), int(n)),
            )
            for rater, (skill, low, high, n) in zip(self.votes.raters, skills, strict=True)
        ]


def _treatments(keys: Sequence[int]) -> dict[int, Treatment]:
    """What stands decided about doubtful labels, as a row tells it."""
    rows = NoiseDecision.objects.filter(comparison__in=keys, current=True)
    return {row.comparison_id: Treatment(row.action, row.told(), float(row.details.get("weight", 0))) for row in rows}


def public_name(rater: Rater, project: Project) -> str:
    """How a rater is called in a version: imported names as they came, people who sign in under a pseudonym."""
    if rater.user is None:
        return rater.name
    return pseudonym("annotator", rater.user.username, project)


def pseudonym(role: str, username: str, project: Project) -> str:
    """The same for one person in one project, whatever they do there."""
    digest = hashlib.sha256(f"{project.slug}/{username}".encode()).hexdigest()
    return f"{role}-{digest[:10]}"

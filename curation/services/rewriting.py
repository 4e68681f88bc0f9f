"""Ready versions after a withdrawal: rows without a vote, or gone, a tombstone for each, and their files made anew.

This is the one place that alters what is ready. All of a version changes in one transaction, or nothing does, and what
was taken out leaves its hash behind.

What changes is worked out twice, some rows at a time and never held: for the files, which are written before the
transaction, and in it for the rows. A hash over both proves that they are of the same.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from django.db import connection, transaction
from django.db.models import Count, Exists, F, Func, IntegerField, OuterRef, Q, QuerySet
from django.db.models.deletion import ProtectedError
from django.utils import timezone

from annotate.models import Adjudication, Judgement, Rater
from annotate.models.raters import withdrawn_name
from annotate.services.pseudonyms import pseudonym, public_name
from curation.exports.card import cell
from curation.exports.files import ndjson_line
from curation.exports.schema import SCHEMA
from curation.exports.withdrawn import Voice, places_of, without
from curation.models import DatasetRow, DatasetVersion, Tombstone, VersionFile, Withdrawal
from tiebreak.core.errors import BackendError
from tiebreak.core.models import record
from tiebreak.runs import store
from tiebreak.runs.ledger import Execution
from tiebreak.runs.models import Artifact, Run, RunArtifact

BATCH: Final = 500
BATCH_BYTES: Final = 1 << 24
PARQUET: Final = "application/vnd.apache.parquet"
MARK: Final = "## Taken back since this was published"


class Edit(NamedTuple):
    row: DatasetRow
    line: str | None
    """None: the row goes."""


class Kind(NamedTuple):
    """Rows that share files."""

    split: str
    undecided: bool


class Remade(NamedTuple):
    file: VersionFile
    artifact: Artifact
    rows: int


@contextmanager
def door() -> Iterator[None]:
    """A transaction in which the database lets immutable rows be altered: for withdrawals, and for nothing else."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL tiebreak.erase = 'on'")
        yield
        cursor.execute("SET LOCAL tiebreak.erase = 'off'")


def touched(withdrawal: Withdrawal) -> QuerySet[DatasetVersion]:
    """Ready versions of the project that may hold something of it; `edits` knows which do."""
    ready = DatasetVersion.objects.filter(dataset__project=withdrawal.project_id, status=DatasetVersion.Status.READY)
    held = Exists(_rows(withdrawal).filter(version=OuterRef("pk")))
    return ready.filter(held).select_related("dataset__project").order_by("pk")


def unfinished(withdrawal: Withdrawal) -> QuerySet[DatasetVersion]:
    """Versions of the project that never came, and may hold something of it."""
    held = Exists(_rows(withdrawal).filter(version=OuterRef("pk")))
    others = DatasetVersion.objects.filter(dataset__project=withdrawal.project_id).order_by("pk")
    return others.exclude(status=DatasetVersion.Status.READY).filter(held)


def discard(version: DatasetVersion) -> bool:
    """Drop the rows and files of a version whose build has ended, or died, and is not made again yet: nobody reads
    them, and a build that begins anew makes its own. False where it is under way, with what it read itself.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update().filter(pk=version.run_id or 0).first()
        under_way = run is not None and run.status == Run.Status.RUNNING and run.lease_expires_at is not None
        if under_way or DatasetVersion.objects.get(pk=version.pk).status == DatasetVersion.Status.READY:
            return False
        files = set(version.files.values_list("artifact_id", flat=True))
        version.files.all().delete()
        version.rows.all().delete()
        RunArtifact.objects.filter(run=version.run_id, artifact__in=files).delete()
        for sha256 in sorted(files):
            forget(sha256)
    return True


def _rows(withdrawal: Withdrawal) -> QuerySet[DatasetRow]:
    """Rows of any version that may hold what is withdrawn."""
    if withdrawal.rater is None:
        return DatasetRow.objects.filter(comparison=withdrawal.comparison_id)
    said = Q(comparison__in=Judgement.objects.filter(rater=withdrawal.rater).values("comparison"))
    said |= Q(comparison__in=Adjudication.objects.of(withdrawal.rater).values("comparison"))
    return DatasetRow.objects.filter(said)


def edits(version: DatasetVersion, withdrawal: Withdrawal, kind: Kind | None = None) -> Iterator[list[Edit]]:
    """What the withdrawal still has to alter in the version, in the order of its rows; of one kind, or of all. So many
    at once as are read together: no more than BATCH, and of no more than BATCH_BYTES but for the last.
    """
    done = version.tombstones.filter(withdrawal_id=withdrawal.pk or 0, position=OuterRef("position"))
    rows = _rows(withdrawal).filter(~Exists(done), version=version).order_by("position")
    if kind is not None:
        chosen = Q(verdict=DatasetRow.Verdict.CHOSEN)
        rows = rows.filter(~chosen if kind.undecided else chosen, split=kind.split)
    for some in _batches(rows):
        part = list(DatasetRow.objects.filter(pk__in=some).order_by("position"))
        if withdrawal.rater is None:
            yield [Edit(row, None) for row in part]
            continue
        heard = _Heard(version, withdrawal.rater, part)
        yield [edit for row in part if (edit := heard.edit(row)) is not None]


def _batches(rows: QuerySet[DatasetRow]) -> Iterator[list[int]]:
    """The ids of rows that are read together. Holds eight bytes a row."""
    ids, ends, size = array("q"), array("q"), 0
    octets = Func(F("line"), function="octet_length", output_field=IntegerField())
    for pk, length in rows.values_list("pk", octets).iterator():
        ids.append(pk)
        size += length
        if size >= BATCH_BYTES or len(ids) - (ends[-1] if ends else 0) == BATCH:
            ends.append(len(ids))
            size = 0
    begin = 0
    for end in (*ends, len(ids)):
        if end > begin:
            yield ids[begin:end].tolist()
        begin = end


class _Heard:
    """Where one person is heard in some rows of a version, under whichever name they stand there."""

    def __init__(self, version: DatasetVersion, rater: Rater, rows: Sequence[DatasetRow]) -> None:
        self.version, self.rater, project = version, rater, version.dataset.project
        self.name = public_name(rater, project)
        self.adjudicator = pseudonym("adjudicator", rater.user.username, project) if rater.user else rater.name
        told = (version.recipe.get("deidentify") or {}).get("raters", "as-imported")
        self.named = told == "as-imported"
        self.raters: dict[int, Rater] = {}
        self.taken: set[tuple[int, int]] = set()
        self.decided: set[int] = set()
        if not self.named:
            self._look_up(rows)

    def _look_up(self, rows: Sequence[DatasetRow]) -> None:
        """Who is behind votes without names: by the judgements that the rows were made of."""
        ids = [pk for row in rows for pk in row.lineage.get("judgements", ())]
        said = Judgement.objects.filter(pk__in=ids).select_related("rater__user")
        self.raters = {judgement.pk: judgement.rater for judgement in said}
        gone = self.version.tombstones.filter(position__in=[row.position for row in rows], withdrawal__kind="rater")
        self.taken = {(p, r) for p, r in gone.values_list("position", "withdrawal__rater") if r is not None}
        decisions = [row.lineage.get("adjudication") for row in rows]
        mine = Adjudication.objects.of(self.rater).filter(pk__in=[pk for pk in decisions if pk])
        self.decided = set(mine.values_list("pk", flat=True))

    def edit(self, row: DatasetRow) -> Edit | None:
        """None where they are not heard in the row."""
        native = row.row
        places = places_of(native["votes"], self.name) if self.named else self._places(row, native)
        if places is None:
            return Edit(row, None)
        decided = self._decided(row, native)
        if not places and not decided:
            return None
        left = without(native, Voice(places, decided, self.rater.name, alias_of(self.rater)))
        return Edit(row, None if left is None else ndjson_line(left)[:-1].decode())

    def _places(self, row: DatasetRow, native: Mapping[str, Any]) -> list[int] | None:
        """Votes stand by kind and name, one a rater. None: theirs is among them, and nobody can say which it is."""
        raters = {r.pk: r for pk in row.lineage.get("judgements", ()) if (r := self.raters.get(pk)) is not None}
        if self.rater.pk not in raters:
            return []
        still = [r for r in raters.values() if (row.position, r.pk) not in self.taken]
        if len(still) != len(native["votes"]):
            return None
        project = self.version.dataset.project
        ordered = sorted(still, key=lambda r: (r.kind, public_name(r, project)))
        return [place for place, rater in enumerate(ordered) if rater.pk == self.rater.pk]

    def _decided(self, row: DatasetRow, native: Mapping[str, Any]) -> bool:
        if "adjudicated_by" not in native:
            return False
        if self.named:
            return bool(native["adjudicated_by"] == self.adjudicator)
        return row.lineage.get("adjudication") in self.decided


def alias_of(rater: Rater) -> str:
    """How somebody who took back what they said is called from then on."""
    return withdrawn_name(rater.project_id, rater.name)


# --- one version ------------------------------------------------------------------------------------------------------


def rewrite(execution: Execution, version: DatasetVersion, withdrawal: Withdrawal) -> int:
    """Take the withdrawn out of a version; returns how many rows changed or went. Asked again it finds nothing to do.

    Files are written before the transaction that switches to them. Raises BackendError, to be tried again, where
    another withdrawal altered the version meanwhile.
    """
    planned, done = _Told(), _Told()
    remade = list(_remade(execution, version, withdrawal, planned))
    if not planned.n:
        return 0
    with door():
        execution.fence()
        DatasetVersion.objects.select_for_update().get(pk=version.pk)
        for kind in _files(version):
            for some in done.over(edits(version, withdrawal, kind)):
                _bury(version, withdrawal, some)
        files = dict(version.files.values_list("pk", "artifact_id"))
        if planned.digest() != done.digest() or any(files[m.file.pk] != m.file.artifact_id for m in remade):
            raise BackendError(f"{version} was altered by another withdrawal meanwhile.", permanent=False)
        _switch_files(version, withdrawal, remade)
        _retell(version, withdrawal)
        record(
            "dataset.withdrawn",
            version,
            by=withdrawal.by,
            project=withdrawal.project_id,
            withdrawal=withdrawal.pk,
            rows_gone=done.gone,
            rows_changed=done.n - done.gone,
        )
    return done.n


class _Told:
    """How many edits went by, and a hash over them."""

    def __init__(self) -> None:
        self.n = self.gone = 0
        self._hash = hashlib.sha256()

    def over(self, edits: Iterator[list[Edit]]) -> Iterator[list[Edit]]:
        for some in edits:
            for row, line in some:
                self.n += 1
                self.gone += line is None
                self._hash.update(f"{row.pk} {row.sha256} {line}\n".encode())
            yield some

    def digest(self) -> str:
        return self._hash.hexdigest()


def _bury(version: DatasetVersion, withdrawal: Withdrawal, todo: Sequence[Edit]) -> None:
    """Tombstones, then the rows themselves."""
    changed, stones = list[DatasetRow](), list[Tombstone]()
    for row, line in todo:
        stone = Tombstone(
            withdrawal=withdrawal,
            version=version,
            position=row.position,
            external_id=row.row["id"],
            split=row.split,
            verdict=row.verdict,
            sha256=row.sha256,
        )
        if line is not None:
            native = json.loads(line)
            row.line, row.sha256 = line, hashlib.sha256(f"{line}\n".encode()).hexdigest()
            row.n_annotators, row.n_judges = native["n_annotators"], native["n_judges"]
            stone.became = row.sha256
            changed.append(row)
        stones.append(stone)
    Tombstone.objects.bulk_create(stones)
    with connection.cursor() as cursor:  # a statement a row, in one pipeline: one with a CASE a row takes longer
        cursor.executemany(_UPDATE, [(r.line, r.sha256, r.n_annotators, r.n_judges, r.pk) for r in changed])
    DatasetRow.objects.filter(pk__in=[row.pk for row, line in todo if line is None]).delete()


_UPDATE: Final = """
UPDATE curation_datasetrow SET line = %s, sha256 = %s, n_annotators = %s, n_judges = %s WHERE id = %s
"""


def _retell(version: DatasetVersion, withdrawal: Withdrawal) -> None:
    """Counts of the rows that are left, and a word in the card. The figures stay: they are of what was published."""
    chosen = version.rows.filter(verdict=DatasetRow.Verdict.CHOSEN).order_by()
    left = dict(chosen.values_list("split").annotate(n=Count("pk")))
    gone, changed = taken(version)
    DatasetVersion.objects.filter(pk=version.pk).update(
        counts={split: left.get(split, 0) for split in version.counts},
        statistics=version.statistics | {"withdrawn": {"rows": gone, "rows_that_lost_votes": changed}},
        card=_card(version, withdrawal, gone, changed),
    )
    version.refresh_from_db()


def taken(version: DatasetVersion) -> tuple[int, int]:
    """(rows that withdrawals took out, rows that lost votes and are still there)"""
    last = version.tombstones.order_by("position", "-pk").distinct("position").values_list("became", flat=True)
    told = Counter(not became for became in last.iterator())
    return told[True], told[False]


def _card(version: DatasetVersion, withdrawal: Withdrawal, gone: int, changed: int) -> str:
    """The card with what was taken back, and with the raters' table under the name that they have from now on."""
    card = version.card.partition(f"\n{MARK}")[0].rstrip("\n")
    rater = withdrawal.rater
    if rater is not None:
        for name in {rater.name, public_name(rater, version.dataset.project)}:
            card = card.replace(f"| {cell(name)} |", f"| {alias_of(rater)} |")
    told = [f"- rows that went: {gone}", f"- rows that lost votes: {changed}", f"- last: {timezone.now():%Y-%m-%d}"]
    words = "Every figure above is of what was published first. The chain over the rows' hashes still holds."
    return "\n".join([card, "", MARK, "", words, "", *told, ""])


# --- files ------------------------------------------------------------------------------------------------------------


def _files(version: DatasetVersion) -> dict[Kind, list[VersionFile]]:
    """The files of each kind of row that there is, in the order of their rows."""
    verdicts = version.rows.order_by().values_list("split", "verdict").distinct()
    found: dict[Kind, list[VersionFile]] = {
        Kind(split, verdict != DatasetRow.Verdict.CHOSEN): [] for split, verdict in sorted(verdicts)
    }
    for file in version.files.select_related("artifact").order_by("name"):
        found.setdefault(Kind(file.split, file.undecided), []).append(file)
    return found


def _remade(execution: Execution, version: DatasetVersion, withdrawal: Withdrawal, planned: _Told) -> Iterator[Remade]:
    """The files that hold an edited row, written anew beside the old ones."""
    for kind, files in _files(version).items():
        if not files:  # `verify_dataset` tells of it; the rows go all the same
            deque(planned.over(edits(version, withdrawal, kind)), maxlen=0)
            continue
        todo = _Ahead(chain.from_iterable(planned.over(edits(version, withdrawal, kind))))
        for file in files:
            execution.check()
            if todo.next is not None:
                with store.open_artifact(file.artifact) as source:
                    made = _remake(pq.ParquetFile(source), todo)
                if made is not None:
                    yield Remade(file, *made)
        if todo.next is not None:  # `verify_dataset` tells the same of such a version
            raise BackendError(f"{version}: no file of {kind.split} holds row {todo.next[0]}.", permanent=True)


class _Ahead:
    """Edits in the order of their rows, as files come to them."""

    def __init__(self, todo: Iterator[Edit]) -> None:
        self._todo = todo
        self.next: tuple[str, str | None] | None
        self._go_on()

    def _go_on(self) -> None:
        edit = next(self._todo, None)
        self.next = None if edit is None else (edit.row.row["id"], edit.line)

    def replace(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """The row as it is from now on; None: it goes."""
        if self.next is None or self.next[0] != row["id"]:
            return row
        line = self.next[1]
        self._go_on()
        return None if line is None else json.loads(line)


def _remake(old: pq.ParquetFile, todo: _Ahead) -> tuple[Artifact, int] | None:
    """A file with other lines in the place of some rows; None where it holds none of them."""
    first = todo.next and todo.next[0]
    if not any(first in batch.column(0).to_pylist() for batch in old.iter_batches(columns=["id"])):
        return None
    name, schema, written = "withdrawn_votes", old.schema_arrow, 0
    if name not in schema.names:
        schema = schema.append(SCHEMA.field(name))
    with store.writing(PARQUET) as incoming, pq.ParquetWriter(incoming.file, schema, compression="zstd") as writer:
        for group in range(old.num_row_groups):  # so many rows as are held at once, however long they are
            read = old.read_row_group(group).to_pylist()
            kept = [row for old_row in read if (row := todo.replace(old_row)) is not None]
            if kept:
                writer.write_table(pa.Table.from_pylist(kept, schema=schema))
                written += len(kept)
    return incoming.artifact, written


def _switch_files(version: DatasetVersion, withdrawal: Withdrawal, remade: Sequence[Remade]) -> None:
    """The new files in the place of the old ones, whose bytes leave the store after the commit."""
    for file, artifact, rows in remade:
        old = {"sha256": file.artifact_id, "rows": file.rows, "withdrawal": withdrawal.pk}
        former = [*file.former, old | {"at": timezone.now().isoformat()}]
        VersionFile.objects.filter(pk=file.pk).update(artifact=artifact, rows=rows, former=former)
        kept = RunArtifact.objects.filter(run=version.run_id, artifact=file.artifact_id)
        kept.update(artifact=artifact)
        forget(file.artifact_id)


def forget(sha256: str) -> bool:
    """Let a file leave the store where nothing refers to it any more; its bytes go after the commit."""
    try:
        with transaction.atomic():
            Artifact.objects.filter(sha256=sha256).delete()
    except ProtectedError:
        return False
    transaction.on_commit(partial(store.remove, sha256))
    return True


def sweep(withdrawal: Withdrawal) -> int:
    """Bytes of former files that a kill between commit and removal left behind go now. Returns how many were named."""
    files = VersionFile.objects.filter(version__dataset__project=withdrawal.project_id).exclude(former=[])
    former = {told["sha256"] for file in files for told in file.former}
    kept = set(Artifact.objects.filter(sha256__in=former).values_list("sha256", flat=True))
    for sha256 in former - kept:
        store.remove(sha256)
    return len(former - kept)

"""Whether a version is still what was published: every hash worked out anew, from rows, tombstones and files.

What withdrawals took out is accounted for by its tombstones: where a row stood its hash still does, so that the chain
over all hashes holds, although the digest of all bytes cannot be worked out any more.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from curation.exports.files import Chain, ndjson_line
from curation.exports.schema import native
from curation.models import DatasetRow, DatasetVersion, Tombstone, VersionFile
from tiebreak.core.errors import Invalid, NotFound
from tiebreak.runs import store

AT_ONCE: Final = 2_000
TOLD: Final = 5  # of the rows that do not hold, how many are named
MANIFEST: Final = "manifest.json"
CARD: Final = "README.md"
ROWS: Final = (".parquet", ".jsonl", ".jsonl.gz", ".csv")


class Check(NamedTuple):
    what: str
    holds: bool
    told: str
    """What was compared, or what is wrong."""


class _Wrong:
    """What does not hold, counted, the first few by name."""

    def __init__(self) -> None:
        self.n = 0
        self.first: list[str] = []

    def add(self, told: str) -> None:
        self.n += 1
        if len(self.first) < TOLD:
            self.first.append(told)

    def check(self, what: str, fine: str) -> Check:
        more = f" and {self.n - TOLD} more" if self.n > TOLD else ""
        return Check(what, not self.n, "; ".join(self.first) + more if self.n else fine)


def verify(version: DatasetVersion) -> list[Check]:
    """Every promise of a ready version, each checked from the bottom up, in flat memory."""
    return [_recipe(version), *_rows(version), *_files(version)]


def _recipe(version: DatasetVersion) -> Check:
    digest = hashlib.sha256(json.dumps(version.recipe, sort_keys=True).encode()).hexdigest()
    return _same("recipe", digest, version.recipe_sha256)


def _same(what: str, found: str, stored: str) -> Check:
    return Check(what, found == stored, found if found == stored else f"{found}, but {stored} is stored")


# --- rows and tombstones ----------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """What stands at one position of a version."""

    position: int
    row: DatasetRow | None
    stones: list[Tombstone]

    @property
    def published(self) -> str:
        """The hash that the row had when the version was published."""
        return self.stones[0].sha256 if self.stones else self.row.sha256 if self.row else ""


def _places(version: DatasetVersion) -> Iterator[_Place]:
    """Every position at which a row stands or stood, in order."""
    stones: dict[int, list[Tombstone]] = {}
    for stone in version.tombstones.order_by("position", "pk").iterator(AT_ONCE):
        stones.setdefault(stone.position, []).append(stone)
    gone = iter(
        sorted(stones.keys() - set(version.rows.filter(position__in=stones).values_list("position", flat=True)))
    )
    coming = next(gone, None)
    for row in version.rows.order_by("position").iterator(AT_ONCE):
        while coming is not None and coming < row.position:
            yield _Place(coming, None, stones[coming])
            coming = next(gone, None)
        yield _Place(row.position, row, stones.get(row.position, []))
    while coming is not None:
        yield _Place(coming, None, stones[coming])
        coming = next(gone, None)


def _rows(version: DatasetVersion) -> Iterator[Check]:
    lines, columns, places, graves = _Wrong(), _Wrong(), _Wrong(), _Wrong()
    links, digest, counts, n, stones = Chain(), hashlib.sha256(), Counter[str](), 0, 0
    expected = -1
    for expected, place in enumerate(_places(version)):
        if place.position != expected:
            places.add(f"position {place.position} stands where {expected} is due")
        links.add(place.published)
        stones += len(place.stones)
        if not _linked(place):
            graves.add(f"position {place.position}: its tombstones do not lead from one to the next")
        if place.row is None:
            continue
        n += 1
        told = place.row.line.encode() + b"\n"
        digest.update(told)
        if hashlib.sha256(told).hexdigest() != place.row.sha256:
            lines.add(f"row {place.position}")
        if not _beside(place.row):
            columns.add(f"row {place.position}")
        counts[place.row.split] += place.row.verdict == DatasetRow.Verdict.CHOSEN
    yield lines.check("every row's hash", f"{n} rows")
    yield columns.check("what is kept beside the rows", "split, side, verdict, probability and votes as in the line")
    yield places.check("no position is missing", f"{expected + 1}, each with a row or a tombstone")
    yield graves.check("tombstones", f"{stones}, each with the hash of what it stands for" if stones else "none")
    if not stones:
        yield _same("digest of all rows", digest.hexdigest(), version.rows_sha256)
    yield _same("chain over the rows' hashes", links.hexdigest(), version.chain_sha256)
    stored = {split: count for split, count in version.counts.items() if count}
    found = {split: count for split, count in counts.items() if count}
    yield Check("counts", found == stored, str(found) if found == stored else f"{found}, but {stored} is stored")


def _linked(place: _Place) -> bool:
    """Each tombstone stands for what the one before it left, and the last one for what is there now."""
    left = [stone.became for stone in place.stones]
    now = place.row.sha256 if place.row else ""
    return not place.stones or (left[:-1] == [stone.sha256 for stone in place.stones[1:]] and left[-1] == now)


def _beside(row: DatasetRow) -> bool:
    """Whether the line is a native row as it is written, and the columns beside it say the same."""
    try:
        told = native(json.loads(row.line))
    except ValueError:
        return False
    verdict, side = told.get("undecided", DatasetRow.Verdict.CHOSEN), told.get("chosen_side", "")
    same = (row.split, row.verdict, row.side, row.probability) == (told["split"], verdict, side, told["probability"])
    votes = (row.n_annotators, row.n_judges) == (told["n_annotators"], told["n_judges"])
    return same and votes and ndjson_line(told)[:-1].decode() == row.line


# --- files ------------------------------------------------------------------------------------------------------------


def _files(version: DatasetVersion) -> Iterator[Check]:
    files = list(version.files.select_related("artifact").order_by("name"))
    for file in files:
        yield _bytes(file)
    for split, undecided in sorted({(file.split, file.undecided) for file in files}):
        yield _content(version, [f for f in files if (f.split, f.undecided) == (split, undecided)])
    told = {(file.split, file.undecided) for file in files}
    kept = version.rows.order_by().values_list("split", "verdict").distinct()
    bare = sorted({split for split, verdict in kept if (split, verdict != DatasetRow.Verdict.CHOSEN) not in told})
    yield Check("every row is in a file", not bare, f"no file of {', '.join(bare)}" if bare else f"{len(files)} files")


def _bytes(file: VersionFile) -> Check:
    try:
        with store.open_artifact(file.artifact) as source:
            found = _hash(source)
    except NotFound as error:
        return Check(f"bytes of {file.name}", False, error.message)
    return _same(f"bytes of {file.name}", found, file.artifact_id)


def _hash(source: IO[bytes]) -> str:
    digest = hashlib.sha256()
    for block in iter(partial(source.read, 1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()


def _content(version: DatasetVersion, files: list[VersionFile]) -> Check:
    """The files of one split hold its rows, and no others, in their order."""
    what = f"rows of {', '.join(file.name for file in files)}"
    rows = version.rows.filter(split=files[0].split).order_by("position")
    rows = rows.exclude(verdict="chosen") if files[0].undecided else rows.filter(verdict="chosen")
    wrong, n = _Wrong(), 0
    try:
        for n, (line, told) in enumerate(
            zip_longest(rows.values_list("line", flat=True).iterator(AT_ONCE), _lines_in(files)), 1
        ):
            if line != told:
                wrong.add(f"row {n} differs" if line and told else f"row {n} is in only one of the two")
    except (NotFound, OSError, pa.ArrowException, ValueError) as error:
        return Check(what, False, str(error))
    if sum(file.rows for file in files) != n:
        wrong.add(f"{n} rows, but {sum(file.rows for file in files)} are stored")
    return wrong.check(what, f"{n} rows, as in the database")


def _lines_in(files: list[VersionFile]) -> Iterator[str]:
    for file in files:
        with store.open_artifact(file.artifact) as source:
            read = pq.ParquetFile(source)
            for group in range(read.num_row_groups):
                for row in read.read_row_group(group).to_pylist():
                    yield ndjson_line(native(row))[:-1].decode()


# --- a folder ---------------------------------------------------------------------------------------------------------


def verify_folder(folder: Path, version: DatasetVersion | None = None) -> list[Check]:
    """Whether an exported folder holds what its manifest says, and, where a version is given, whether it is that one:
    told first, and where it is not, nothing else is held to the version.

    Without a version nothing but the folder is asked. Raises Invalid where there is no manifest to be read.
    """
    manifest = _manifest(folder)
    checks = [_in_folder(folder, entry) for entry in manifest["files"]]
    named = {Path(entry["path"]).name for entry in manifest["files"]}
    for path in sorted(folder.iterdir()):
        if path.name.endswith(ROWS) and not path.name.startswith(".") and path.name not in named:
            checks.append(
                Check(path.name, False, "the manifest names no such file: it is of another export, delete it")
            )
    if version is None:
        return checks
    whose = _whose(manifest, version)
    return [whose, *checks, *_of_version(manifest, version)] if whose.holds else [whose, *checks]


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        named = all(isinstance(entry["path"], str) and isinstance(entry["sha256"], str) for entry in manifest["files"])
    except OSError as error:
        raise Invalid(f"{folder / MANIFEST}: {error.strerror}.", field="folder") from None
    except (ValueError, TypeError, KeyError):
        named = False
    if not named:
        raise Invalid(f"{folder / MANIFEST} is not a manifest of an export.", field="folder")
    told: dict[str, Any] = manifest
    return told


def _in_folder(folder: Path, entry: Mapping[str, Any]) -> Check:
    """A manifest names files of its own folder, whatever it says."""
    name = Path(entry["path"]).name
    try:
        with (folder / name).open("rb") as file:
            return _same(name, _hash(file), entry["sha256"])
    except OSError as error:
        return Check(name, False, str(error.strerror))


def _whose(manifest: Mapping[str, Any], version: DatasetVersion) -> Check:
    named = f"{manifest.get('dataset')}@{manifest.get('version')}"
    if named == str(version):
        return Check("the version", True, named)
    found, asked = (f"{sha256[:16]}…" for sha256 in (str(manifest.get("rows_sha256")), version.rows_sha256))
    told = f"the folder's manifest is of {named} (rows {found}), not of {version} (rows {asked})"
    return Check("the version", False, told)


def _of_version(manifest: Mapping[str, Any], version: DatasetVersion) -> Iterator[Check]:
    for what, key in (("digest of the published rows", "rows_sha256"), ("recipe", "recipe_sha256")):
        yield _same(f"manifest: {what}", str(manifest.get(key)), getattr(version, key))
    yield from (_of_card(str(entry["sha256"]), version) for entry in manifest["files"] if entry["path"] == CARD)
    if manifest.get("format") == "parquet":
        now = {file.artifact_id: file.name for file in version.files.all()}
        old = {told["sha256"]: told["withdrawal"] for file in version.files.all() for told in file.former}
        for entry in manifest["files"]:
            if str(entry["path"]).endswith(".parquet"):
                yield _as_now(entry, now, old)


def _of_card(sha256: str, version: DatasetVersion) -> Check:
    """Every withdrawal is told in the card, so that lines of any format are as old as the card beside them."""
    card = DatasetVersion.objects.values_list("card", flat=True).get(pk=version.pk)
    what, now = f"{CARD} is the version's card", hashlib.sha256(card.encode()).hexdigest()
    if sha256 != now and version.tombstones.exists():
        return Check(what, False, "the folder is from before a withdrawal: pull it again, and delete this one")
    return _same(what, sha256, now)


def _as_now(entry: Mapping[str, Any], now: Mapping[str, str], old: Mapping[str, int]) -> Check:
    sha256, what = str(entry["sha256"]), f"{Path(entry['path']).name} is the version's"
    if sha256 in now:
        return Check(what, True, sha256)
    if sha256 in old:
        return Check(what, False, f"it is from before withdrawal {old[sha256]}: pull it again, and delete this one")
    return Check(what, False, "the version has no such file")

"""From the other end: every version, and every model trained on one, that a rater's judgements and decisions went into,
or what was said under some form, guidelines or rubric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Max, QuerySet, Sum

from annotate.models import Form, Rater, Rubric
from curation.models import DatasetVersion, RewardModel, VersionContribution, VersionWork
from tiebreak.accounts.models import Project

MOST: Final = 20_000
"""Judgements of a rater that are followed into versions that did not count them when they were built."""
RATERS: Final = 200


@dataclass(frozen=True, slots=True)
class Reached:
    """A version, and how much of it rests on what is asked about."""

    version: DatasetVersion
    rows: int
    judgements: int
    decisions: int
    """An adjudicator's."""
    of: int
    """Rows of the version, those without a chosen side too."""
    counted: bool
    """While it was built; otherwise it is told by dates, and may be more where the rater judged a great deal."""
    models: Sequence[RewardModel]
    """Trained on it."""

    @property
    def share(self) -> float:
        return min(1.0, self.rows / self.of) if self.of else 0.0


@dataclass(frozen=True, slots=True)
class Under:
    """A form or a rubric with the versions that hold what was said under it."""

    title: str
    guidelines: int | None
    at: Any
    reached: Sequence[Reached]


@dataclass(frozen=True, slots=True)
class RaterLine:
    rater: Rater
    versions: int
    rows: int
    judgements: int


@dataclass(frozen=True, slots=True)
class ReachPage:
    forms: Sequence[Under]
    rubrics: Sequence[Under]
    raters: Sequence[RaterLine]
    """The RATERS whose judgements stand in the most rows."""


def of_rater(rater: Rater) -> list[Reached]:
    """The newest version first (six queries)."""
    found = VersionContribution.objects.filter(rater=rater, version__status=DatasetVersion.Status.READY)
    counted = {row.version_id: (row.rows, row.judgements) for row in found}
    by_dates, decided = _by_dates(rater), _decided(rater)
    versions = sorted(_versions({*counted, *by_dates, *decided}), key=lambda v: -v.pk)
    judged, nothing = by_dates | counted, (0, 0)
    return [_reached(v, *judged.get(v.pk, nothing), v.pk not in by_dates, decided.get(v.pk, nothing)) for v in versions]


def under(project: Project, **what: Any) -> list[Reached]:
    """Versions that hold judgements made under `form`, `form__guidelines_version` or `rubric` (four queries)."""
    work = VersionWork.objects.filter(version__dataset__project=project, version__status="ready", **what)
    sums = {row["version"]: row for row in _sums(work, "version")}
    versions = sorted(_versions(set(sums)), key=lambda v: -v.pk)
    return [_reached(v, sums[v.pk]["rows"], sums[v.pk]["judgements"], True) for v in versions]


def page(project: Project) -> ReachPage:
    """All forms, rubrics and raters of a project that versions rest on (eight queries)."""
    work = VersionWork.objects.filter(version__dataset__project=project, version__status="ready")
    sums = _sums(work, "version", "form", "rubric")
    versions = {v.pk: v for v in _versions({row["version"] for row in sums})}
    forms = Form.objects.filter(pk__in={row["form"] for row in sums if row["form"]}).order_by("-number")
    rubrics = Rubric.objects.filter(pk__in={row["rubric"] for row in sums if row["rubric"]})
    return ReachPage(
        forms=[
            Under(str(f), f.guidelines_version, f.created_at, _gathered(sums, "form", f.pk, versions)) for f in forms
        ],
        rubrics=[Under(str(r), None, r.created_at, _gathered(sums, "rubric", r.pk, versions)) for r in rubrics],
        raters=_raters(project),
    )


def _sums(work: QuerySet[VersionWork], *by: str) -> list[dict[str, Any]]:
    """Rows are counted at least: one may rest on people's work and on a judge's, and is one row all the same."""
    return list(work.order_by().values(*by).annotate(rows=Max("rows"), judgements=Sum("judgements")))


def _gathered(sums: Sequence[dict[str, Any]], key: str, pk: int, versions: dict[int, DatasetVersion]) -> list[Reached]:
    mine: dict[int, tuple[int, int]] = {}
    for row in sums:
        if row[key] == pk:
            rows, judgements = mine.get(row["version"], (0, 0))
            mine[row["version"]] = max(rows, row["rows"]), judgements + row["judgements"]
    return [_reached(versions[v], *mine[v], True) for v in sorted(mine, reverse=True)]


def _reached(
    version: DatasetVersion, rows: int, judgements: int, counted: bool, decided: tuple[int, int] = (0, 0)
) -> Reached:
    """`decided` are (rows that a rater decided without judging them, decisions)."""
    rows += decided[0]
    of = sum(file.rows for file in version.files.all())
    rows = min(rows, of) if of else rows
    return Reached(version, rows, judgements, decided[1], of, counted, list(version.reward_models.all()))


def _versions(ids: set[int]) -> QuerySet[DatasetVersion]:
    found = DatasetVersion.objects.filter(pk__in=ids).select_related("dataset").defer("card", "statistics", "recipe")
    return found.prefetch_related("files", "reward_models")


# A version that counted nobody's judgements when it was built: those that its comparisons had by then are told.
_BY_DATES: Final = """
    SELECT v.id, count(DISTINCT r.id), count(*)
    FROM (SELECT comparison_id, submitted_at FROM annotate_judgement
          WHERE rater_id = %(rater)s AND current LIMIT %(most)s) AS j
    JOIN curation_datasetrow AS r ON r.comparison_id = j.comparison_id
    JOIN curation_datasetversion AS v ON v.id = r.version_id AND v.status = 'ready' AND v.created_at > j.submitted_at
    WHERE NOT EXISTS (SELECT 1 FROM curation_versioncontribution AS c WHERE c.version_id = v.id)
    GROUP BY v.id
"""
_UNCOUNTED: Final = """
    SELECT 1 FROM curation_datasetversion AS v JOIN curation_dataset AS d ON d.id = v.dataset_id
    WHERE d.project_id = %(project)s AND v.status = 'ready'
      AND NOT EXISTS (SELECT 1 FROM curation_versioncontribution AS c WHERE c.version_id = v.id) LIMIT 1
"""


def _by_dates(rater: Rater) -> dict[int, tuple[int, int]]:
    """{version: (rows, judgements)} of the versions that counted nobody's."""
    with connection.cursor() as cursor:
        cursor.execute(_UNCOUNTED, {"project": rater.project_id})
        if cursor.fetchone() is None:
            return {}
        cursor.execute(_BY_DATES, {"rater": rater.pk, "most": MOST})
        return {version: (rows, judgements) for version, rows, judgements in cursor.fetchall()}


_DECIDED: Final = """
    SELECT r.version_id, count(*) FILTER (WHERE NOT EXISTS (
        SELECT 1 FROM annotate_judgement AS j WHERE j.comparison_id = a.comparison_id AND j.rater_id = %(rater)s
    )), count(*)
    FROM annotate_adjudication AS a
    JOIN annotate_comparison AS c ON c.id = a.comparison_id AND c.project_id = %(project)s
    JOIN curation_datasetrow AS r ON r.comparison_id = a.comparison_id AND r.lineage->>'adjudication' = a.id::text
    JOIN curation_datasetversion AS v ON v.id = r.version_id AND v.status = 'ready'
    WHERE a.rater_id = %(rater)s OR a.by_id = %(user)s GROUP BY r.version_id
"""


def _decided(rater: Rater) -> dict[int, tuple[int, int]]:
    """{version: (rows that they decided and did not judge, rows that they decided)}"""
    with connection.cursor() as cursor:
        cursor.execute(_DECIDED, {"rater": rater.pk, "user": rater.user_id, "project": rater.project_id})
        return {version: (rows, decisions) for version, rows, decisions in cursor.fetchall()}


def _raters(project: Project) -> list[RaterLine]:
    found = VersionContribution.objects.filter(version__dataset__project=project, version__status="ready")
    sums = (
        found.order_by().values("rater").annotate(versions=Count("pk"), rows=Sum("rows"), judgements=Sum("judgements"))
    )
    most = list(sums.order_by("-rows", "rater")[:RATERS])
    raters = Rater.objects.in_bulk([row["rater"] for row in most])
    return [RaterLine(raters[row["rater"]], row["versions"], row["rows"], row["judgements"]) for row in most]

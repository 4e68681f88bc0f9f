"""Lanes: which comparisons ask the same of a rater and come from the same part of a project.

A comparison's skills and language are its lane's. The part, its stratum, is made of the values of the metadata keys
that the form mixes by, where its ordering is "mixed": a number of more than a dozen values becomes three thirds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from django.db import connection, transaction
from django.db.models import Max

from annotate.models import Form, Lane
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.core.models import record

from .projects import current_form

MAX_LANES: Final = 200
MAX_VALUES: Final = 12  # of a number, before it becomes thirds
POSITION: Final = 2**40  # a place in the order of import is an id divided by this: exact, rising and below 1


class Asks(NamedTuple):
    """What a lane asks of a rater, and which part it holds."""

    skills: tuple[str, ...] = ()
    language: str = ""
    stratum: str = ""


NOTHING: Final = Asks()


def numbers_of(project: Project, wanted: Iterable[Asks]) -> dict[Asks, int]:
    """The lanes' numbers; new ones are made while there is room for them: what is missing had none.

    The caller holds the project's row.
    """
    wanted = dict.fromkeys(wanted)
    if set(wanted) <= {NOTHING}:
        return {NOTHING: 0}
    known = {Asks(tuple(lane.skills), lane.language, lane.stratum): lane.number for lane in _lanes(project)}
    new = [asks for asks in wanted if asks != NOTHING and asks not in known][: max(MAX_LANES - len(known), 0)]
    number = max(known.values(), default=0)
    rows = [Lane(project=project, number=number + n, **asks._asdict()) for n, asks in enumerate(new, 1)]
    Lane.objects.bulk_create(rows)
    return {NOTHING: 0} | known | {asks: row.number for asks, row in zip(new, rows, strict=True)}


def rearrange(project: Project, *, by: Any = None) -> int:
    """Put every comparison into the lane and at the place that the current form asks for; returns how many moved.

    Skills and languages stay. One UPDATE of what moves; meanwhile nobody is given that. Locks the project's row, then
    those of the comparisons in the order of their ids. Raises Invalid for `mix_by` where it makes too many strata.
    """
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        form = current_form(project)
        keys = form.mix_by if form.ordering == Form.Ordering.MIXED else []
        stratum, params = _stratum(project, keys)
        asked = _asked(project, stratum, params)
        if len(asked) > MAX_LANES:
            raise Invalid(
                f"{', '.join(keys)}: at most {MAX_LANES} different values can be mixed, together with skills and "
                f"languages; there are {len(asked):,}.",
                field="mix_by",
                code="too_many_lanes",
            )
        numbers_of_all = _renewed(project, asked)
        moved = _move(project, form, stratum, params)
        Lane.objects.filter(project=project).exclude(number__in=numbers_of_all).delete()
        if moved:
            record("queue.rearranged", project, by=by, project=project, moved=moved, lanes=len(asked))
    return moved


def positions(count: int) -> list[float]:
    """Places in the order of import for the next `count` comparisons of a project whose row the caller holds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM annotate_comparison_id_seq")
        ((last,),) = cursor.fetchall()
    return [(last + n) / POSITION for n in range(1, count + 1)]


def _lanes(project: Project) -> list[Lane]:
    return list(Lane.objects.filter(project=project))


def _renewed(project: Project, asked: set[Asks]) -> set[int]:
    """The numbers of the lanes that are asked for. A freed number is not given anew: a claim may still know it."""
    known = {Asks(tuple(lane.skills), lane.language, lane.stratum): lane.number for lane in _lanes(project)}
    new = sorted(asked - {NOTHING} - set(known))
    top = Lane.objects.filter(project=project).aggregate(top=Max("number"))["top"] or 0
    Lane.objects.bulk_create(Lane(project=project, number=top + n, **asks._asdict()) for n, asks in enumerate(new, 1))
    return {number for asks, number in known.items() if asks in asked} | set(range(top + 1, top + len(new) + 1))


def _stratum(project: Project, keys: list[str]) -> tuple[str, dict[str, Any]]:
    """The SQL that names a comparison's stratum by its metadata, and its parameters."""
    if not keys:
        return "''", {}
    parts, params = [], dict[str, Any]()
    for n, key in enumerate(keys):
        params[f"key{n}"] = key
        value = f"c.metadata ->> %(key{n})s"
        if thirds := _thirds(project, key):
            params |= {f"low{n}": thirds[0], f"high{n}": thirds[1]}
            params |= {f"few{n}": f"{key} ≤ {thirds[0]}", f"many{n}": f"{key} > {thirds[1]}"}
            params[f"middle{n}"] = f"{thirds[0]} < {key} ≤ {thirds[1]}"
            value = f"""CASE WHEN jsonb_typeof(c.metadata -> %(key{n})s) = 'number' THEN CASE
                WHEN ({value})::numeric <= %(low{n})s THEN %(few{n})s
                WHEN ({value})::numeric <= %(high{n})s THEN %(middle{n})s ELSE %(many{n})s END
                ELSE {value} END"""
        parts.append(f"NULLIF({value}, '')")
    return f"left(concat_ws(' · ', {', '.join(parts)}), 200)", params


def _thirds(project: Project, key: str) -> list[Any]:
    """Where a number's lower and middle third end; [] where it has few values, or is none."""
    with connection.cursor() as cursor:
        cursor.execute(THIRDS, {"project": project.pk, "key": key})
        ((values, thirds),) = cursor.fetchall()
    return list(thirds) if values > MAX_VALUES else []


def _asked(project: Project, stratum: str, params: dict[str, Any]) -> set[Asks]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT skills, language, stratum FROM ({PLACED.format(stratum)}) AS placed",  # noqa: S608 -- ours
            {**params, "project": project.pk},
        )
        return {Asks(tuple(skills), language, part) for skills, language, part in cursor.fetchall()} - {NOTHING}


def _move(project: Project, form: Form, stratum: str, params: dict[str, Any]) -> int:
    place = IN_ORDER if form.ordering == Form.Ordering.SEQUENCE else BY_CHANCE
    with connection.cursor() as cursor:
        cursor.execute(MOVE.format(placed=PLACED.format(stratum), place=place), {**params, "project": project.pk})
        moved: int = cursor.rowcount
    return moved


THIRDS: Final = """
SELECT count(DISTINCT c.metadata -> %(key)s),
    percentile_disc(ARRAY[1/3::float8, 2/3::float8]) WITHIN GROUP (ORDER BY (c.metadata ->> %(key)s)::numeric)
FROM annotate_comparison AS c
WHERE c.project_id = %(project)s AND jsonb_typeof(c.metadata -> %(key)s) = 'number'
"""
PLACED: Final = """
SELECT c.id, c.external_id, COALESCE(l.skills, '{{}}') AS skills, COALESCE(l.language, '') AS language, {} AS stratum
FROM annotate_comparison AS c
LEFT JOIN annotate_lane AS l ON l.project_id = c.project_id AND l.number = c.lane
WHERE c.project_id = %(project)s
"""
IN_ORDER: Final = f"placed.id / {POSITION}.0::float8"
# As formats.bits() has it, but for the last digit.
BY_CHANCE: Final = """(('x' || left(encode(sha256(convert_to(placed.external_id, 'UTF8')), 'hex'), 13))::bit(52)::bigint
    / 4503599627370496.0::float8)"""
# What stands where it should is not written: two places of the same row differ by far more than the tolerance.
MOVE: Final = """
WITH placed AS ({placed}), moved AS MATERIALIZED (
    SELECT c.id, COALESCE(l.number, 0) AS lane, {place} AS place
    FROM annotate_comparison AS c
    JOIN placed ON placed.id = c.id
    LEFT JOIN annotate_lane AS l ON l.project_id = c.project_id
        AND l.skills = placed.skills AND l.language = placed.language AND l.stratum = placed.stratum
    WHERE c.project_id = %(project)s
        AND (c.lane <> COALESCE(l.number, 0) OR abs(c.shuffle - {place}) > 1e-9)
    ORDER BY c.id FOR NO KEY UPDATE OF c
)
UPDATE annotate_comparison AS c SET lane = moved.lane, shuffle = moved.place FROM moved WHERE moved.id = c.id
"""

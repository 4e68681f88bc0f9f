"""Who may do what, at every address: a matrix made from the URLconf, so that no route is without a row.

The table itself stands in tests/access.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest
from django.urls import get_resolver

from annotate.models import Assignment
from tests import build
from tests.access import (
    ADDRESSES,
    ANONYMOUS,
    BY_ANY_METHOD,
    CAST,
    ELSEWHERE,
    FULL,
    NARROW,
    OK,
    OUTSIDER,
    ROLES,
    ROUTES,
    SIGN_IN,
    TABLE,
    Row,
    Stage,
    World,
    judge_body,
    nothing,
    outcome,
    send,
    walk,
)
from tiebreak.accounts.models import Membership, Scope, User
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import NotFound
from tiebreak.runs.models import Run

pytestmark = pytest.mark.django_db
by_row = pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.route}-{row.method}")


def test_every_route_has_a_row() -> None:
    without = sorted(set(ROUTES) - {row.route for row in TABLE})
    assert not without, (
        f"No row for {', '.join(without)}: add Row(route, method, expected, args, body, scopes) for each of "
        "its methods to PAGES or ADDRESSES in tests/access.py, saying who may and who may not."
    )
    gone = sorted({row.route for row in TABLE} - set(ROUTES))
    assert not gone, f"Rows of routes that are no more: {', '.join(gone)}. Take them out."


def test_two_routes_never_share_a_name() -> None:
    names = [name for name, _ in walk(get_resolver().url_patterns)]
    assert len(names) == len(set(names))


@by_row
def test_each_gets_what_the_table_says(stage: Stage, row: Row) -> None:
    told: dict[str, str] = {}
    for actor in CAST:
        if actor == NARROW:
            continue  # every scope has its turn below
        told[actor] = outcome(send(stage, actor, row))
    assert told == {actor: row.expected[actor] for actor in told}


@pytest.mark.parametrize("row", [r for r in ADDRESSES if r.scopes is not None], ids=lambda r: f"{r.route}-{r.method}")
def test_a_token_opens_what_its_scopes_name_and_nothing_else(stage: Stage, row: Row) -> None:
    told = {scope: outcome(send(stage, scope, row)) for scope in Scope.values}
    assert told == {scope: OK if scope in (row.scopes or ()) else row.expected[NARROW] for scope in Scope.values}


@pytest.mark.parametrize("route", [route for route in ROUTES if route not in BY_ANY_METHOD])
def test_a_method_that_the_table_does_not_name_does_nothing(stage: Stage, route: str) -> None:
    rows = [row for row in TABLE if row.route == route]
    named = {row.method for row in rows} | ({"HEAD"} if any(row.method == "GET" for row in rows) else set())
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"} - named:
        for actor in (ANONYMOUS, OUTSIDER, Role.OWNER, FULL):
            found = outcome(send(stage, actor, rows[0], method=method))
            assert found in ("405", "401", "404", SIGN_IN), (method, actor, found)


# The border between projects


def _crossings(row: Row, stage: Stage) -> Iterator[dict[str, Any]]:
    """Its address with every part that names something of ours replaced by theirs: all of them, and one by one."""
    ours, theirs = row.args(stage.mine), row.args(stage.theirs)
    differing = [name for name in ours if ours[name] != theirs[name]]
    if differing:
        yield theirs
    if len(differing) > 1:
        yield from (ours | {name: theirs[name]} for name in differing)


# A new dataset's name is no object; where an answer leads is looked at by `compare`.
NAMES_NOTHING: Final = {"api-build", "answer-GET"}
CROSSED: Final = [
    row for row in TABLE if row.args is not nothing and not {row.route, f"{row.route}-{row.method}"} & NAMES_NOTHING
]


@pytest.mark.parametrize("row", CROSSED, ids=lambda row: f"{row.route}-{row.method}")
def test_what_belongs_to_another_project_does_not_exist(stage: Stage, row: Row) -> None:
    actors = (*ROLES, FULL) if row.route.startswith("api") else ROLES
    for args in _crossings(row, stage):
        for actor in actors:
            response = send(stage, actor, row, args)
            found = outcome(response)
            # 403 before anything is looked up tells nothing: it is this caller's own role in their own project.
            own = args.get("slug") == stage.mine.slug and row.expected.get(actor) == "403"
            assert found == ("403" if own else "404"), (args, actor, found)
            assert b"theirs is ill" not in response.body


UNKNOWN: Final = "nobody-knows-it"
NAMED: Final[dict[str, tuple[str, Callable[[str], dict[str, Any]], Callable[[World], str]]]] = {
    "judge": ("api-verbs", lambda n: {"kind": "judge", "params": {"judge": n}}, lambda w: w.judge.name),
    "rubrics": ("api-verbs", lambda n: {"kind": "rubrics", "params": {"judge": n}}, lambda w: w.judge.name),
    "train": ("api-verbs", lambda n: {"kind": "train", "params": {"version": n}}, lambda w: str(w.version)),
    "evaluate": ("api-verbs", lambda n: {"kind": "evaluate", "params": {"model": n}}, lambda w: w.model.name),
    "return": ("api-verbs", lambda n: {"kind": "return", "params": {"model": n}}, lambda w: w.model.name),
    "a build's project": ("api-build", lambda n: {"project": n}, lambda w: w.slug),
}


@pytest.mark.parametrize("case", NAMED)
def test_a_name_of_another_project_in_a_body_is_answered_as_one_that_does_not_exist(stage: Stage, case: str) -> None:
    route, body, name = NAMED[case]
    args = {"slug": stage.mine.slug} if route == "api-verbs" else {"name": "a-new-set"}
    row = next(row for row in TABLE if row.route == route)

    def told(name: str) -> tuple[int, str]:
        response = send(stage, Role.OWNER, row._replace(body=lambda world: body(name)), args)
        return response.status_code, response.body.decode().replace(name, "NAME")

    assert told(name(stage.theirs)) == told(f"{UNKNOWN}@1" if case == "train" else UNKNOWN)
    assert told(name(stage.theirs))[0] == 404


def test_a_dataset_of_another_project_gets_no_version_from_this_one(stage: Stage) -> None:
    row = next(row for row in TABLE if row.route == "api-build")
    response = send(stage, Role.OWNER, row, {"name": stage.theirs.version.dataset.name})
    assert response.status_code == 404


def test_a_judge_takes_no_rubric_of_another_project(stage: Stage) -> None:
    row = next(row for row in TABLE if (row.route, row.method) == ("api-judges", "POST"))
    for pk in (stage.theirs.rubric.pk, 10**9):
        body = judge_body(stage.mine) | {"kind": "rubric", "rubric": pk}
        response = send(stage, Role.OWNER, row._replace(body=partial(lambda body, world: body, body)))
        assert (response.status_code, json.loads(response.body)["field"]) == (422, "rubric")


def test_a_judge_scores_by_no_reward_model_of_another_project(stage: Stage) -> None:
    from curation.handlers.backends import judge_of

    foreign = {"reward_model": stage.theirs.model.name}
    judge = build.make_judge(stage.mine.project, "by-theirs", kind="reward-model", backend="", config=foreign)
    with pytest.raises(NotFound, match="no reward model"):
        judge_of(judge)


@pytest.mark.parametrize("route", ["api-runs-list", "api-datasets-list", "api-reward-models-list", "api-projects-list"])
def test_a_list_holds_nothing_of_another_project(stage: Stage, route: str) -> None:
    row = next(row for row in TABLE if row.route == route)
    for actor in (*ROLES, FULL, ELSEWHERE):
        told = send(stage, actor, row).body.decode()
        assert "theirs" not in told
        assert actor != ELSEWHERE or "mine" not in told
    response = send(stage, Role.OWNER, row._replace(query=f"project={stage.theirs.slug}"))
    assert "theirs" not in response.body.decode()


def test_who_has_left_sees_no_more_of_it_not_even_their_own_runs(stage: Stage) -> None:
    Run.objects.filter(pk=stage.mine.failed.pk).update(created_by=stage.mine.user(Role.CURATOR))
    rows = [row for row in TABLE if row.route in ("api-runs-detail", "api-rejects", "run", "api-runs-retry")]
    assert [outcome(send(stage, Role.CURATOR, row)) for row in rows] == [OK] * len(rows)
    stage.mine.member(Role.CURATOR).delete()
    assert [outcome(send(stage, Role.CURATOR, row)) for row in rows] == ["404"] * len(rows)


def test_a_role_that_may_not_annotate_any_more_answers_nothing_that_it_holds(stage: Stage) -> None:
    Membership.objects.filter(project=stage.mine.project, user=stage.mine.user(Role.ANNOTATOR)).update(role="viewer")
    for route in ("answer", "skip", "draft", "submit", "assignments/<int:pk>/skip", "assignments/<int:pk>/draft"):
        row = next(row for row in TABLE if route in row.route and row.method == "POST")
        assert outcome(send(stage, Role.ANNOTATOR, row)) in ("403", "404"), row.route
    assert Assignment.objects.get(pk=stage.mine.assignment.pk).status == "leased"


def test_a_person_who_was_deactivated_is_nobody(stage: Stage) -> None:
    User.objects.filter(pk=stage.mine.user(Role.OWNER).pk).update(is_active=False)
    pages, addresses = (next(row for row in TABLE if row.route == route) for route in ("project", "api-comparisons"))
    assert outcome(send(stage, Role.OWNER, pages)) == SIGN_IN
    assert [outcome(send(stage, actor, addresses)) for actor in (Role.OWNER, FULL)] == ["401", "401"]


def test_metrics_are_for_staff_and_name_no_project(stage: Stage) -> None:
    User.objects.filter(pk=stage.mine.user(Role.OWNER).pk).update(is_staff=True)
    row = next(row for row in TABLE if row.route == "metrics")
    told = {actor: send(stage, actor, row) for actor in (Role.OWNER, FULL, "revoked token", "expired token")}
    assert [outcome(response) for response in told.values()] == [OK, OK, "401", "401"]
    assert b"mine" not in told[FULL].body

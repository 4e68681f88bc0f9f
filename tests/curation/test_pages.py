"""The curator's pages: who may open them, what they show, and in how many queries."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from annotate.models import Comparison, Form, Judge, Judgement, Rater, Rubric
from curation.models import DatasetVersion, VersionFile
from tests import build
from tiebreak.accounts import services as accounts
from tiebreak.accounts.models import ApiToken, Membership, Project, User
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Conflict, Invalid, NotAllowed, NotFound
from tiebreak.core.models import Event
from tiebreak.runs import store
from tiebreak.runs.models import Run

pytestmark = pytest.mark.django_db


class World:
    """A project in which everything has happened once, and `n` times what comes in numbers."""

    def __init__(self, n: int = 3) -> None:
        self.project = build.make_project(overlap=2)
        self.owner = build.make_member(self.project, Role.OWNER)
        self.judge = build.make_judge(self.project, price_prompt=Decimal("0.5"))
        self.rubric = build.make_rubric(self.project, criteria=n)
        aggregation = build.make_aggregation(self.project)
        self.comparisons = []
        for i in range(n):
            comparison = build.make_comparison(self.project, prompt=f"Which of the two is greater, {i} or {i + 1}?")
            build.make_judgements(comparison, "AB")
            build.make_call(self.judge, comparison, -1)
            build.make_call(self.judge, comparison, None, repeat=1, reason="prose")
            build.make_consensus(aggregation, comparison, (0.7, 0.1, 0.2))
            build.make_routing(comparison)
            build.make_policy(self.project, name=f"policy-{i}")
            build.make_noise(comparison)
            self.comparisons.append(comparison)
        for rater in self.project.raters.all():
            build.make_skill(aggregation, rater)
        self.version = build.make_version(self.project, self.comparisons)
        self.model = build.make_model(self.version, self.comparisons)
        for position, comparison in enumerate(self.comparisons):
            build.make_withdrawal(comparison, version=self.version, position=position)
        self.runs = [build.make_run(self.project, status="failed") for _ in range(n)]
        for _ in range(n):
            build.make_rubric(self.project)
            build.make_member(self.project)
            build.make_token(self.owner, "curate")


ROUTES: dict[str, Callable[[World], list[Any]]] = {
    "project": lambda world: [],
    "comparisons": lambda world: [],
    "comparison": lambda world: [world.comparisons[0].pk],
    "reviews": lambda world: [],
    "flags": lambda world: [],
    "noise": lambda world: [],
    "agreement": lambda world: [],
    "planner": lambda world: [],
    "raters": lambda world: [],
    "judges": lambda world: [],
    "routing": lambda world: [],
    "rubrics": lambda world: [],
    "datasets": lambda world: [],
    "dataset": lambda world: [world.version.dataset.name],
    "version": lambda world: [world.version.dataset.name, world.version.number],
    "origins": lambda world: [],
    "version-rows": lambda world: [world.version.dataset.name, world.version.number],
    "version-row": lambda world: [
        world.version.dataset.name,
        world.version.number,
        world.comparisons[0].external_id,
    ],
    "withdrawals": lambda world: [],
    "dropped": lambda world: [world.version.dataset.name, world.version.number],
    "difference": lambda world: [world.version.dataset.name, world.version.number, world.version.number],
    "models": lambda world: [],
    "model": lambda world: [world.model.name],
    "runs": lambda world: [],
    "run": lambda world: [world.runs[0].pk],
    "members": lambda world: [],
}
LISTS = [
    "project",
    "comparisons",
    "reviews",
    "flags",
    "noise",
    "agreement",
    "planner",
    "raters",
    "judges",
    "routing",
    "rubrics",
    "datasets",
    "origins",
    "withdrawals",
    "models",
    "runs",
    "members",
]


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def url(world: World, route: str) -> str:
    return reverse(route, args=[world.project.slug, *ROUTES[route](world)])


@pytest.mark.parametrize("route", ROUTES)
def test_a_page_opens_for_those_who_may_read_and_hides_from_all_others(route: str) -> None:
    world = World(1)
    statuses = {
        Role.OWNER: 200,
        Role.CURATOR: 200,
        Role.VIEWER: 200,
        Role.ADJUDICATOR: 403,  # reads through the queue of disputes
        Role.ANNOTATOR: 403,  # sees nothing of what others said
    }
    for role, status in statuses.items():
        assert signed_in(build.make_member(world.project, role)).get(url(world, route)).status_code == status, role
    outsider = build.make_project(owner=build.make_user()).members.get().user
    assert signed_in(outsider).get(url(world, route)).status_code == 404
    anonymous = Client().get(url(world, route))
    assert anonymous.status_code == 302
    assert anonymous["Location"].startswith("/sign-in/")


@pytest.mark.parametrize("route", [r for r in ROUTES if r not in LISTS])
def test_a_row_of_another_project_does_not_exist_here(route: str) -> None:
    mine, theirs = World(1), World(1)
    address = reverse(route, args=[mine.project.slug, *ROUTES[route](theirs)])
    assert signed_in(mine.owner).get(address).status_code == 404


@pytest.mark.parametrize("route", LISTS)
def test_an_empty_project_says_what_to_do_next(route: str) -> None:
    project = build.make_project(owner=build.make_user())
    response = signed_in(project.members.get().user).get(reverse(route, args=[project.slug]))
    assert response.status_code == 200
    if route not in ("members", "planner"):  # the planner plans for a project that is empty yet
        assert 'class="empty"' in response.content.decode()


@pytest.mark.parametrize("route", [*ROUTES])
def test_the_number_of_queries_does_not_grow_with_the_rows(route: str) -> None:
    def queries(n: int) -> int:
        world = World(n)
        client = signed_in(world.owner)
        client.get(url(world, route))  # what is cached is cached
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url(world, route)).status_code == 200
        return len(captured)

    few, many = queries(2), queries(20)
    assert many <= few
    assert many <= 20  # session, user, membership and the project switcher among them


@pytest.mark.parametrize(
    ("route", "args", "field"),
    [
        ("start", ["aggregate"], {}),
        ("judge-create", [], {"name": "x"}),
        ("build", [], {"name": "x"}),
        ("member-set", [], {"username": "x"}),
    ],
)
def test_a_change_is_refused_to_a_viewer_and_unknown_to_an_outsider(
    route: str, args: list[str], field: dict[str, str]
) -> None:
    project = build.make_project()
    address = reverse(route, args=[project.slug, *args])
    assert signed_in(build.make_member(project, Role.VIEWER)).post(address, field).status_code == 403
    assert signed_in(build.make_user()).post(address, field).status_code == 404
    assert signed_in(build.make_member(project, Role.OWNER)).get(address).status_code == 405


# Project home


def test_the_home_names_what_needs_a_person_now() -> None:
    world = World(1)
    Comparison.objects.filter(pk=world.comparisons[0].pk).update(status="disputed")
    build.make_comparison(world.project, returned_because="m1 is sure of the other side")
    stuck = build.make_run(world.project, status="queued", wakes=3, woken_at=timezone.now())
    Run.objects.filter(pk=stuck.pk).update(created_at=timezone.now() - timedelta(minutes=5))
    page = signed_in(world.owner).get(reverse("project", args=[world.project.slug])).content.decode()
    for words in (
        "1 disputed comparison", "1 unreadable verdict", "no worker reachable", "manage.py up", "no such column",
        "1 comparison sent back", "is a draft",
    ):  # fmt: skip
        assert words in page, words


def test_a_run_that_has_just_been_queued_is_not_called_stuck() -> None:
    world = World(1)
    build.make_run(world.project, status="queued", wakes=1)
    page = signed_in(world.owner).get(reverse("project", args=[world.project.slug])).content.decode()
    assert "no worker reachable" not in page


def test_judges_are_measured_on_audited_comparisons_with_a_majority_only() -> None:
    from curation.services.reading import sides

    project = build.make_project(overlap=3)
    judge = build.make_judge(project)

    def compared(letters: str, verdict: int, *, audit: bool) -> None:
        comparison = build.make_comparison(project)
        build.make_judgements(comparison, letters)
        build.make_judgement(comparison, judge.rater, verdict)
        build.make_routing(comparison, audit=audit)

    compared("AAB", -2, audit=True)  # people A, judge A: right
    compared("BBB", 1, audit=True)  # right
    compared("AAT", 0, audit=True)  # people A, judge a tie: a miss
    compared("AB", -1, audit=True)  # people tied: does not count
    compared("AAA", 3, audit=False)  # not drawn for the audit: a miss only without `audit`
    audited = sides.accuracy(project, audit=True)[judge.rater.pk]
    assert (audited.value, audited.n) == (2 / 3, 3)
    everywhere = sides.accuracy(project)[judge.rater.pk]
    assert (everywhere.value, everywhere.n) == (2 / 4, 4)


def test_a_judge_is_consistent_where_both_orders_name_the_same_side() -> None:
    from curation.services.reading import sides

    project = build.make_project()
    judge = build.make_judge(project)
    for ab, ba in ((-1, -3), (1, -1), (0, 0), (1, None)):  # same, other, same; the last was not readable in ba
        comparison = build.make_comparison(project)
        build.make_judgement(comparison, judge.rater, ab, order="ab")
        unparsed = {} if ba is not None else {"unparsed_because": "prose"}
        build.make_judgement(comparison, judge.rater, ba, order="ba", repeat=1, **unparsed)
    consistency = sides.consistency(project)[judge.rater.pk]
    assert (consistency.value, consistency.n) == (2 / 3, 3)


def test_starting_a_verb_leads_to_its_run_and_a_wrong_parameter_starts_nothing() -> None:
    world = World(1)
    client = signed_in(world.owner)
    before = Run.objects.count()
    response = client.post(
        reverse("start", args=[world.project.slug, "route"]), {"budget": "7", "policy": "uncertainty"}
    )
    run = Run.objects.latest("id")
    assert response["Location"] == reverse("run", args=[world.project.slug, run.pk])
    assert (run.kind, run.params["budget"], run.created_by) == ("route", 7, world.owner)
    response = client.post(
        reverse("start", args=[world.project.slug, "route"]), {"budget": "-7", "back": "//evil.example/"}, follow=True
    )
    assert response.redirect_chain == [(reverse("project", args=[world.project.slug]), 302)]
    assert "budget" in response.content.decode()
    assert Run.objects.count() == before + 1


# Comparisons


def test_filters_find_by_name_and_what_is_unknown_is_said() -> None:
    world = World(3)
    client = signed_in(world.owner)
    first = world.comparisons[0]
    Comparison.objects.filter(pk=first.pk).update(
        status="disputed", returned_because="m1 disagrees", group="g1", priority=1,
        metadata={"source": "forum: a", "turns": 2, "checked": True},
    )  # fmt: skip
    lone = build.make_comparison(world.project, "lonely", prompt="Nobody has seen this")
    address = reverse("comparisons", args=[world.project.slug])
    rater = Rater.objects.get(project=world.project, name="r1")
    for query, expected in (
        ({}, 4),
        ({"status": "disputed"}, 1),
        ({"route": "human"}, 4),
        ({"q": "0 OR 1"}, 1),
        ({"q": "lonely"}, 1),
        ({"group": "g1"}, 1),
        ({"priority": "1"}, 1),
        ({"priority": "0"}, 3),
        ({"facet": "source:forum: a"}, 1),
        ({"facet": "turns:2"}, 1),
        ({"facet": "checked:true"}, 1),
        ({"facet": "turns:3"}, 0),
        ({"q": "nobody HAS", "priority": "0", "status": "open"}, 1),
        ({"returned": "on"}, 1),
        ({"disagreement": "high"}, 3),
        ({"disagreement": "unknown"}, 1),
        ({"noise": "ask_people"}, 3),
        ({"unparsed": "on"}, 3),
        ({"rater": rater.pk}, 3),
        ({"status": "disputed", "disagreement": "unknown"}, 0),
    ):
        response = client.get(address, query)
        assert len(response.context["page"].rows) == expected, query
    response = client.get(address, {"status": "nonsense"})
    assert "Select a valid choice" in response.content.decode()
    assert str(lone.external_id) in client.get(address, headers={"HX-Request": "true"}).content.decode()


def test_pages_of_a_list_go_forth_and_back_without_losing_or_repeating_a_row() -> None:
    from curation.services.reading.paging import Cursor, page_of

    project = build.make_project()
    pks = [build.make_comparison(project).pk for _ in range(7)]
    rows = Comparison.objects.filter(project=project)

    def page(cursor: Cursor, **options: Any) -> Any:
        return page_of(rows, cursor, make=lambda row: row.pk, size=3, **options)

    first = page(Cursor())
    second = page(Cursor(after=first.next))
    third = page(Cursor(after=second.next))
    assert [first.rows, second.rows, third.rows] == [pks[:3], pks[3:6], pks[6:]]
    assert (first.previous, third.next, first.count) == (None, None, 7)
    assert page(Cursor(before=third.previous)) == second
    assert page(Cursor(before=second.previous)).rows == pks[:3]
    assert page(Cursor(before=second.previous)).previous is None
    assert page(Cursor(), newest_first=True).rows == pks[:-4:-1]


def test_a_comparison_tells_its_whole_life() -> None:
    world = World(1)
    comparison = world.comparisons[0]
    Judgement.objects.filter(comparison=comparison, rater__name="r1").update(justification="A adds <up> right.")
    page = signed_in(world.owner).get(url(world, "comparison")).content.decode()
    for words in (
        "A adds &lt;up&gt; right.", "A +1", "B +1", "unreadable", "prose", "Raw output", "the judge is unsure",
        "people disagree", "train", world.version.dataset.name + "@1", "margin", world.model.name,
    ):  # fmt: skip
        assert words in page, words


# Raters, judges, rubrics


def test_pausing_gives_the_lease_back_and_leaves_an_event() -> None:
    from annotate.services import raters

    project = build.make_project(owner=build.make_user())
    owner = project.members.get().user
    rater = build.make_rater(project, user=build.make_member(project))
    address = reverse("rater-pause", args=[project.slug, rater.pk])
    client = signed_in(owner)
    assert client.post(address, {"because": ""}).status_code == 302
    rater.refresh_from_db()
    assert rater.paused_at is None  # a reason is wanted
    client.post(address, {"because": "answers faster than one can read"})
    rater.refresh_from_db()
    assert rater.paused_because == "answers faster than one can read"
    assert Event.objects.get(verb="rater.paused").actor == owner
    client.post(reverse("rater-resume", args=[project.slug, rater.pk]))
    rater.refresh_from_db()
    assert (rater.paused_at, rater.paused_because) == (None, "")
    with pytest.raises(Conflict):
        raters.resume(rater, by=owner)
    with pytest.raises(NotAllowed):
        raters.pause(rater, by=build.make_member(project, Role.VIEWER), because="why not")


JUDGE = {
    "name": "gpt", "kind": "pairwise", "backend": "openai", "model": "gpt-x", "base_url": "https://api.example.com/v1",
    "api_key_env": "OPENAI_API_KEY", "price_prompt": "0.15", "price_completion": "0.6",
}  # fmt: skip


def test_a_judge_is_made_with_its_rater_and_its_next_one_is_a_new_version() -> None:
    project = build.make_project(owner=build.make_user())
    client = signed_in(project.members.get().user)
    address = reverse("judge-create", args=[project.slug])
    for _ in range(2):
        assert client.post(address, JUDGE).status_code == 302
    assert [str(judge) for judge in Judge.objects.order_by("version")] == ["gpt v1", "gpt v2"]
    assert set(Rater.objects.values_list("name", "kind")) == {("gpt v1", "judge"), ("gpt v2", "judge")}
    assert Event.objects.filter(verb="judge.created").count() == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_url", "http://169.254.169.254/latest"),  # the cloud's metadata
        ("base_url", "file:///etc/passwd"),
        ("api_key_env", "SECRET_KEY"),  # it would be sent to the address above
        ("kind", "oracle"),
        ("model", ""),
    ],
)
def test_a_judge_that_must_not_be_is_refused_beside_the_field(field: str, value: str) -> None:
    project = build.make_project(owner=build.make_user())
    response = signed_in(project.members.get().user).post(
        reverse("judge-create", args=[project.slug]), JUDGE | {field: value}
    )
    assert response.status_code == 422
    assert response.context["form"].errors[field]
    assert not Judge.objects.exists()


def test_a_rubric_is_approved_by_name_shown_on_a_new_form_and_retired_only_when_hidden() -> None:
    project = build.make_project(owner=build.make_user())
    owner = project.members.get().user
    rubric = build.make_rubric(project)
    client = signed_in(owner)

    def act(action: str) -> str:
        address = reverse("rubric-action", args=[project.slug, rubric.pk, action])
        page = client.post(address, follow=True).content.decode()
        rubric.refresh_from_db()
        return page

    assert "approve it" in act("show")  # a draft is not shown
    act("approve")
    assert (rubric.status, rubric.approved_by) == ("approved", owner)
    assert Event.objects.filter(verb="rubric.approved", actor=owner).count() == 1
    act("show")
    assert Form.objects.get(project=project, current=True).rubric == rubric
    assert "Annotators see this rubric now" in act("retire")
    act("hide")
    act("retire")
    assert rubric.status == Rubric.Status.RETIRED
    assert Form.objects.get(project=project, current=True).number == 3
    assert client.post(reverse("rubric-action", args=[project.slug, rubric.pk, "burn"])).status_code == 404


# Datasets


def test_a_version_counts_what_changed_and_serves_its_files_to_readers() -> None:
    world = World(2)
    later = build.make_version(world.project, world.comparisons[:1], name=world.version.dataset.name)
    client = signed_in(build.make_member(world.project, Role.VIEWER))
    response = client.get(reverse("version", args=[world.project.slug, later.dataset.name, later.number]))
    assert [row for row in response.context["page"].splits if row[0] == "train"] == [("train", 1, -1)]
    assert "load_dataset(" in response.content.decode()
    address = reverse("version-file", args=[world.project.slug, later.dataset.name, later.number, "train.parquet"])
    assert b"".join(client.get(address, headers={"Range": "bytes=0-3"}).streaming_content) == b"PAR1"  # type: ignore[attr-defined]
    assert Event.objects.filter(verb="dataset.download").count() == 1


def test_a_version_is_loaded_with_every_file_of_a_split_and_without_rows_that_have_no_side() -> None:
    """A mapping's later key would win: the last of three files, or the ties, in place of the split."""
    world = World(1)
    version = DatasetVersion.objects.create(
        dataset=world.version.dataset, number=2, recipe={"ties": "keep"}, recipe_sha256="1" * 64
    )
    for name in ("train-1.parquet", "train-2.parquet", "train.undecided.parquet", "test.parquet"):
        split, content = name.partition(".")[0].partition("-")[0], store.put(name.encode(), "application/octet-stream")
        VersionFile.objects.create(
            version=version, name=name, split=split, rows=1, undecided="undecided" in name, artifact=content
        )
    address = reverse("version", args=[world.project.slug, version.dataset.name, 2])
    page = signed_in(world.owner).get(address)
    assert page.context["page"].pairs == [("train", ["train-1.parquet", "train-2.parquet"])]
    shown = page.content.decode().partition("data_files=")[2].partition("</pre>")[0]
    assert shown.count("train&quot;:") + shown.count('"train":') == 1
    assert shown.index("train-1.parquet") < shown.index("train-2.parquet")
    assert "undecided" not in shown
    assert "test.parquet" not in shown


def test_datasets_lead_to_the_recipe_whether_there_are_any_or_not() -> None:
    world = World(1)
    address, editor = (reverse(name, args=[world.project.slug]) for name in ("datasets", "recipe"))
    assert f'href="{editor}"' in signed_in(world.owner).get(address).content.decode()
    empty = build.make_project()
    page = signed_in(build.make_member(empty, Role.CURATOR)).get(reverse("datasets", args=[empty.slug]))
    assert f'href="{reverse("recipe", args=[empty.slug])}"' in page.content.decode()


# Runs


def test_a_running_run_is_polled_and_an_ended_one_is_not() -> None:
    world = World(1)
    client = signed_in(world.owner)
    run = build.make_run(world.project, status="running", done=3, total=12, note="asking judge v1")
    address = reverse("run", args=[world.project.slug, run.pk])
    fragment = client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert 'hx-trigger="every 2s"' in fragment
    assert "<html" not in fragment
    assert "25%" in fragment
    client.post(reverse("run-cancel", args=[world.project.slug, run.pk]))
    run.refresh_from_db()
    assert run.cancel_requested_at is not None
    failed = client.get(url(world, "run")).content.decode()
    assert "every 2s" not in failed
    assert "no such column" in failed
    client.post(reverse("run-retry", args=[world.project.slug, world.runs[0].pk]))
    world.runs[0].refresh_from_db()
    assert world.runs[0].status == "queued"


# Members


def test_an_owner_sets_roles_and_the_last_owner_stays() -> None:
    project = build.make_project(owner=build.make_user("ann"))
    ann, bo = project.members.get().user, build.make_user("bo")
    client = signed_in(ann)
    address = reverse("member-set", args=[project.slug])
    assert client.post(address, {"username": "bo", "role": "curator"}).status_code == 302
    assert project.role_of(bo) == Role.CURATOR
    event = Event.objects.get(verb="member.role_set")
    assert (event.actor, event.data["before"], event.data["after"]) == (ann, None, "curator")
    assert client.post(address, {"username": "ghost", "role": "curator"}).status_code == 422
    assert client.post(address, {"username": "ann", "role": "viewer"}).status_code == 422
    assert project.role_of(ann) == Role.OWNER
    with pytest.raises(Conflict, match="last owner"):
        accounts.remove_member(Membership.objects.get(user=ann), by=ann)
    client.post(reverse("member-remove", args=[project.slug, Membership.objects.get(user=bo).pk]))
    assert project.role_of(bo) is None
    assert Event.objects.filter(verb="member.removed", actor=ann).count() == 1


def test_a_curator_cannot_make_anybody_an_owner() -> None:
    project = build.make_project(owner=build.make_user())
    curator = build.make_member(project, Role.CURATOR)
    with pytest.raises(NotAllowed):
        accounts.set_role(project, curator.username, Role.OWNER, by=curator)
    assert project.role_of(curator) == Role.CURATOR


# Tokens


def test_a_token_is_shown_once_works_and_stops_when_revoked() -> None:
    user = build.make_user()
    project = build.make_project(owner=user)
    client = signed_in(user)
    given = {"name": "gpu-3", "scopes": ["train", "export"], "project": project.pk, "days": 30}
    response = client.post(reverse("tokens"), given)
    secret = response.context["secret"]
    assert secret in response.content.decode()
    assert "no-store" in response["Cache-Control"]
    token = ApiToken.find(secret)
    assert token is not None
    assert (token.scopes, token.project) == (["export", "train"], project)
    assert secret not in client.get(reverse("tokens")).content.decode()
    client.post(reverse("token-revoke", args=[token.pk]))
    assert ApiToken.find(secret) is None
    assert list(Event.objects.filter(verb__startswith="token").values_list("verb", flat=True).order_by("id")) == [
        "token.created",
        "token.revoked",
    ]


def test_a_token_is_bound_to_what_its_owner_has() -> None:
    user, other = build.make_user(), build.make_user()
    theirs = build.make_project(owner=other)
    with pytest.raises(NotFound):
        accounts.create_token(user, "x", ["curate"], days=1, project=theirs)
    for scopes, days, field in ((["root"], 1, "scopes"), ([], 1, "scopes"), (["train"], 4000, "days")):
        with pytest.raises(Invalid) as refusal:
            accounts.create_token(user, "x", scopes, days=days)
        assert refusal.value.params["field"] == field
    token = accounts.create_token(other, "x", ["train"], days=1)[0]
    assert signed_in(user).post(reverse("token-revoke", args=[token.pk])).status_code == 404
    assert Client().get(reverse("tokens")).status_code == 302
    assert Project.objects.filter(pk=theirs.pk).exists()


def test_the_last_owner_who_may_not_leave_is_told_on_the_page_of_members(client: Client) -> None:
    project = build.make_project()
    client.force_login(build.make_member(project, Role.OWNER))
    answer = client.post(reverse("member-remove", args=[project.slug, project.members.get().pk]))
    assert answer.headers["Location"] == reverse("members", args=[project.slug])


@pytest.mark.parametrize(("role", "page"), [(Role.VIEWER, "project"), (Role.ANNOTATOR, "compare")])
def test_the_switcher_leads_to_a_page_that_the_role_may_open(client: Client, role: Role, page: str) -> None:
    project, other = build.make_project(), build.make_project()
    user = build.make_member(project, role)
    build.make_member(project, Role.OWNER)
    Membership.objects.create(project=other, user=user, role=Role.OWNER)
    client.force_login(user)
    menu = client.get(reverse("home")).text.partition('class="switcher"')[2].partition("</details>")[0]
    hrefs = re.findall(r'href="([^"]*)"', menu)
    assert sorted(hrefs) == sorted([reverse(page, args=[project.slug]), reverse("project", args=[other.slug])])

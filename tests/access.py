"""The world and the table of test_access: who sends a request, to which address, and what they must get.

One project with its people and one foreign project are made once; what a request does is undone after it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import uuid4

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from annotate.models import Adjudication, Assignment, Flag, Form, Rater, Review, Session, Trial
from curation.models import NoiseTreatment, VersionTag
from tests import build
from tests.editor import posted
from tiebreak.accounts.models import ApiToken, Membership, Project, Scope, User
from tiebreak.accounts.roles import Role
from tiebreak.runs import store
from tiebreak.runs.models import RunArtifact

# The world


class World:
    """A project in which everything exists once, under names that `tag` makes different from another world's."""

    def __init__(self, tag: str) -> None:
        self.slug = f"{tag}-project"
        self.project = build.make_project(self.slug, overlap=3)
        for role in Role.values:
            build.make_member(self.project, role, name=f"{tag}-{role}")
        comparison = build.make_comparison(self.project, f"{tag}/c1")
        second = build.make_comparison(self.project, f"{tag}/c2")
        build.make_judgements(comparison, "AB")
        judge = build.make_judge(self.project, f"{tag}-judge")
        build.make_call(judge, comparison, -1)
        aggregation = build.make_aggregation(self.project)
        build.make_consensus(aggregation, comparison, (0.7, 0.1, 0.2))
        self.version = build.make_version(self.project, [comparison], name=f"{tag}-set")
        VersionTag.objects.create(dataset=self.version.dataset, version=self.version, name="prod")
        self.model = build.make_model(self.version, [comparison], name=f"{tag}-model")
        self.comparison, self.judge = comparison, judge
        self.rater = build.make_rater(self.project, f"{tag}-rater")
        self.paused = build.make_rater(
            self.project, f"{tag}-paused", paused_at=timezone.now(), paused_because=f"{tag} is ill"
        )
        self.set = build.make_evaluation_set(self.project, f"{tag}-benchmark")
        self.rubric = build.make_rubric(self.project, name=f"{tag}-rubric")
        self.image = build.make_image(self.project)
        self.queued = build.make_run(self.project)
        self.failed = build.make_run(self.project, status="failed")
        self.file = f"{tag}.jsonl"
        for name in (self.file, "rejects.jsonl"):
            artifact = store.put(f"{tag} {name}".encode(), "application/x-ndjson")
            RunArtifact.objects.create(run=self.failed, artifact=artifact, name=name)
        self.assignment = Assignment.objects.create(
            comparison=comparison,
            rater=Rater.objects.create(
                project=self.project, kind="annotator", name=f"{tag}-annotator", user=self.user("annotator")
            ),
            order="ab",
            form=Form.objects.get(project=self.project),
            expires_at=timezone.now() + timedelta(hours=1),
        )
        annotator, form = self.assignment.rater, self.assignment.form
        self.judgement = build.make_judgement(second, annotator, 1, form=form, submitted_at=timezone.now())
        self.session = Session.objects.create(rater=self.assignment.rater)
        self.trial = Trial.objects.create(
            rater=self.assignment.rater,
            kind="practice",
            position=1,
            comparison=build.make_comparison(self.project, f"{tag}/gold", gold=-1, gold_because="It is right."),
            form=self.assignment.form,
            order="ab",
        )
        mine = self.assignment.rater
        self.flag = Flag.objects.create(comparison=comparison, rater=mine, kind="broken")
        third = build.make_comparison(self.project, f"{tag}/c3")
        said = build.make_judgement(third, mine, 1)
        self.decision = Adjudication.objects.create(
            comparison=third, preference=1, reason=f"{tag} is right", by=self.user("owner")
        )
        self.returned = Review.objects.create(
            judgement=said, verdict="returned", reason=f"{tag} asks why", by=self.user("curator")
        )
        self.policy = build.make_policy(self.project, name=f"{tag}-policy")
        self.overridden = build.make_routing(second, policy="by hand", overridden_by=self.user("curator"))
        build.make_noise(comparison)
        self.treatment = NoiseTreatment.objects.create(project=self.project, policy={"person": "keep"})
        self.token = ApiToken.objects.get(prefix=build.make_token(self.user("owner"), "curate").split("_")[1])

    def user(self, role: str) -> User:
        return self.project.members.get(role=role).user

    def member(self, role: str) -> Membership:
        return self.project.members.get(role=role)


# The cast: what each sends with a request.

ANONYMOUS, OUTSIDER = "anonymous", "outsider"
ROLES: Final = tuple(str(role) for role in Role.values)
DEAD: Final = ("revoked token", "expired token")
NARROW, ELSEWHERE, FULL = "token of wrong scope", "token bound to another project", "full token"
TOKENS: Final = (*DEAD, NARROW, ELSEWHERE, FULL)
CAST: Final = (ANONYMOUS, OUTSIDER, *ROLES, *TOKENS)


@dataclass
class Stage:
    mine: World
    theirs: World
    cookies: dict[str, str] = field(default_factory=dict)
    bearers: dict[tuple[str, str], str] = field(default_factory=dict)
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def send(self, actor: str, holder: str, method: str, url: str, headers: Mapping[str, str], **sent: Any) -> Any:
        """One request of an actor, undone afterwards; `holder` is the role whose tokens are used.

        One client serves them all: each new one loads every middleware again.
        """
        self.client.cookies.clear()
        if actor in self.cookies:
            self.client.cookies[settings.SESSION_COOKIE_NAME] = self.cookies[actor]
        elif actor != ANONYMOUS:
            headers = {"Authorization": f"Bearer {self.bearers[actor, holder]}", **headers}
        with transaction.atomic():
            response = getattr(self.client, method.lower())(url, headers=headers, **sent)
            if response.streaming:
                response.body = response.getvalue()  # reads to the end, which closes the file
            else:
                response.body = response.content
            transaction.set_rollback(True)
        return response


def session_of(user: User) -> str:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return str(session.session_key)


def tokens_of(user: User, elsewhere: Project) -> Iterator[tuple[str, str]]:
    every = list(Scope.values)
    yield FULL, build.make_token(user, *every)
    yield ELSEWHERE, build.make_token(user, *every, project=elsewhere)
    for scope in every:
        yield scope, build.make_token(user, scope)
    yield "expired token", build.make_token(user, *every, days=-1)
    revoked = build.make_token(user, *every)
    ApiToken.objects.filter(prefix=revoked.split("_")[1]).update(revoked_at=timezone.now())
    yield "revoked token", revoked


def make_stage() -> Stage:
    """Both worlds, and what each of the cast sends. All members are in a third project too, where tokens are bound."""
    made = Stage(World("mine"), World("theirs"))
    elsewhere = build.make_project("elsewhere")
    for role in ROLES:
        user = made.mine.user(role)
        Membership.objects.create(project=elsewhere, user=user, role=role)
        made.cookies[role] = session_of(user)
        made.bearers |= {(name, role): text for name, text in tokens_of(user, elsewhere)}
    made.cookies[OUTSIDER] = session_of(made.theirs.user(Role.OWNER))
    return made


# What comes of a request

OK, SIGN_IN = "ok", "sign in"


def outcome(response: Any) -> str:
    """`ok`, `sign in` or the status."""
    code = response.status_code
    if code in (301, 302, 303) and response["Location"].startswith("/sign-in/"):
        return SIGN_IN
    return OK if code < 400 else str(code)


Expected = dict[str, str]


def expect(default: str = "404", **by_actor: str) -> dict[str, str]:
    """An outcome for each of the cast."""
    return {actor: by_actor.get(actor, default) for actor in CAST}


def page(outsider: str = "404", **roles: str) -> Expected:
    """A page: tokens are nobody there; who is not named may."""
    told = {role: roles.get(role, OK) for role in ROLES}
    return expect(SIGN_IN) | {OUTSIDER: outsider} | told


def api(outsider: str = "404", elsewhere: str = "404", **roles: str) -> Expected:
    """An address of the API: dead tokens and nobody are 401, the wrong scope is 403; who is not named may."""
    told = {role: roles.get(role, OK) for role in ROLES}
    nobody = {ANONYMOUS: "401"} | dict.fromkeys(DEAD, "401")
    return nobody | {OUTSIDER: outsider, NARROW: "403", ELSEWHERE: elsewhere, FULL: OK} | told


EVERYBODY: Final = expect(OK)
NOBODY: Final = expect("404")
MEMBERS: Final = page()
READ: Final = page(annotator="403", adjudicator="403")
CURATE: Final = page(annotator="403", adjudicator="403", viewer="403")
MANAGE: Final = CURATE | {Role.CURATOR: "403"}
ANNOTATE: Final = page(viewer="403")
ADJUDICATE: Final = page(annotator="403", viewer="403")
SIGNED_IN: Final = page(outsider=OK)
MAKERS: Final = page(outsider=OK, annotator="403", adjudicator="403", viewer="403")
HOLDER: Final = expect(SIGN_IN) | dict.fromkeys((OUTSIDER, *ROLES), "404")
MINE: Final = HOLDER | {Role.OWNER: OK}
ASSIGNED: Final = HOLDER | {Role.ANNOTATOR: OK}

API_SIGNED_IN: Final = api(outsider=OK, elsewhere=OK)
API_MEMBERS: Final = api()
API_READ: Final = api(annotator="403", adjudicator="403")
API_CURATE: Final = api(annotator="403", adjudicator="403", viewer="403")
API_MANAGE: Final = API_CURATE | {Role.CURATOR: "403"}
API_ANNOTATE: Final = api(viewer="403")
API_ADJUDICATE: Final = api(annotator="403", viewer="403")
# Rows that have no project in their address do not exist for whoever may not read them.
API_FOUND: Final = api(annotator="404", adjudicator="404")
API_FOUND_CURATE: Final = API_FOUND | {Role.VIEWER: "403"}
API_ASSIGNED: Final = api() | dict.fromkeys(ROLES, "404") | {Role.ANNOTATOR: OK}

READERS: Final = {Scope.CURATE, Scope.EXPORT}
STARTERS: Final = {Scope.IMPORT, Scope.CURATE, Scope.JUDGE, Scope.TRAIN}
DATA: Final = {Scope.EXPORT, Scope.TRAIN, Scope.CURATE}
EVERY: Final = set(Scope.values)

# The table

Args = Callable[[World], dict[str, Any]]
Body = Callable[[World], Mapping[str, Any]]


def nothing(world: World) -> dict[str, Any]:
    return {}


class Row(NamedTuple):
    """A method of a route: who gets what, and how the address is filled in."""

    route: str
    method: str
    expected: Expected
    args: Args = nothing
    body: Body = nothing
    scopes: Collection[str] | None = None
    query: str = ""
    holder: str = Role.OWNER
    headers: Callable[[], dict[str, str]] = dict


def slug(world: World) -> dict[str, Any]:
    return {"slug": world.slug}


def within(**args: Callable[[World], Any]) -> Callable[[World], dict[str, Any]]:
    return lambda world: slug(world) | {name: value(world) for name, value in args.items()}


def alone(**args: Callable[[World], Any]) -> Callable[[World], dict[str, Any]]:
    return lambda world: {name: value(world) for name, value in args.items()}


def version_args(filename: str = "") -> dict[str, Callable[[World], Any]]:
    args: dict[str, Callable[[World], Any]] = {
        "name": lambda w: w.version.dataset.name,
        "number": lambda w: w.version.number,
    }
    return args | ({"filename": lambda w: filename} if filename else {})


def constant(value: Any) -> Callable[[World], Any]:
    return lambda world: value


def answer_key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


def _answer(world: World) -> dict[str, Any]:
    return {"choice": -1, "key": str(uuid4())}


def judge_body(world: World) -> dict[str, Any]:
    return {
        "name": "second", "kind": "pairwise", "model": "m", "base_url": "https://judge.example.com/v1",
        "price_prompt": "0", "price_completion": "0",
    }  # fmt: skip


def policy_body(world: World) -> dict[str, Any]:
    return {"name": "newest", "kind": "uncertainty", "audit": 0.1, "exploration": 0.1}


def noise_body(world: World) -> dict[str, Any]:
    rule = {"methods": ["consensus-entropy"], "action": "soften", "at_least": 0.9}
    return {"policy": {"rules": [rule]}}


def withdrawal_body(world: World) -> dict[str, Any]:
    return {"comparison": world.comparison.external_id, "reason": "its author asks"}


def doubt_body(world: World) -> dict[str, Any]:
    return {"comparison": world.comparison.external_id, "action": "keep"}


def policy(w: World) -> int:
    return w.policy.pk


def _override(world: World) -> dict[str, Any]:
    return {"comparison": world.comparison.external_id, "to": "people", "because": "so"}


def _row(world: World) -> dict[str, Any]:
    return {"rows": [{"id": "new", "prompt": "p", "completion_a": "a", "completion_b": "b"}]}


def _decision(world: World) -> dict[str, Any]:
    return {"comparison": world.comparison.pk, "preference": -1, "reason": "so"}


def _resolution(world: World) -> dict[str, Any]:
    return {"resolution": "done"}


def _token(world: World) -> dict[str, Any]:
    return {"name": "mine", "scopes": ["annotate"], "days": 3}


def assignment(w: World) -> int:
    return w.assignment.pk


def judgement(w: World) -> int:
    return w.judgement.pk


def comparison(w: World) -> int:
    return w.comparison.pk


def anothers(w: World) -> int:
    return w.comparison.judgements.earliest("pk").pk


def failed(w: World) -> int:
    return w.failed.pk


def queued(w: World) -> int:
    return w.queued.pk


PAGES: Final = [
    Row("login", "GET", EVERYBODY),
    Row("login", "POST", EVERYBODY),
    Row("logout", "POST", expect(SIGN_IN)),
    Row("language", "POST", EVERYBODY),
    Row("healthz", "GET", EVERYBODY),
    Row("readyz", "GET", EVERYBODY),
    Row("metrics", "GET", expect("401")),  # for staff, and none of the cast is
    Row("home", "GET", SIGNED_IN),
    Row("new-project", "GET", MAKERS),
    Row("new-project", "POST", MAKERS, body=lambda w: {"name": "Newest", "preset": "code"}),
    Row("form", "GET", READ, slug),
    Row("form", "POST", CURATE, slug, lambda w: posted(Form.objects.get(project=w.project), levels=2)),
    Row("form-preview", "POST", CURATE, slug, lambda w: posted(Form.objects.get(project=w.project), levels=2)),
    Row("form-versions", "GET", READ, slug),
    Row("duplicate", "GET", CURATE, slug),
    Row("duplicate", "POST", CURATE, slug, lambda w: {"name": "Copy", "slug": "the-copy", "comparisons": "on"}),
    Row("import", "GET", CURATE, slug),
    Row("import", "POST", CURATE, slug, lambda w: {"format": "rows", "file": SimpleUploadedFile("x.jsonl", b"{}")}),
    Row("compare", "GET", ANNOTATE, slug),
    Row("images", "GET", READ, slug),
    Row("images", "POST", CURATE, slug, lambda w: {"image": SimpleUploadedFile("p.png", build.PIXEL)}),
    Row("images-fetch", "POST", CURATE, slug),
    Row("image", "GET", MEMBERS, within(pk=lambda w: w.image.pk)),
    Row("answer", "GET", page(outsider=OK), within(pk=assignment)),  # looks at nothing: leads to `compare`
    Row("answer", "POST", ASSIGNED, within(pk=assignment), _answer),
    Row("skip", "POST", ASSIGNED, within(pk=assignment), lambda w: {"skip_reason": "too long"}),
    Row("draft", "POST", ASSIGNED, within(pk=assignment), _answer),
    Row("ahead", "POST", ANNOTATE, slug),
    Row("pause", "POST", ANNOTATE, slug),
    Row("flag", "POST", ASSIGNED, within(pk=assignment), lambda w: {"kind": "broken"}),
    Row("comment", "POST", ASSIGNED, within(pk=assignment), lambda w: {"text": "odd"}),
    Row("previous", "GET", ANNOTATE, slug),
    Row("revise", "GET", ASSIGNED, within(pk=judgement)),
    Row("revise", "POST", ASSIGNED, within(pk=judgement), _answer),
    Row("guidelines", "GET", MEMBERS, slug),
    Row("guidelines", "POST", ANNOTATE, slug, lambda w: {"version": 1}),
    Row("keys", "GET", SIGNED_IN),
    Row("keys", "POST", SIGNED_IN, body=lambda w: {"diff": "w"}),
    Row("practice", "GET", ANNOTATE, slug),
    Row("practice", "POST", ANNOTATE, slug),
    Row("qualification", "GET", ANNOTATE, slug),
    Row("qualification", "POST", ANNOTATE, slug),
    Row("trial", "GET", ASSIGNED, within(pk=lambda w: w.trial.pk)),
    Row("trial", "POST", ASSIGNED, within(pk=lambda w: w.trial.pk), _answer),
    Row("session", "GET", ASSIGNED, within(pk=lambda w: w.session.pk)),
    Row("mine", "GET", ANNOTATE, slug),
    Row("project", "GET", READ, slug),
    Row("start", "POST", CURATE, within(verb=constant("aggregate"))),
    Row("comparisons", "GET", READ, slug),
    Row("comparison", "GET", READ, within(pk=lambda w: w.comparison.pk)),
    Row("reviews", "GET", READ, slug),
    Row("review", "GET", READ, within(pk=anothers)),
    Row("review", "POST", CURATE, within(pk=anothers), lambda w: {"verdict": "accepted"}),
    Row("flags", "GET", READ, slug),
    Row("noise", "GET", READ, slug),
    Row("noise-treat", "POST", CURATE, slug, lambda w: {"policy": "{}"}),
    Row("noise-undo", "POST", CURATE, within(pk=lambda w: w.treatment.pk)),
    Row("noise-decide", "POST", CURATE, within(pk=lambda w: w.comparison.pk), lambda w: {"action": "keep"}),
    Row("agreement", "GET", READ, slug),
    Row("planner", "GET", READ, slug),
    Row("raters", "GET", READ, slug),
    Row("rater", "GET", READ, within(pk=lambda w: w.rater.pk)),
    Row("rater-message", "POST", CURATE, within(pk=lambda w: w.rater.pk), lambda w: {"text": "Hello."}),
    Row("rater-requalify", "POST", CURATE, within(pk=lambda w: w.rater.pk)),
    Row("rater-excuse", "POST", CURATE, within(pk=lambda w: w.rater.pk)),
    Row("rater-measure", "POST", CURATE, within(pk=lambda w: w.rater.pk), lambda w: {"since": "now"}),
    Row("rater-equip", "POST", CURATE, within(pk=lambda w: w.rater.pk), lambda w: {"skills": "law"}),
    Row("rater-pause", "POST", CURATE, within(pk=lambda w: w.rater.pk), lambda w: {"because": "away"}),
    Row("rater-resume", "POST", CURATE, within(pk=lambda w: w.paused.pk)),
    Row("judges", "GET", READ, slug),
    Row("judge-create", "POST", CURATE, slug, judge_body),
    Row("routing", "GET", READ, slug),
    Row("routing-policy-check", "POST", CURATE, slug, policy_body),
    Row("routing-policy-create", "POST", CURATE, slug, policy_body),
    Row("routing-policy-activate", "POST", CURATE, within(pk=policy), lambda w: {"share": "50", "unsimulated": "on"}),
    Row("routing-policy-retire", "POST", CURATE, within(pk=policy)),
    Row("routing-policy-simulate", "POST", CURATE, within(pk=policy)),
    Row("routing-settings", "POST", CURATE, slug, lambda w: {"hourly_rate": "20", "currency": "EUR"}),
    Row("routing-grant", "POST", CURATE, slug, lambda w: {"money": "5"}),
    Row("routing-trust", "POST", CURATE, slug, lambda w: {"trust": "on", "because": "a rehearsal"}),
    Row("routing-override", "POST", CURATE, within(pk=comparison), lambda w: {"to": "people", "because": "so"}),
    Row("routing-lift", "POST", CURATE, within(pk=lambda w: w.overridden.pk)),
    Row("rubrics", "GET", READ, slug),
    Row("rubric-write", "POST", CURATE, slug, lambda w: {"name": "Tone", "criteria": "Is polite."}),
    Row("rubric-action", "POST", CURATE, within(pk=lambda w: w.rubric.pk, action=constant("approve"))),
    Row("datasets", "GET", READ, slug),
    Row("recipe", "GET", READ, slug),
    Row("recipe", "POST", READ, slug),
    Row("recipe-count", "POST", CURATE, slug),
    Row("build", "POST", CURATE, slug, lambda w: {"name": "a-new-set"}),
    Row("dataset", "GET", READ, within(name=lambda w: w.version.dataset.name)),
    Row("version", "GET", READ, within(**version_args())),
    Row("dropped", "GET", READ, within(**version_args())),
    Row("origins", "GET", READ, slug),
    Row("version-rows", "GET", READ, within(**version_args())),
    Row("version-row", "GET", READ, within(**version_args(), external_id=lambda w: w.comparison.external_id)),
    Row("version-tag", "POST", CURATE, within(**version_args()), lambda w: {"tag": "prod"}),
    Row("version-untag", "POST", CURATE, within(**version_args()), lambda w: {"tag": "prod"}),
    Row("version-note", "POST", CURATE, within(**version_args()), lambda w: {"text": "so"}),
    Row("difference", "GET", READ, within(**version_args(), since=lambda w: w.version.number)),
    Row("difference-rows", "GET", READ, within(**version_args(), since=lambda w: w.version.number)),
    Row("versions-compare", "GET", READ, within(name=lambda w: w.version.dataset.name), query="from=1&to=1"),
    Row("version-file", "GET", READ, within(**version_args("train.parquet"))),
    Row("evaluation-sets", "GET", READ, slug),
    Row(
        "evaluation-set-add", "POST", CURATE, slug, lambda w: {"name": "new", "file": SimpleUploadedFile("x.txt", b"q")}
    ),
    Row("evaluation-set-remove", "POST", CURATE, within(name=lambda w: w.set.name)),
    Row("models", "GET", READ, slug),
    Row("model", "GET", READ, within(name=lambda w: w.model.name)),
    Row("withdrawals", "GET", READ, slug),
    Row("rater-withdraw", "GET", MANAGE, within(pk=lambda w: w.rater.pk)),
    Row("rater-withdraw", "POST", MANAGE, within(pk=lambda w: w.rater.pk), lambda w: {"reason": "they ask"}),
    Row("comparison-withdraw", "GET", MANAGE, within(pk=lambda w: w.comparison.pk)),
    Row("comparison-withdraw", "POST", MANAGE, within(pk=lambda w: w.comparison.pk), lambda w: {"reason": "so"}),
    Row("runs", "GET", READ, slug),
    Row("run", "GET", READ, within(pk=failed)),
    Row("run-cancel", "POST", CURATE, within(pk=queued)),
    Row("run-retry", "POST", CURATE, within(pk=failed)),
    Row("run-file", "GET", READ, within(pk=failed, name=lambda w: w.file)),
    Row("members", "GET", READ, slug),
    Row("member-set", "POST", MANAGE, slug, lambda w: {"username": f"{w.slug[:-8]}-viewer", "role": "curator"}),
    Row("member-remove", "POST", MANAGE, within(pk=lambda w: w.member("viewer").pk)),
    Row("adjudicate", "GET", ADJUDICATE, slug),
    Row("adjudicate-one", "GET", ADJUDICATE, within(pk=comparison)),
    Row("adjudicate-one", "POST", ADJUDICATE, within(pk=comparison), lambda w: {"choice": "-1", "reason": "so"}),
    Row("adjudicate-pass", "POST", ADJUDICATE, within(pk=comparison)),
    Row("adjudicate-reopen", "POST", ADJUDICATE, within(pk=comparison)),
    Row("adjudicate-comment", "POST", ADJUDICATE, within(pk=comparison), lambda w: {"text": "hm"}),
    Row("adjudicate-withdraw", "POST", CURATE, within(pk=comparison), lambda w: {"reason": "spam"}),
    Row("review-judgement", "POST", ADJUDICATE, within(pk=anothers), lambda w: {"verdict": "accepted"}),
    Row("flag-resolve", "POST", ADJUDICATE, within(pk=lambda w: w.flag.pk), lambda w: {"resolution": "done"}),
    Row("inbox", "GET", SIGNED_IN),
    Row("inbox", "POST", SIGNED_IN, body=lambda w: {"all": "1"}),
    Row("explain", "POST", ASSIGNED, alone(pk=lambda w: w.returned.pk), lambda w: {"text": "because"}),
    Row("tokens", "GET", SIGNED_IN),
    Row("tokens", "POST", SIGNED_IN, body=_token),
    Row("token-revoke", "POST", MINE, alone(pk=lambda w: w.token.pk)),
]

EXTERNAL: Final = within(external_id=lambda w: w.comparison.external_id)
TAG: Final = alone(name=lambda w: w.version.dataset.name, tag=lambda w: "prod")
MODEL: Final = alone(name=lambda w: w.model.name)
SCORED: Final = {"rows": [{"prompt": "p", "completion": "c"}]}

ADDRESSES: Final = [
    Row("schema", "GET", EVERYBODY | dict.fromkeys(DEAD, "401")),
    Row("docs", "GET", EVERYBODY | dict.fromkeys(DEAD, "401")),
    Row("api/", "GET", NOBODY),
    Row("api-token", "GET", API_SIGNED_IN | dict.fromkeys((OUTSIDER, *ROLES), "404"), scopes=EVERY),
    Row("api-projects-list", "GET", API_SIGNED_IN, scopes=EVERY),
    Row("api-projects-detail", "GET", API_MEMBERS, slug, scopes=EVERY),
    Row("api-imports", "POST", API_CURATE, slug, _row, {Scope.IMPORT, Scope.CURATE}),
    Row("api-images", "GET", API_READ, slug, scopes=READERS | {Scope.IMPORT}),
    Row("api-image", "GET", API_MEMBERS, within(pk=lambda w: w.image.pk),
        scopes=READERS | {Scope.IMPORT, Scope.ANNOTATE}),
    Row("api-images", "POST", API_CURATE, slug, lambda w: {"image/png": build.PIXEL.decode("latin-1")},
        {Scope.IMPORT, Scope.CURATE}),
    Row("api-comparisons", "GET", API_READ, slug, scopes=READERS),
    Row("api-comparison", "GET", API_READ, EXTERNAL, scopes=READERS),
    Row("api-judgements", "GET", API_READ, slug, scopes=READERS),
    Row("api-project-rows", "GET", API_READ, slug, scopes=READERS),
    Row("api-disputed", "GET", API_ADJUDICATE, slug, scopes={Scope.CURATE}),
    Row("api-adjudications", "GET", API_READ, slug, scopes={Scope.CURATE}),
    Row("api-adjudications", "POST", API_ADJUDICATE, slug, _decision, {Scope.CURATE}),
    Row("api-adjudication-undo", "POST", API_ADJUDICATE, within(pk=lambda w: w.decision.pk), scopes={Scope.CURATE}),
    Row("api-flags", "GET", API_READ, slug, scopes={Scope.CURATE}),
    Row("api-flag-resolve", "POST", API_CURATE, within(pk=lambda w: w.flag.pk), _resolution, {Scope.CURATE}),
    Row("api-runs-list", "GET", API_SIGNED_IN, scopes=STARTERS),
    Row("api-runs-detail", "GET", API_FOUND, alone(pk=failed), scopes=STARTERS),
    Row("api-runs-cancel", "POST", API_FOUND_CURATE, alone(pk=queued), scopes={Scope.CURATE}),
    Row("api-runs-retry", "POST", API_FOUND_CURATE, alone(pk=failed), scopes={Scope.CURATE}),
    Row("api-rejects", "GET", API_FOUND, alone(pk=failed), scopes={Scope.IMPORT, Scope.CURATE}),
    Row("api/v1/projects/<slug:slug>/next/", "POST", API_ANNOTATE, slug, scopes={Scope.ANNOTATE}),
    Row("api-trial-next", "POST", API_ANNOTATE, slug, scopes={Scope.ANNOTATE}),
    Row(
        "api-trial-answer", "POST", API_ASSIGNED, alone(pk=lambda w: w.trial.pk), lambda w: {"choice": -1},
        {Scope.ANNOTATE}, holder=Role.ANNOTATOR,
    ),
    Row(
        "api/v1/assignments/<int:pk>/", "GET", API_ASSIGNED, alone(pk=assignment),
        scopes={Scope.ANNOTATE}, holder=Role.ANNOTATOR,
    ),
    Row(
        "api/v1/assignments/<int:pk>/submit/", "POST", API_ASSIGNED, alone(pk=assignment), lambda w: {"choice": -1},
        {Scope.ANNOTATE}, holder=Role.ANNOTATOR, headers=answer_key,
    ),
    Row(
        "api/v1/assignments/<int:pk>/skip/", "POST", API_ASSIGNED, alone(pk=assignment), lambda w: {"reason": "long"},
        {Scope.ANNOTATE}, holder=Role.ANNOTATOR,
    ),
    Row(
        "api/v1/assignments/<int:pk>/draft/", "POST", API_ASSIGNED, alone(pk=assignment), lambda w: {"choice": 1},
        {Scope.ANNOTATE}, holder=Role.ANNOTATOR,
    ),
    Row(
        "api/v1/assignments/<int:pk>/renew/", "POST", API_ASSIGNED, alone(pk=assignment),
        scopes={Scope.ANNOTATE}, holder=Role.ANNOTATOR,
    ),
    Row(
        "api/v1/assignments/<int:pk>/flag/", "POST", API_ASSIGNED, alone(pk=assignment), lambda w: {"kind": "broken"},
        {Scope.ANNOTATE}, holder=Role.ANNOTATOR,
    ),
    Row(
        "api/v1/assignments/<int:pk>/comment/", "POST", API_ASSIGNED, alone(pk=assignment), lambda w: {"text": "odd"},
        {Scope.ANNOTATE}, holder=Role.ANNOTATOR,
    ),
    Row(
        "api/v1/judgements/<int:pk>/revise/", "POST", API_ASSIGNED, alone(pk=judgement), lambda w: {"choice": -1},
        {Scope.ANNOTATE}, holder=Role.ANNOTATOR,
    ),
    Row("api/v1/projects/<slug:slug>/previous/", "GET", API_ANNOTATE, slug, scopes={Scope.ANNOTATE}),
    Row("api/v1/projects/<slug:slug>/session/", "GET", API_ANNOTATE, slug, scopes={Scope.ANNOTATE}),
    Row("api/v1/projects/<slug:slug>/session/", "DELETE", API_ANNOTATE, slug, scopes={Scope.ANNOTATE}),
    Row("api-build", "POST", API_CURATE, alone(name=lambda w: f"new-{w.slug}"), lambda w: {"project": w.slug},
        {Scope.CURATE}),
    Row("api-datasets-list", "GET", API_SIGNED_IN, scopes=DATA),
    Row("api-datasets-detail", "GET", API_FOUND, alone(name=lambda w: w.version.dataset.name), scopes=DATA),
    Row("api-version", "GET", API_FOUND, alone(**version_args()), scopes=DATA),
    Row("api-rows", "GET", API_FOUND, alone(**version_args()), scopes=DATA, query="split=validation"),
    Row("api-removed", "GET", API_FOUND, alone(**version_args()), scopes=DATA, query="split=validation&since=1"),
    Row("api-row", "GET", API_FOUND, alone(**version_args(), row=lambda w: w.comparison.external_id), scopes=DATA),
    Row(
        "api-difference", "GET", API_FOUND, alone(**version_args()), scopes={Scope.EXPORT, Scope.CURATE},
        query="since=1",
    ),
    Row(
        "api-difference-rows", "GET", API_FOUND, alone(**version_args()), scopes=READERS, query="since=1",
    ),
    Row("api-lineage", "GET", API_FOUND, alone(**version_args()), scopes=READERS, query="id=mine/c1"),
    Row("api-origins", "GET", API_READ, slug, scopes=READERS, query="form=1"),
    Row("api-file", "GET", API_FOUND, alone(**version_args("train.parquet")), scopes=DATA),
    Row("api-file", "HEAD", API_FOUND, alone(**version_args("train.parquet")), scopes=DATA),
    Row("api-tags", "GET", API_FOUND, alone(name=lambda w: w.version.dataset.name), scopes=DATA),
    Row("api-tag", "PUT", API_FOUND_CURATE, TAG, lambda w: {"version": "1"}, {Scope.CURATE}),
    Row("api-tag", "DELETE", API_FOUND_CURATE, TAG, scopes={Scope.CURATE}),
    Row("api-notes", "GET", API_FOUND, alone(**version_args()), scopes=DATA),
    Row("api-notes", "POST", API_FOUND_CURATE, alone(**version_args()), lambda w: {"text": "so"}, {Scope.CURATE}),
    Row("api-reward-models-list", "GET", API_SIGNED_IN, scopes=DATA),
    Row("api-reward-models-detail", "GET", API_FOUND, MODEL, scopes=DATA),
    Row("api-reward-models-score", "POST", API_FOUND_CURATE, MODEL, lambda w: SCORED, {Scope.TRAIN, Scope.CURATE}),
    Row("api-withdrawals", "GET", API_READ, slug, scopes={Scope.CURATE}),
    Row("api-withdrawals", "POST", API_MANAGE, slug, withdrawal_body, {Scope.CURATE}),
    Row("api-withdrawal-preview", "GET", API_MANAGE, slug, scopes={Scope.CURATE}, query="comparison=mine%2Fc1"),
    Row("api-verbs", "POST", API_CURATE, slug, lambda w: {"kind": "aggregate"}, {Scope.CURATE}),
    Row("api-agreement", "GET", API_READ, slug, scopes=READERS),
    Row("api-judges", "GET", API_READ, slug, scopes={Scope.CURATE}),
    Row("api-judges", "POST", API_CURATE, slug, judge_body, {Scope.CURATE}),
    Row("api-noise", "GET", API_READ, slug, scopes=READERS),
    Row("api-noise-preview", "POST", API_CURATE, slug, noise_body, {Scope.CURATE}),
    Row("api-noise-treatments", "GET", API_READ, slug, scopes={Scope.CURATE}),
    Row("api-noise-treatments", "POST", API_CURATE, slug, noise_body, {Scope.CURATE}),
    Row("api-noise-undo", "POST", API_CURATE, within(pk=lambda w: w.treatment.pk), scopes={Scope.CURATE}),
    Row("api-noise-decisions", "POST", API_CURATE, slug, doubt_body, {Scope.CURATE}),
    Row("api-policies", "GET", API_READ, slug, scopes={Scope.CURATE}),
    Row("api-policies", "POST", API_CURATE, slug, lambda w: {"name": "newest", "kind": "random"}, {Scope.CURATE}),
    Row("api-policy-activate", "POST", API_CURATE, within(pk=policy), lambda w: {"share": 0.5}, {Scope.CURATE}),
    Row("api-policy-retire", "POST", API_CURATE, within(pk=policy), scopes={Scope.CURATE}),
    Row("api-decisions", "GET", API_READ, slug, scopes={Scope.CURATE}),
    Row("api-decisions", "POST", API_CURATE, slug, _override, {Scope.CURATE}),
    Row("api-decision-lift", "POST", API_CURATE, within(pk=lambda w: w.overridden.pk), scopes={Scope.CURATE}),
    Row("api-budget", "GET", API_READ, slug, scopes={Scope.CURATE}),
    Row("api-budget", "POST", API_CURATE, slug, lambda w: {"money": "5", "hours": 1}, {Scope.CURATE}),
    Row("api-judges-on-trial", "GET", API_READ, slug, scopes={Scope.CURATE}),
    Row("api-evaluation-sets", "GET", API_READ, slug, scopes={Scope.CURATE}),
    Row("api-evaluation-sets", "POST", API_CURATE, slug, lambda w: {"name": "new", "texts": ["a question"]},
        {Scope.CURATE}),
    Row("api-evaluation-set", "DELETE", API_CURATE, within(name=lambda w: w.set.name), scopes={Scope.CURATE}),
    Row("api-rubrics", "GET", API_READ, slug, scopes={Scope.CURATE}),
    Row("api-rubric-approve", "POST", API_CURATE, within(pk=lambda w: w.rubric.pk), scopes={Scope.CURATE}),
]  # fmt: skip
TABLE: Final = PAGES + ADDRESSES
# Plain functions that look at no method; they change nothing.
BY_ANY_METHOD: Final = {"login", "healthz", "readyz", "metrics", "api/"}


# The routes, as the URLconf has them


def walk(patterns: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    """(name, or the address where it has none; the pattern)."""
    for pattern in patterns:
        address = prefix + str(pattern.pattern).strip("^$")
        if isinstance(pattern, URLResolver):
            if pattern.namespace != "admin":
                yield from walk(pattern.url_patterns, address)
        else:
            yield pattern.name or address, pattern


def address_of(route: str, args: Mapping[str, Any]) -> str:
    """The path of a route, by its name or, where it has none, by its view."""
    pattern = ROUTES[route]
    return reverse(pattern.name or pattern.callback, kwargs=dict(args))


ROUTES: Final = dict(walk(get_resolver().url_patterns))


def send(stage: Stage, actor: str, row: Row, args: Mapping[str, Any] | None = None, *, method: str = "") -> Any:
    """One request, undone afterwards."""
    url = address_of(row.route, row.args(stage.mine) if args is None else args)
    told = row.body(stage.mine)
    method = method or row.method
    sent: dict[str, Any] = {"QUERY_STRING": row.query} if row.query else {}
    if "image/png" in told:
        sent |= {"data": str(told["image/png"]).encode("latin-1", "replace"), "content_type": "image/png"}
    elif method in ("POST", "PUT", "PATCH") and url.startswith("/api/"):
        sent |= {"data": json.dumps(told), "content_type": "application/json"}
    elif method == "POST":
        sent |= {"data": told}
    return stage.send(actor, row.holder, method, url, row.headers(), **sent)

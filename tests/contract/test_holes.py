"""One test at least for each class of hole that was published for another annotation tool.

Requests to inside the network, files of the machine, stored and reflected scripts, filters that reach the ORM, a secret
that everybody knows, sign-up by anyone, unpickling, and other tenants' rows (tests/contract/test_access.py).
Redirects and names that change their address are tried in tests/tiebreak/test_egress.py.
"""

from __future__ import annotations

import ast
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest
from django.conf import settings
from django.urls import reverse

from annotate.models import Assignment, Comparison, Completion, Criterion, Judge, JudgeCall, Judgement, Rater, Rubric
from curation.models import (
    Dataset,
    DatasetVersion,
    DroppedRow,
    Evaluation,
    NoiseScore,
    RoutingDecision,
)
from tests.access import (
    FULL,
    OK,
    PAGES,
    ROUTES,
    TABLE,
    Body,
    Row,
    Stage,
    address_of,
    judge_body,
    nothing,
    outcome,
    send,
)
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role
from tiebreak.runs.models import Run

pytestmark = pytest.mark.django_db


def row_of(route: str, method: str = "POST") -> Row:
    return next(row for row in TABLE if (row.route, row.method) == (route, method))


def saying(body: dict[str, Any]) -> Body:
    return lambda world: body


# Requests to inside the network

INSIDE: Final = (
    "http://127.0.0.1:8000/v1", "https://169.254.169.254/latest", "https://[::1]/v1", "https://10.0.0.7/v1",
    "https://0x7f.1/v1", "https://2130706433/v1", "https://[::ffff:127.0.0.1]/v1", "http://judge.example.com/v1",
    "https://user:pass@judge.example.com/v1", "file:///etc/passwd", "gopher://judge.example.com/", "https://x:22/v1",
)  # fmt: skip


@pytest.mark.parametrize("url", INSIDE)
@pytest.mark.parametrize("route", ["judge-create", "api-judges"])
def test_a_judge_is_not_made_at_an_address_inside(stage: Stage, route: str, url: str) -> None:
    row = row_of(route)._replace(body=lambda world: judge_body(world) | {"base_url": url})
    assert send(stage, Role.OWNER, row).status_code == 422
    assert not Judge.objects.filter(base_url=url).exists()


@pytest.mark.parametrize("variable", ["SECRET_KEY", "DATABASE_URL", "PATH", "AWS_SECRET_ACCESS_KEY", "x_API_KEY"])
@pytest.mark.parametrize("route", ["judge-create", "api-judges"])
def test_a_judge_is_sent_no_other_variable_of_the_worker_than_a_key(stage: Stage, route: str, variable: str) -> None:
    row = row_of(route)._replace(body=lambda world: judge_body(world) | {"api_key_env": variable})
    assert send(stage, Role.OWNER, row).status_code == 422


# Files of the machine

CANARY: Final = "root:x:0:0"


def evaluate(path: str) -> dict[str, Any]:
    return {"kind": "evaluate", "params": {"model": "mine-model", "benchmark": "pairs", "path": path}}


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "file:///etc/passwd", "/proc/self/environ"])
def test_nobody_has_a_file_of_the_machine_evaluated_from_afar(stage: Stage, path: str) -> None:
    over_rest = row_of("api-verbs")._replace(body=lambda world: evaluate(path))
    for actor in (Role.OWNER, FULL):
        assert send(stage, actor, over_rest).status_code == 422
    on_a_page = row_of("start")._replace(body=lambda world: evaluate(path)["params"])
    runs = Run.objects.count()
    send(stage, Role.OWNER, on_a_page, {"slug": stage.mine.slug, "verb": "evaluate"})
    assert Run.objects.count() == runs


@pytest.mark.parametrize(
    "config",
    [
        {"encoder": "hf:/srv/models/theirs"}, {"encoder": "hf:../theirs"}, {"encoder": "hf:./theirs"},
        {"encoder": "hf:~/theirs"}, {"encoder": "hf:a/b/c"}, {"encoder": "hf:"}, {"allow_download": True},
        {"encoder": "hf:owner/name", "allow_download": True},
    ],
    ids=str,
)  # fmt: skip
def test_nobody_has_a_folder_of_the_machine_or_a_download_loaded_from_afar(
    stage: Stage, config: dict[str, Any]
) -> None:
    body = {"kind": "train", "params": {"version": str(stage.mine.version), "config": config}}
    response = send(stage, FULL, row_of("api-verbs")._replace(body=lambda world: body))
    assert response.status_code == 422, response.body


def test_training_by_a_known_encoder_still_starts_from_afar(stage: Stage) -> None:
    for config in ({}, {"encoder": "minilm"}, {"encoder": "hf:owner/name"}):
        body = {"kind": "train", "params": {"version": str(stage.mine.version), "config": config}}
        response = send(stage, FULL, row_of("api-verbs")._replace(body=saying(body)))
        assert response.status_code == 202, response.body


@pytest.mark.parametrize("source", ["/etc/passwd", "../../../../etc/passwd", "/etc/passwd\x00.jsonl", "x.parquet"])
def test_the_name_of_an_import_opens_no_file(stage: Stage, source: str) -> None:
    row = row_of("api-imports")._replace(query=urlencode({"source": source, "format": "rows"}))
    response = send(stage, FULL, row)
    assert response.status_code in (202, 422)
    assert CANARY not in response.body.decode()


UPWARDS: Final = (
    "../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "/etc/passwd", "%2e%2e/%2e%2e/etc/passwd",
    "....//....//etc/passwd", "..\\..\\etc\\passwd",
)  # fmt: skip


@pytest.mark.parametrize("name", UPWARDS)
def test_no_address_of_a_file_leads_out_of_what_is_kept(stage: Stage, name: str) -> None:
    world = stage.mine
    version = f"{world.version.dataset.name}/versions/{world.version.number}"
    roots = (
        f"/p/{world.slug}/runs/{world.failed.pk}/files/",
        f"/p/{world.slug}/datasets/{world.version.dataset.name}/{world.version.number}/files/",
        f"/api/v1/datasets/{version}/files/",
        "/static/",
    )
    for root in roots:
        response = stage.send(Role.OWNER, Role.OWNER, "GET", root + name, {})
        assert response.status_code in (400, 404), root
        assert CANARY not in response.body.decode("utf-8", "replace")


# Scripts

MARK: Final = "pwn3d"
MARKUP: Final = (
    f'"\'><script>{MARK}()</script><img src=x onerror={MARK}()><a href="javascript:{MARK}()">x</a>{{{{7*7}}}}'
)


class Scripts(HTMLParser):
    """Collects what a browser would run, or style, of its own accord."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "script" and not values.get("src", "").startswith("/static/"):
            self.found.append(f"<script {values}>")
        self.found += [f"{tag} {name}" for name in values if name.startswith("on") or name in ("style", "srcdoc")]
        for name in ("href", "src", "action", "formaction", "data", "hx-get", "hx-post"):
            if re.match(r"\s*(javascript|data|vbscript):", values.get(name, ""), re.I):
                self.found.append(f"{tag} {name}={values[name]}")
        if tag in ("iframe", "object", "embed", "base") or any(MARK in name for name in values):
            self.found.append(tag)


def scripts_in(body: bytes) -> list[str]:
    reader = Scripts()
    reader.feed(body.decode())
    return reader.found


def poison(stage: Stage) -> None:
    """Put markup into every text that somebody outside may have written."""
    world = stage.mine
    project = {"project": world.project}
    of_it = {"comparison__project": world.project}
    Project.objects.filter(pk=world.project.pk).update(name=MARKUP, description=MARKUP)
    Rater.objects.filter(**project, user=None).exclude(pk=world.rater.pk).update(paused_because=MARKUP)
    Rater.objects.filter(pk=world.rater.pk).update(name=MARKUP)
    Judge.objects.filter(**project).update(model=MARKUP[:200], base_url=MARKUP, name=MARKUP[:100], config={"x": MARKUP})
    Rubric.objects.filter(**project).update(name=MARKUP[:100], evidence={MARKUP: MARKUP})
    Criterion.objects.filter(rubric__project=world.project).update(text=MARKUP)
    Comparison.objects.filter(pk=world.comparison.pk).update(
        external_id=MARKUP, group=MARKUP, reference=MARKUP, context=MARKUP, metadata={MARKUP: MARKUP},
        returned_because=MARKUP, status="disputed",
    )  # fmt: skip
    Completion.objects.filter(prompt__project=world.project).update(
        generator=MARKUP, text=MARKUP, messages=[{"role": MARKUP, "content": MARKUP}]
    )
    prompt = world.comparison.prompt
    prompt.messages = [{"role": MARKUP, "content": MARKUP}]
    prompt.save()
    evidence = [{"side": "a", "exact": MARKUP, "start": 0, "end": 9}]
    Judgement.objects.filter(**of_it).update(
        justification=MARKUP, reasons=[MARKUP[:100]], aspects={MARKUP: 1}, evidence=evidence
    )
    JudgeCall.objects.filter(**of_it).update(raw=MARKUP, reason=MARKUP, model=MARKUP)
    Assignment.objects.filter(**of_it).update(skip_reason=MARKUP, draft={"justification": MARKUP})
    RoutingDecision.objects.create(comparison=world.comparison, policy=MARKUP[:64], route="human", reason=MARKUP)
    NoiseScore.objects.create(
        comparison=world.comparison, method=MARKUP[:64], score=0.9, decision="ask_people", cause=MARKUP
    )
    Dataset.objects.filter(**project).update(description=MARKUP, licence=MARKUP[:64])
    fresh = DatasetVersion.objects.create(
        dataset=world.version.dataset, number=9, recipe={"x": MARKUP}, recipe_sha256=MARKUP[:64]
    )
    DroppedRow.objects.create(version=fresh, comparison=world.comparison, rule=MARKUP[:64], cause=MARKUP)
    DatasetVersion.objects.filter(pk=fresh.pk).update(
        status="ready", rows_sha256="3" * 64, counts={MARKUP: 1}, dropped={MARKUP: 1}, card=MARKUP,
        statistics={
            "rows": 1,
            "sources": {MARKUP: 1},
            "bias": {"generator": [{"label": MARKUP, "value": 1, "low": 0.9, "high": 1, "n": 9, "reason": MARKUP}]},
            "cautions": [{"name": "author", "values": {"name": MARKUP, "share": MARKUP}}],
        },
        code_version=MARKUP[:64],
    )  # fmt: skip
    world.model.config, world.model.training = {MARKUP: MARKUP}, {MARKUP: MARKUP}
    world.model.save()
    Evaluation.objects.filter(reward_model=world.model).update(benchmark=MARKUP[:64])
    Run.objects.filter(**project).update(
        note=MARKUP[:200], error={"message": MARKUP}, result={MARKUP: MARKUP}, params={MARKUP: MARKUP}
    )
    User.objects.filter(memberships__project=world.project).update(first_name=MARKUP[:100], email=MARKUP[:200])
    User.objects.filter(pk=world.user(Role.VIEWER).pk).update(username=MARKUP[:150])


HTML: Final = [row for row in PAGES if row.method == "GET" and row.route not in ("healthz", "readyz", "metrics")]


SHOWING: Final = (
    "comparison", "raters", "judges", "rubrics", "home", "compare", "previous", "revise", "version-row",
)  # fmt: skip


@pytest.mark.parametrize("row", HTML, ids=lambda row: row.route)
def test_what_others_wrote_is_shown_and_never_run(stage: Stage, row: Row) -> None:
    poison(stage)
    rows = [row]
    if row.route in ("version", "dropped"):
        rows.append(row._replace(args=lambda world: row.args(world) | {"number": 9}))
    if row.route == "version-row":  # what leads to it is itself what others wrote
        rows = [row._replace(args=lambda world: row.args(world) | {"external_id": MARKUP})]
    theirs = row.route in ("compare", "previous") or row.expected[Role.OWNER] != OK  # what only its holder sees
    actor = Role.ANNOTATOR if theirs else Role.OWNER
    for asked in rows:
        response = send(stage, actor, asked)
        assert outcome(response) == OK
        if response.headers["Content-Type"].startswith("text/html"):
            assert scripts_in(response.body) == []
    if row.route in (
        "comparison",
        "raters",
        "judges",
        "rubrics",
        "home",
        "compare",
        "previous",
        "revise",
        "version-row",
    ):
        assert MARK.encode() in response.body  # it is shown


def test_the_poison_would_be_found() -> None:
    assert scripts_in(f"<p title='{MARKUP}'>{MARKUP}</p>".encode()) != []


@pytest.mark.parametrize("row", HTML, ids=lambda row: row.route)
def test_what_stands_in_the_address_is_never_run(stage: Stage, row: Row) -> None:
    names = (
        "q", "status", "route", "disagreement", "noise", "rater", "group", "after", "before", "rule", "name", "next",
        "page", "sort", "verb", "back", "error",
    )  # fmt: skip
    query = urlencode(dict.fromkeys(names, MARKUP))
    for actor in (Role.OWNER, "anonymous"):
        response = send(stage, actor, row._replace(query=query))
        assert response.status_code < 500
        if response.headers["Content-Type"].startswith("text/html"):
            assert scripts_in(response.body) == []


@pytest.mark.parametrize("path", [f"/p/{MARKUP}/", f"/{MARKUP}", f"/api/v1/{MARKUP}/", f"/p/x/models/{MARKUP}/"])
def test_an_address_that_is_not_there_is_never_run(stage: Stage, path: str) -> None:
    response = stage.send(Role.OWNER, Role.OWNER, "GET", path, {})
    assert response.status_code == 404
    assert "html" not in response["Content-Type"] or scripts_in(response.body) == []


# Filters that reach the ORM

LISTS: Final = [
    row
    for row in TABLE
    if row.method == "GET"
    and row.route
    in (
        "api-comparisons", "api-judgements", "api-runs-list", "api-projects-list", "api-datasets-list",
        "api-reward-models-list", "api-judges", "api-rubrics", "comparisons", "raters", "runs", "members", "datasets",
        "models", "judges", "rubrics",
    )
]  # fmt: skip
PROBES: Final = (
    "created_by__password__startswith", "project__members__user__password__startswith", "rater__user__password",
    "user__password__startswith", "comparison__project__members__user__api_tokens__digest__startswith",
    "approved_by__password__regex", "id__gt", "pk", "project_id", "ordering", "order_by", "_order", "fields", "expand",
)  # fmt: skip


@pytest.mark.parametrize("row", LISTS, ids=lambda row: row.route)
def test_no_parameter_reaches_a_column_that_is_not_offered(stage: Stage, row: Row) -> None:
    """A filter that worked would tell the right first letters of a hash from wrong ones; these never differ."""
    plain = _shown(send(stage, Role.OWNER, row))
    for probe in PROBES:
        answers = [send(stage, Role.OWNER, row._replace(query=urlencode({probe: v}))) for v in ("!", "zzzz")]
        assert {answer.status_code for answer in answers} <= {200, 422}
        for answer in answers:
            assert answer.status_code == 422 or _shown(answer) == plain, probe


def _shown(response: Any) -> str:
    """The body without what differs from answer to answer."""
    text = response.body.decode()
    text = re.sub(r'name="csrfmiddlewaretoken" value="\w+"|"X-CSRFToken": "\w+"|X-CSRFToken[^,}]*', "", text)
    return re.sub(r"(\?|&amp;|&)[\w%=&;.!]*", "", text)


def test_a_filter_by_somebody_elses_rater_finds_nothing_and_says_so(stage: Stage) -> None:
    row = row_of("comparisons", "GET")._replace(query=f"rater={stage.theirs.rater.pk}")
    told = send(stage, Role.OWNER, row).body.decode()
    assert "theirs" not in told


# A secret that everybody knows, sign-up by anyone, unpickling

SOURCES: Final = [
    path
    for folder in ("platform", "annotate", "curation", "models_rt", "benchmarks")
    for path in (Path(settings.BASE_DIR) / folder).rglob("*.py")
]


def test_no_source_holds_a_secret_key() -> None:
    literal = re.compile(r"(SECRET_KEY|PASSWORD|API_KEY)\w*\s*(:[^=\n]+)?=\s*['\"][^'\"]{8,}")
    assert [str(path) for path in SOURCES if literal.search(path.read_text())] == []


def test_nobody_can_sign_up(stage: Stage) -> None:
    offered = re.compile(r"sign.?up|regist|invit|reset|activate|oauth|create.?(user|account)", re.I)
    assert [route for route in ROUTES if offered.search(route) and "policy" not in route] == []
    before = User.objects.count()
    for path in ("/sign-in/", "/sign-up/", "/register/", "/accounts/register/", "/api/v1/users/"):
        told = {"username": "mallory", "password": "x1y2z3w4v5", "password1": "x1y2z3w4v5", "password2": "x1y2z3w4v5"}
        stage.send("anonymous", Role.OWNER, "POST", path, {}, data=told)
    assert User.objects.count() == before


@pytest.mark.parametrize("page", ["index", "accounts_user_add", "accounts_apitoken_changelist"])
def test_the_admin_is_for_staff(stage: Stage, page: str) -> None:
    for actor in (Role.OWNER, FULL, "anonymous"):
        response = stage.send(actor, Role.OWNER, "GET", reverse(f"admin:{page}"), {})
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/")


def test_nothing_that_runs_what_it_reads_is_called() -> None:
    """No unpickling, no eval, no shell, no unsafe YAML: by the syntax tree, in every module of ours."""
    forbidden = {
        "torch.load", "pickle.load", "pickle.loads", "joblib.load", "marshal.loads", "yaml.load", "os.system",
        "os.popen", "eval", "exec", "shelve.open", "dill.loads",
    }  # fmt: skip
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                asked = {f"{k.arg}={ast.unparse(k.value)}" for k in node.keywords}
                if name in forbidden or asked & {"shell=True", "trust_remote_code=True", "allow_pickle=True"}:
                    found.append(f"{path.name}:{node.lineno} {name}")
    assert found == []


# Whatever stands in an address, a query or a form, the answer is never a server's error

TEXTS: Final = (  # NUL, a lone surrogate, too much, and what is no SQL here
    "a\x00b",
    "\x00",
    "\ud800",
    "a" * 5000,
    "%",
    "'; DROP TABLE core_event; --",
    "\u202e",
    "9" * 20,
)
NUMBERS: Final = (0, 2**31, 2**63, 10**30)
QUERIES: Final = (
    "q", "status", "route", "disagreement", "noise", "rater", "group", "after", "before", "rule", "name", "next",
    "cursor", "page_size", "since", "comparison", "kind", "current", "format", "split", "source", "project",
)  # fmt: skip


def quoted(value: object) -> str:
    return quote(str(value).encode("utf-8", "surrogatepass"), safe="")


@pytest.mark.parametrize("row", [r for r in TABLE if r.args is not nothing], ids=lambda r: f"{r.route}-{r.method}")
def test_no_part_of_an_address_breaks_the_server(stage: Stage, row: Row) -> None:
    args = row.args(stage.mine)
    plain = address_of(row.route, args)
    for name, value in args.items():
        for hostile in NUMBERS if isinstance(value, int) else TEXTS:
            url = plain.replace(f"/{quote(str(value))}/", f"/{quoted(hostile)}/", 1)
            if url == plain:
                url = plain.replace(quote(str(value)), quoted(hostile))
            assert url != plain, name
            response = stage.send(Role.OWNER, Role.OWNER, row.method, url, row.headers(), **_json_of(row, stage, url))
            assert response.status_code < 500, (name, hostile, url)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.route}-{row.method}")
def test_no_query_breaks_the_server(stage: Stage, row: Row) -> None:
    asked = ["&".join(f"{name}={quoted(text)}" for name in QUERIES) for text in TEXTS]
    if row.method == "GET":  # one by one, for the first that is refused hides the others
        asked += [f"{name}={quoted(TEXTS[0])}" for name in QUERIES]
    for query in asked:
        assert send(stage, Role.OWNER, row._replace(query=f"{row.query}&{query}")).status_code < 500, query[:99]


@pytest.mark.parametrize("row", [row for row in TABLE if row.method == "POST"], ids=lambda row: row.route)
def test_no_field_breaks_the_server(stage: Stage, row: Row) -> None:
    body = row.body(stage.mine)
    known = dict.fromkeys(("because", "skip_reason", "recipe", "judge", "method", "note", "justification", "back"), "")
    fields = list(body) if row.route.startswith("api") else [*known, *body]
    values: tuple[Any, ...] = (*TEXTS, None, [], {}, -1, 10**30, True) if row.route.startswith("api") else TEXTS
    for name in fields:
        for hostile in values:
            if hostile == "\ud800" and not row.route.startswith("api"):
                continue  # cannot be encoded in a form
            response = send(stage, Role.OWNER, row._replace(body=saying({**body, name: hostile})))
            assert response.status_code < 500, (name, hostile)


def _json_of(row: Row, stage: Stage, url: str) -> dict[str, Any]:
    if row.method != "POST":
        return {}
    body = row.body(stage.mine)
    return {"data": json.dumps(body), "content_type": "application/json"} if url.startswith("/api/") else {"data": body}

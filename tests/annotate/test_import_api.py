"""Bringing data in over REST, and looking at it: who may, what comes back, and what is refused how."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest
from django.test import Client

from annotate.api import Body
from annotate.models import Comparison, Judgement
from tests.build import make_comparison, make_judgements, make_member, make_project, make_token, make_user
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Invalid
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

pytestmark = pytest.mark.django_db

ROWS: list[dict[str, Any]] = [
    {"id": f"set/{n}", "prompt": "Why?", "completion_a": f"A{n}", "completion_b": "B", "generator_a": "m1"}
    for n in range(3)
]


class Caller:
    """A client of the API with a token."""

    def __init__(self, token: str) -> None:
        self.client = Client(headers={"Authorization": f"Bearer {token}"})

    def post(self, path: str, body: Any = None, kind: str = "application/json", **headers: str) -> Any:
        return self.client.post(f"/api/v1/{path}", body, content_type=kind, headers=headers)

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/api/v1/{path}", query)


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker is the edge of the process: what a worker would do is done by `work`."""
    monkeypatch.setattr(ledger, "send", lambda run: True)


@pytest.fixture
def project() -> Project:
    return make_project("chat", overlap=2)


@pytest.fixture
def curator(project: Project) -> Caller:
    return Caller(make_token(make_member(project, Role.CURATOR, name="cleo"), "import", "curate"))


def work(response: Any) -> Run:
    """Do what a worker does with the run of an answer."""
    assert response.status_code == 202, response.content
    done = ledger.execute(response.json()["id"])
    assert done is not None
    return done


@pytest.mark.parametrize("body", [ROWS, {"rows": ROWS}])
def test_rows_in_json_are_answered_with_a_run_that_imports_them(project: Project, curator: Caller, body: Any) -> None:
    response = curator.post("projects/chat/imports/", body)
    run = work(response)
    assert response.headers["Location"] == f"/api/v1/runs/{run.pk}/"
    assert response.json()["status"] == "queued"
    told = curator.get(f"runs/{run.pk}/").json()
    assert (told["status"], told["done"], told["total"], told["fraction"]) == ("succeeded", 3, 3, 1.0)
    assert told["result"]["created"] == 3
    assert told["project"] == "chat"
    assert Comparison.objects.count() == 3


@pytest.mark.parametrize("packed", [False, True])
def test_ndjson_is_taken_as_a_stream_gzipped_or_not(project: Project, curator: Caller, packed: bool) -> None:
    data = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
    headers = {"Content-Encoding": "gzip"} if packed else {}
    body = gzip.compress(data) if packed else data
    response = curator.post("projects/chat/imports/", body, "application/x-ndjson", **headers)
    assert work(response).result["created"] == 3


def test_the_format_of_the_rows_is_named_in_the_query(project: Project, curator: Caller) -> None:
    pairs = [{"prompt": "?", "chosen": "good", "rejected": "bad"}]
    assert work(curator.post("projects/chat/imports/?format=trl&source=crowd", pairs)).result["created"] == 1
    assert Judgement.objects.get().rater.name == "crowd"
    unknown = curator.post("projects/chat/imports/?format=xml", pairs)
    assert unknown.status_code == 422
    assert unknown.headers["Content-Type"] == "application/problem+json"
    assert "rows, trl, hh-rlhf, oasst" in unknown.json()["detail"]


def test_rows_that_were_not_taken_are_told_and_can_be_downloaded(project: Project, curator: Caller) -> None:
    bad = [{"id": "x"}, {**ROWS[0], "prompt": "a\x00b"}, {**ROWS[1], "completion_a": "\ud800"}]
    run = work(curator.post("projects/chat/imports/", [*bad, ROWS[2]]))
    told = curator.get(f"runs/{run.pk}/").json()
    assert (told["result"]["created"], told["result"]["rejected"]) == (1, 3)
    assert [a["name"] for a in told["artifacts"]] == ["rejects.jsonl"]
    file = curator.get(f"runs/{run.pk}/rejects/")
    rejects = [json.loads(line) for line in b"".join(file).splitlines()]
    assert [(r["line"], r["field"]) for r in rejects] == [(1, "prompt"), (2, "prompt"), (3, "completion_a")]
    assert "NUL" in rejects[1]["message"]
    assert "surrogate" in rejects[2]["message"]


def test_a_clean_run_has_no_rejects_to_download(project: Project, curator: Caller) -> None:
    run = work(curator.post("projects/chat/imports/", ROWS))
    assert curator.get(f"runs/{run.pk}/rejects/").status_code == 404


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'[{"id": 1, "id": 2}]', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[NaN]", "application/json", 400),
        (b'["caf\xe9"]', "application/json", 400),
        (b"{}", "application/json", 422),
        (b"[]", "application/json", 422),
        (b'{"rows": 3}', "application/json", 422),
        (b"", "application/x-ndjson", 422),
        (b"id,prompt", "text/plain", 415),
    ],
)
def test_a_body_that_holds_no_rows_is_a_problem_and_no_run(
    project: Project, curator: Caller, body: bytes, kind: str, status: int
) -> None:
    response = curator.post("projects/chat/imports/", body, kind)
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    assert not Run.objects.exists()


def test_a_body_that_must_be_held_in_memory_is_capped_before_it_is_read(
    project: Project, curator: Caller, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 200
    assert curator.post("projects/chat/imports/", ROWS).status_code == 413
    data = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
    keyed = curator.post("projects/chat/imports/", data, "application/x-ndjson", **{"Idempotency-Key": "k"})
    assert keyed.status_code == 413
    assert work(curator.post("projects/chat/imports/", data, "application/x-ndjson")).result["created"] == 3


def test_half_an_upload_does_not_pass_for_a_whole() -> None:
    body = Body(io.BytesIO(b"12345"), 10)
    assert body.read(100) == b"12345"
    with pytest.raises(Invalid, match="5 of 10 bytes"):
        body.read(100)


def test_the_same_key_starts_one_run_and_another_body_is_refused(project: Project, curator: Caller) -> None:
    key = {"Idempotency-Key": "once"}
    first = curator.post("projects/chat/imports/", ROWS, **key)
    again = curator.post("projects/chat/imports/", ROWS, **key)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert curator.post("projects/chat/imports/", ROWS[:1], **key).status_code == 422
    assert Run.objects.count() == 1


def test_who_may_not_import_is_told_no_more_than_they_may_know(project: Project) -> None:
    cases = [
        (make_token(make_user(), "import"), 404),  # not a member: there is no such project
        (make_token(make_member(project, Role.ANNOTATOR), "import"), 403),
        (make_token(make_member(project, Role.CURATOR), "export"), 403),
        (make_token(make_member(project, Role.CURATOR), "import", project=make_project()), 404),
        ("tbk_nobody_x", 401),
    ]
    for token, status in cases:
        assert Caller(token).post("projects/chat/imports/", ROWS).status_code == status
    assert not Run.objects.exists()


# Looking


def test_projects_are_those_of_the_caller_with_their_role(project: Project, curator: Caller) -> None:
    make_project("secret")
    (listed,) = curator.get("projects/").json()["results"]
    assert (listed["slug"], listed["role"]) == ("chat", "curator")
    assert curator.get("projects/chat/").status_code == 200
    assert curator.get("projects/secret/").status_code == 404


def test_comparisons_go_out_with_the_names_that_they_came_in_with(project: Project, curator: Caller) -> None:
    row = {
        "id": "deep/id 1", "prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
        "completion_a": "A", "completion_b": [{"role": "assistant", "content": "B"}], "generator_a": "m1",
        "generator_b": "m2", "group": "g", "reference": "R", "context": None, "metadata": {"k": [1]}, "gold": -2,
        "judgements": [{"rater": "ann", "kind": "annotator", "preference": 1}],
    }  # fmt: skip
    work(curator.post("projects/chat/imports/", [row]))
    (listed,) = curator.get("projects/chat/comparisons/").json()["results"]
    assert {key: listed[key] for key in row if key != "judgements"} == {
        k: v for k, v in row.items() if k != "judgements"
    }
    detail = curator.get("projects/chat/comparisons/deep/id%201/").json()
    assert [(j["rater"], j["preference"]) for j in detail["judgements"]] == [("ann", 1)]
    assert curator.get("projects/chat/comparisons/none/").status_code == 404


def test_comparisons_are_paged_and_filtered_by_name(project: Project, curator: Caller) -> None:
    for n in range(5):
        make_comparison(project, f"c{n}", group="even" if n % 2 == 0 else "odd")
    page = curator.get("projects/chat/comparisons/", group="even", page_size=2).json()
    assert [c["id"] for c in page["results"]] == ["c4", "c2"]
    rest = curator.client.get(page["next"]).json()
    assert ([c["id"] for c in rest["results"]], rest["next"]) == (["c0"], None)
    assert curator.get("projects/chat/comparisons/", status="settled").json()["results"] == []
    assert (
        len(curator.get("projects/chat/comparisons/", since="2020-01-01T00:00:00Z", route="human").json()["results"])
        == 5
    )


@pytest.mark.parametrize("query", [{"status": "lost"}, {"since": "soon"}, {"prompt__sha256": "x"}, {"stauts": "open"}])
def test_a_filter_that_is_not_named_here_is_refused(project: Project, curator: Caller, query: dict[str, str]) -> None:
    response = curator.get("projects/chat/comparisons/", **query)
    assert response.status_code == 422
    assert next(iter(query)) in response.json()["detail"]


def test_judgements_are_the_current_ones_unless_the_revised_are_asked_for(project: Project, curator: Caller) -> None:
    make_judgements(make_comparison(project, "c1"), "AB")
    make_judgements(make_comparison(project, "c2"), "T")
    Judgement.objects.filter(rater__name="r2").update(current=False)
    listed = curator.get("projects/chat/judgements/").json()["results"]
    assert [(j["comparison"], j["rater"], j["preference"]) for j in listed] == [("c2", "r1", 0), ("c1", "r1", -1)]
    revised = curator.get("projects/chat/judgements/", current="false").json()["results"]
    assert [j["rater"] for j in revised] == ["r2"]
    assert (
        len(curator.get("projects/chat/judgements/", comparison="c1", rater="r1", kind="annotator").json()["results"])
        == 1
    )


def test_annotators_and_training_tokens_see_nothing_of_what_others_said(project: Project) -> None:
    make_judgements(make_comparison(project, "c1"), "A")
    annotator = Caller(make_token(make_member(project, Role.ANNOTATOR), "annotate", "export"))
    trainer = Caller(make_token(make_member(project, Role.CURATOR), "train"))
    for caller in (annotator, trainer):
        for path in ("comparisons/", "comparisons/c1/", "judgements/"):
            assert caller.get(f"projects/chat/{path}").status_code == 403


# Runs


def test_runs_are_listed_stopped_and_repeated(project: Project, curator: Caller) -> None:
    first = curator.post("projects/chat/imports/", ROWS).json()["id"]
    assert [r["id"] for r in curator.get("runs/", kind="import", project="chat").json()["results"]] == [first]
    stopped = curator.post(f"runs/{first}/cancel/")
    assert (stopped.status_code, stopped.json()["status"]) == (200, "cancelled")
    assert curator.post(f"runs/{first}/cancel/").status_code == 409
    assert curator.post(f"runs/{first}/retry/").status_code == 409
    second = curator.post("projects/chat/imports/", b"\x1f\x8bbroken", "application/x-ndjson").json()["id"]
    with pytest.raises(Invalid):
        ledger.execute(second)
    assert curator.get(f"runs/{second}/").json()["error"]["code"] == "file_broken"
    assert curator.post(f"runs/{second}/retry/").json()["status"] == "queued"


def test_runs_of_other_projects_do_not_exist_and_viewers_cannot_stop_any(project: Project, curator: Caller) -> None:
    mine = curator.post("projects/chat/imports/", ROWS).json()["id"]
    outsider = Caller(make_token(make_user(), "import"))
    viewer = Caller(make_token(make_member(project, Role.VIEWER), "curate"))
    bound = Caller(make_token(make_member(project, Role.OWNER), "curate", project=make_project()))
    for caller in (outsider, bound):
        assert caller.get(f"runs/{mine}/").status_code == 404
        assert caller.get("runs/").json()["results"] == []
    assert viewer.get(f"runs/{mine}/").status_code == 200
    assert viewer.post(f"runs/{mine}/cancel/").status_code == 403
    assert Run.objects.get(pk=mine).status == "queued"

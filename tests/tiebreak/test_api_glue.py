"""What every address under /api/ shares: who calls, how a refusal reads, and that a repeated write is one write."""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from curation.services import building, verbs
from tests.build import make_comparison, make_judgements, make_member, make_project, make_token, make_user
from tiebreak.accounts.models import ApiToken, Membership, Project, User
from tiebreak.accounts.roles import Role
from tiebreak.api import idempotency, throttles
from tiebreak.api.models import IdempotentResponse
from tiebreak.api.throttles import PerToken
from tiebreak.core.errors import Unavailable
from tiebreak.runs.models import Run

pytestmark = pytest.mark.django_db

AGGREGATE = {"kind": "aggregate", "params": {"method": "majority"}}


@pytest.fixture
def project() -> Project:
    return make_project("chat")


@pytest.fixture
def curator(project: Project) -> User:
    return make_member(project, Role.CURATOR, name="cora")


def bearer(token: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"}, raise_request_exception=False)


@pytest.fixture
def api(curator: User) -> Client:
    return bearer(make_token(curator, "curate"))


def start(client: Client, slug: str = "chat", body: Any = AGGREGATE, **headers: str) -> Any:
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post(f"/api/v1/projects/{slug}/verbs/", data, content_type="application/json", headers=headers)


def assert_problem(response: Any, status: int) -> dict[str, Any]:
    """RFC 9457: the media type, the four members, and the status said twice the same."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:tiebreak:")
    assert body["title"]
    assert isinstance(body["detail"], str)
    assert body["detail"]
    return body


# --- who calls --------------------------------------------------------------------------------------------------------


def test_a_live_token_opens_what_its_scope_names(api: Client) -> None:
    assert api.get("/api/v1/datasets/").status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        "tbk_00000000_" + "x" * 43,
        "tbk_", "tbk__", "tbk_\x00_x", "tbk_é_x", "", " ", "nonsense", "tbk_a_b_c", "' OR 1=1 --", "tbk_%_x",
        "x" * 10_000, "tbk_\udcff_\udcff",
    ],
)  # fmt: skip
def test_an_unknown_token_is_401_and_says_how_to_call(text: str) -> None:
    response = bearer(text).get("/api/v1/datasets/")
    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_nobody_is_401(client: Client) -> None:
    assert_problem(client.get("/api/v1/datasets/"), 401)


@pytest.mark.parametrize("wrong", ["expired", "revoked", "inactive"])
def test_expired_revoked_and_inactive_are_401_in_the_same_words(curator: User, wrong: str) -> None:
    unknown = bearer("tbk_00000000_nothing").get("/api/v1/datasets/").json()["detail"]
    token = make_token(curator, "curate", days=-1 if wrong == "expired" else 1)
    if wrong == "revoked":
        ApiToken.objects.update(revoked_at=timezone.now())
    if wrong == "inactive":
        User.objects.update(is_active=False)
    assert assert_problem(bearer(token).get("/api/v1/datasets/"), 401)["detail"] == unknown


def test_the_right_prefix_with_another_secret_is_401(curator: User) -> None:
    token = make_token(curator, "curate")
    assert_problem(bearer(token[:-1] + ("A" if token[-1] != "A" else "B")).get("/api/v1/datasets/"), 401)


def test_a_wrong_scope_is_403_and_names_both_scopes(curator: User) -> None:
    body = assert_problem(start(bearer(make_token(curator, "annotate", "import"))), 403)
    assert "annotate, import" in body["detail"]
    assert "curate, judge, train" in body["detail"]
    assert not Run.objects.exists()


def test_a_scope_does_not_lend_a_role(project: Project) -> None:
    annotator = make_member(project, Role.ANNOTATOR)
    assert_problem(start(bearer(make_token(annotator, "curate"))), 403)


def test_an_outsider_is_told_404_as_of_a_project_that_does_not_exist(api: Client) -> None:
    make_project("secret")
    real, invented = start(api, "secret"), start(api, "invented")
    assert assert_problem(real, 404)["type"] == assert_problem(invented, 404)["type"]
    assert real.json()["detail"].replace("secret", "") == invented.json()["detail"].replace("invented", "")


def test_a_bound_token_sees_nothing_of_its_users_other_projects(project: Project, curator: User) -> None:
    other = make_project("other", owner=curator)
    bound = bearer(make_token(curator, "curate", project=project))
    assert_problem(start(bound, "other"), 404)
    assert [p["slug"] for p in bound.get("/api/v1/projects/").json()["results"]] == ["chat"]
    assert other.allows(curator, "manage")  # type: ignore[arg-type]
    run = verbs.start("aggregate", other, {}, by=curator)
    built = building.start("others", other, {}, by=curator)
    for path in ("runs/", "datasets/", "reward-models/"):
        assert bound.get(f"/api/v1/{path}").json()["results"] == []
    for path in (f"runs/{run.pk}/", "datasets/others/", f"datasets/others/versions/{built.number}/"):
        assert_problem(bound.get(f"/api/v1/{path}"), 404)
    for path in ("projects/other/", "projects/other/judges/", "projects/other/rubrics/", "projects/other/comparisons/"):
        assert_problem(bound.get(f"/api/v1/{path}"), 404)


def test_a_token_loses_what_its_user_loses(project: Project, curator: User) -> None:
    client = bearer(make_token(curator, "curate", project=project))
    Membership.objects.all().delete()
    assert_problem(start(client), 404)


def test_the_browsers_session_needs_its_csrf_token(curator: User) -> None:
    browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
    browser.force_login(curator, backend="django.contrib.auth.backends.ModelBackend")
    assert_problem(start(browser), 403)
    assert browser.get("/api/v1/datasets/").status_code == 200


def test_a_tokens_use_is_noted_at_most_once_a_minute(curator: User, api: Client) -> None:
    for _ in range(3):
        api.get("/api/v1/datasets/")
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    ApiToken.objects.update(last_used_at=first - timedelta(minutes=2))
    api.get("/api/v1/datasets/")
    assert ApiToken.objects.get().last_used_at > first - timedelta(minutes=1)


# --- how a refusal reads ----------------------------------------------------------------------------------------------


def test_an_address_that_does_not_exist_is_a_problem_for_anyone(client: Client, api: Client) -> None:
    for caller in (client, api):
        for path in ("/api/v1/nothing/", "/api/nothing", "/api/v1/projects/chat/verbs", "/api/v2/"):
            assert_problem(caller.get(path), 404)
            assert_problem(caller.post(path, "{}", content_type="application/json"), 404)


def test_a_wrong_method_is_405_and_names_the_right_ones(api: Client) -> None:
    response = api.delete("/api/v1/datasets/")
    assert_problem(response, 405)
    assert "GET" in response.headers["Allow"]


def test_an_unknown_content_type_is_415(api: Client) -> None:
    for media in ("text/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert_problem(api.post("/api/v1/projects/chat/verbs/", b"<a/>", content_type=media), 415)


def test_an_answer_that_nobody_makes_is_406(api: Client) -> None:
    assert_problem(api.get("/api/v1/datasets/", headers={"Accept": "application/xml"}), 406)


@pytest.mark.parametrize(
    "body",
    [
        '{"kind": "aggregate", "kind": "route"}',
        '{"kind": "aggregate", "params": {"a": 1, "a": 2}}',
        '{"kind": NaN}', '{"kind": Infinity}', '{"kind": -Infinity}', '{"kind": 1e999}',
        "[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 5_000 + "1" + "}" * 5_000,
        '{"kind": ' + "9" * 10_000 + "}",
        "{", "", "nul", '{"kind": "aggregate"} {}', '{"kind": "aggregate",}', "{'kind': 1}",
        b'{"kind": "\xff"}', b"\xff\xfe{\x00}\x00", b"\x00", b"\xef\xbb\xbf{}",
    ],
)  # fmt: skip
def test_a_body_that_is_no_strict_json_is_a_problem_and_starts_nothing(api: Client, body: str | bytes) -> None:
    response = start(api, body=body)
    assert response.status_code in (400, 422), response.content
    assert_problem(response, response.status_code)
    assert body == "" or response.status_code == 400
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "aggregate", "parms": {}}, "parms"),
        ({"params": {}}, "kind"),
        ({"kind": "aggregate", "params": []}, "params"),
        ({"kind": "aggregate", "params": "x"}, "params"),
        ({"kind": "nothing"}, "kind"),
        ({"kind": "build"}, "kind"),
        ({"kind": "aggregate", "params": {"methd": "majority"}}, "methd"),
        ({"kind": "aggregate", "params": {"method": "magic"}}, "method"),
        ({"kind": "aggregate", "params": {"method": "a\x00b"}}, "params"),
        ({"kind": "judge", "params": {"judge": "a\ud800b"}}, "params"),
        ({"kind": "route", "params": {"seed": 10**30}}, "seed"),
        ({"kind": "route", "params": {"seed": -1}}, "seed"),
        ({"kind": "route", "params": {"budget": "many"}}, "budget"),
        ({"kind": "evaluate", "params": {"model": "m", "path": "/etc/passwd"}}, "path"),
    ],
)
def test_input_that_cannot_be_taken_is_422_and_names_its_field(api: Client, body: Any, field: str) -> None:
    assert assert_problem(start(api, body=body), 422)["field"] == field
    assert not Run.objects.exists()


@pytest.mark.parametrize("body", [[], 7, None, True])
def test_a_body_that_is_no_object_is_422(api: Client, body: Any) -> None:
    assert_problem(start(api, body=body), 422)


def test_a_body_over_the_limit_is_413_with_and_without_a_key(api: Client, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    big = {"kind": "aggregate", "params": {"method": "x" * 1000}}
    assert_problem(start(api, body=big), 413)
    assert_problem(start(api, body=big, **{"Idempotency-Key": "k"}), 413)


def test_too_many_requests_are_429_and_say_when_to_come_back(
    curator: User, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PerToken, "rate", "3/min", raising=False)
    answers = [api.get("/api/v1/datasets/") for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert_problem(answers[-1], 429)
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 61
    assert bearer(make_token(curator, "curate")).get("/api/v1/datasets/").status_code == 200  # each token its own


def test_a_rate_is_kept_also_where_processes_take_it_by_the_block(
    curator: User, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PerToken, "rate", "130/min", raising=False)  # blocks of two
    monkeypatch.setattr(throttles, "_taken", {})
    codes = []
    for number in range(140):
        if number == 50:
            throttles._taken.clear()  # another process: what this one had taken is lost to the window
        codes.append(api.get("/api/v1/datasets/").status_code)
    assert codes.count(200) in (129, 130)
    assert set(codes[130:]) == {429}


def test_a_part_that_is_away_is_503_with_retry_after(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object, **kwargs: object) -> Run:
        raise Unavailable("The disk is full.", code="disk_full", path="/data", status="not the problem's own")

    monkeypatch.setattr(verbs, "start", away)
    response = start(api)
    body = assert_problem(response, 503)
    assert (body["type"], body["path"]) == ("urn:tiebreak:disk_full", "/data")
    assert response.headers["Retry-After"]


def test_an_error_that_nobody_foresaw_is_a_500_that_tells_nothing_outside(
    api: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: object, **kwargs: object) -> Run:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(verbs, "start", broken)
    with caplog.at_level(logging.ERROR, "django.request"):
        body = assert_problem(start(api), 500)
    assert "hunter2" not in json.dumps(body)
    assert "RuntimeError" in caplog.text  # the operator's log has it


def test_a_tokens_text_is_in_no_answer_and_no_log(
    project: Project, curator: User, caplog: pytest.LogCaptureFixture
) -> None:
    token = make_token(curator, "annotate")
    secret = token.split("_", 2)[2]
    with caplog.at_level(logging.DEBUG):
        answers = [
            start(bearer(token)),
            bearer(token).get("/api/v1/projects/"),
            bearer(token).get("/api/v1/nothing/"),
            bearer(token + "x").get("/api/v1/projects/"),
        ]
    assert all(secret not in answer.content.decode() for answer in answers)
    assert secret not in caplog.text
    assert secret not in repr(ApiToken.objects.get().__dict__)


# --- a repeated write is one write ------------------------------------------------------------------------------------


def test_the_same_key_and_body_get_the_stored_answer(api: Client) -> None:
    first, second = (start(api, **{"Idempotency-Key": "k1"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert first.headers["Location"] == second.headers["Location"]
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert Run.objects.count() == 1


def test_another_body_or_address_under_the_key_is_422(project: Project, curator: User, api: Client) -> None:
    make_project("other", owner=curator)
    start(api, **{"Idempotency-Key": "k1"})
    other = AGGREGATE | {"params": {"method": "dawid-skene"}}
    assert assert_problem(start(api, body=other, **{"Idempotency-Key": "k1"}), 422)["type"].endswith("mismatch")
    assert_problem(start(api, "other", **{"Idempotency-Key": "k1"}), 422)
    assert Run.objects.count() == 1


def test_a_key_belongs_to_its_user(project: Project, api: Client) -> None:
    start(api, **{"Idempotency-Key": "k1"})
    second = bearer(make_token(make_member(project, Role.CURATOR), "curate"))
    assert "Idempotent-Replayed" not in start(second, **{"Idempotency-Key": "k1"}).headers
    assert Run.objects.count() == 2


def test_a_token_bound_elsewhere_does_not_read_the_stored_answer(curator: User, api: Client) -> None:
    elsewhere = make_project("other", owner=curator)
    assert start(api, **{"Idempotency-Key": "k1"}).status_code == 202
    bound = bearer(make_token(curator, "curate", project=elsewhere))
    answer = start(bound, **{"Idempotency-Key": "k1"})
    assert answer.status_code in (404, 422)
    assert "run" not in answer.json()


def test_a_refused_request_leaves_its_key_free(project: Project, api: Client) -> None:
    bad = {"kind": "aggregate", "params": {"method": "magic"}}
    assert_problem(start(api, body=bad, **{"Idempotency-Key": "k1"}), 422)
    assert start(api, **{"Idempotency-Key": "k1"}).status_code == 202


def test_a_failure_after_the_work_undoes_the_work(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*args: object) -> None:
        raise RuntimeError("killed between the work and its answer")

    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "_keep", dies)
        assert_problem(start(api, **{"Idempotency-Key": "k1"}), 500)
    assert not Run.objects.exists()
    assert start(api, **{"Idempotency-Key": "k1"}).status_code == 202
    assert Run.objects.count() == 1


def test_a_key_whose_server_died_is_free_after_five_minutes(curator: User, api: Client) -> None:
    left = IdempotentResponse.objects.create(user=curator, key="k1", request_sha256="0" * 64)
    assert_problem(start(api, **{"Idempotency-Key": "k1"}), 422)
    IdempotentResponse.objects.filter(pk=left.pk).update(created_at=timezone.now() - timedelta(minutes=6))
    assert start(api, **{"Idempotency-Key": "k1"}).status_code == 202


def test_answers_are_kept_for_a_week(api: Client) -> None:
    start(api, **{"Idempotency-Key": "k1"})
    IdempotentResponse.objects.update(created_at=timezone.now() - timedelta(days=6))
    assert start(api, **{"Idempotency-Key": "k1"}).headers["Idempotent-Replayed"]
    IdempotentResponse.objects.update(created_at=timezone.now() - timedelta(days=8))
    start(api, **{"Idempotency-Key": "k2"})
    assert [row.key for row in IdempotentResponse.objects.all()] == ["k2"]


@pytest.mark.parametrize("key", ["x" * 101, "a\x01b", "a\x7fb"])
def test_a_key_that_cannot_be_kept_is_422(api: Client, key: str) -> None:
    assert assert_problem(start(api, **{"Idempotency-Key": key}), 422)["field"] == "Idempotency-Key"


@pytest.mark.django_db(transaction=True)
def test_parallel_requests_with_one_key_have_one_effect() -> None:
    project = make_project("chat")
    make_judgements(make_comparison(project), "AB")
    token = make_token(make_member(project, Role.CURATOR), "curate")
    gate = threading.Barrier(6)

    def call(_: int) -> tuple[int, Any]:
        try:
            gate.wait(10)
            answer = start(bearer(token), **{"Idempotency-Key": "one"})
            return answer.status_code, answer.json().get("run")
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(call, range(6)))
    assert Run.objects.count() == 1
    assert {status for status, _ in answers} <= {202, 409}
    assert {run for status, run in answers if status == 202} == {Run.objects.get().pk}


def test_outsiders_of_every_project_are_listed_nothing() -> None:
    make_project("secret")
    stranger = bearer(make_token(make_user(), "curate", "export", "train"))
    for path in ("projects/", "datasets/", "reward-models/", "runs/"):
        assert stranger.get(f"/api/v1/{path}").json()["results"] == []

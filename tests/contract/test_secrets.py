"""What must stay secret is in no answer, log, event or row; and what keeps a session safe is on every page."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.urls import reverse

from annotate.models import JudgeCall
from curation.services import verbs
from tests import build
from tests.access import ADDRESSES, ANONYMOUS, FULL, OUTSIDER, PAGES, TABLE, Row, Stage, address_of, send
from tests.llm import Server, serving
from tiebreak.accounts.models import ApiToken, User
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import BackendError
from tiebreak.core.models import Event

pytestmark = pytest.mark.django_db
by_row = pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.route}-{row.method}")
PASSWORD: Final = "correct horse battery staple"


def tables_with(text: str) -> list[str]:
    """The tables in any row of which a text stands, in whatever column."""
    with connection.cursor() as cursor:
        found = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT 1 FROM {connection.ops.quote_name(table)} AS t WHERE t::text LIKE %s LIMIT 1", [
                f"%{text}%"
            ])  # fmt: skip
            found += [table] if cursor.fetchone() else []
        return found


# Tokens


@by_row
def test_no_answer_and_no_log_holds_the_secret_of_a_token(
    stage: Stage, row: Row, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = {text.split("_", 2)[2] for text in stage.bearers.values()}
    digests = set(ApiToken.objects.values_list("digest", flat=True))
    with caplog.at_level(logging.DEBUG):
        bodies = [send(stage, actor, row).body.decode("utf-8", "replace") for actor in (Role.OWNER, FULL, OUTSIDER)]
    for text in (*bodies, caplog.text):
        assert not [secret for secret in secrets | digests if secret in text]


def test_a_new_tokens_secret_is_shown_once_and_stored_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    user = build.make_project(owner=build.make_user()).members.get().user
    client = Client()
    client.force_login(user)
    with caplog.at_level(logging.DEBUG):
        made = client.post(reverse("tokens"), {"name": "ci", "scopes": ["import"], "days": 30})
        found = re.search(r"tbk_[0-9a-f]{8}_([\w-]{43})", made.content.decode())
        assert found is not None
        assert "no-store" in made["Cache-Control"]
        again = client.get(reverse("tokens")).content.decode()
        bearer = {"Authorization": f"Bearer {found[0]}"}
        assert Client(headers=bearer).get("/api/v1/projects/").status_code == 200
    secret = found[1]
    assert secret not in again
    assert secret not in caplog.text
    assert tables_with(secret) == []
    assert Event.objects.get(verb="token.created").data == {"scopes": ["import"], "days": 30}


def test_a_password_is_stored_and_logged_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    user = build.make_user(password=PASSWORD)
    with caplog.at_level(logging.DEBUG, "django.request"), caplog.at_level(logging.DEBUG, "axes"):
        for password in (PASSWORD, PASSWORD + "!"):
            Client().post(reverse("login"), {"username": user.username, "password": password})
    assert PASSWORD not in caplog.text
    assert tables_with(PASSWORD) == []


# Keys of judges

KEY: Final = "sk-live-4f9d1c07ab5e42d8"


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("TEST_JUDGE_API_KEY", KEY)
    monkeypatch.setattr(settings, "ENV", replace(settings.ENV, egress_allow=("127.0.0.0/8",)))
    with serving() as server:
        yield server


def honest(server: Server) -> None:
    """Answers as it is asked."""


def chatty(server: Server) -> None:
    """Repeats the key in its answer, which is no verdict."""
    server.answer = lambda prompt: f"You called me with Bearer {KEY}, did you not?"


def refusing(server: Server) -> None:
    """Refuses every call, with the key in the words of its refusal."""
    server.status, server.answer = 401, lambda prompt: f"Incorrect API key provided: {KEY}."


def broken(server: Server) -> None:
    """Fails, with the key in what it says."""
    server.status, server.answer = 500, lambda prompt: f"trace: headers={{'authorization': 'Bearer {KEY}'}}"


@pytest.mark.parametrize("behaviour", [honest, chatty, refusing, broken], ids=lambda b: b.__name__)
def test_a_judges_key_is_sent_to_it_and_is_nowhere_else(
    llm: Server, behaviour: Any, caplog: pytest.LogCaptureFixture
) -> None:
    behaviour(llm)
    owner = build.make_user()
    project = build.make_project(owner=owner)
    comparison = build.make_comparison(project)
    config = {"backend": {"retry": {"tries": 1}, "timeout": 5}}
    judge = build.make_judge(
        project, backend="openai", base_url=llm.url, model="m", api_key_env="TEST_JUDGE_API_KEY", config=config
    )
    with caplog.at_level(logging.DEBUG):
        with suppress(BackendError):  # a failed run says why: its row is looked through below
            verbs.run_here("judge", project, {"judge": "judge"}, by=owner)
        run = project.runs.get()
        client = Client()
        client.force_login(owner)
        pages = {
            "comparison": [comparison.pk], "judges": [], "run": [run.pk], "runs": [], "project": [], "raters": [],
        }  # fmt: skip
        answers = [client.get(reverse(name, args=[project.slug, *args])) for name, args in pages.items()]
        answers += [client.get(f"/api/v1/{a}") for a in (f"projects/{project.slug}/judges/", f"runs/{run.pk}/")]
    assert llm.authorizations == [f"Bearer {KEY}"] * len(llm.prompts)
    assert llm.prompts
    assert {answer.status_code for answer in answers} == {200}
    assert not [answer for answer in answers if KEY in answer.content.decode()]
    assert KEY not in caplog.text
    assert tables_with(KEY) == []
    assert JudgeCall.objects.filter(judge=judge).exists()


# Settings


def start(tmp_path: Path, code: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Python with the product's settings under an environment of this test's own, connected to nothing."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environ = kept | {"TIEBREAK_DATA": str(tmp_path), "TIEBREAK_EMBEDDED": "0"} | variables
    script = f"import json, os, django; django.setup(); from django.conf import settings; {code}"
    environ |= {"DJANGO_SETTINGS_MODULE": "tiebreak.settings", "PYTHONPATH": f"{settings.BASE_DIR}/platform"}
    return subprocess.run(
        [sys.executable, "-c", script], env=environ, cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("given", [{}, {"SECRET_KEY": "changeme"}, {"SECRET_KEY": "a" * 64}], ids=str)
def test_nothing_starts_for_the_public_without_a_secret_key_of_its_own(tmp_path: Path, given: dict[str, str]) -> None:
    ended = start(tmp_path, TIEBREAK_ALLOWED_HOSTS="tiebreak.example.org", **given)
    assert ended.returncode != 0
    assert "SECRET_KEY: expected at least 32 random characters" in ended.stderr
    assert not given or given["SECRET_KEY"] not in ended.stderr


def test_two_machines_without_a_secret_key_have_different_ones(tmp_path: Path) -> None:
    keys = {start(tmp_path / name, "print(settings.SECRET_KEY)").stdout for name in ("one", "other")}
    assert len(keys) == 2
    assert min(len(key) for key in keys) >= 50


def test_behind_https_cookies_are_secure_and_browsers_are_told_to_stay_there(tmp_path: Path) -> None:
    names = ["SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY", "SECURE_HSTS_SECONDS", "DEBUG"]
    ended = start(tmp_path, f"print(json.dumps([getattr(settings, n) for n in {names}]))", TIEBREAK_HTTPS="1")
    assert json.loads(ended.stdout) == [True, True, True, 31_536_000, False], ended.stderr


# Headers and cookies


@pytest.mark.parametrize("row", PAGES + ADDRESSES, ids=lambda row: f"{row.route}-{row.method}")
def test_every_answer_has_the_headers_that_protect_its_reader(stage: Stage, row: Row) -> None:
    for actor in (ANONYMOUS, OUTSIDER, Role.OWNER):
        headers = send(stage, actor, row).headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        strict = "'none'" if "sandbox" in policy else "'self'"  # a picture is never a page
        assert policy.get("script-src", policy["default-src"]) == strict
        assert policy.get("style-src", policy["default-src"]) == strict
        assert policy["form-action"] == strict
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_a_page_that_is_not_there_has_them_too(stage: Stage) -> None:
    for path in ("/nowhere/", "/p/nowhere/", "/api/v1/nowhere/"):
        headers = Client().get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_files_are_sent_to_be_kept_and_never_to_be_shown(stage: Stage) -> None:
    for row in (r for r in TABLE if r.route in ("version-file", "run-file", "api-file", "api-rejects")):
        headers = send(stage, Role.OWNER, row).headers
        assert headers["Content-Disposition"].startswith("attachment; ")
        assert "html" not in headers["Content-Type"]


def test_the_session_cookie_is_for_the_server_alone() -> None:
    user = build.make_user(password=PASSWORD)
    answer = Client().post(reverse("login"), {"username": user.username, "password": PASSWORD})
    cookie = answer.cookies[settings.SESSION_COOKIE_NAME]
    assert (answer.status_code, bool(cookie["httponly"]), cookie["samesite"]) == (302, True, "Lax")


def test_signing_in_makes_a_new_session_and_signing_out_ends_it() -> None:
    user = build.make_user(password=PASSWORD)
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = "planted-by-somebody-else"
    client.post(reverse("login"), {"username": user.username, "password": PASSWORD})
    mine = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert mine != "planted-by-somebody-else"
    client.post(reverse("logout"))
    client.cookies[settings.SESSION_COOKIE_NAME] = mine
    assert client.get(reverse("home")).status_code == 302


# Signing in


@pytest.fixture
def password_user() -> User:
    return build.make_user(password=PASSWORD)


@pytest.mark.parametrize("door", ["login", "admin:login"])
def test_the_ninth_wrong_password_is_not_even_looked_at(password_user: User, door: str) -> None:
    def knock(password: str, name: str = password_user.username) -> int:
        return Client().post(reverse(door), {"username": name, "password": password}).status_code

    assert [knock(f"guess {n}") for n in range(7)] == [200] * 7  # the form again
    assert knock("guess 8") == 429
    assert knock(PASSWORD) == 429  # right, but too late
    other = build.make_user(password=PASSWORD)
    other.is_staff = True
    other.save()
    assert knock(PASSWORD, other.username) == 302  # nobody else is locked out


def test_a_lock_says_nothing_of_whether_the_name_exists(password_user: User) -> None:
    def knock(name: str) -> list[tuple[int, str]]:
        answers = [Client().post(reverse("login"), {"username": name, "password": "x"}) for _ in range(9)]
        token = re.compile(r'name="csrfmiddlewaretoken" value="\w+"')
        return [(a.status_code, token.sub("", a.content.decode()).replace(name, "NAME")) for a in answers]

    assert knock(password_user.username) == knock("nobody-at-all")


HOSTILE: Final = (
    "https://evil.example/", "//evil.example/", "///evil.example", "/\\evil.example", "\\\\evil.example",
    "https:evil.example", "javascript:alert(1)", "data:text/html,x", "http://testserver@evil.example/",
    "https://testserver.evil.example/", "\thttps://evil.example/", "%2F%2Fevil.example", "/%0a/evil.example",
)  # fmt: skip


def stays(location: str) -> bool:
    """Where a browser would go, to whom a backslash is a slash, is still this origin."""
    where = urlsplit(urljoin("http://testserver/sign-in/", location.replace("\\", "/")))
    return (where.scheme, where.netloc) == ("http", "testserver") and location.isprintable()


@pytest.mark.parametrize("target", HOSTILE)
def test_nobody_is_sent_away_at_any_door(password_user: User, target: str) -> None:
    here = build.make_member(build.make_project("open-door"), Role.CURATOR, password=PASSWORD)
    signing = Client()
    told = {"username": here.username, "password": PASSWORD, "next": target}
    answers = [signing.post(f"{reverse('login')}?next={quote(target)}", told)]
    answers.append(signing.get(f"{reverse('login')}?next={quote(target)}"))  # signed in already
    answers.append(signing.post(reverse("language"), {"language": "en", "next": target}))
    answers.append(signing.post(reverse("start", args=["open-door", "aggregate"]), {"back": target, "method": "none"}))
    answers.append(signing.post(reverse("logout"), {"next": target}))
    for answer in answers:
        assert answer.status_code in (302, 204), answer
        assert stays(answer.get("Location", "/")), answer["Location"]


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row.method == "POST"], ids=lambda row: f"{row.route}-{row.method}"
)
def test_no_page_and_no_address_takes_a_sessions_post_without_its_csrf_token(stage: Stage, row: Row) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies[settings.SESSION_COOKIE_NAME] = stage.cookies[Role.OWNER]
    body = row.body(stage.mine)
    url = address_of(row.route, row.args(stage.mine))
    events = Event.objects.count()
    sent: dict[str, Any] = {"data": body}
    if url.startswith("/api/"):
        sent = {"data": json.dumps(body), "content_type": "application/json"}
    assert client.post(url, **sent).status_code == 403
    assert Event.objects.count() == events

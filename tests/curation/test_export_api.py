"""A version as training jobs read it over HTTP: rows, files and ranges, and who may read what."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from annotate.models import Criterion, Judge, Prompt, Rater, Rubric
from curation.exports.files import rows_digest
from curation.models import DatasetVersion
from curation.services import building, exporting
from tests.build import make_comparison, make_judgements, make_member, make_project, make_token, make_user
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role
from tiebreak.core.models import Event
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage", "fresh_cache")]

N = 12
THIRDS = {"train": 0.4, "validation": 0.3, "test": 0.3}
HERE = "/api/v1/datasets/prefs/versions/1/"


@pytest.fixture
def fresh_cache() -> None:
    cache.clear()


@pytest.fixture
def project() -> Project:
    return make_project("chat", overlap=3)


@pytest.fixture
def curator(project: Project) -> User:
    return make_member(project, Role.CURATOR)


@pytest.fixture
def version(project: Project) -> DatasetVersion:
    """Twelve comparisons in three splits, non-Latin text among them."""
    for i in range(N):
        made = make_comparison(project, f"c{i:03d}", prompt=f"frage {i} 日本", a=f"ja {i} ✓", b=f"no\u2028{i}")
        make_judgements(made, "AAB" if i % 3 else "BBB")
    started = building.start("prefs", project, {"split": THIRDS}, by=None, wake=False)
    ledger.execute(started.run_id or 0)
    started.refresh_from_db()
    assert all(started.counts[split] for split in ("train", "validation", "test")), started.counts
    return started


def bearer(token: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"}, raise_request_exception=False)


@pytest.fixture
def reader(curator: User) -> Client:
    return bearer(make_token(curator, "export"))


@pytest.fixture
def trainer(curator: User) -> Client:
    return bearer(make_token(curator, "train"))


def body_of(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else bytes(response.content)


def rows_of(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, body_of(response)
    return [json.loads(line) for line in body_of(response).splitlines()]


def assert_problem(response: Any, status: int, code: str = "") -> dict[str, Any]:
    assert response.status_code == status, body_of(response)
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (body["status"], body["type"].removeprefix("urn:tiebreak:")) == (status, code or body["type"][13:])
    return body


# --- the manifest -----------------------------------------------------------------------------------------------------


def test_the_manifest_says_everything_before_a_row_is_read(reader: Client, version: DatasetVersion) -> None:
    told = reader.get(HERE).json()
    assert (told["dataset"], told["number"], told["project"], told["status"]) == ("prefs", 1, "chat", "ready")
    assert sum(told["splits"].values()) == N
    assert told["rows_sha256"] == version.rows_sha256
    assert {f["name"] for f in told["files"]} == {"train.parquet", "validation.parquet", "test.parquet"}
    for file in told["files"]:
        content = body_of(reader.get(file["url"]))
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"])
        assert pq.read_table(io.BytesIO(content)).num_rows == file["rows"] == told["splits"][file["split"]]
    assert reader.get(HERE.replace("/1/", "/latest/")).json()["number"] == 1


def test_the_list_of_datasets_names_the_versions_that_are_ready(
    reader: Client, version: DatasetVersion, project: Project
) -> None:
    building.start("prefs", project, {}, by=None, wake=False)  # number 2, building
    listed = reader.get("/api/v1/datasets/").json()["results"]
    assert [(d["name"], d["project"], d["versions"]) for d in listed] == [("prefs", "chat", [1])]
    assert reader.get("/api/v1/datasets/prefs/").json()["name"] == "prefs"


def test_a_version_that_is_still_building_shows_its_manifest_and_no_rows(
    reader: Client, version: DatasetVersion, project: Project
) -> None:
    building.start("prefs", project, {}, by=None, wake=False)
    second = HERE.replace("/1/", "/2/")
    assert reader.get(second).json()["status"] == "building"
    for part in ("rows/", "files/train.parquet"):
        assert "being built" in assert_problem(reader.get(second + part), 409, "version_building")["detail"]
    assert reader.get(HERE.replace("/1/", "/latest/")).json()["number"] == 1


@pytest.mark.parametrize(
    "path", ["versions/2/", "versions/0/", "versions/999999999/", "versions/-1/", "versions/" + "9" * 22 + "/",
             "versions/1/files/nothing.parquet", "versions/1/files/..%2f..%2fmanage.py",
             "versions/1/files/../../manage.py", "versions/%D9%A1/",
             "versions/" + "1" * 5000 + "/", "versions/1/files/%00"],
)  # fmt: skip
def test_what_does_not_exist_is_404(reader: Client, version: DatasetVersion, path: str) -> None:
    assert_problem(reader.get(f"/api/v1/datasets/prefs/{path}"), 404)


# --- rows -------------------------------------------------------------------------------------------------------------


def test_native_rows_are_the_versions_rows(reader: Client, version: DatasetVersion) -> None:
    response = reader.get(HERE + "rows/")
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.headers["X-Tiebreak-Rows"] == str(N)
    rows = rows_of(response)
    assert len(rows) == N
    assert rows_digest(rows) == version.rows_sha256
    assert rows[0]["prompt"][0]["content"].endswith("日本")


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_holds_its_rows_only(reader: Client, version: DatasetVersion, split: str) -> None:
    rows = rows_of(reader.get(HERE + f"rows/?split={split}"))
    assert len(rows) == version.counts[split]
    assert {row["split"] for row in rows} == {split}


def test_a_list_of_datasets_reads_no_card(reader: Client, version: DatasetVersion, curator: User) -> None:
    """A card and its figures are tens of kilobytes, for every version that there ever was."""
    browser = Client()
    browser.force_login(curator)
    for client, address in ((reader, "/api/v1/datasets/"), (browser, f"/p/{version.dataset.project.slug}/datasets/")):
        with CaptureQueriesContext(connection) as asked:
            assert client.get(address).status_code == 200
        assert not [query["sql"] for query in asked if '"card"' in query["sql"]]


def test_the_formats_are_what_trainers_read(reader: Client, version: DatasetVersion) -> None:
    chat = rows_of(reader.get(HERE + "rows/?format=trl&split=train"))[0]
    assert set(chat) == {"prompt", "chosen", "rejected"}
    assert chat["chosen"][0]["role"] == "assistant"
    text = rows_of(reader.get(HERE + "rows/?format=trl-text&split=train"))[0]
    assert text["prompt"].endswith("\n\nAssistant:")
    assert text["chosen"] == " " + chat["chosen"][0]["content"]


@pytest.mark.parametrize(("format", "lines"), [("trl", N), ("kto", 2 * N)])
def test_a_broken_stream_goes_on_after_the_lines_that_one_has(
    reader: Client, version: DatasetVersion, format: str, lines: int
) -> None:
    first = reader.get(HERE + f"rows/?format={format}")
    whole = body_of(first).splitlines(keepends=True)
    assert len(whole) == int(first.headers["X-Tiebreak-Rows"]) == lines
    for had in (0, 1, 7, lines - 1, lines, lines + 5):
        rest = body_of(reader.get(HERE + f"rows/?format={format}&cursor={had}"))
        assert b"".join(whole[:had]) + rest == b"".join(whole)


@pytest.mark.parametrize("format", [name for name in exporting.NAMES if name != "helpsteer2"])  # nobody rated here
def test_every_format_is_streamed(reader: Client, version: DatasetVersion, format: str) -> None:
    answer = reader.get(HERE + f"rows/?format={format}&split=train")
    assert len(rows_of(answer)) == int(answer.headers["X-Tiebreak-Rows"]) >= version.counts["train"]


def test_a_version_that_a_format_cannot_be_told_is_refused_before_its_first_line(
    reader: Client, project: Project, version: DatasetVersion
) -> None:
    turns = [{"role": role, "content": role} for role in ("user", "assistant", "assistant", "user")]
    odd = make_comparison(project, "odd")
    Prompt.objects.filter(pk=odd.prompt_id).update(messages=turns)
    make_judgements(odd, "AAA")
    started = building.start("prefs", project, {"split": THIRDS}, by=None, wake=False)
    ledger.execute(started.run_id or 0)
    problem = assert_problem(reader.get("/api/v1/datasets/prefs/versions/2/rows/?format=llama-factory"), 422)
    assert problem["field"] == "prompt"
    assert "odd" in problem["detail"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("format=arrow", "format"), ("format=%00", "format"), ("split=all", "split"), ("split=Test", "split"),
        ("cursor=-1", "cursor"), ("cursor=1.5", "cursor"), ("cursor=", "cursor"), ("cursor=%D9%A3", "cursor"),
        ("cursor=99999999999999999999", "cursor"), ("cursor=" + "9" * 5000, "cursor"),
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_taken_is_422_and_named(
    reader: Client, version: DatasetVersion, query: str, field: str
) -> None:
    assert assert_problem(reader.get(HERE + f"rows/?{query}"), 422)["field"] == field


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def content(version: DatasetVersion, reader: Client) -> bytes:
    return body_of(reader.get(HERE + "files/train.parquet"))


def get(client: Client, **headers: str) -> Any:
    return client.get(HERE + "files/train.parquet", headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_a_file_comes_whole_with_length_and_etag(reader: Client, content: bytes) -> None:
    response = get(reader, Accept="application/octet-stream")
    assert response.status_code == 200
    assert response.headers["Content-Length"] == str(len(content))
    assert response.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert response.headers["Accept-Ranges"] == "bytes"
    assert "prefs-1-train.parquet" in response.headers["Content-Disposition"]
    assert body_of(response) == content


@pytest.mark.parametrize("asked", ["bytes=0-99", "bytes=100-199", "bytes=0-0", "bytes=-8", "bytes=50-",
                                   "bytes=100-999999999", "bytes=-999999999"])  # fmt: skip
def test_a_range_is_the_bytes_that_were_asked_for(reader: Client, content: bytes, asked: str) -> None:
    first, last = asked.removeprefix("bytes=").split("-")
    size = len(content)
    start = int(first) if first else max(0, size - int(last))
    stop = min(int(last) + 1, size) if first and last else size
    response = get(reader, Range=asked)
    assert response.status_code == 206
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
    assert response.headers["Content-Length"] == str(stop - start)
    assert body_of(response) == content[start:stop]


@pytest.mark.parametrize("asked", ["bytes=999999999-", "bytes=-0", "bytes=999999999-9999999999"])
def test_a_range_outside_is_416_with_the_size(reader: Client, content: bytes, asked: str) -> None:
    response = get(reader, Range=asked)
    assert_problem(response, 416)
    assert response.headers["Content-Range"] == f"bytes */{len(content)}"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=5-2", "lines=0-1", "bytes=-", "bytes=a-b", "bytes=٣-٤",
                                   "bytes=" + "9" * 5000 + "-"])  # fmt: skip
def test_a_header_that_is_no_single_range_is_ignored(reader: Client, content: bytes, asked: str) -> None:
    response = get(reader, Range=asked)
    assert (response.status_code, body_of(response)) == (200, content)


def test_a_cache_asks_again_since_a_withdrawal_and_a_tag_change_what_an_address_names(
    reader: Client, version: DatasetVersion
) -> None:
    for number in ("1", "latest"):
        answer = reader.get(f"/api/v1/datasets/prefs/versions/{number}/files/train.parquet")
        assert body_of(answer)
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert answer.headers["X-Tiebreak-Version"] == "prefs@1"


def test_if_match_refuses_to_go_on_with_another_file(reader: Client, content: bytes) -> None:
    address = "/api/v1/datasets/prefs/versions/1/files/train.parquet"
    etag = reader.head(address).headers["ETag"]
    part = reader.get(address, headers={"If-Match": f'"other", {etag}', "Range": "bytes=0-3"})
    assert (part.status_code, b"".join(part.streaming_content)) == (206, content[:4])
    refused = reader.get(address, headers={"If-Match": '"other"', "Range": "bytes=0-3"})
    assert (refused.status_code, refused.json()["type"]) == (412, "urn:tiebreak:file_changed")
    assert body_of(reader.get(address, headers={"If-Match": "*"})) == content


def test_if_range_gives_a_part_of_the_same_file_only(reader: Client, content: bytes) -> None:
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    assert body_of(get(reader, Range="bytes=0-9", If_Range=etag)) == content[:10]
    for other in ('"other"', f"W/{etag}", "Sat, 21 Nov 2026 07:00:00 GMT"):
        assert body_of(get(reader, Range="bytes=0-9", If_Range=other)) == content


def test_if_none_match_saves_the_download(reader: Client, content: bytes) -> None:
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        response = get(reader, If_None_Match=known)
        assert (response.status_code, body_of(response)) == (304, b"")
        assert response.headers["ETag"] == etag
    for other in ('"other"', etag.strip('"'), f'"x{etag[1:]}'):
        assert body_of(get(reader, If_None_Match=other)) == content


def test_head_says_what_get_would_without_the_bytes(reader: Client, content: bytes) -> None:
    response = reader.head(HERE + "files/train.parquet", headers={"Range": "bytes=0-9"})
    assert (response.status_code, response.headers["Content-Length"]) == (200, str(len(content)))
    assert body_of(response) == b""


# --- who may read what ------------------------------------------------------------------------------------------------

PARTS = ["", "rows/", "rows/?split=train", "files/train.parquet"]


@pytest.mark.parametrize("part", PARTS)
def test_another_projects_version_is_404(version: DatasetVersion, part: str) -> None:
    elsewhere = make_project("other")
    strangers = [make_member(elsewhere, Role.OWNER), make_user()]
    for stranger in strangers:
        assert_problem(bearer(make_token(stranger, "export")).get(HERE + part), 404)
    member = make_member(version.dataset.project, Role.CURATOR)
    elsewhere.members.create(user=member, role=Role.OWNER)
    assert_problem(bearer(make_token(member, "export", project=elsewhere)).get(HERE + part), 404)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("role", [Role.ANNOTATOR, Role.ADJUDICATOR])
def test_who_may_not_read_the_project_reads_no_version(version: DatasetVersion, part: str, role: str) -> None:
    member = make_member(version.dataset.project, role)
    assert_problem(bearer(make_token(member, "export", "curate")).get(HERE + part), 404)


@pytest.mark.parametrize("part", PARTS)
def test_a_token_without_a_readers_scope_is_403(version: DatasetVersion, curator: User, part: str) -> None:
    assert_problem(bearer(make_token(curator, "annotate", "import", "judge")).get(HERE + part), 403)


@pytest.mark.parametrize("part", ["rows/", "rows/?split=", "rows/?split=test", "rows/?format=trl&split=test&cursor=3",
                                  "files/test.parquet"])  # fmt: skip
def test_a_training_token_never_reads_the_test_split(trainer: Client, version: DatasetVersion, part: str) -> None:
    assert_problem(trainer.get(HERE + part), 403, "protected_split")
    assert not Event.objects.filter(verb__in=["dataset.read", "dataset.download"]).exists()


def test_no_trick_gets_a_training_token_a_row_of_the_test_split(
    trainer: Client, reader: Client, version: DatasetVersion
) -> None:
    hidden = {row["id"] for row in rows_of(reader.get(HERE + "rows/?split=test"))}
    for query in ("split=train", "split=validation", "split=train&split=validation", "split=test&split=train"):
        rows = rows_of(trainer.get(HERE + f"rows/?{query}"))
        assert rows
        assert not hidden & {row["id"] for row in rows}
    for query in ("split=train&split=test", "split=TEST", "split= test", "split=test%00", "split=train,test"):
        assert trainer.get(HERE + f"rows/?{query}").status_code in (403, 422)
    for headers in ({"Range": "bytes=0-3"}, {"Range": "bytes=-8"}, {"If-None-Match": "*"}):
        assert trainer.get(HERE + "files/test.parquet", headers=headers).status_code == 403
    assert trainer.head(HERE + "files/test.parquet").status_code == 403
    manifest = json.dumps(trainer.get(HERE).json())
    assert not any(f'"{row}"' in manifest for row in hidden)


def test_a_training_token_reads_what_it_trains_on(trainer: Client, version: DatasetVersion) -> None:
    assert len(rows_of(trainer.get(HERE + "rows/?split=train"))) == version.counts["train"]
    assert len(rows_of(trainer.get(HERE + "rows/?format=trl&split=validation"))) == version.counts["validation"]
    for split in ("train", "validation"):
        assert body_of(trainer.get(HERE + f"files/{split}.parquet"))[:4] == b"PAR1"


def test_every_reading_leaves_an_event(reader: Client, version: DatasetVersion, curator: User) -> None:
    body_of(reader.get(HERE + "rows/?format=trl&split=train"))
    read = Event.objects.get(verb="dataset.read")
    assert (read.actor_id, read.target_id, read.project_id) == (curator.pk, str(version.pk), version.dataset.project_id)
    assert (read.data["split"], read.data["format"]) == ("train", "trl")


@pytest.mark.parametrize("asked", ["", "bytes=0-", "bytes=1-", "bytes=-99999999", "bytes=4-9,2-3"])
def test_no_range_gets_round_the_audit_and_a_seeking_reader_is_one_event(
    reader: Client, version: DatasetVersion, asked: str
) -> None:
    for _ in range(3):
        body_of(get(reader, **({"Range": asked} if asked else {})))
    body_of(reader.get(HERE + "files/test.parquet"))
    events = Event.objects.filter(verb="dataset.download").order_by("id")
    assert [event.data["file"] for event in events] == ["train.parquet", "test.parquet"]


# --- starting work ----------------------------------------------------------------------------------------------------


@pytest.fixture
def curating(curator: User) -> Client:
    return bearer(make_token(curator, "curate"))


def post(client: Client, path: str, body: Any, **headers: str) -> Any:
    return client.post(f"/api/v1/{path}", json.dumps(body), content_type="application/json", headers=headers)


def test_a_build_is_started_and_its_run_can_be_followed(curating: Client, project: Project) -> None:
    make_judgements(make_comparison(project), "AAA")
    answer = post(curating, "datasets/fresh/versions/", {"project": "chat", "recipe": {}}, **{"Idempotency-Key": "b1"})
    again = post(curating, "datasets/fresh/versions/", {"project": "chat", "recipe": {}}, **{"Idempotency-Key": "b1"})
    assert (answer.status_code, answer.json()["version"]) == (202, "fresh@1")
    assert answer.headers["Location"] == again.headers["Location"]
    assert DatasetVersion.objects.count() == Run.objects.count() == 1
    assert curating.get(answer.headers["Location"]).json()["status"] == "queued"
    ledger.execute(answer.json()["run"])
    assert curating.get(answer.headers["Location"]).json()["status"] == "succeeded"
    assert curating.get("/api/v1/datasets/fresh/versions/1/").json()["status"] == "ready"


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("fresh", {}, "project"),
        ("fresh", {"project": "chat", "recipes": {}}, "recipes"),
        ("fresh", {"project": "chat", "recipe": []}, "recipe"),
        ("fresh", {"project": "chat", "recipe": {"levle": 2}}, "levle"),
        ("fresh", {"project": "chat", "recipe": {"a\x00": 2}}, "recipe"),
        ("Fresh_One", {"project": "chat"}, "name"),
        ("x" * 65, {"project": "chat"}, "name"),
    ],
)
def test_a_build_that_cannot_be_is_422_and_named(
    curating: Client, project: Project, name: str, body: Any, field: str
) -> None:
    told = assert_problem(post(curating, f"datasets/{name}/versions/", body), 422)
    assert field in told["field"]
    assert not DatasetVersion.objects.exists()


def test_who_may_only_read_or_train_builds_nothing(project: Project, curator: User) -> None:
    viewer = make_member(project, Role.VIEWER)
    for token in (make_token(viewer, "curate"), make_token(curator, "export", "train")):
        assert_problem(post(bearer(token), "datasets/fresh/versions/", {"project": "chat"}), 403)
    outsider = make_token(make_user(), "curate")
    assert_problem(post(bearer(outsider), "datasets/fresh/versions/", {"project": "chat"}), 404)


def test_a_name_of_another_project_is_not_built_upon(version: DatasetVersion, curator: User) -> None:
    make_project("other", owner=curator)
    answer = post(bearer(make_token(curator, "curate")), "datasets/prefs/versions/", {"project": "other"})
    assert_problem(answer, 404, "dataset_elsewhere")


def test_a_verb_is_started_and_its_run_can_be_followed(curating: Client, project: Project) -> None:
    make_judgements(make_comparison(project), "AAB")
    answer = post(curating, "projects/chat/verbs/", {"kind": "aggregate"})
    assert answer.status_code == 202
    ledger.execute(answer.json()["run"])
    told = curating.get(answer.headers["Location"]).json()
    assert (told["kind"], told["status"], told["result"]["comparisons"]) == ("aggregate", "succeeded", 1)


@pytest.mark.parametrize(
    ("scope", "kind"), [("train", "aggregate"), ("judge", "train"), ("train", "judge"), ("judge", "return")]
)
def test_a_narrow_scope_starts_its_own_verb_only(project: Project, curator: User, scope: str, kind: str) -> None:
    assert_problem(
        post(bearer(make_token(curator, scope)), "projects/chat/verbs/", {"kind": kind}), 403, "scope_too_small"
    )


# --- judges and rubrics -----------------------------------------------------------------------------------------------

JUDGE = {
    "name": "gpt",
    "kind": "pairwise",
    "model": "m-1",
    "base_url": "https://api.example.com/v1",
    "api_key_env": "X_API_KEY",
}


def test_a_judge_is_made_once_per_key_and_a_second_is_a_new_version(curating: Client, project: Project) -> None:
    first, again = (post(curating, "projects/chat/judges/", JUDGE, **{"Idempotency-Key": "j"}) for _ in range(2))
    assert (first.status_code, first.json()) == (201, again.json())
    assert post(curating, "projects/chat/judges/", JUDGE | {"price_prompt": "0.5"}).json()["version"] == 2
    listed = curating.get("/api/v1/projects/chat/judges/").json()["results"]
    assert [(j["name"], j["version"], j["rater"], j["price_prompt"]) for j in listed] == [
        ("gpt", 2, "gpt v2", "0.5000"), ("gpt", 1, "gpt v1", "0.0000"),
    ]  # fmt: skip
    assert Rater.objects.filter(project=project, kind="judge").count() == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"base_url": "http://169.254.169.254/"}, "base_url"),
        ({"base_url": "http://localhost@127.0.0.1/"}, "base_url"),
        ({"base_url": ""}, "base_url"),
        ({"api_key_env": "DATABASE_URL"}, "api_key_env"),
        ({"api_key_env": "sk-live-0123456789"}, "api_key_env"),
        ({"kind": "oracle"}, "kind"),
        ({"kind": "rubric"}, "rubric"),
        ({"kind": "rubric", "rubric": 10**30}, "rubric"),
        ({"backend": "shell"}, "backend"),
        ({"price_prompt": "NaN"}, "price_prompt"),
        ({"price_prompt": "-1"}, "price_prompt"),
        ({"name": "a\x00b"}, "name"),
        ({"config": []}, "config"),
        ({"api_key": "sk-live"}, "api_key"),
    ],
)
def test_a_judge_that_cannot_be_is_422_and_named(curating: Client, project: Project, change: Any, field: str) -> None:
    assert assert_problem(post(curating, "projects/chat/judges/", JUDGE | change), 422)["field"] == field
    assert not Judge.objects.exists()


def make_rubric(project: Project) -> Rubric:
    rubric = Rubric.objects.create(project=project, name="clarity", version=1, evidence={"tried": 8, "reproduced": 7})
    Criterion.objects.create(rubric=rubric, position=0, kind="principle", text="Says it plainly.")
    return rubric


def test_a_rubric_is_approved_in_the_callers_name_once(curating: Client, curator: User, project: Project) -> None:
    rubric = make_rubric(project)
    [listed] = curating.get("/api/v1/projects/chat/rubrics/").json()["results"]
    assert (listed["status"], listed["approved_by"], listed["criteria"][0]["text"]) == (
        "draft",
        None,
        "Says it plainly.",
    )
    path = f"projects/chat/rubrics/{rubric.pk}/approve/"
    told = post(curating, path, {}).json()
    assert (told["status"], told["approved_by"]) == ("approved", curator.username)
    assert_problem(post(curating, path, {}), 409)
    judge = post(curating, "projects/chat/judges/", JUDGE | {"kind": "rubric", "rubric": rubric.pk})
    assert judge.json()["rubric"] == rubric.pk


def test_a_rubric_of_another_project_is_out_of_reach(curating: Client, project: Project) -> None:
    rubric = make_rubric(make_project("other"))
    assert_problem(post(curating, f"projects/chat/rubrics/{rubric.pk}/approve/", {}), 404)
    assert_problem(post(curating, f"projects/other/rubrics/{rubric.pk}/approve/", {}), 404)
    judge = post(curating, "projects/chat/judges/", JUDGE | {"kind": "rubric", "rubric": rubric.pk})
    assert assert_problem(judge, 422)["field"] == "rubric"


def test_a_viewer_reads_judges_and_rubrics_and_changes_neither(project: Project) -> None:
    client, rubric = bearer(make_token(make_member(project, Role.VIEWER), "curate")), make_rubric(project)
    for what in ("judges", "rubrics"):
        assert client.get(f"/api/v1/projects/chat/{what}/").status_code == 200
    assert_problem(post(client, "projects/chat/judges/", JUDGE), 403)
    assert_problem(post(client, f"projects/chat/rubrics/{rubric.pk}/approve/", {}), 403)


# --- with Hugging Face datasets ---------------------------------------------------------------------------------------


@pytest.fixture
def hub_off_but_http_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """`datasets`, whose offline switch also blocks 127.0.0.1; its caches are this test's."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    return datasets


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("streaming", [False, True])
def test_load_dataset_reads_parquet_over_http_with_a_token(
    live_server: Any, hub_off_but_http_on: Any, curator: User, version: DatasetVersion, streaming: bool
) -> None:
    token = make_token(curator, "train")
    loaded = hub_off_but_http_on.load_dataset(
        "parquet",
        data_files={"train": f"{live_server.url}{HERE}files/train.parquet"},
        storage_options={"headers": {"Authorization": f"Bearer {token}"}},
        streaming=streaming,
        split="train",
    )
    expected = [json.loads(line) for line in exporting.lines(version, format="native", split="train")]
    assert [row["id"] for row in loaded] == [row["id"] for row in expected]
    assert [row["chosen"] for row in loaded] == [row["chosen"] for row in expected]


@pytest.mark.django_db(transaction=True)
def test_load_dataset_without_the_right_token_gets_no_row(
    live_server: Any, hub_off_but_http_on: Any, curator: User, version: DatasetVersion
) -> None:
    for token, split in ((make_token(curator, "train"), "test"), ("tbk_wrong_token", "train")):
        with pytest.raises((FileNotFoundError, OSError)):
            hub_off_but_http_on.load_dataset(
                "parquet",
                data_files=f"{live_server.url}{HERE}files/{split}.parquet",
                storage_options={"headers": {"Authorization": f"Bearer {token}"}},
                split="train",
            )


@pytest.mark.django_db(transaction=True)
def test_exported_trl_files_load_as_the_same_rows(
    hub_off_but_http_on: Any, version: DatasetVersion, tmp_path: Path
) -> None:
    exporting.export_to(version, format="trl", folder=tmp_path / "out")
    for split in ("train", "validation", "test"):
        loaded = hub_off_but_http_on.load_dataset(
            "json", data_files=str(tmp_path / "out" / f"{split}.jsonl"), split="train", cache_dir=str(tmp_path / "c")
        )
        assert list(loaded) == [json.loads(line) for line in exporting.lines(version, format="trl", split=split)]

"""Evaluation sets: files of benchmarks as texts, kept by name, and what may not come in."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from curation.exports.recipe import Recipe
from curation.models import EvaluationSet
from curation.services import evaluation_files, evaluation_sets
from tests import build
from tiebreak import gunzip
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Conflict, Invalid, TooLarge
from tiebreak.core.models import Event
from tiebreak.runs import store

pytestmark = pytest.mark.django_db

QUESTION = "A train leaves the station at noon and travels at sixty miles an hour; when does it arrive?"


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def texts(data: bytes, field: str = "", filename: str = "set.jsonl") -> list[str]:
    return list(evaluation_files.texts(io.BytesIO(data), field, filename))


def parquet(**columns: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


@pytest.fixture
def project() -> Project:
    return build.make_project("chat")


def add(project: Project, data: bytes = b"", name: str = "trains", **given: Any) -> EvaluationSet:
    return evaluation_sets.add(project, name, io.BytesIO(data or lines({"question": QUESTION})), **given)


# Files


@pytest.mark.parametrize(
    ("data", "field", "filename", "expected"),
    [
        (lines({"text": "a"}, {"text": "b"}), "", "x.jsonl", ["a", "b"]),
        (lines({"id": 1, "question": "q", "answer": "a"}), "", "x.jsonl", ["q"]),
        (lines({"question": "q", "answer": "a"}), "question, answer", "x.jsonl", ["q", "a"]),
        (lines("a", "b"), "", "x.jsonl", ["a", "b"]),
        (b'["a", "b"]', "", "x.json", ["a", "b"]),
        (b'[{"text": "a"}]', "", "x.json", ["a"]),
        (lines({"prompt": [{"role": "user", "content": "a"}, {"content": "b"}]}), "", "x", ["a", "b"]),
        (lines({"conversations": [{"from": "human", "value": "a"}]}), "conversations", "x", ["a"]),
        (lines({"choices": ["a", "b"]}), "choices", "x", ["a", "b"]),
        (lines({"text": "a"}, {"text": None}, {"text": ""}, {"text": " ?! "}), "", "x", ["a"]),
        (gzip.compress(lines({"text": "a"}), mtime=0), "", "x.jsonl.gz", ["a"]),
        (b"question,answer\nq,a\n", "", "x.csv", ["q"]),
        (parquet(question=["q", "r"], n=[1, 2]), "", "x.parquet", ["q", "r"]),
        (b"one\n\ntwo, three\r\n", "", "x.txt", ["one\n", "two, three\r\n"]),
        (b"", "", "x.txt", []),
        (b"", "", "x.jsonl", []),
    ],
)  # fmt: skip
def test_files_become_texts(data: bytes, field: str, filename: str, expected: list[str]) -> None:
    assert texts(data, field, filename) == expected


@pytest.mark.parametrize(
    ("data", "field", "filename", "words"),
    [
        (lines({"a": "x", "b": "y"}), "", "x.jsonl", "a, b"),
        (lines({"text": "a"}, {"words": "b"}), "", "x.jsonl", "line 2"),
        (lines({"text": "a"}), "question", "x.jsonl", "'question'"),
        (lines({"text": 1}), "", "x.jsonl", "line 1"),
        (lines({"text": "a"}) + b"{broken\n", "", "x.jsonl", "line 2"),
        (lines({"text": "a\x00b"}), "", "x.jsonl", "NUL"),
        (b'{"text": "\\ud800"}\n', "", "x.jsonl", "line 1"),
        (lines({"text": "a" * 1_000_001}), "", "x.jsonl", "1,000,000"),
        (lines(1), "", "x.jsonl", "int"),
        (b"\xff\xfe", "", "x.txt", "UTF-8"),
        (b"PAR1" + b"\0" * 100, "", "x.parquet", "Parquet"),
        (gzip.compress(lines({"text": "a"}), mtime=0)[:-9], "", "x.gz", "breaks off"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(data: bytes, field: str, filename: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        texts(data, field, filename)


def test_a_gzip_bomb_is_refused_before_it_unfolds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gunzip, "BOMB_FROM", 1 << 20)
    bomb = gzip.compress(lines({"text": "a" * 100_000}) * 100, mtime=0)  # 10 MB of text
    assert len(bomb) < 20_000
    with pytest.raises(Invalid, match="grows more than"):
        texts(bomb)


def test_a_parquet_bomb_is_refused_by_what_comes_out_of_it(monkeypatch: pytest.MonkeyPatch, project: Project) -> None:
    # A dictionary of one text of 100 kB and 10,000 references to it: a gigabyte in a file of some kilobytes.
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), ["word " * 20_000])
    bomb = parquet(text=column)
    assert len(bomb) < 200_000
    monkeypatch.setattr(evaluation_sets, "MOST_BYTES", 4 << 20)
    with pytest.raises(TooLarge, match="4 MB"):
        add(project, bomb, filename="x.parquet")
    monkeypatch.setattr(evaluation_files, "MOST_READ", 4 << 20)
    with pytest.raises(TooLarge, match="4 MB"):
        texts(bomb, "text", "x.parquet")
    assert not EvaluationSet.objects.exists()
    assert not list(store.root().glob(f"{store.INCOMING}*"))


def test_a_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation_files, "MOST_SENT", 10)
    with pytest.raises(TooLarge):
        texts(lines({"text": "more than ten bytes"}))


class Pipe(io.RawIOBase):
    """What comes over a network: it can be read once."""

    def __init__(self, data: bytes) -> None:
        self.data = io.BytesIO(data)

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        return self.data.read(size)


def test_a_stream_that_cannot_be_read_twice_is_kept_on_disk_meanwhile() -> None:
    assert list(evaluation_files.texts(Pipe(gzip.compress(lines({"text": "a"}), mtime=0)))) == ["a"]  # type: ignore[arg-type]


# Sets


def test_a_set_keeps_its_texts_under_their_hash_and_is_in_the_log(project: Project) -> None:
    user = build.make_member(project, "curator")
    row = add(project, lines({"question": QUESTION}, {"question": "2+2?"}), by=user)
    assert (row.name, row.texts, row.by) == ("trains", 2, user)
    assert list(evaluation_sets.texts_of(row)) == [QUESTION, "2+2?"]
    assert row.sha256 == row.artifact.sha256
    event = Event.objects.get(verb="evaluation_set.added")
    assert (event.actor, event.data["texts"]) == (user, 2)


def test_the_same_texts_again_are_the_same_set_and_others_are_refused(project: Project) -> None:
    row = add(project)
    assert add(project).pk == row.pk
    with pytest.raises(Conflict, match="taken by other texts"):
        add(project, lines({"question": "another"}))
    assert Event.objects.filter(verb="evaluation_set.added").count() == 1


@pytest.mark.parametrize("data", [b"\n", lines({"text": ""}), lines({"text": "?!"}), b"[]"])
def test_a_set_without_a_word_is_refused(project: Project, data: bytes) -> None:
    with pytest.raises(Invalid, match="a text with a word"):
        add(project, data)


@pytest.mark.parametrize("name", ["", "Big Set", "a" * 65, "a/b", "a\x00b"])
def test_a_name_that_is_none_is_refused(project: Project, name: str) -> None:
    with pytest.raises(Invalid, match="name"):
        add(project, name=name)
    assert not EvaluationSet.objects.exists()


def test_a_set_goes_unless_a_version_names_it(project: Project) -> None:
    trains, other = add(project), add(project, name="other")
    version = build.make_version(
        project, [build.make_comparison(project, "c1")], name="prefs", recipe={"decontaminate": {"against": ["trains"]}}
    )
    with pytest.raises(Conflict, match="prefs@1"):
        evaluation_sets.remove(trains, by=None)
    evaluation_sets.remove(other, by=None)
    assert [(row.name, list(versions)) for row, versions in evaluation_sets.listed(project)] == [("trains", [version])]
    assert Event.objects.filter(verb="evaluation_set.removed").count() == 1


def test_a_recipe_is_held_against_the_sets_that_it_names(project: Project) -> None:
    add(project)
    add(project, lines({"text": "something of thirteen words " * 5}), name="other")
    against = evaluation_sets.contamination_of(project, Recipe.from_dict({"decontaminate": {"against": ["trains"]}}))
    assert against is not None
    assert against.cause([QUESTION]) is not None
    assert against.cause(["something of thirteen words " * 5]) is None
    assert evaluation_sets.contamination_of(project, Recipe.from_dict({})) is None


def test_a_recipe_that_names_no_set_of_this_project_is_refused(project: Project) -> None:
    add(build.make_project("elsewhere"))
    add(project, name="mine")
    with pytest.raises(Invalid, match=r"there are: mine.*got 'trains'"):
        evaluation_sets.contamination_of(project, Recipe.from_dict({"decontaminate": {"against": ["trains"]}}))


def test_the_command_imports_a_file(project: Project, tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text(f"{QUESTION}\n2+2?\n")
    out = io.StringIO()
    call_command("import_evaluation_set", "chat", "trains", str(tmp_path / "q.txt"), "--json", stdout=out)
    assert json.loads(out.getvalue())["texts"] == 2
    assert EvaluationSet.objects.get().name == "trains"


# The page and REST


def upload(client: Any, project: Project, data: bytes, name: str = "trains", **fields: str) -> Any:
    given = {"name": name, "file": SimpleUploadedFile("set.jsonl", data), **fields}
    return client.post(reverse("evaluation-set-add", args=[project.slug]), given)


@pytest.fixture
def curator(project: Project, client: Client) -> Client:
    client.force_login(build.make_member(project, "curator"))
    return client


def test_the_page_lists_the_sets_with_the_versions_held_against_them(project: Project, curator: Client) -> None:
    assert "No evaluation set yet" in curator.get(reverse("evaluation-sets", args=["chat"])).text
    assert upload(curator, project, lines({"q": QUESTION}), field="q").status_code == 302
    build.make_version(
        project, [build.make_comparison(project, "c1")], name="prefs", recipe={"decontaminate": {"against": ["trains"]}}
    )
    shown = curator.get(reverse("evaluation-sets", args=["chat"])).text
    assert "trains" in shown
    assert "prefs@1" in shown
    assert reverse("evaluation-set-remove", args=["chat", "trains"]) not in shown  # it stays


def test_a_file_that_is_refused_says_why_beside_its_field(project: Project, curator: Client) -> None:
    told = upload(curator, project, lines({"a": 1}))
    assert told.status_code == 422
    assert "there are: a" in told.text
    told = upload(curator, project, b"{broken\n")
    assert "line 1" in told.text
    assert not EvaluationSet.objects.exists()


def test_a_set_is_removed_from_the_page(project: Project, curator: Client) -> None:
    add(project)
    curator.post(reverse("evaluation-set-remove", args=["chat", "trains"]))
    assert not EvaluationSet.objects.exists()


@pytest.fixture
def api(project: Project, client: Client) -> Client:
    client.defaults["HTTP_AUTHORIZATION"] = (
        f"Bearer {build.make_token(build.make_member(project, 'curator'), 'curate')}"
    )
    return client


URL = "/api/v1/projects/chat/evaluation-sets/"


def test_rest_adds_texts_lists_and_removes(project: Project, api: Client) -> None:
    made = api.post(URL, {"name": "sums", "texts": ["2+2?", " 3+3? "]}, content_type="application/json")
    assert (made.status_code, made.json()["texts"], made.json()["versions"]) == (201, 2, [])
    assert list(evaluation_sets.texts_of(EvaluationSet.objects.get())) == ["2+2?", " 3+3? "]
    assert [row["name"] for row in api.get(URL).json()] == ["sums"]
    assert api.delete(f"{URL}sums/").status_code == 204
    assert api.get(URL).json() == []
    assert api.delete(f"{URL}sums/").status_code == 404


def test_rest_takes_a_file(project: Project, api: Client) -> None:
    sent = gzip.compress(lines({"q": QUESTION}, {"q": "2+2?"}), mtime=0)
    made = api.post(f"{URL}?name=trains&field=q", sent, content_type="application/x-ndjson")
    assert (made.status_code, made.json()["texts"]) == (201, 2)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "sums"}, 422),
        ({"name": "Sums!", "texts": ["a"]}, 422),
        ({"name": "sums", "texts": []}, 422),
        ({"name": "sums", "texts": ["a\x00"]}, 422),
        ({"name": "sums", "texts": ["a"], "more": 1}, 422),
        ({"name": "trains", "texts": ["other"]}, 409),
    ],
)
def test_rest_refuses_what_is_no_set(project: Project, api: Client, body: dict[str, Any], status: int) -> None:
    add(project)
    told = api.post(URL, body, content_type="application/json")
    assert told.status_code in ({status, 400} if status == 422 else {status})
    assert EvaluationSet.objects.count() == 1

"""Rows of a version over REST: what is new since a copy, what is left out and said so, and what nobody gets."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotate.models import Comparison, Form, Judgement
from curation import api_urls
from curation.exports.files import chain, ndjson_line, rows_digest
from curation.exports.following import RULE_NAMES
from curation.exports.schema import SPLITS, native
from curation.models import Dataset, DatasetRow, DatasetVersion, Tombstone, VersionFile, VersionTag, Withdrawal
from curation.services import exporting, lines, rewriting
from tests.build import make_comparison, make_judgement, make_member, make_project, make_rater, make_run, make_token
from tests.curation.exports.rows import message, row, tied
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role
from tiebreak.api.throttles import STREAMS
from tiebreak.core.models import Event
from tiebreak.runs import store
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage", "fresh_cache")]

SECRET = "SECRET"
ODD = 'tab\t, "quotes", back\\slash, \\\\two, \\n as two letters, \u2028, \x7f, 日本, 🙂'


@pytest.fixture
def fresh_cache() -> None:
    cache.clear()


@pytest.fixture
def project() -> Project:
    return make_project("chat")


@pytest.fixture
def curator(project: Project) -> User:
    return make_member(project, Role.CURATOR)


@pytest.fixture
def reader(curator: User) -> Client:
    return bearer(make_token(curator, "export"))


@pytest.fixture
def trainer(curator: User) -> Client:
    return bearer(make_token(curator, "train"))


def bearer(token: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"}, raise_request_exception=False)


def a_row(id_: str, split: str = "train", text: str = "4", **changes: Any) -> dict[str, Any]:
    prompt = [message(f"{SECRET} {id_}?" if split == "test" else f"{id_}?", "user")]
    made = row(id_, prompt=prompt, completion_a=[message(text)], completion_b=[message("no")])
    return {**made, "split": split, **changes}


def freeze(project: Project, rows: Sequence[Any], *, status: str = "ready") -> DatasetVersion:
    """The next version of `prefs`, of just these rows in their order."""
    dataset, _ = Dataset.objects.get_or_create(project=project, name="prefs")
    number = dataset.versions.count() + 1
    version = DatasetVersion.objects.create(dataset=dataset, number=number, recipe={}, recipe_sha256="1" * 64)
    for position, each in enumerate(rows):
        put_row(version, position, each)
    pairs = [each for each in rows if "undecided" not in each]
    for split in SPLITS:
        artifact = store.put(f"PAR1 {split} {number}".encode(), "application/vnd.apache.parquet")
        VersionFile.objects.create(version=version, name=f"{split}.parquet", split=split, rows=0, artifact=artifact)
    DatasetVersion.objects.filter(pk=version.pk).update(
        status=status,
        rows_sha256=hashlib.sha256(b"".join(map(ndjson_line, rows))).hexdigest(),
        chain_sha256=chain(version.rows.order_by("position").values_list("sha256", flat=True)),
        counts={split: sum(each["split"] == split for each in pairs) for split in SPLITS},
    )
    version.refresh_from_db()
    return version


def put_row(version: DatasetVersion, position: int, each: Any) -> DatasetRow:
    line = ndjson_line(native(each))
    project = version.dataset.project
    found = Comparison.objects.filter(project=project, external_id=each["id"]).first()
    return DatasetRow.objects.create(
        version=version,
        position=position,
        comparison=found or make_comparison(project, each["id"], prompt=each["prompt"][0]["content"]),
        split=each["split"],
        verdict=each.get("undecided", "chosen"),
        side=each.get("chosen_side", ""),
        line=line[:-1].decode(),
        sha256=hashlib.sha256(line).hexdigest(),
    )


def withdraw(version: DatasetVersion, id_: str, *, left: Any = None) -> None:
    """As a withdrawal does it: the row goes, or is put again without a vote, and a tombstone tells its hash."""
    known = version.rows.get(comparison__external_id=id_)
    withdrawal, _ = Withdrawal.objects.get_or_create(
        project=version.dataset.project, kind="comparison", comparison=known.comparison, reason="asked for"
    )
    position = known.position
    stone = Tombstone(
        withdrawal=withdrawal, version=version, position=position, external_id=id_, split=known.split,
        verdict=known.verdict, sha256=known.sha256,
    )  # fmt: skip
    with rewriting.door():
        known.delete()
        if left is not None:
            stone.became = put_row(version, position, left).sha256
        stone.save()


def here(number: int | str = 1) -> str:
    return f"/api/v1/datasets/prefs/versions/{number}/"


def body_of(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else bytes(response.content)


def rows_of(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, body_of(response)
    return [json.loads(line) for line in body_of(response).splitlines()]


def ids(rows: Iterable[Any]) -> list[str]:
    return [each["id"] for each in rows]


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(body_of(response))
    assert (response.status_code, body["type"]) == (status, f"urn:tiebreak:{code}"), body
    return body


# --- bytes ------------------------------------------------------------------------------------------------------------


def test_lines_come_out_of_copy_as_they_were_hashed(reader: Client, project: Project) -> None:
    made = [a_row(f"c{i}", text=ODD + "\\" * i) for i in range(5)]
    version = freeze(project, made)
    sent = body_of(reader.get(here() + "rows/"))
    assert sent == b"".join(map(ndjson_line, made))
    assert hashlib.sha256(sent).hexdigest() == version.rows_sha256 == rows_digest(made)


def test_blocks_of_any_size_join_to_the_same_lines(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    version = freeze(project, [a_row(f"c{i:02d}", SPLITS[i % 3], text="x" * 50 * i) for i in range(40)])
    for most, room in ((1, 1 << 20), (3, 1 << 20), (64, 1), (64, 3_000), (512, 1 << 20)):
        monkeypatch.setattr(lines, "BLOCK_ROWS", most)
        monkeypatch.setattr(lines, "BLOCK_BYTES", room)
        for split in (None, "test"):
            asked = exporting.asked_for(version, split=split)
            whole = b"".join(lines.blocks(asked))
            assert whole.count(b"\n") == (40 if split is None else version.counts[split])
            for skip in (0, 1, 5, 13, 39, 99):
                rest = b"".join(lines.blocks(asked, skip=skip))
                assert rest == b"".join(whole.splitlines(keepends=True)[skip:])


def test_a_cell_of_a_million_characters_makes_the_blocks_smaller_and_not_the_memory_larger(project: Project) -> None:
    """Among short ones as well, which tell nothing of what comes after them."""
    texts = ["short", "é" * 1_000_000, "short", *["é" * 1_000_000] * 8]
    version = freeze(project, [a_row(f"c{i:02d}", text=text) for i, text in enumerate(texts)])
    blocks = list(lines.blocks(exporting.asked_for(version)))
    assert b"".join(blocks) == b"".join(exporting.lines(version))
    assert sum(map(len, blocks)) > 18_000_000
    assert max(map(len, blocks)) < 2_100_000  # as many as begin within a megabyte: one long row at most
    assert len(list(exporting.lines(version, format="trl"))) == len(texts)


def test_lines_are_read_where_queries_are_logged(project: Project) -> None:
    version = freeze(project, [a_row("c1"), a_row("c2")])
    with CaptureQueriesContext(connection):
        assert len(list(exporting.lines(version, split="train"))) == 2


def test_no_index_leads_around_the_order_of_rows(project: Project) -> None:
    """A planner that knows nothing of a new version would take it, and read all of the version for each block."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'curation_datasetrow'")
        columns = [definition.partition("USING btree ")[2] for (definition,) in cursor.fetchall()]
    assert any(found.startswith('(version_id, "position")') for found in columns)
    assert "(version_id)" not in columns


def test_backslashes_quotes_and_ends_of_lines_arrive_as_they_are(project: Project) -> None:
    text = 'C:\\new\\\\\n\r\t\b\f"\\"\u2028\x7f é 日'
    version = freeze(project, [a_row("c1", text=text)])
    (line,) = exporting.lines(version)
    assert line == version.rows.get().line.encode() + b"\n"
    assert json.loads(line)["chosen"][0]["content"] == text
    (told,) = exporting.lines(version, format="trl")
    assert json.loads(told)["chosen"][0]["content"] == text


# --- which version, and when ------------------------------------------------------------------------------------------


def test_a_tag_is_as_good_as_a_number(reader: Client, project: Project) -> None:
    for text in ("old", "new"):
        version = freeze(project, [a_row("c1", text=text)])
    VersionTag.objects.create(dataset=version.dataset, name="prod", version=version.dataset.versions.get(number=1))
    assert reader.get(here("prod")).json()["number"] == 1
    answer = reader.get(here("prod") + "rows/")
    assert answer.headers["X-Tiebreak-Version"] == "prefs@1"
    assert rows_of(answer)[0]["chosen"][0]["content"] == "old"
    assert body_of(reader.get(here("prod") + "files/train.parquet")) == b"PAR1 train 1"
    assert reader.get(here("latest")).json()["number"] == 2
    assert reader.get(here("staging")).status_code == 404


@pytest.mark.parametrize("part", ["rows/", "rows/c1/", "removed/?since=1", "files/train.parquet"])
def test_a_version_that_is_being_built_says_when_to_ask_again(reader: Client, project: Project, part: str) -> None:
    freeze(project, [a_row("c1")], status="building")
    answer = reader.get(here() + part)
    assert_problem(answer, 409, "version_building")
    assert answer.headers["Retry-After"] == "5"
    assert reader.get(here()).json()["status"] == "building"


def test_a_build_that_failed_is_not_there(reader: Client, project: Project) -> None:
    freeze(project, [a_row("c1")], status="failed")
    assert_problem(reader.get(here() + "rows/"), 404, "version_failed")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ({"type": "Invalid", "code": "invalid", "message": "balance.by: no such key."}, "balance.by: no such key."),
        ({"type": "IntegrityError", "message": "Failing row contains (...)"}, "IntegrityError"),
        (None, "cancelled"),
    ],
)
def test_the_manifest_of_a_build_that_failed_says_why(
    reader: Client, project: Project, error: dict[str, str] | None, told: str
) -> None:
    version = freeze(project, [a_row("c1")], status="failed")
    run = make_run(project, kind="build", status="failed", error=error)
    Run.objects.filter(pk=run.pk).update(status="failed" if error else "cancelled")
    DatasetVersion.objects.filter(pk=version.pk).update(run=run)
    assert reader.get(here()).json()["failed_because"] == told
    freeze(project, [a_row("c1")])
    assert reader.get(here(2)).json()["failed_because"] is None


def test_the_manifest_tells_what_was_dropped_in_the_order_of_the_rules(
    reader: Client, project: Project, tmp_path: Path
) -> None:
    version = freeze(project, [a_row("c1")], status="building")
    counts = dict.fromkeys(reversed(RULE_NAMES), 1) | {"an_old_rule": 1}
    DatasetVersion.objects.filter(pk=version.pk).update(dropped=counts, status="ready")
    version.refresh_from_db()
    assert list(reader.get(here()).json()["dropped"]) == [*RULE_NAMES, "an_old_rule"]
    exporting.export_to(version, format="native", folder=tmp_path)
    assert list(json.loads((tmp_path / "manifest.json").read_text())["dropped"]) == [*RULE_NAMES, "an_old_rule"]


def test_the_manifest_tells_columns_chain_parent_and_what_is_no_pair(reader: Client, project: Project) -> None:
    freeze(project, [a_row("c1")])
    version = freeze(project, [a_row("c1"), a_row("c2"), tied("t1", "tie"), tied("t2", "both_bad")])
    withdraw(version, "c2")
    told = reader.get(here(2)).json()
    assert (told["parent"], told["chain_sha256"]) == (1, version.chain_sha256)
    assert told["undecided"] == {"tie": 1, "both_bad": 1}
    assert (told["withdrawn"], told["altered"]) == (1, 0)
    assert {"name": "probability", "type": "double", "nullable": False} in told["columns"]
    assert reader.get(here(1)).json()["parent"] is None


# --- what is no pair --------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(project: Project) -> DatasetVersion:
    return freeze(project, [a_row("c1"), tied("t1", "tie"), tied("t2", "both_bad"), a_row("c2", "test")])


def test_rows_without_a_side_come_only_when_asked_for_and_are_counted_when_not(
    reader: Client, mixed: DatasetVersion
) -> None:
    plain = reader.get(here() + "rows/?split=train")
    assert (ids(rows_of(plain)), plain.headers["X-Tiebreak-Left-Out"]) == (["c1"], "2")
    asked = reader.get(here() + "rows/?split=train&undecided=1")
    assert ids(rows_of(asked)) == ["c1", "t1", "t2"]
    assert (asked.headers["X-Tiebreak-Rows"], asked.headers["X-Tiebreak-Left-Out"]) == ("3", "0")
    some = reader.get(here() + "rows/?split=train&undecided=1&format=kto")  # a tie is neither good nor bad
    assert [line["label"] for line in rows_of(some)] == [True, False, False, False]
    assert (some.headers["X-Tiebreak-Rows"], some.headers["X-Tiebreak-Left-Out"]) == ("4", "1")


@pytest.mark.parametrize("format", [name for name in exporting.NAMES if name not in ("native", "multipref", "kto",
    "kto-text", "axolotl-kto", "llama-factory-kto", "helpsteer", "helpsteer2", "listwise")])  # fmt: skip
def test_a_format_of_pairs_refuses_to_be_asked_for_ties(reader: Client, mixed: DatasetVersion, format: str) -> None:
    refused = reader.get(here() + f"rows/?format={format}&undecided=1")
    assert assert_problem(refused, 422, "invalid")["field"] == "undecided"
    told = reader.get(here() + f"rows/?format={format}&split=train")
    assert (len(rows_of(told)), told.headers["X-Tiebreak-Left-Out"]) == (1, "2")


def test_comparisons_of_one_prompt_are_one_line_of_a_list(reader: Client, project: Project) -> None:
    same = [message("Which?", "user")]
    texts = (("1", "good", "fair"), ("2", "else", "no"), ("3", "fair", "poor"))
    made = [
        {**a_row(id_), "prompt": same if id_ != "2" else [message("Other?", "user")],
         "chosen": [message(better)], "rejected": [message(worse)]}
        for id_, better, worse in texts
    ]  # fmt: skip
    freeze(project, made)
    answer = reader.get(here() + "rows/?format=listwise")
    told = rows_of(answer)
    assert answer.headers["X-Tiebreak-Rows"] == "2"
    assert [each["ids"] for each in told] == [["1", "3"], ["2"]]
    assert [each["rank"] for each in told[0]["completions"]] == [0, 1, 2]
    assert rows_of(reader.get(here() + "rows/?format=listwise&cursor=1")) == told[1:]


def test_ratings_behind_the_rows_are_told_as_attributes(reader: Client, project: Project) -> None:
    version = freeze(project, [a_row("c1"), a_row("c2")])
    form = Form.objects.create(project=project, number=9, current=False, rating_max=5)
    for known, (a, b) in zip(version.rows.all(), ((5, 2), (3, 1)), strict=True):
        said = make_judgement(known.comparison, make_rater(project), -1)  # type: ignore[arg-type]
        Judgement.objects.filter(pk=said.pk).update(ratings={"helpfulness": {"a": a, "b": b}}, form=form)
        with rewriting.door():
            DatasetRow.objects.filter(pk=known.pk).update(lineage={"judgements": [said.pk]})
    told = rows_of(reader.get(here() + "rows/?format=helpsteer2"))
    assert [line["helpfulness"] for line in told] == [4, 1, 2, 0]
    assert rows_of(reader.get(here() + "rows/?format=helpsteer2&cursor=3")) == told[3:]
    freeze(project, [a_row("c1")])
    refused = reader.get(here(2) + "rows/?format=helpsteer2")
    assert "c1" in assert_problem(refused, 422, "invalid")["detail"]


# --- keeping a copy ---------------------------------------------------------------------------------------------------

EARLIER = [
    a_row("kept"), a_row("changed"), a_row("gone"), a_row("to-test"), a_row("from-validation", "validation"),
    tied("was-tie", "tie"), tied("stays-tie", "tie"), a_row("becomes-tie"), a_row("hidden", "test"),
]  # fmt: skip
LATER = [
    a_row("new"), a_row("kept"), a_row("changed", text="5"), a_row("to-test", "test"), a_row("from-validation"),
    a_row("was-tie"), tied("stays-tie", "tie"), tied("becomes-tie", "tie"), a_row("hidden", "test", text="6"),
]  # fmt: skip


def follow(client: Client, copy: dict[str, Any], number: int, since: int, query: str) -> dict[str, Any]:
    """What docs/datasets.md says: lose what is removed, then put in what is sent."""
    copy = dict(copy)
    for gone in rows_of(client.get(here(number) + f"removed/?since={since}&{query}")):
        copy.pop(gone["id"], None)
    return copy | {each["id"]: each for each in rows_of(client.get(here(number) + f"rows/?since={since}&{query}"))}


def whole(client: Client, number: int, query: str) -> dict[str, Any]:
    return {each["id"]: each for each in rows_of(client.get(here(number) + f"rows/?{query}"))}


@pytest.mark.parametrize("query", ["", "split=train", "split=validation", "split=test", "undecided=1",
                                   "split=train&undecided=1"])  # fmt: skip
def test_a_copy_that_follows_is_the_later_version(reader: Client, project: Project, query: str) -> None:
    for rows in (EARLIER, LATER):
        freeze(project, rows)
    for since, number in ((1, 2), (2, 1), (1, 1)):
        assert follow(reader, whole(reader, since, query), number, since, query) == whole(reader, number, query)


def test_only_what_is_new_is_sent(reader: Client, project: Project) -> None:
    for rows in (EARLIER, LATER):
        freeze(project, rows)
    answer = reader.get(here(2) + "rows/?since=1&split=train")
    assert ids(rows_of(answer)) == ["new", "changed", "from-validation", "was-tie"]
    assert (answer.headers["X-Tiebreak-Rows"], answer.headers["X-Tiebreak-Since"]) == ("4", "prefs@1")
    resumed = reader.get(here(2) + "rows/?since=1&split=train&cursor=2")
    assert ids(rows_of(resumed)) == ["from-validation", "was-tie"]
    gone = rows_of(reader.get(here(2) + "removed/?since=1&split=train"))
    assert sorted(ids(gone)) == ["becomes-tie", "gone", "to-test"]


@pytest.mark.parametrize("query", ["", "split=train"])
def test_a_copy_learns_what_was_withdrawn_after_it_was_made(reader: Client, project: Project, query: str) -> None:
    first = freeze(project, [a_row("c1"), a_row("c2"), a_row("c3"), a_row("c4", "test")])
    second = freeze(project, [a_row("c1"), a_row("c2"), a_row("c3", text="5")])
    had = {number: whole(reader, number, query) for number in (1, 2)}
    for version in (first, second):
        withdraw(version, "c1")
        withdraw(version, "c2", left={**a_row("c2"), "votes": []})
    for since, number in ((1, 1), (2, 2), (1, 2)):
        followed = follow(reader, had[since], number, since, query)
        assert followed == whole(reader, number, query)
        assert "c1" not in followed
        assert followed["c2"]["votes"] == []
    gone = rows_of(reader.get(here(1) + f"removed/?since=1&{query}"))
    assert gone == [{"id": "c1", "withdrawn": True}]


@pytest.mark.parametrize(
    ("query", "field"),
    [("since=x!", "since"), ("since=-1", "since"), ("undecided=2", "undecided"), ("undecided=true", "undecided")],
)
def test_a_parameter_that_cannot_be_taken_is_named(reader: Client, project: Project, query: str, field: str) -> None:
    freeze(project, [a_row("c1")])
    assert assert_problem(reader.get(here() + f"rows/?{query}"), 422, "invalid")["field"] == field
    assert assert_problem(reader.get(here() + "removed/"), 422, "invalid")["field"] == "since"
    assert reader.get(here() + "rows/?since=9").status_code == 404


@pytest.mark.parametrize(
    ("query", "name"),
    [("rows/?spilt=train", "spilt"), ("rows/?page=2&cursor=1", "page"), ("rows/?split[]=train", "split[]"),
     ("removed/?since=1&sicne=2", "sicne"), ("removed/?since=1&format=kto", "format")],
)  # fmt: skip
def test_a_parameter_that_is_not_known_is_refused_rather_than_unheeded(
    reader: Client, project: Project, query: str, name: str
) -> None:
    freeze(project, [a_row("c1")])
    problem = assert_problem(reader.get(here() + query), 422, "unknown_parameter")
    assert problem["field"] == name
    assert "known: " in problem["detail"]
    assert "split, undecided, since" in problem["detail"]
    problem = assert_problem(reader.get(f"/api/v1/projects/{project.slug}/rows/?curser=3"), 422, "unknown_parameter")
    assert "curser: not known here (known: cursor)" in problem["detail"]


def test_an_etag_stands_for_the_lines_and_changes_with_a_withdrawal(reader: Client, project: Project) -> None:
    version = freeze(project, [a_row("c1"), a_row("c2"), a_row("c3", "validation")])
    first = reader.get(here() + "rows/?split=train")
    etag = first.headers["ETag"]
    assert reader.get(here() + "rows/?split=train", headers={"If-None-Match": etag}).status_code == 304
    others = {
        reader.get(here() + f"rows/?{q}").headers["ETag"] for q in ("", "split=validation", "format=trl", "since=1")
    }
    assert len(others | {etag}) == 5
    go_on = reader.get(here() + "rows/?split=train&cursor=1", headers={"If-Match": etag})
    assert ids(rows_of(go_on)) == ["c2"]
    withdraw(version, "c1")
    stale = reader.get(here() + "rows/?split=train&cursor=1", headers={"If-Match": etag})
    assert_problem(stale, 412, "rows_changed")
    assert reader.get(here() + "rows/?split=train", headers={"If-None-Match": etag}).status_code == 200
    again = reader.get(here() + "rows/?split=validation")
    assert again.headers["ETag"] in others  # nothing was taken from there
    manifest = reader.get(here()).headers["ETag"]
    assert reader.get(here(), headers={"If-None-Match": manifest}).status_code == 304


# --- one row ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id_", ["c1", "with/slash", "ünï 日本", "a?b#c", "%2F"])
def test_one_row_is_read_by_its_id(reader: Client, project: Project, id_: str) -> None:
    made = a_row(id_)
    freeze(project, [made])
    answer = reader.get(here() + f"rows/{quote(id_, safe='')}/")
    assert body_of(answer) + b"\n" == ndjson_line(made)
    assert answer.headers["ETag"].strip('"') == hashlib.sha256(ndjson_line(made)).hexdigest()


def test_a_row_that_was_withdrawn_is_gone_with_what_stands_for_it(reader: Client, project: Project) -> None:
    version = freeze(project, [a_row("c1"), a_row("c2")])
    sha256 = version.rows.get(position=0).sha256
    withdraw(version, "c1")
    told = assert_problem(reader.get(here() + "rows/c1/"), 410, "row_withdrawn")
    assert told["sha256"] == sha256
    assert reader.get(here() + "rows/c2/").status_code == 200
    assert_problem(reader.get(here() + "rows/c3/"), 404, "no_row")


# --- the protected split ----------------------------------------------------------------------------------------------


def test_a_training_token_reads_the_test_split_by_no_address_at_all(
    trainer: Client, reader: Client, project: Project
) -> None:
    """Every address of a version, with whatever version, file, row, split, format and header it could be asked with."""
    first = freeze(project, [a_row("open"), a_row("h-1", "test"), a_row("h-2", "test"), a_row("h-3", "test")])
    second = freeze(project, [a_row("open"), a_row("h-1", "test", text="5"), {**tied("h-4", "tie"), "split": "test"}])
    withdraw(first, "h-3")
    VersionTag.objects.create(dataset=first.dataset, name="prod", version=first)
    hidden = ("h-1", "h-2", "h-3", "h-4")
    files = list(second.files.values_list("name", flat=True))
    queries = ["", "since=1", "since=prod&undecided=1", "cursor=0", "since=1&kind=removed", "since=1&kind=changed"]
    queries += [f"split={split}" for split in ("", "test", "train", "TEST", "test%00", "train&split=test")]
    queries += [f"split=test&format={name}" for name in ("native", "listwise", "kto")]
    queries += ["split=train&since=1", "split=train&since=prod&undecided=1"]
    asked = 0
    for pattern in (each for each in api_urls.urlpatterns if "number" in str(each.pattern)):
        for extra in _filled(pattern, files, hidden):
            headers = {"Range": "bytes=0-99"} if "filename" in extra else {}
            for number, some in ((2, queries), (1, queries[:3]), ("latest", queries[:3]), ("prod", queries[:3])):
                path = reverse(pattern.name, kwargs={"name": "prefs", "number": number, **extra})
                for query in some if not extra else some[:3]:
                    answer = trainer.get(f"{path}?{query}", headers=headers)
                    body = body_of(answer).decode()
                    asked += 1
                    assert SECRET not in body, (path, query)
                    assert "PAR1 test" not in body, (path, query)
                    if answer.status_code in (200, 206):
                        assert not [id_ for id_ in hidden if f'"{id_}"' in body], (path, query)
    assert asked > 100
    assert rows_of(reader.get(here() + "rows/?split=test"))


def _filled(pattern: Any, files: Sequence[str], rows: Sequence[str]) -> list[dict[str, str]]:
    """Values for whatever a version's address has beside its name and number."""
    known = {"filename": [*files, "test.undecided.parquet"], "row": rows, "id": rows}
    more = [name for name in pattern.pattern.regex.groupindex if name not in ("name", "number")]
    assert set(more) <= set(known), f"say here what {pattern.name} may be asked for"
    return [{name: value} for name in more for value in known[name]] or [{}]


def test_a_hidden_row_and_one_that_is_not_there_are_told_alike(
    trainer: Client, reader: Client, project: Project
) -> None:
    version = freeze(project, [a_row("h-1", "test"), a_row("h-2", "test"), a_row("c1")])
    withdraw(version, "h-2")
    told = [assert_problem(trainer.get(here() + f"rows/{id_}/"), 404, "no_row") for id_ in ("h-1", "h-2", "h-3")]
    assert len({problem["detail"].replace(f"h-{n}", "…") for n, problem in enumerate(told, 1)}) == 1
    assert trainer.get(here() + "rows/c1/").status_code == 200
    assert_problem(reader.get(here() + "rows/h-2/"), 410, "row_withdrawn")


# --- who read what, and how often -------------------------------------------------------------------------------------


def test_a_token_that_reads_a_part_again_and_again_is_one_event(
    reader: Client, curator: User, project: Project
) -> None:
    freeze(project, [a_row("c1")])
    other = bearer(make_token(curator, "export"))
    for client in (reader, reader, other):
        body_of(client.get(here() + "rows/?split=train"))
        body_of(client.get(here() + "rows/?split=train&cursor=1"))
        body_of(client.get(here() + "files/train.parquet"))
    told = Event.objects.filter(verb__startswith="dataset.").values_list("verb", "data__token")
    assert len(told) == len(set(told)) == 4
    assert not any(token is None for _, token in told)


def test_what_was_refused_is_no_reading(trainer: Client, project: Project) -> None:
    freeze(project, [a_row("c1", "test")])
    for part in ("rows/?split=test", "rows/c1/", "files/test.parquet", "rows/?format=none&split=train"):
        trainer.get(here() + part)
    assert not Event.objects.filter(verb__in=["dataset.read", "dataset.download"]).exists()


def test_a_stream_counts_as_a_request_and_is_refused_before_its_first_byte(
    reader: Client, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tiebreak.api.throttles import PerToken

    monkeypatch.setattr(PerToken, "THROTTLE_RATES", {"token": "3/min"})
    freeze(project, [a_row("c1")])
    answers = [reader.get(here() + "rows/") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert b"chosen" not in body_of(answers[-1])


def test_a_token_has_so_many_streams_at_once_and_closed_ones_do_not_count(
    reader: Client, curator: User, project: Project
) -> None:
    freeze(project, [a_row("c1")])
    for _ in range(3):
        for _ in range(STREAMS):
            body_of(reader.get(here() + "rows/"))  # read to the end, and closed
    opened = [reader.get(here() + "rows/") for _ in range(STREAMS)]
    refused = reader.get(here() + "rows/")
    assert_problem(refused, 429, "throttled")
    assert refused.headers["Retry-After"] == "6"
    assert reader.get(here() + "rows/?format=none").status_code == 422  # what is refused opens none
    other = bearer(make_token(curator, "export"))
    assert ids(rows_of(other.get(here() + "rows/"))) == ["c1"]
    for close in opened[0]._resource_closers:  # what a server calls when the client has gone
        close()
    assert ids(rows_of(reader.get(here() + "rows/"))) == ["c1"]
    assert [ids(rows_of(answer)) for answer in opened[1:]] == [["c1"]] * (STREAMS - 1)


# --- over a real socket -----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_client_that_breaks_off_goes_on_where_it_was(live_server: Any, project: Project, curator: User) -> None:
    freeze(project, [a_row(f"c{i:03d}", text=ODD + "x" * 3_000) for i in range(200)])
    token, at = make_token(curator, "train"), urlsplit(live_server.url)
    had, breaks = b"", 0
    while had.count(b"\n") < 200:
        had = had[: had.rfind(b"\n") + 1]  # a line that was cut is not had
        path = f"{here()}rows/?split=train&cursor={len(had.splitlines())}"
        with socket.create_connection((at.hostname, at.port), timeout=20) as wire:
            wire.sendall(f"GET {path} HTTP/1.0\r\nHost: {at.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            answer = b""
            while len(answer) < 250_000 and (block := wire.recv(65_536)):
                answer += block
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b" 200 " in head.splitlines()[0]
        had += body
        breaks += 1
    assert breaks >= 3
    assert ids(json.loads(line) for line in had.splitlines()) == [f"c{i:03d}" for i in range(200)]

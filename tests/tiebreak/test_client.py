"""The client against a stand-in over real sockets: what breaks off goes on, what is wrong is not kept."""

from __future__ import annotations

import errno
import gzip
import json
import os
import pickle
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tiebreak.standin import ROWS, TOKEN, Stand, line_of, standing
from tiebreak import gunzip
from tiebreak.client import Client, ClientError, cli, fetching, logins, pushing, verify


@pytest.fixture
def here() -> Iterator[tuple[Stand, str]]:
    with standing() as made:
        yield made


@pytest.fixture
def stand(here: tuple[Stand, str]) -> Stand:
    return here[0]


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def client(here: tuple[Stand, str], waits: list[float]) -> Iterator[Client]:
    with Client(here[1], TOKEN, sleep=waits.append) as made:
        yield made


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("TIEBREAK_URL", "TIEBREAK_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "config"


def refusal(code: str, does: Any, *args: Any, **named: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        does(*args, **named)
    assert caught.value.code == code, caught.value
    return caught.value


# --- pull -------------------------------------------------------------------------------------------------------------


def test_a_pull_brings_every_file_its_card_and_a_manifest_that_verify_believes(
    client: Client, stand: Stand, tmp_path: Path
) -> None:
    told = client.pull("chat@3", tmp_path / "out")
    assert (told["version"], told["fetched"], told["unchanged"]) == ("chat@3", 3, 0)
    for name, content in stand.files.items():
        assert (tmp_path / "out" / name).read_bytes() == content
    assert (tmp_path / "out/README.md").read_text() == "# chat\n"
    assert verify(tmp_path / "out")["files"] == 4
    assert not list((tmp_path / "out").glob(".*")), "parts are left"


def test_a_version_that_was_never_built_is_refused_with_the_reason(
    client: Client, stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"dataset": "chat", "number": 3, "status": "failed", "failed_because": "balance.by: no such key."}
    monkeypatch.setattr(stand, "manifest", lambda: told)
    error = refusal("version_failed", client.pull, "chat@3", tmp_path)
    assert error.message == "chat@3 was never built: balance.by: no such key."


def test_a_second_pull_asks_for_the_manifest_alone(client: Client, stand: Stand, tmp_path: Path) -> None:
    client.pull("chat@3", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    stand.asked.clear()
    told = client.pull("chat@3", tmp_path)
    assert (told["fetched"], told["unchanged"]) == (0, 3)
    assert stand.paths() == ["/api/v1/datasets/chat/versions/3/"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_tag_and_latest_are_pulled_by_the_number_that_they_name_now(
    client: Client, stand: Stand, tmp_path: Path
) -> None:
    for reference in ("chat@prod", "chat@latest", "chat"):
        client.pull(reference, tmp_path / reference, splits=["test"])
    assert all("/versions/3/" in path for path in stand.paths() if "/files/" in path)


def test_a_download_that_breaks_off_goes_on_with_the_bytes_that_it_lacks(
    client: Client, stand: Stand, tmp_path: Path
) -> None:
    stand.cuts = [40_000, 20_000]  # whole blocks of 16,384 are kept: two, and one more
    client.pull("chat@3", tmp_path, splits=["train"])
    assert (tmp_path / "train.parquet").read_bytes() == stand.files["train.parquet"]
    asked = [headers.get("Range") for _, path, headers in stand.asked if "/files/" in path]
    assert asked == [None, "bytes=32768-", "bytes=49152-"]


def test_a_later_pull_goes_on_from_what_an_earlier_one_left(client: Client, stand: Stand, tmp_path: Path) -> None:
    stand.cuts = [40_000, 0, 0, 0, 0, 0]
    assert "pull again" in refusal("unreachable", client.pull, "chat@3", tmp_path, splits=["train"]).message
    assert not (tmp_path / "train.parquet").exists(), "a file under its name is whole"
    assert not (tmp_path / "manifest.json").exists()
    client.pull("chat@3", tmp_path, splits=["train"])
    assert stand.asked[-1][2]["Range"] == "bytes=32768-"
    assert (tmp_path / "train.parquet").read_bytes() == stand.files["train.parquet"]


def test_a_server_that_knows_no_ranges_is_asked_for_the_whole_again(
    client: Client, stand: Stand, tmp_path: Path
) -> None:
    stand.ranges, stand.cuts = False, [40_000]
    client.pull("chat@3", tmp_path, splits=["train"])
    assert (tmp_path / "train.parquet").read_bytes() == stand.files["train.parquet"]


def test_wrong_bytes_are_fetched_again_once_and_then_refused(client: Client, stand: Stand, tmp_path: Path) -> None:
    stand.spoiled = ["train.parquet"]
    client.pull("chat@3", tmp_path / "once", splits=["train"])
    assert (tmp_path / "once/train.parquet").read_bytes() == stand.files["train.parquet"]
    stand.spoiled = ["train.parquet"] * 2
    refusal("hash_mismatch", client.pull, "chat@3", tmp_path / "twice", splits=["train"])
    assert list((tmp_path / "twice").iterdir()) == [], "neither a file nor a part of what was refused"


def test_lines_go_on_after_the_last_whole_one(client: Client, stand: Stand, tmp_path: Path) -> None:
    stand.cuts = [40_000]  # what is kept of it ends in the middle of a line
    told = client.pull("chat@3", tmp_path, format="native", splits=["train"])
    whole = b"".join(line_of("train", n) for n in range(ROWS["train"]))
    assert (tmp_path / "train.jsonl").read_bytes() == whole
    assert [f["rows"] for f in told["files"] if f["split"]] == [500]
    kept = b"".join(line_of("train", n) for n in range(500))[:32_768].count(b"\n")
    assert f"cursor={kept}" in stand.paths()[-1]


def test_a_part_that_was_cut_in_a_line_is_mended_by_the_next_pull(client: Client, stand: Stand, tmp_path: Path) -> None:
    stand.cuts = [40_000, 0, 0, 0, 0, 0]
    refusal("unreachable", client.pull, "chat@3", tmp_path, format="native", splits=["train"])
    (part,) = tmp_path.glob(".*.part")
    part.write_bytes(part.read_bytes() + b'{"id": "tr')
    client.pull("chat@3", tmp_path, format="native", splits=["train"])
    assert (tmp_path / "train.jsonl").read_bytes() == b"".join(line_of("train", n) for n in range(500))


def test_lines_of_an_older_server_that_does_not_count_them_are_what_comes(
    client: Client, stand: Stand, tmp_path: Path
) -> None:
    stand.counts = False
    assert client.pull("chat@3", tmp_path, format="native", splits=["test"])["fetched"] == 1
    assert len((tmp_path / "test.jsonl").read_bytes().splitlines()) == 20


def test_parquet_says_as_lines_do_how_many_rows_without_a_side_were_left_out(
    client: Client, stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = stand.manifest()
    ties = {**told["files"][0], "name": "train.undecided.parquet", "rows": 7, "undecided": True}
    monkeypatch.setattr(stand, "manifest", lambda: {**told, "files": [*told["files"], ties]})
    stand.files["train.undecided.parquet"] = stand.files[told["files"][0]["name"]]
    pulled = client.pull("chat@3", tmp_path / "pairs")
    assert {f["split"]: f.get("left_out", 0) for f in pulled["files"] if f["split"]} == {
        "train": 7, "validation": 0, "test": 0,
    }  # fmt: skip
    assert "7 ties and both-bad rows left out" in cli._tell_pull(pulled)
    assert verify(tmp_path / "pairs")
    everything = client.pull("chat@3", tmp_path / "all", undecided=True)
    assert "left out" not in cli._tell_pull(everything)


def test_lines_that_are_there_already_are_not_sent_again_until_a_withdrawal_changes_them(
    client: Client, stand: Stand, tmp_path: Path
) -> None:
    told = client.pull("chat@3", tmp_path, format="native", splits=["test"])
    assert [f["left_out"] for f in told["files"] if f["split"]] == [2]
    assert client.pull("chat@3", tmp_path, format="native", splits=["test"])["fetched"] == 0
    assert stand.asked[-1][2]["If-None-Match"] == '"one"'
    stand.etag = '"two"'
    assert client.pull("chat@3", tmp_path, format="native", splits=["test"])["fetched"] == 1


def test_lines_of_which_some_were_taken_back_meanwhile_are_not_joined_to_the_others(
    client: Client, stand: Stand, tmp_path: Path
) -> None:
    stand.cuts, stand.etag_after_a_cut = [40_000], '"two"'
    refusal("rows_changed", client.pull, "chat@3", tmp_path, format="native", splits=["train"])
    stand.etag_after_a_cut = ""
    client.pull("chat@3", tmp_path, format="native", splits=["train"])
    assert (tmp_path / "train.jsonl").read_bytes() == b"".join(line_of("train", n) for n in range(500))
    stand.cuts, stand.etag_after_a_cut = [40_000], '"three"'
    with pytest.raises(ClientError, match="taken back"):
        list(client.rows("chat@3", split="train"))


def test_since_brings_the_rows_that_a_copy_lacks_and_the_ids_that_it_must_lose(
    client: Client, stand: Stand, tmp_path: Path
) -> None:
    client.pull("chat@3", tmp_path, format="native", since="prod", splits=["test"])
    assert len((tmp_path / "test.since-prod.jsonl").read_bytes().splitlines()) == 20
    assert (tmp_path / "test.removed-since-prod.jsonl").read_bytes() == b'{"id": "gone", "withdrawn": false}\n'
    assert verify(tmp_path)["files"] == 3
    stand.counts = False  # an older server, which sends all
    refusal("too_old", client.pull, "chat@3", tmp_path / "old", format="native", since=2, splits=["test"])
    with pytest.raises(ClientError, match="too old"):
        list(client.rows("chat@3", split="test", since=2))


def test_a_training_token_gets_what_it_may_read_and_is_told_what_not(
    client: Client, stand: Stand, tmp_path: Path
) -> None:
    stand.scopes = ["train"]
    told = client.pull("chat@3", tmp_path)
    assert (told["refused_splits"], told["fetched"]) == (["test"], 2)
    assert not list(tmp_path.glob("*test*")), "not even the beginning of a file"
    assert not list(tmp_path.glob(".*.part"))
    assert verify(tmp_path)["files"] == 3
    assert client.pull("chat@3", tmp_path)["unchanged"] == 2
    refusal("protected_split", client.pull, "chat@3", tmp_path, splits=["test"])


def test_another_version_in_the_folder_is_not_taken_for_this_one(client: Client, stand: Stand, tmp_path: Path) -> None:
    client.pull("chat@3", tmp_path)
    stand.rows_sha256 = "4" * 64  # rows were withdrawn
    stand.files["train.parquet"] = b"PAR1 with fewer rows"
    told = client.pull("chat@3", tmp_path)
    assert told["fetched"] == 3
    assert (tmp_path / "train.parquet").read_bytes() == b"PAR1 with fewer rows"
    assert verify(tmp_path)["version"] == "chat@3"


def test_rows_that_an_earlier_pull_left_are_named(client: Client, tmp_path: Path) -> None:
    client.pull("chat@3", tmp_path, format="native")
    left = sorted(path.name for path in tmp_path.glob("*.jsonl"))
    assert client.pull("chat@3", tmp_path)["left_over"] == left
    with pytest.raises(ClientError, match=f"{left[0]}.*no version that the manifest tells of"):
        verify(tmp_path)
    assert client.pull("chat@3", tmp_path, format="native", since=2)["left_over"] == []  # they are for that copy
    client.pull("chat@3", tmp_path)
    for name in tmp_path.glob("*.jsonl"):
        name.unlink()
    assert verify(tmp_path)["version"] == "chat@3"


def test_a_split_pulled_later_joins_the_manifest(client: Client, tmp_path: Path) -> None:
    client.pull("chat@3", tmp_path, splits=["train"])
    client.pull("chat@3", tmp_path, splits=["test"])
    assert verify(tmp_path)["files"] == 3


def test_a_name_that_leads_out_of_the_folder_is_refused(client: Client, stand: Stand, tmp_path: Path) -> None:
    stand.files = {"train./../../x.parquet": b"PAR1"}
    refusal("bad_manifest", client.pull, "chat@3", tmp_path / "out")
    assert not (tmp_path / "x.parquet").exists()


def test_a_full_disk_keeps_what_came_and_says_so(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fetching, "_copy", full)
    assert "disk is full" in refusal("disk_full", client.pull, "chat@3", tmp_path).message
    assert not (tmp_path / "manifest.json").exists()


def test_verify_names_the_files_that_differ(client: Client, tmp_path: Path) -> None:
    client.pull("chat@3", tmp_path)
    (tmp_path / "train.parquet").write_bytes(b"PAR1 other")
    (tmp_path / "test.parquet").unlink()
    assert refusal("hash_mismatch", verify, tmp_path).params["files"] == ["train.parquet", "test.parquet"]
    refusal("no_manifest", verify, tmp_path / "nowhere")


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_wrong_token_says_how_to_log_in(here: tuple[Stand, str], tmp_path: Path) -> None:
    with Client(here[1], "tbk_wrong") as wrong:
        assert "tiebreak login" in refusal("wrong_token", wrong.pull, "chat@3", tmp_path).message


def test_a_version_that_is_not_there_is_refused_in_the_servers_words(client: Client, tmp_path: Path) -> None:
    assert "no version 9" in refusal("no_version", client.pull, "chat@9", tmp_path).message
    refusal("no_version", client.pull, "chat@../../x", tmp_path)


def test_a_server_that_is_away_is_asked_again_and_then_named(tmp_path: Path, waits: list[float]) -> None:
    away = Client("http://127.0.0.1:9", TOKEN, sleep=waits.append)
    assert "127.0.0.1:9 does not answer" in refusal("unreachable", away.pull, "chat@3", tmp_path).message
    assert len(waits) == 4


def test_a_server_that_is_busy_is_left_alone_for_as_long_as_it_asks(
    client: Client, stand: Stand, tmp_path: Path, waits: list[float]
) -> None:
    stand.statuses = [503, 429]
    client.pull("chat@3", tmp_path, splits=["test"])
    assert waits == [7.0, 7.0]


def test_since_goes_with_lines_alone(client: Client, tmp_path: Path) -> None:
    refusal("no_format", client.pull, "chat@3", tmp_path, since=2)


# --- rows -------------------------------------------------------------------------------------------------------------


def test_rows_go_on_after_a_break_and_none_comes_twice(client: Client, stand: Stand) -> None:
    stand.cuts = [40_000, 11]
    assert [row["id"] for row in client.rows("chat@3", split="train")] == [f"train-{n}" for n in range(500)]


def test_rows_that_break_off_for_good_raise_and_do_not_end(client: Client, stand: Stand) -> None:
    stand.cuts = [40_000] + [0] * 5
    with pytest.raises(ClientError, match="of 500 rows"):
        list(client.rows("chat@3", split="train"))


def test_a_client_and_its_errors_cross_processes(client: Client) -> None:
    with pickle.loads(pickle.dumps(Client(client.wire.url, TOKEN))) as sent:  # noqa: S301 - our own
        assert len(list(sent.rows("chat@3", split="test"))) == 20
    error = pickle.loads(pickle.dumps(ClientError("no", code="c", status=404, run=1)))  # noqa: S301
    assert (error.message, error.code, error.status, error.params) == ("no", "c", 404, {"run": 1})


# --- push -------------------------------------------------------------------------------------------------------------


def test_a_push_sends_batches_each_under_a_key_and_adds_their_figures_up(
    client: Client, stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "BATCH_ROWS", 2)
    file = tmp_path / "mine.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"id": 1}\n{"id": 2}\n\n{"id": 4}\n{"id": 5}'))
    stand.rejects = {2: b'{"line": 2, "field": "prompt", "message": "no", "row": ""}\n'}
    told = client.push("chat", file)
    sent = [gzip.decompress(body) for _, body in stand.bodies]
    assert sent == [b'{"id": 1}\n{"id": 2}\n', b'\n{"id": 4}\n', b'{"id": 5}\n']
    assert len({headers["Idempotency-Key"] for headers, _ in stand.bodies}) == 3
    assert (told["created"], told["rejected"], told["runs"]) == (3, 1, [1, 2, 3])
    (reject,) = map(json.loads, Path(told["rejects"]).read_text().splitlines())
    assert reject["line"] == 4, "the second line of the second batch of two"
    assert "source=mine" in stand.paths()[0]


def test_a_batch_whose_answer_was_lost_goes_again_under_the_same_key(
    client: Client, stand: Stand, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1}\n')
    stand.statuses = [503]
    assert client.push("chat", tmp_path / "rows.jsonl")["rejects"] is None
    keys = [headers["Idempotency-Key"] for method, _, headers in stand.asked if method == "POST"]
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_parquet_lists_and_csv_go_whole(client: Client, stand: Stand, tmp_path: Path) -> None:
    bodies = {
        "a.parquet": b"PAR1...",
        "b.json": b' [{"id": 1}]',
        "c.csv": b"id,prompt\n",
        "d.csv.gz": gzip.compress(b"id"),
    }
    for name, body in bodies.items():
        (tmp_path / name).write_bytes(body)
        client.push("chat", tmp_path / name)
    assert [body for _, body in stand.bodies] == list(bodies.values())
    kinds = [headers["Content-Type"] for headers, _ in stand.bodies]
    assert kinds == ["application/x-ndjson"] * 2 + ["text/csv"] * 2


def test_a_line_that_no_server_reads_is_rejected_here_and_the_numbers_stay(
    client: Client, stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "LONGEST_LINE", 50)
    (tmp_path / "rows.jsonl").write_bytes(b'{"id": 1}\n' + b"x" * 170 + b'\n{"id": 3}\n')
    told = client.push("chat", tmp_path / "rows.jsonl")
    assert gzip.decompress(stand.bodies[0][1]) == b'{"id": 1}\n\n{"id": 3}\n'
    assert told["rejected"] == 1
    assert json.loads(Path(told["rejects"]).read_text())["line"] == 2


def test_a_run_that_no_worker_takes_is_not_waited_for_for_ever(client: Client, stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1}\n')
    stand.runs = [[{"id": 1, "status": "queued", "result": {}}]]
    error = refusal("no_worker", pushing.push, client.wire, "chat", tmp_path / "rows.jsonl", patience=0.0)
    assert "doctor" in error.message


def test_a_run_that_failed_says_why(client: Client, stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1}\n')
    stand.runs = [[{"id": 1, "status": "failed", "result": {}, "error": {"message": "the disk is full"}}]]
    assert "the disk is full" in refusal("import_failed", client.push, "chat", tmp_path / "rows.jsonl").message


def test_a_gzip_that_grows_out_of_proportion_is_not_unpacked_and_what_went_before_is_told(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gunzip, "BOMB_FROM", 1 << 20)
    monkeypatch.setattr(pushing, "BATCH_ROWS", 2)
    file = tmp_path / "rows.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"id": 1}\n{"id": 2}\n' + b"0" * (8 << 20)))
    error = refusal("cannot_read", client.push, "chat", file)
    assert str(file) in error.message
    assert "grows more than 200 times; unpack it yourself" in error.message
    assert "1 rows before that are in" in error.message  # the stand-in says that it made one of each batch
    assert error.params["created"] == 1


def test_the_file_of_refused_rows_stops_growing_and_what_it_lacks_is_counted(
    client: Client, stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "MOST_REJECTS", 100)
    (tmp_path / "rows.jsonl").write_text("x\n")
    stand.rejects = {1: b'{"line": 1, "field": "row", "message": "no", "row": "x"}\n' * 3}
    told = client.push("chat", tmp_path / "rows.jsonl")
    assert Path(told["rejects"]).read_bytes().count(b"\n") == 1
    assert told["rejects_left_out"] == 2


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b broken"], ids=["empty", "broken gzip"])
def test_a_file_that_holds_nothing_readable_is_refused(client: Client, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    refusal("cannot_read" if content else "no_rows", client.push, "chat", tmp_path / "rows.jsonl")
    refusal("cannot_read", client.push, "chat", tmp_path / "nowhere.jsonl")


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_push_of_which_every_row_was_refused_fails_once_it_has_told_which(
    here: tuple[Stand, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand, url = here
    monkeypatch.setenv("TIEBREAK_TOKEN", TOKEN)
    (tmp_path / "rows.jsonl").write_text("x\n")
    stand.rejects = {1: b'{"line": 1, "field": "row", "message": "no", "row": "x"}\n'}
    refused = {"created": 0, "updated": 0, "unchanged": 0, "rejected": 1, "rejects_left_out": 7}
    kept = [{"name": "rejects.jsonl"}]
    stand.runs = [[{"id": 1, "status": "succeeded", "result": refused, "artifacts": kept}]]
    assert cli.main(["push", "chat", str(tmp_path / "rows.jsonl"), "--server", url]) == 1
    told = capsys.readouterr()
    assert "rejected 1" in told.out
    assert told.out.endswith("rows.jsonl.rejects.jsonl, but for the last 7\n")
    assert told.err == "Every row was refused.\n"


def test_login_checks_the_token_keeps_it_for_the_user_alone_and_never_prints_it(
    here: tuple[Stand, str], home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIEBREAK_TOKEN", TOKEN)
    assert cli.main(["login", here[1]]) == 0
    told = capsys.readouterr()
    assert "ada, export, until 2027-01-01" in told.out
    assert "chat@3" in told.out
    assert TOKEN not in told.out + told.err
    kept = home / "tiebreak/logins.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    monkeypatch.delenv("TIEBREAK_TOKEN")
    assert cli.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["datasets"] == {"chat": [1, 3]}


def test_login_keeps_no_token_that_the_server_does_not_know(
    here: tuple[Stand, str], home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIEBREAK_TOKEN", "tbk_wrong")
    assert cli.main(["login", here[1], "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "wrong_token"
    assert not home.exists()


@pytest.mark.parametrize("url", ["http://example.org", "ftp://example.org", "https://me:pw@example.org", "http://[x"])
def test_a_token_goes_to_no_address_that_would_give_it_away(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClientError):
        logins.address(url)
    with pytest.raises(ClientError):
        logins.find(url, TOKEN)
    monkeypatch.setenv("TIEBREAK_PLAIN_HTTP", "1")
    assert logins.find("http://tiebreak:8000", TOKEN).url == "http://tiebreak:8000"
    assert logins.address("example.org/api/v1/") == "https://example.org"
    assert logins.address("http://example.org:8000/x/", plain=True) == "http://example.org:8000/x"


def test_an_older_server_without_the_tokens_address_is_a_server_still(client: Client, stand: Stand) -> None:
    stand.tokens = False
    assert client.status() == {
        "server": client.wire.url, "token": None, "projects": ["chat"], "datasets": {"chat": [1, 3]}
    }  # fmt: skip


def test_the_command_says_what_it_did_and_exits_as_it_went(
    here: tuple[Stand, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIEBREAK_URL", here[1])
    monkeypatch.setenv("TIEBREAK_TOKEN", TOKEN)
    assert cli.main(["pull", "chat@3", "--to", str(tmp_path), "--split", "train"]) == 0
    assert "1 fetched, 0 unchanged" in capsys.readouterr().out
    assert cli.main(["verify", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == 2
    assert cli.main(["pull", "chat@9", "--to", str(tmp_path)]) == 1
    with pytest.raises(SystemExit) as misuse:
        cli.main(["pull"])
    assert misuse.value.code == 2


def test_without_a_login_the_command_says_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status"]) == 1
    assert "tiebreak login URL" in capsys.readouterr().err

"""The client against the server itself: what is pulled is what is stored, what is pushed is in; the docs' snippets."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.core.cache import cache

from annotate.models import Comparison, Judgement
from curation.models import DatasetVersion
from curation.services import building, exporting
from tests.build import make_comparison, make_judgements, make_member, make_project, make_token
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role
from tiebreak.client import Client, ClientError, verify
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage")]
DOCS = Path(__file__).resolve().parents[2] / "docs/client.md"


def work(seconds: float = 0.0) -> None:
    """What a worker would do while the client waits."""
    for run in Run.objects.filter(status=Run.Status.QUEUED).order_by("id"):
        ledger.execute(run.pk)


@pytest.fixture
def curator() -> User:
    cache.clear()
    return make_member(make_project("chat", overlap=3), Role.CURATOR, name="cur")


@pytest.fixture
def version(curator: User) -> DatasetVersion:
    project = Project.objects.get(slug="chat")
    for i in range(12):
        made = make_comparison(project, f"c{i:03d}", prompt=f"frage {i} 日本", a=f"ja {i} ✓", b=f"no\u2028{i}")
        make_judgements(made, "AAB" if i % 3 else "TTT" if i == 3 else "BBB")
    return build(project)


def build(project: Project) -> DatasetVersion:
    recipe = {"split": {"train": 0.4, "validation": 0.3, "test": 0.3}, "ties": "keep"}
    version = building.start("chat-prefs", project, recipe, by=None, wake=False)
    ledger.execute(version.run_id or 0)
    version.refresh_from_db()
    assert version.status == "ready"
    return version


@pytest.fixture
def reader(live_server: Any, curator: User) -> Iterator[Client]:
    with Client(live_server.url, make_token(curator, "export"), sleep=work) as client:
        yield client


def test_pulled_files_are_the_versions_own(reader: Client, version: DatasetVersion, tmp_path: Path) -> None:
    told = reader.pull("chat-prefs", tmp_path / "parquet")
    assert (told["version"], told["refused_splits"]) == ("chat-prefs@1", [])
    for file in version.files.filter(undecided=False):
        assert hashlib.sha256((tmp_path / "parquet" / file.name).read_bytes()).hexdigest() == file.artifact_id
    assert reader.pull("chat-prefs@1", tmp_path / "parquet")["fetched"] == 0
    reader.pull("chat-prefs@1", tmp_path / "trl", format="trl")
    lines = b"".join(exporting.lines(version, format="trl", split="train"))
    assert (tmp_path / "trl/train.jsonl").read_bytes() == lines
    assert reader.pull("chat-prefs@1", tmp_path / "trl", format="trl")["fetched"] == 0
    assert verify(tmp_path / "trl")["version"] == "chat-prefs@1"


def test_a_version_that_is_being_built_is_waited_for_as_long_as_was_said(
    live_server: Any, curator: User, reader: Client, version: DatasetVersion, tmp_path: Path
) -> None:
    building.start("chat-prefs", version.dataset.project, {}, by=None, wake=False)
    folder = tmp_path / "two"
    slept: list[float] = []
    with Client(live_server.url, make_token(curator, "export"), sleep=slept.append) as hasty:
        for wait, expected in ((0, []), (12, [5, 5, 2])):
            with pytest.raises(ClientError) as refused:
                hasty.pull("chat-prefs@2", folder, wait=wait)
            assert (refused.value.code, slept) == ("version_building", expected)
    assert not folder.exists()
    assert reader.pull("chat-prefs@2", folder, wait=60)["version"] == "chat-prefs@2"
    assert verify(folder)["version"] == "chat-prefs@2"


def test_rows_since_a_version_of_the_same_are_none(reader: Client, version: DatasetVersion, tmp_path: Path) -> None:
    build(version.dataset.project)
    reader.pull("chat-prefs@2", tmp_path, format="native", since=1)
    assert {path.stat().st_size for path in tmp_path.glob("*since*.jsonl")} == {0}
    assert [row["id"] for row in reader.rows("chat-prefs@1", split="train")] == [
        json.loads(line)["id"] for line in exporting.lines(version, format="native", split="train")
    ]


def test_a_training_token_reads_all_but_the_test_split(
    live_server: Any, curator: User, version: DatasetVersion, tmp_path: Path
) -> None:
    with Client(live_server.url, make_token(curator, "train"), sleep=work) as trainer:
        assert trainer.pull("chat-prefs@1", tmp_path)["refused_splits"] == ["test"]
        assert not list(tmp_path.glob("test*"))
        with pytest.raises(ClientError, match="protected"):
            trainer.pull("chat-prefs@1", tmp_path, splits=["test"])
        with pytest.raises(ClientError, match="no version 9"):
            trainer.pull("chat-prefs@9", tmp_path)
        assert trainer.status()["token"]["scopes"] == ["train"]


def test_pushed_rows_are_in_and_what_was_refused_is_told_by_its_line(
    live_server: Any, curator: User, tmp_path: Path
) -> None:
    row = {"prompt": "p", "completion_a": "a", "completion_b": "b"}
    said = [{"rater": "r", "kind": "annotator", "preference": 1}]
    rows = [{"id": "1", **row, "judgements": said}, {"id": "2"}, {"id": "3", **row}]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with Client(live_server.url, make_token(curator, "import"), sleep=work) as client:
        told = client.push("chat", tmp_path / "mine.jsonl")
        assert (told["created"], told["rejected"], told["judgements_created"]) == (2, 1, 1)
        (reject,) = map(json.loads, Path(told["rejects"]).read_text().splitlines())
        assert (reject["line"], reject["field"]) == (2, "prompt")
        assert client.push("chat", tmp_path / "mine.jsonl")["unchanged"] == 2
        (tmp_path / "more.csv").write_text("id,prompt,completion_a,completion_b\n7,p,x,y\n")
        assert client.push("chat", tmp_path / "more.csv")["created"] == 1
        with pytest.raises(ClientError, match="no project 'other'"):
            client.push("other", tmp_path / "mine.jsonl")
        assert client.status()["datasets"] == {}, "a token that only imports reads none"
    assert Comparison.objects.filter(external_id__in=["1", "3", "7"]).count() == 3
    assert Judgement.objects.filter(comparison__external_id="1").count() == 1


def test_the_snippets_of_the_docs_run_as_they_stand(
    live_server: Any, curator: User, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("TIEBREAK_URL", live_server.url)
    monkeypatch.setenv("TIEBREAK_TOKEN", make_token(curator, "train"))
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    world: dict[str, Any] = {}
    for block in blocks:
        if "import polars" not in block:
            exec(block.replace("chat-prefs@3", "chat-prefs@1"), world)  # noqa: S102 - our own docs
    with world["client"]:
        n = version.counts["train"]
        assert (world["pulled"]["train"].num_rows, len(world["frame"])) == (n, n)
        assert [set(row) for row in world["streamed"]] == [{"prompt", "chosen", "rejected"}] * n
    assert pq.read_table("data/chat-3/train.parquet", columns=["source"]).num_rows == n

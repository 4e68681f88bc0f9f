"""A version pushed to a hub: what goes, what does not, and that nothing goes twice."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from django.conf import settings
from django.core.management import CommandError, call_command
from huggingface_hub import constants

from annotate.models import Rater
from curation.models import Dataset, DatasetVersion
from curation.services import building, publishing
from tests import hub
from tests.build import make_comparison, make_judgements, make_project
from tiebreak.core.errors import DomainError, NotAllowed
from tiebreak.core.models import Event
from tiebreak.runs import ledger

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]


@pytest.fixture
def version() -> DatasetVersion:
    project = make_project("chat", overlap=3)
    for i in range(12):
        make_judgements(make_comparison(project, f"c{i:02d}", prompt=f"frage {i} 日本"), "AAB" if i % 3 else "TTT")
    recipe = {"split": {"train": 0.4, "validation": 0.3, "test": 0.3}, "ties": "keep"}
    started = building.start("prefs", project, recipe, by=None, wake=False)
    ledger.execute(started.run_id or 0)
    started.refresh_from_db()
    assert started.counts["test"], started.counts
    Dataset.objects.filter(pk=started.dataset_id).update(licence="cc-by-4.0")
    return DatasetVersion.objects.get(pk=started.pk)


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[hub.Hub]:
    """A hub on this machine, which the operator allows, and the flag."""
    with hub.serving() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        monkeypatch.setenv("HF_TOKEN", hub.TOKEN)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        env = replace(settings.ENV, hub_push=True, egress_allow=(made.url.removeprefix("http://"),))
        monkeypatch.setattr(settings, "ENV", env)
        yield made


def push(**options: Any) -> dict[str, Any]:
    out = io.StringIO()
    call_command("publish_dataset", "prefs@1", "--to", "lab/prefs", "--json", stdout=out, **options)
    told: dict[str, Any] = json.loads(out.getvalue())
    return told


def test_card_and_files_arrive_without_the_protected_split_and_the_card_names_no_file_that_is_not_there(
    version: DatasetVersion, there: hub.Hub
) -> None:
    told = push(private=True)
    assert there.private == {"lab/prefs": True}
    data = set(version.files.exclude(split="test").values_list("name", flat=True))
    assert {"train.parquet", "validation.parquet"} < data, "and rows without a side"
    assert set(there.files) == {"README.md", *data}
    assert pq.read_table(io.BytesIO(there.files["train.parquet"])).num_rows == version.counts["train"]
    front = yaml.safe_load(there.files["README.md"].decode().split("---\n")[1])
    paths = [named["path"] for config in front["configs"] for named in config["data_files"]]
    assert set(paths) == data
    assert there.files["README.md"].decode().endswith(version.card.split("---\n", 2)[2])
    assert told["commit"] == f"{1:040x}"
    event = Event.objects.get(verb="dataset.published")
    assert (event.data["repository"], event.data["files"]) == ("lab/prefs", sorted(there.files))


def test_the_test_split_goes_where_it_is_asked_for(version: DatasetVersion, there: hub.Hub) -> None:
    push(include_test=True)
    assert "test.parquet" in there.files
    assert publishing.card_of(version, there.files).count("test.parquet") >= 1


def test_the_same_version_pushed_again_is_no_commit(version: DatasetVersion, there: hub.Hub) -> None:
    first, second = push(), push()
    assert len(there.commits) == 1
    assert first["commit"] == second["commit"]


def test_what_is_to_be_private_does_not_go_to_a_repository_that_is_public(
    version: DatasetVersion, there: hub.Hub
) -> None:
    there.private["lab/prefs"] = False
    with pytest.raises(CommandError, match="public"):
        push(private=True)
    assert (there.files, there.commits) == ({}, [])
    push()
    assert there.files


def test_nothing_goes_where_the_flag_is_off(version: DatasetVersion, there: hub.Hub, monkeypatch: Any) -> None:
    monkeypatch.setattr(settings, "ENV", replace(settings.ENV, hub_push=False))
    with pytest.raises(CommandError, match="TIEBREAK_HUB_PUSH"):
        push()
    assert there.private == {}


def test_nothing_goes_without_a_licence_a_token_or_a_name(
    version: DatasetVersion, there: hub.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for to in ("prefs", "lab/../x", "lab/prefs/x", "https://hub/x/y"):
        with pytest.raises(DomainError, match="ORGANISATION/NAME"):
            publishing.publish(version, to=to)
    version.dataset.licence = ""
    with pytest.raises(DomainError, match="licence"):
        publishing.publish(version, to="lab/prefs")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(DomainError, match="HF_TOKEN"):
        publishing.publish(version, to="lab/prefs")
    assert there.private == {}


def test_simulated_judgements_go_only_by_force(version: DatasetVersion, there: hub.Hub) -> None:
    Rater.objects.filter(project=version.dataset.project, name="r1").update(simulated=True)
    with pytest.raises(NotAllowed, match="simulated"):
        publishing.publish(version, to="lab/prefs")
    push(force=True)
    assert there.files


def test_a_hub_that_is_not_public_is_refused_before_it_is_asked(
    version: DatasetVersion, there: hub.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ENV", replace(settings.ENV, egress_allow=()))
    with pytest.raises(CommandError, match="not a public address"):
        push()
    monkeypatch.setenv("HF_ENDPOINT", there.url.replace("127.0.0.1", "localhost"))
    with pytest.raises(CommandError, match=r"127\.0\.0\.1|::1"):
        push()
    assert there.private == {}


def test_an_upload_that_the_hub_sends_somewhere_else_goes_through_the_guard(
    version: DatasetVersion, there: hub.Hub
) -> None:
    there.uploads_at = "http://169.254.169.254"
    with pytest.raises(CommandError, match=r"169\.254\.169\.254"):
        push()
    assert there.commits == []
    assert there.objects == {}


def test_a_token_that_the_hub_refuses_is_said_so(
    version: DatasetVersion, there: hub.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(CommandError, match="does not take the token"):
        push()
    assert not Event.objects.filter(verb="dataset.published").exists()

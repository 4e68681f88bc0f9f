"""The import page: a file goes in, how it went is told, and the example that is offered is one that works."""

from __future__ import annotations

import gzip
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotate.formats import rows
from annotate.models import Comparison
from annotate.services import importing
from annotate.views.importing import COLUMNS
from tests.build import make_member, make_project, make_run
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Role
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

pytestmark = pytest.mark.django_db

ROW = b'{"id": "r1", "prompt": "?", "completion_a": "x", "completion_b": "y"}\n'


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch, storage: Path) -> None:
    monkeypatch.setattr(ledger, "send", lambda run: True)


@pytest.fixture
def project() -> Project:
    return make_project("chat", overlap=2)


@pytest.fixture
def client(project: Project) -> Client:
    client = Client()
    client.force_login(make_member(project, Role.CURATOR, name="cleo"))
    return client


def send(client: Client, data: bytes, name: str = "rows.jsonl", format: str = "rows") -> Any:
    file = SimpleUploadedFile(name, data)
    return client.post(reverse("import", args=["chat"]), {"file": file, "format": format})


def page(client: Client, **headers: str) -> str:
    text: str = client.get(reverse("import", args=["chat"]), headers=headers).text
    return text


def work() -> Run:
    done = ledger.execute(Run.objects.latest("id").pk)
    assert done is not None
    return done


def test_a_file_is_kept_queued_imported_and_told(client: Client, project: Project) -> None:
    assert "None yet" in page(client)
    response = send(client, ROW + b'{"id": "r2"}\n')
    assert response.url == reverse("import", args=["chat"])
    told = page(client)
    assert "waits for a worker" in told
    assert 'hx-trigger="every 2s"' in told
    assert work().created_by_id == project.members.get().user_id
    told = page(client)
    assert "1 created" in told
    assert "1 rejected" in told
    assert "line 2" in told
    assert "<code>prompt</code>" in told
    assert "rejects.jsonl" in told
    assert "every 2s" not in told
    assert Comparison.objects.get().external_id == "r1"


def test_htmx_gets_the_list_alone(client: Client) -> None:
    send(client, ROW)
    told = page(client, **{"HX-Request": "true"})
    assert told.lstrip().startswith('<section id="imports"')
    assert "<html" not in told


def test_a_gzipped_file_of_another_format_goes_in(client: Client) -> None:
    pairs = gzip.compress(b'{"prompt": "?", "chosen": "good", "rejected": "bad"}\n')
    assert send(client, pairs, "pairs.jsonl.gz", "trl").status_code == 302
    assert work().result["created"] == 1


def test_no_file_or_an_unknown_format_is_told_beside_its_field(client: Client) -> None:
    nothing = client.post(reverse("import", args=["chat"]), {"format": "rows"})
    assert (nothing.status_code, list(nothing.context["form"].errors)) == (422, ["file"])
    unknown = send(client, ROW, format="xml")
    assert (unknown.status_code, list(unknown.context["form"].errors)) == (422, ["format"])
    assert not Run.objects.exists()


def test_an_archived_project_says_so(client: Client) -> None:
    Project.objects.update(archived_at=timezone.now())
    response = send(client, ROW)
    assert response.status_code == 422
    assert "is archived" in response.text


def test_a_run_that_no_worker_takes_is_said_to_wait_for_one(client: Client, project: Project) -> None:
    run = make_run(project, kind="import", wakes=2, params={"filename": "x.jsonl"})
    Run.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(minutes=5))
    assert "no worker reachable" in page(client)


def test_a_failed_import_says_why(client: Client, project: Project) -> None:
    make_run(project, kind="import", status="failed")
    assert "no such column" in page(client)


def test_other_runs_and_other_projects_are_not_listed(client: Client, project: Project) -> None:
    make_run(project, kind="aggregate")
    make_run(make_project("other"), kind="import", params={"filename": "secret.jsonl"})
    assert "None yet" in page(client)


def test_the_example_that_is_offered_goes_in_whole(project: Project) -> None:
    path = finders.find("tiebreak/example.jsonl")
    assert isinstance(path, str)
    with Path(path).open("rb") as file:
        report = importing.import_stream(project, file, filename="example.jsonl")
    assert (report.rejected, report.created) == (0, 7)
    assert Comparison.objects.filter(gold__isnull=False).exists()


def test_the_help_names_every_column_that_a_row_may_have() -> None:
    named = {name for names in COLUMNS for name in names.split(", ")}
    assert named == set(rows.FIELDS)

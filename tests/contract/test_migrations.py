"""The migrations of collecting, up, down and up again, with rows of every kind that an older state does not know."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

ROOT = Path(__file__).resolve().parents[2]
NAME = "up_and_down"
STORY = """
from django.core.management import call_command
from django.utils import timezone
from annotate.models import Adjudication, Assignment, Rater
from annotate.services import assigning
from tests.build import make_comparison, make_member, make_project
call_command("migrate", verbosity=0)
project = make_project("old", overlap=1)
for _ in range(3):
    comparison = make_comparison(project)
rater = assigning.rater_for(project, make_member(project))
assert assigning.next_assignment(rater, now=timezone.now()) and assigning.fetch_ahead(rater, now=timezone.now())
again = {"status": "submitted", "purpose": "repeat", "repeat": 1, "order": "ab"}
Assignment.objects.create(comparison=comparison, rater=rater, **again)
eve = make_member(project, "adjudicator")
Adjudication.objects.create(comparison=comparison, preference=1, reason="seen", by=eve)
call_command("migrate", "annotate", "0010", verbosity=0)
call_command("migrate", verbosity=0)
assert Rater.objects.get(project=project, user=eve).name == eve.username
call_command("migrate", "curation", "0003", verbosity=0)
call_command("migrate", "annotate", "0002", verbosity=0)
call_command("migrate", verbosity=0)
assert sorted(Assignment.objects.values_list("status", flat=True)) == ["leased", "released", "submitted"]
assert assigning.next_assignment(rater, now=timezone.now()) and assigning.fetch_ahead(rater, now=timezone.now())
"""


@pytest.fixture
def url(django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A database of this test's own beside the others."""
    with django_db_blocker.unblock():
        told = connection.settings_dict
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
            cursor.execute(f"CREATE DATABASE {NAME}")
        host, port = quote(str(told["HOST"]), safe=""), f":{told['PORT']}" if told["PORT"] else ""
        yield f"postgresql://{told['USER']}:{quote(str(told['PASSWORD']), safe='')}@{host}{port}/{NAME}"
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        connection.close()


def test_the_tables_of_collecting_can_be_taken_back_and_made_again(url: str) -> None:
    path = f"{ROOT / 'platform'}:{ROOT}"
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", STORY],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": url, "TIEBREAK_EMBEDDED": "0", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]

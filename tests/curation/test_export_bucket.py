"""A version whose files lie in a bucket: training jobs are sent there with a link, and nobody else is."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from tests.build import make_member, make_project, make_token
from tests.curation.test_export_rows import a_row, bearer, freeze, here
from tests.tiebreak.test_buckets import bucket, endpoint  # noqa: F401 - fixtures
from tiebreak.accounts.roles import Role
from tiebreak.core.models import Event

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage", "bucket")]


@pytest.fixture
def trainer() -> Client:
    cache.clear()
    project = make_project("chat")
    freeze(project, [a_row("c1"), a_row("c2", "test")])
    return bearer(make_token(make_member(project, Role.CURATOR), "train"))


def get(client: Client, split: str = "train", **headers: str) -> Any:
    return client.get(here() + f"files/{split}.parquet", headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_a_file_is_answered_with_a_link_that_gives_it(trainer: Client) -> None:
    answer = get(trainer)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (302, "private, no-store")
    wanted = urllib.request.Request(answer.headers["Location"], headers={"Range": "bytes=0-3"})  # noqa: S310
    with urllib.request.urlopen(wanted) as file:  # noqa: S310
        assert file.read() == b"PAR1"
        assert "prefs-1-train.parquet" in file.headers["Content-Disposition"]
    assert Event.objects.get(verb="dataset.download").data["file"] == "train.parquet"


def test_the_test_split_is_refused_without_a_link(trainer: Client) -> None:
    for headers in ({}, {"Range": "bytes=0-3"}, {"If_None_Match": "*"}):
        refused = get(trainer, "test", **headers)
        assert refused.status_code == 403
        assert "Location" not in refused.headers
    assert not Event.objects.filter(verb="dataset.download").exists()


def test_what_a_client_has_is_not_sent_and_head_tells_its_size(trainer: Client) -> None:
    told = trainer.head(here() + "files/train.parquet")
    assert (told.status_code, told.headers["Content-Length"], told.headers["Accept-Ranges"]) == (200, "12", "bytes")
    assert get(trainer, If_None_Match=told.headers["ETag"]).status_code == 304
    other = get(trainer, If_None_Match='"other"')  # through us, as a link could not answer the question
    assert (other.status_code, b"".join(other.streaming_content)) == (200, b"PAR1 train 1")

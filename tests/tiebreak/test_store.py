"""The file store: named by content, whole or not there, and swept of what killed writers left."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from tiebreak.core.errors import NotFound
from tiebreak.runs import store
from tiebreak.runs.models import Artifact

pytestmark = pytest.mark.django_db


def test_a_file_is_named_by_its_bytes_and_kept_once(storage: Path) -> None:
    one, two = store.put(b"same", "text/plain"), store.put(b"same", "text/plain")
    assert one.pk == two.pk == hashlib.sha256(b"same").hexdigest()
    assert Artifact.objects.get().size == 4
    with store.open_artifact(one) as file:
        assert file.read() == b"same"


def test_a_writer_that_fails_leaves_neither_file_nor_row(storage: Path) -> None:
    def fails() -> None:
        with store.writing("text/plain") as incoming:
            incoming.file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert not [path for path in storage.rglob("*") if path.is_file()]
    assert not Artifact.objects.exists()


def test_a_file_that_was_lost_is_named_with_the_place_where_it_should_be(storage: Path) -> None:
    artifact = store.put(b"gone", "text/plain")
    store.path_of(artifact.pk).unlink()
    with pytest.raises(NotFound, match=str(storage)):
        store.open_artifact(artifact)


def test_what_killed_writers_left_is_swept_after_a_day(storage: Path) -> None:
    store.put(b"kept", "text/plain")
    now = time.time()
    for name, age in ((".incoming-old", 25 * 3600), (".incoming-new", 60)):
        (storage / name).write_bytes(b"half")
        os.utime(storage / name, (now - age, now - age))
    assert store.sweep(now) == 1
    assert sorted(path.name for path in storage.iterdir() if path.is_file()) == [".incoming-new"]

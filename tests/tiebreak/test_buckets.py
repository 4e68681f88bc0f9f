"""The file store in a bucket, over a stand-in for S3 on a real socket."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tiebreak.core.errors import Invalid, NotFound, Unavailable
from tiebreak.env import EnvError, Storage, storage_url
from tiebreak.runs import buckets, store
from tiebreak.runs.models import Artifact

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


def use(monkeypatch: pytest.MonkeyPatch, url: str, *, allow: tuple[str, ...] = ("127.0.0.1",)) -> None:
    env = dataclasses.replace(settings.ENV, storage_url=storage_url(url), egress_allow=allow)
    monkeypatch.setattr(settings, "ENV", env)


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> buckets.Bucket:
    for name, value in {"AWS_ACCESS_KEY_ID": "one", "AWS_SECRET_ACCESS_KEY": "two", "AWS_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(name, value)
    use(monkeypatch, f"s3://versions/ours?endpoint={endpoint}&region=us-east-1")
    made = store.remote()
    assert made is not None
    made.client.create_bucket(Bucket="versions")
    return made


def test_a_file_goes_up_once_under_its_hash_and_nothing_stays_here(bucket: buckets.Bucket, storage: Path) -> None:
    one, two = store.put(b"same", "text/plain"), store.put(b"same", "text/plain")
    assert one.pk == two.pk == hashlib.sha256(b"same").hexdigest()
    assert Artifact.objects.get().size == 4
    listed = bucket.client.list_objects_v2(Bucket="versions", Prefix=f"ours/{one.pk[:2]}/{one.pk[2:4]}/")
    assert [entry["Key"].rpartition("/")[2] for entry in listed["Contents"]] == [one.pk]
    assert not [path for path in storage.rglob("*") if path.is_file()]


def test_a_file_in_a_bucket_reads_and_seeks_like_one_on_disk(bucket: buckets.Bucket, rng: Any) -> None:
    content = rng.bytes(1_000_000)
    artifact = store.put(content, "application/octet-stream")
    here = io.BytesIO(content)
    with store.open_artifact(artifact) as there:
        for at, whence, n in ((0, 0, 10), (999_990, 0, 100), (-8, 2, -1), (5, 0, 700_000), (0, 1, 3), (0, 2, 1)):
            assert there.seek(at, whence) == here.seek(at, whence)
            assert there.read(n) == here.read(n)
    with store.on_disk(artifact) as path:
        assert path.read_bytes() == content
    assert not path.exists()


def test_a_large_file_goes_up_in_parts(bucket: buckets.Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "PART", 5 << 20)  # the least that S3 allows
    content = bytes(range(256)) * (12 << 12)
    artifact = store.put(content, "application/octet-stream")
    assert bucket.client.head_object(Bucket="versions", Key=bucket.key(artifact.pk))["ContentLength"] == len(content)
    with store.open_artifact(artifact) as file:
        assert hashlib.sha256(file.read()).hexdigest() == artifact.pk


def test_a_signed_link_gives_the_file_its_name_and_any_range_without_our_token(bucket: buckets.Bucket) -> None:
    link = store.link(store.put(b"0123456789", "text/plain"), name="train.txt")
    assert link is not None
    with urllib.request.urlopen(link) as answer:  # noqa: S310
        assert answer.read() == b"0123456789"
        assert "train.txt" in answer.headers["Content-Disposition"]
    part = urllib.request.Request(link, headers={"Range": "bytes=2-4"})  # noqa: S310
    with urllib.request.urlopen(part) as answer:  # noqa: S310
        assert (answer.status, answer.read()) == (206, b"234")
    assert "two" not in link


def test_what_is_not_in_the_bucket_is_said_by_its_hash(bucket: buckets.Bucket) -> None:
    lost = Artifact.objects.create(sha256="0" * 64, size=3, media_type="text/plain")
    with store.open_artifact(lost) as file, pytest.raises(NotFound, match="0000 is not in the bucket versions"):
        file.read()


def test_a_file_that_is_removed_is_gone_and_so_is_its_link(bucket: buckets.Bucket) -> None:
    artifact = store.put(b"withdrawn", "text/plain")
    link = store.link(artifact, name="x")
    for _ in range(2):
        store.remove(artifact.pk)
    assert not bucket.has(artifact.pk)
    with pytest.raises(urllib.error.HTTPError, match=r"40[34]"):
        urllib.request.urlopen(link or "")  # noqa: S310


def test_a_store_that_refuses_leaves_no_row_and_no_file(
    bucket: buckets.Bucket, endpoint: str, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, f"s3://nobodys?endpoint={endpoint}&region=us-east-1")
    with pytest.raises(Unavailable, match="nobodys refuses"):
        store.put(b"nowhere to go", "text/plain")
    assert not Artifact.objects.exists()
    assert not [path for path in storage.rglob("*") if path.is_file()]


def test_a_store_that_does_not_answer_is_said_to_be_away(
    bucket: buckets.Bucket, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, "s3://versions?endpoint=http://127.0.0.1:9&region=us-east-1")  # nobody listens
    away = store.remote()
    assert away is not None
    away.client.meta.config.retries["max_attempts"] = 0
    with pytest.raises(Unavailable, match="does not answer"):
        store.put(b"x", "text/plain")


@pytest.mark.parametrize("host", ["http://127.0.0.1:1", "http://169.254.169.254", "http://localhost:1"])
def test_an_endpoint_that_is_not_public_must_be_allowed(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    use(monkeypatch, f"s3://versions?endpoint={host}", allow=())
    with pytest.raises(Invalid, match="TIEBREAK_EGRESS_ALLOW"):
        store.remote()


def test_the_disk_stays_the_default() -> None:
    assert store.remote() is None
    assert store.link(store.put(b"here", "text/plain"), name="x") is None


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://rows", Storage("rows")),
        ("s3://rows/", Storage("rows")),
        ("s3://rows/a/b", Storage("rows", "a/b/")),
        ("s3://rows?endpoint=https://s3.example.org&region=eu", Storage("rows", "", "https://s3.example.org", "eu")),
    ],
)
def test_a_storage_url_is_read(url: str, told: Storage) -> None:
    assert storage_url(url) == told


@pytest.mark.parametrize(
    "url",
    ["rows", "gs://rows", "s3://", "s3://Rows", "s3://key:secret@rows", "s3://rows?endpoint=s3.example.org",
     "s3://rows?endpoint=https://key:secret@host", "s3://rows?secret=x"],
)  # fmt: skip
def test_a_storage_url_that_cannot_be_is_refused_without_repeating_a_secret(url: str) -> None:
    with pytest.raises(EnvError, match="TIEBREAK_STORAGE_URL") as refused:
        storage_url(url)
    assert "key:secret" not in str(refused.value)

"""Files in S3-compatible storage, under the names that they have on disk: `ab/cd/<sha256>` below the prefix.

boto3 (the extra `s3`) speaks to it and finds the credentials in its own places: AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY, or the machine's role. None is kept here. An endpoint of one's own is held to the egress guard:
a store on a private network is listed in TIEBREAK_EGRESS_ALLOW.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

from tiebreak.core import egress
from tiebreak.core.errors import NotFound, Unavailable
from tiebreak.env import Storage

PART: Final = 16 << 20  # bytes; larger files go up in such parts, some at a time
VARIABLE: Final = "TIEBREAK_STORAGE_URL"


@cache
def bucket(storage: Storage, allowed: Sequence[str]) -> Bucket:
    """One client a process: it is safe to share between threads."""
    return Bucket(storage, allowed)


class Bucket:
    def __init__(self, storage: Storage, allowed: Sequence[str]) -> None:
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise Unavailable(
                f"{VARIABLE} is set, but boto3 is not installed: pip install 'tiebreak[s3]'.", code="no_boto3"
            ) from None
        if storage.endpoint:
            egress.check_host(storage.endpoint, egress.Allowed(allowed), field=VARIABLE)
        self.name, self.prefix = storage.bucket, storage.prefix
        self.client = boto3.client(
            "s3",
            endpoint_url=storage.endpoint or None,
            region_name=storage.region or None,
            config=Config(
                signature_version="s3v4",
                connect_timeout=5,
                read_timeout=60,
                retries={"max_attempts": 4, "mode": "standard"},
                s3={"addressing_style": "path" if storage.endpoint else "auto"},
            ),
        )

    def key(self, sha256: str) -> str:
        return f"{self.prefix}{sha256[:2]}/{sha256[2:4]}/{sha256}"

    def has(self, sha256: str) -> bool:
        try:
            with self._speaking(sha256):
                self.client.head_object(Bucket=self.name, Key=self.key(sha256))
        except NotFound:
            return False
        return True

    def send(self, path: Path, sha256: str, media_type: str) -> None:
        """Put a whole file up; nobody sees a part of it. The same bytes are sent once."""
        from boto3.s3.transfer import TransferConfig

        if self.has(sha256):
            return
        with self._speaking(sha256):
            self.client.upload_file(
                str(path),
                self.name,
                self.key(sha256),
                ExtraArgs={"ContentType": media_type},
                Config=TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=4),
            )

    def open(self, sha256: str, size: int) -> IO[bytes]:
        """A file to read and to seek in; each seek is another request, and reading on is none."""
        return io.BufferedReader(_Remote(self, sha256, size), buffer_size=1 << 18)

    def remove(self, sha256: str) -> None:
        """Take it out; nothing happens where it is not there. Links that were given out end with it."""
        with self._speaking(sha256):
            self.client.delete_object(Bucket=self.name, Key=self.key(sha256))

    def body(self, sha256: str, start: int) -> Any:
        """The bytes from `start` on, as a stream."""
        with self._speaking(sha256):
            found = self.client.get_object(Bucket=self.name, Key=self.key(sha256), Range=f"bytes={start}-")
        return found["Body"]

    def link(self, sha256: str, *, name: str, media_type: str, seconds: int) -> str:
        """An address that gives this one file to whoever has it, until it lapses."""
        told = {
            "Bucket": self.name,
            "Key": self.key(sha256),
            "ResponseContentDisposition": f'attachment; filename="{name}"',
            "ResponseContentType": media_type,
        }
        return str(self.client.generate_presigned_url("get_object", Params=told, ExpiresIn=seconds))

    @contextmanager
    def _speaking(self, sha256: str) -> Iterator[None]:
        """botocore's errors as ours: what is not there, and what does not answer."""
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in ("404", "NoSuchKey", "NotFound"):
                raise NotFound(f"The file {sha256} is not in the bucket {self.name}.", code="file_lost") from None
            raise Unavailable(f"The storage at {self.name} refuses: {code}.", code="storage_refuses") from error
        except S3UploadFailedError as error:
            raise Unavailable(f"The storage at {self.name} refuses: {error}.", code="storage_refuses") from error
        except BotoCoreError as error:
            raise Unavailable(
                f"The storage at {self.name} does not answer: {type(error).__name__}.", code="storage_away"
            ) from error


class _Remote(io.RawIOBase):
    """One object, read as a stream from wherever it is sought."""

    def __init__(self, bucket: Bucket, sha256: str, size: int) -> None:
        self._bucket, self._sha256, self._size = bucket, sha256, size
        self._at = 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at != self._at:
            self._drop()
        self._at = at
        return at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._size:
            return 0
        if self._body is None:
            self._body = self._bucket.body(self._sha256, self._at)
        block = self._body.read(len(buffer))
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)

    def close(self) -> None:
        self._drop()
        super().close()

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
        self._body = None

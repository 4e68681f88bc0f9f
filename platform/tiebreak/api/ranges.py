"""Files over HTTP: Content-Length, ETag, and one byte range, so that a broken download goes on and readers may seek."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import parse_etags

from .problems import problem

BLOCK = 256 * 1024
_RANGE = re.compile(r"\Abytes=([0-9]{0,18})-([0-9]{0,18})\Z")


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """First and last byte of a single range; None where the header is no such range and so is ignored (several, say).

    Raises ValueError where the range lies outside the file (RFC 9110, 14.1.2).
    """
    match = _RANGE.match(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        raise ValueError(f"Range: expected bytes within 0-{size - 1}, got {header[:60]!r}")
    return start, end


def serve(
    request: HttpRequest,
    file: IO[bytes],
    *,
    size: int,
    sha256: str,
    name: str,
    media_type: str,
    immutable: bool = False,
) -> HttpResponseBase:
    """Answer GET or HEAD for a file; closes it when it has been sent. `immutable`: its address never names other bytes,
    so that a cache need not ask again.
    """
    etag = f'"{sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable" if immutable else "private, no-cache",
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
    }
    if knows(request, etag):
        file.close()
        return HttpResponse(status=304, headers={"ETag": etag, "Cache-Control": headers["Cache-Control"]})
    if not _still(request, etag):
        file.close()
        return problem(
            412, "The file is another since that ETag: begin again.", kind="file_changed", headers={"ETag": etag}
        )
    start, end, status = 0, size - 1, 200
    wanted = request.headers.get("Range", "") if request.method == "GET" else ""  # RFC 9110, 14.2
    if wanted and request.headers.get("If-Range", etag) == etag:
        try:
            part = parse_range(wanted, size)
        except ValueError as error:
            file.close()
            return problem(416, str(error), kind="no_such_range", headers={"Content-Range": f"bytes */{size}"})
        if part is not None:
            (start, end), status = part, 206
            headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    headers["Content-Length"] = str(end - start + 1)
    if request.method == "HEAD":
        file.close()
        return HttpResponse(status=status, headers=headers, content_type=media_type)
    sent = _Part(file, start, end - start + 1)
    return StreamingHttpResponse(sent, status=status, headers=headers, content_type=media_type)


def knows(request: Any, etag: str) -> bool:
    """Whether the client has this already (If-None-Match), weakly compared."""
    tags = parse_etags(request.headers.get("If-None-Match", ""))
    return "*" in tags or any(tag.removeprefix("W/") == etag for tag in tags)


def _still(request: Any, etag: str) -> bool:
    """Whether the file is one that the client wants to go on with (If-Match), strongly compared."""
    tags = parse_etags(request.headers.get("If-Match", "*"))
    return "*" in tags or etag in tags


class _Part:
    """Bytes of a file in blocks. The response closes it, also where the client has gone before the first block."""

    def __init__(self, file: IO[bytes], start: int, length: int) -> None:
        self.file, self.start, self.length = file, start, length

    def __iter__(self) -> Iterator[bytes]:
        self.file.seek(self.start)
        left = self.length
        while left and (block := self.file.read(min(BLOCK, left))):
            left -= len(block)
            yield block

    def close(self) -> None:
        self.file.close()

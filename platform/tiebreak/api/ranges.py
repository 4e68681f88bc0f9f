"""Files over HTTP: Content-Length, ETag, and one byte range, so that a broken download goes on and readers may seek."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

BLOCK = 256 * 1024
_RANGE = re.compile(r"\Abytes=(\d*)-(\d*)\Z")


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """First and last byte of a single range, or None where the header asks for nothing we serve in parts.

    Raises ValueError where the range lies outside the file (RFC 9110, 14.1.2).
    """
    match = _RANGE.match(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    start, end = (max(0, size - int(last)), size - 1) if not first else (int(first), min(int(last or size - 1), size - 1))
    if start > end or start >= size:
        raise ValueError(f"range: expected bytes within 0-{size - 1}, got {header!r}")
    return start, end


def serve(
    request: HttpRequest, file: IO[bytes], *, size: int, sha256: str, name: str, media_type: str
) -> HttpResponseBase:
    """Answer GET or HEAD for an immutable file; closes it when it has been sent."""
    etag = f'"{sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
    }
    if etag in request.headers.get("If-None-Match", ""):
        file.close()
        return HttpResponse(status=304, headers={"ETag": etag})
    start, end, status = 0, size - 1, 200
    wanted = request.headers.get("Range", "")
    if wanted and request.headers.get("If-Range", etag) == etag:
        try:
            part = parse_range(wanted, size)
        except ValueError:
            file.close()
            return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
        if part is not None:
            (start, end), status = part, 206
            headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    headers["Content-Length"] = str(end - start + 1)
    if request.method == "HEAD":
        file.close()
        return HttpResponse(status=status, headers=headers, content_type=media_type)
    return StreamingHttpResponse(
        _blocks(file, start, end - start + 1), status=status, headers=headers, content_type=media_type
    )


def _blocks(file: IO[bytes], start: int, length: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while length and (block := file.read(min(BLOCK, length))):
            length -= len(block)
            yield block

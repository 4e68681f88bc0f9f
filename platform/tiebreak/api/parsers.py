"""JSON in, strictly: capped, no duplicate keys, no NaN, no nesting that would overflow a stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, JSONParser

from tiebreak.core.errors import TooLarge
from tiebreak.core.text import TextError, loads_strict


class StrictJSONParser(JSONParser):
    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        data = stream.read(most + 1)
        if len(data) > most:
            raise TooLarge(f"At most {most:,} bytes in one request: send rows in pages.")
        try:
            return loads_strict(data)
        except TextError as error:
            raise ParseError(str(error)) from error


class NDJSONParser(BaseParser):
    """Rows, one a line. The stream itself is handed on, so that a large import is never in memory."""

    media_type = "application/x-ndjson"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        return stream


class CSVParser(NDJSONParser):
    """Rows under a header: a stream as well, which its reader must be told is CSV."""

    media_type = "text/csv"

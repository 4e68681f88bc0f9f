"""JSON in, strictly: capped, no duplicate keys, no NaN, no nesting that would overflow a stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, JSONParser

from tiebreak.core.text import TextError, loads_strict


class StrictJSONParser(JSONParser):
    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        try:
            return loads_strict(stream.read())
        except TextError as error:
            raise ParseError(str(error)) from error


class NDJSONParser(BaseParser):
    """Rows, one a line. The stream itself is handed on, so that a large import is never in memory."""

    media_type = "application/x-ndjson"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        return stream

"""The native row as it is."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from curation.exports.formats import FormatOptions
from curation.exports.schema import SCHEMA, Native


def convert(row: Native, options: FormatOptions) -> list[dict[str, Any]]:
    """Every field of the row; the options do not touch it."""
    return [dict(row)]


def schema(options: FormatOptions) -> pa.Schema:
    """The native schema, of pairs."""
    return SCHEMA

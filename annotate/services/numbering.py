"""Versions count up from 1 within a name."""

from __future__ import annotations

from typing import Any

from django.db.models import Max, QuerySet


def next_version(siblings: QuerySet[Any]) -> int:
    """The number after the highest `version` among siblings; a unique constraint settles who was first."""
    return (siblings.aggregate(last=Max("version"))["last"] or 0) + 1

"""Who wants to know at once what happens here, by dotted path: imported on use, since they stand above us."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Final

from django.db import transaction

DECIDED: Final = ("curation.services.live.decided",)  # functions of a comparison's id


def decided(comparison: int) -> None:
    """Tell that a decision came or went, after the commit. What a follower fails at is logged, and undoes nothing."""
    for path in DECIDED:
        module, _, name = path.rpartition(".")
        transaction.on_commit(partial(getattr(import_module(module), name), comparison), robust=True)

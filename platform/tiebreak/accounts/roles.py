"""Who may do what in a project: one table, read by services, pages and the API alike."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Role(TextChoices):
    OWNER = "owner", _("Owner: everything, members and deletion included")
    CURATOR = "curator", _("Curator: forms, imports, routing, rubrics, datasets and models")
    ADJUDICATOR = "adjudicator", _("Adjudicator: annotates, and decides disputed comparisons")
    ANNOTATOR = "annotator", _("Annotator: compares, and sees nothing of what others said")
    VIEWER = "viewer", _("Viewer: reads everything that a curator reads, changes nothing")


class Can(StrEnum):
    """One permission each; a service names the one that it needs."""

    MANAGE = "manage"  # members, deletion, tokens of others
    CURATE = "curate"  # form, imports, judges, routing, rubrics, datasets, models
    READ = "read"  # every curator page
    ADJUDICATE = "adjudicate"
    ANNOTATE = "annotate"


MAY: Final[dict[str, frozenset[Can]]] = {
    Role.OWNER: frozenset(Can),
    Role.CURATOR: frozenset({Can.CURATE, Can.READ, Can.ADJUDICATE, Can.ANNOTATE}),
    # An adjudicator reads through the queue of disputes, not through the curator's pages.
    Role.ADJUDICATOR: frozenset({Can.ADJUDICATE, Can.ANNOTATE}),
    Role.ANNOTATOR: frozenset({Can.ANNOTATE}),
    Role.VIEWER: frozenset({Can.READ}),
}


def roles_that(can: Can) -> list[str]:
    """The roles that hold a permission."""
    return [role for role, held in MAY.items() if can in held]

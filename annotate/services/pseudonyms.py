"""How people are called outside of their project: in versions and exports, where usernames do not go."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from annotate.models import Adjudication, Rater
from tiebreak.accounts.models import Project

PSEUDONYM: Final = re.compile(r"(annotator|adjudicator)-[0-9a-f]{10}")


def public_name(rater: Rater, project: Project) -> str:
    """How a rater is called in a version: imported names as they came, people who sign in under a pseudonym."""
    if rater.user is None:
        return rater.name
    return pseudonym("annotator", rater.user.username, project)


def adjudicator_name(decision: Adjudication, project: Project) -> str:
    """How whoever decided is called in a version."""
    if decision.rater is not None:
        return public_name(decision.rater, project)
    return pseudonym("adjudicator", decision.by.username, project) if decision.by else ""


def names_of(rater: Rater, project: Project) -> list[str]:
    """All that a rater is called, in the project and outside."""
    return [rater.name, *(pseudonyms_of(rater.user.username, project) if rater.user else ())]


def pseudonyms_of(username: str, project: Project) -> list[str]:
    """All that somebody with an account may be called."""
    return [pseudonym(role, username, project) for role in ("annotator", "adjudicator")]


def pseudonym(role: str, username: str, project: Project) -> str:
    """The same for one person in one project, whatever they do there."""
    digest = hashlib.sha256(f"{project.slug}/{username}".encode()).hexdigest()
    return f"{role}-{digest[:10]}"

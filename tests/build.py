"""Builders: each makes a small world in one line. Plain typed functions, so that a reader and mypy see what they write."""

from __future__ import annotations

import hashlib
import itertools
import json
from datetime import timedelta
from typing import Any

from annotate.models import (
    Assignment,
    Comparison,
    Completion,
    Form,
    Judge,
    Judgement,
    Prompt,
    Rater,
)
from django.utils import timezone
from tiebreak.accounts.models import ApiToken, Membership, Project, User
from tiebreak.accounts.roles import Role

_numbers = itertools.count(1)


def _sha(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def make_user(name: str = "", *, password: str | None = None) -> User:
    user = User(username=name or f"user{next(_numbers)}")
    user.set_password(password) if password else user.set_unusable_password()
    user.save()
    return user


def make_project(slug: str = "", *, owner: User | None = None, **form: Any) -> Project:
    """A project with its first form; `form` overrides the form's fields (overlap=2, levels=1, …)."""
    slug = slug or f"project-{next(_numbers)}"
    project = Project.objects.create(slug=slug, name=slug.title())
    Form.objects.create(project=project, number=1, **form)
    if owner:
        Membership.objects.create(project=project, user=owner, role=Role.OWNER)
    return project


def make_member(project: Project, role: str = Role.ANNOTATOR, *, name: str = "", password: str | None = None) -> User:
    user = make_user(name, password=password)
    Membership.objects.create(project=project, user=user, role=role)
    return user


def make_token(user: User, *scopes: str, project: Project | None = None, days: int = 1) -> str:
    expires = timezone.now() + timedelta(days=days)
    return ApiToken.issue(user, "test", list(scopes), expires_at=expires, project=project)[1]


def make_comparison(
    project: Project,
    external_id: str = "",
    *,
    prompt: str = "",
    a: str = "first answer",
    b: str = "second answer",
    overlap: int | None = None,
    **fields: Any,
) -> Comparison:
    number = next(_numbers)
    external_id = external_id or f"c{number}"
    messages = [{"role": "user", "content": prompt or f"question {number}"}]
    row, _ = Prompt.objects.get_or_create(
        project=project, sha256=_sha(messages), defaults={"messages": messages, "is_text": True}
    )
    completions = []
    for text, generator in ((a, "heron-1"), (b, "quill-l")):
        content = [{"role": "assistant", "content": text}]
        completions.append(
            Completion.objects.get_or_create(
                prompt=row, sha256=_sha(content), generator=generator, defaults={"messages": content, "text": text}
            )[0]
        )
    if overlap is None:
        overlap = project.forms.get(current=True).overlap
    values: dict[str, Any] = {
        "group": row.sha256[:16],
        "content_sha256": _sha([external_id, a, b]),
        "shuffle": (number * 0.618034) % 1.0,
    }
    return Comparison.objects.create(
        project=project,
        external_id=external_id,
        prompt=row,
        completion_a=completions[0],
        completion_b=completions[1],
        overlap=overlap,
        **(values | fields),
    )


def make_rater(project: Project, name: str = "", *, kind: str = Rater.Kind.ANNOTATOR, **fields: Any) -> Rater:
    return Rater.objects.create(project=project, kind=kind, name=name or f"rater{next(_numbers)}", **fields)


def make_judge(project: Project, name: str = "judge", *, kind: str = "pairwise", **fields: Any) -> Judge:
    judge = Judge.objects.create(project=project, name=name, kind=kind, **({"backend": "scripted"} | fields))
    Rater.objects.create(project=project, kind=Rater.Kind.JUDGE, name=str(judge), judge=judge)
    return judge


def make_judgement(comparison: Comparison, rater: Rater, preference: int | None, **fields: Any) -> Judgement:
    """A current judgement; an annotator's takes a seat through its assignment, as a submitted one does."""
    assignment = None
    if rater.kind == Rater.Kind.ANNOTATOR:
        assignment = Assignment.objects.create(
            comparison=comparison, rater=rater, status=Assignment.Status.SUBMITTED, order=fields.get("order", "ab")
        )
    return Judgement.objects.create(
        comparison=comparison,
        rater=rater,
        assignment=assignment,
        preference=preference,
        **({"order": "ab"} | fields),
    )


def make_judgements(comparison: Comparison, letters: str) -> list[Judgement]:
    """One annotator a letter: A and B favour a side by one level, T is a tie, X both bad. Raters are r1, r2, …"""
    values = {"A": -1, "B": 1, "T": 0, "X": None}
    made = []
    for number, letter in enumerate(letters, 1):
        rater, _ = Rater.objects.get_or_create(
            project=comparison.project, kind=Rater.Kind.ANNOTATOR, name=f"r{number}"
        )
        made.append(make_judgement(comparison, rater, values[letter], both_bad=letter == "X"))
    return made

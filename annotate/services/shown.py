"""An assignment with all that a screen shows of it, read by one call.

The same objects as `select_related` over eight tables would make. Building, planning and unpacking that query costs
more than all else that a request does; `annotate_shown` (migration 0006) has its plan ready, and tells rows as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from django.db import connection

from annotate.models import Assignment, Comparison, Completion, Form, Prompt, Rater, Rubric
from tiebreak.accounts.models import Project, User
from tiebreak.core.rows import row

MOST_ID: Final = 2**63 - 1
SHOWN: Final = "SELECT annotate_shown(%s, %s)::text"


def load(pk: int, *, texts: bool = True, user: User | None = None) -> Assignment | None:
    """An assignment with its rater, project, comparison and form, and with the prompt and both completions if `texts`.

    With `user`, who asks now, another's assignment is None, and its project knows their role.
    """
    if pk > MOST_ID:
        return None
    with connection.cursor() as cursor:
        cursor.execute(SHOWN, [pk, texts])
        ((text,),) = cursor.fetchall()
    if text is None:
        return None
    told = json.loads(text)
    shown, said = told if texts else (told, None)
    if user is not None and shown["rater"]["user_id"] != user.pk:
        return None
    rater = row(Rater, shown["rater"])
    rater.project = row(Project, shown["project"])
    if user is not None:
        rater.user = user
        rater.project.known_role(user.pk, shown["role"])
    return _put_together(shown, said, rater)


def unpacked(text: str, rater: Rater) -> Assignment:
    """The rater's assignment that `annotate_shown` tells with its texts."""
    shown, said = json.loads(text)
    return _put_together(shown, said, rater)


def _put_together(shown: Mapping[str, Any], said: Mapping[str, Any] | None, rater: Rater) -> Assignment:
    assignment, comparison = row(Assignment, shown["assignment"]), row(Comparison, shown["comparison"])
    assignment.comparison, assignment.rater = comparison, rater
    comparison.project = rater.project
    if shown["form"] is not None:
        assignment.form = row(Form, shown["form"])
        assignment.form.rubric = None if shown["rubric"] is None else row(Rubric, shown["rubric"])
        assignment.form.project = rater.project
    else:
        assignment.form = None
    if said is not None:
        comparison.prompt = row(Prompt, said["prompt"])
        comparison.completion_a = row(Completion, said["completion_a"])
        comparison.completion_b = row(Completion, said["completion_b"])
    return assignment

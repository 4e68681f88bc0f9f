"""A rubric written by hand: a draft with its criteria in order, refused by field where it cannot be one."""

from __future__ import annotations

import pytest
from django.test import Client

from annotate.models import Rubric
from annotate.services import rubrics
from annotate.services.rubrics import Said
from tests import build
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Invalid, NotAllowed
from tiebreak.core.models import Event

pytestmark = pytest.mark.django_db


def test_a_written_rubric_is_a_draft_and_the_same_name_again_its_next_version() -> None:
    project = build.make_project()
    curator = build.make_member(project, Role.CURATOR)
    first = rubrics.write(project, " Tone ", [Said("Is polite."), Said("Names no person.", "hard_rule")], by=curator)
    assert (str(first), first.status) == ("Tone v1", "draft")
    said = list(first.criteria.values_list("position", "kind", "text"))
    assert said == [(0, "principle", "Is polite."), (1, "hard_rule", "Names no person.")]
    assert str(rubrics.write(project, "Tone", [Said("Is kind.")], by=curator)) == "Tone v2"
    assert Event.objects.filter(verb="rubric.written", actor=curator).count() == 2


@pytest.mark.parametrize(
    ("name", "criteria", "field"),
    [
        (" ", ["Is right."], "name"),
        ("x" * 101, ["Is right."], "name"),
        ("Tone", [], "criteria"),
        ("Tone", [f"Is right in point {n}." for n in range(31)], "criteria"),
        ("Tone", ["Is right.", "Is right. "], "criteria"),
        ("Tone", ["x" * 1001], "criteria"),
        ("Tone", ["Is\x00right."], "criteria"),
    ],
)
def test_what_cannot_be_a_rubric_is_refused_by_its_field(name: str, criteria: list[str], field: str) -> None:
    project = build.make_project()
    curator = build.make_member(project, Role.CURATOR)
    with pytest.raises(Invalid) as caught:
        rubrics.write(project, name, [Said(text) for text in criteria], by=curator)
    assert caught.value.params["field"] == field
    assert not Rubric.objects.exists()


def test_an_annotator_writes_none() -> None:
    project = build.make_project()
    with pytest.raises(NotAllowed):
        rubrics.write(project, "Tone", [Said("Is polite.")], by=build.make_member(project))


def test_a_curator_writes_approves_and_shows_one_on_the_page() -> None:
    project = build.make_project()
    client = Client()
    client.force_login(build.make_member(project, Role.CURATOR))
    here = f"/p/{project.slug}/rubrics/"
    wrong = client.post(f"{here}write/", {"name": "Tone", "criteria": " \n"})
    assert wrong.status_code == 422
    assert 'value="Tone"' in wrong.content.decode()
    assert client.post(f"{here}write/", {"name": "Tone", "criteria": "Is polite.\n\n! Names no person.\n"}).url == here
    rubric = Rubric.objects.get()
    assert list(rubric.criteria.values_list("kind", flat=True)) == ["principle", "hard_rule"]
    for action in ("approve", "show"):
        client.post(f"{here}{rubric.pk}/{action}/")
    assert project.forms.get(current=True).rubric == rubric

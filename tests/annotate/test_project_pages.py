"""The pages of a project's form: making one, editing it beside its preview, its versions, a copy."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotate.models import Form
from annotate.services import projects
from annotate.views.project_form import merge
from tests.build import make_comparison, make_member, make_project, make_rubric, make_user
from tests.editor import posted
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def project() -> Project:
    return make_project(
        "chat", overlap=2, reasons=["facts", "style"], guidelines="Be kind.", aspects=[{"key": "tone", "label": "Tone"}]
    )


@pytest.fixture
def cleo(project: Project) -> User:
    return make_member(project, Role.CURATOR, name="cleo")


@pytest.fixture
def client(cleo: User) -> Client:
    client = Client()
    client.force_login(cleo)
    return client


def current(project: Project) -> Form:
    return projects.current_form(project)


def post(client: Client, project: Project, route: str = "form", *, htmx: bool = False, **changes: Any) -> Any:
    sent = posted(current(project), **changes)
    return client.post(reverse(route, args=[project.slug]), sent, headers=HTMX if htmx else {})


# A new project


def test_a_project_is_made_from_a_preset_and_its_form_opened(client: Client) -> None:
    page = client.get(reverse("new-project"))
    assert "Seven points with justification" in page.text
    response = client.post(reverse("new-project"), {"name": "Täglich besser!", "preset": "helpsteer"})
    assert response.url == reverse("form", args=["taglich-besser"])
    made = Project.objects.get(slug="taglich-besser")
    assert current(made).justification == "required"
    assert [aspect["kind"] for aspect in current(made).aspects] == ["rating"] * 5
    assert made.role_of(User.objects.get(username="cleo")) == "owner"


def test_a_taken_short_name_is_told_beside_its_field_and_nothing_typed_is_lost(client: Client) -> None:
    sent = {"name": "Chat", "description": "Ours.", "preset": "code"}
    response = client.post(reverse("new-project"), sent)
    assert response.status_code == 422
    assert "There is a project" in response.context["form"].errors["slug"][0]
    assert "Ours." in response.text
    assert 'value="code" checked' in response.text
    assert Project.objects.count() == 1


def test_a_name_that_gives_no_address_asks_for_one(client: Client) -> None:
    response = client.post(reverse("new-project"), {"name": "比較", "preset": "general"})
    assert response.status_code == 422
    assert "slug" in response.context["form"].errors


def test_home_offers_a_new_project_to_those_who_may_make_one(client: Client, project: Project) -> None:
    assert reverse("new-project") in client.get(reverse("home")).text
    annotator = Client()
    annotator.force_login(make_member(project, Role.ANNOTATOR))
    assert reverse("new-project") not in annotator.get(reverse("home")).text
    staff, nobody = make_user(), Client()
    User.objects.filter(pk=staff.pk).update(is_staff=True)
    nobody.force_login(staff)
    assert "Make the first one" in nobody.get(reverse("home")).text


# The editor


def test_every_field_stands_in_the_editor_and_comes_back_as_it_was(client: Client, project: Project) -> None:
    page = client.get(reverse("form", args=["chat"]))
    assert page.status_code == 200
    for name in page.context["editor"].fields:
        assert f'name="{name}"' in page.text or name == "aspects", name
    assert post(client, project).url == reverse("form", args=["chat"])
    assert project.forms.count() == 1


def test_saving_makes_the_next_form(client: Client, project: Project, cleo: User) -> None:
    aspects = [
        {"key": "tone", "label": "Manner", "kind": "rating"},
        {"key": "", "label": "Free of errors", "kind": "preference"},
    ]
    changes = {"aspects": aspects, "gold_rate": 0.075, "pause_below": 0.55, "mix_by": ["source"], "reasons": ["a", "b"]}
    assert post(client, project, max_overlap=4, **changes).status_code == 302
    form = current(project)
    assert (form.number, form.created_by, form.max_overlap) == (2, cleo, 4)
    assert form.aspects[1] == {"key": "free-of-errors", "label": "Free of errors", "kind": "preference"}
    assert (form.gold_rate, form.pause_below, form.mix_by, form.reasons) == (0.075, 0.55, ["source"], ["a", "b"])
    told = client.get(reverse("form", args=["chat"])).text
    assert "Form 2 is saved" in told
    assert 'value="7.5"' in told


def test_what_cannot_be_saved_is_said_beside_its_field_and_stays_as_typed(client: Client, project: Project) -> None:
    response = post(client, project, overlap=5, max_overlap=3, guidelines="Long thoughts.")
    assert response.status_code == 422
    assert list(response.context["editor"].errors) == ["max_overlap"]
    assert 'id="field-max_overlap_error"' in response.text
    assert "Long thoughts." in response.text
    assert project.forms.count() == 1


def test_two_aspects_with_one_key_are_refused_where_they_stand(client: Client, project: Project) -> None:
    aspects = [{"key": "a", "label": "One", "kind": "rating"}, {"key": "a", "label": "Other", "kind": "rating"}]
    response = post(client, project, aspects=aspects)
    assert "twice" in response.context["editor"].errors["aspects"][0]
    assert response.text.count('value="a"') == 2


def test_only_an_approved_rubric_of_this_project_can_be_chosen(client: Client, project: Project, cleo: User) -> None:
    approved = {"status": "approved", "approved_by": cleo, "approved_at": timezone.now()}
    mine, draft, foreign = (
        make_rubric(project, **approved),
        make_rubric(project),
        make_rubric(make_project(), **approved),
    )
    offered = client.get(reverse("form", args=["chat"])).context["editor"].fields["rubric"].queryset
    assert list(offered) == [mine]
    for other in (draft, foreign):
        assert "rubric" in post(client, project, rubric=other).context["editor"].errors
    assert post(client, project, rubric=mine, checklist=True).status_code == 302
    assert current(project).checklist is True


def test_a_viewer_reads_the_form_and_cannot_change_it(project: Project) -> None:
    client = Client()
    client.force_login(make_member(project, Role.VIEWER))
    page = client.get(reverse("form", args=["chat"]))
    assert '<fieldset class="whole-form" disabled>' in page.text
    assert "Save as form" not in page.text
    assert post(client, project, levels=1).status_code == 403


# The preview


def test_the_preview_draws_the_screen_of_what_was_typed_and_saves_nothing(client: Client, project: Project) -> None:
    make_comparison(project, a="A first answer.", b="A second answer.", prompt="What is asked?")
    aspects = [{"key": "depth", "label": "Depth of thought", "kind": "rating"}]
    response = post(client, project, "form-preview", htmx=True, levels=1, aspects=aspects, reasons=["brand new tag"])
    for told in ("What is asked?", "A first answer.", "Depth of thought", "brand new tag", "A is better"):
        assert told in response.text, told
    assert "A is much better" not in response.text
    assert response.text.lstrip().startswith("<section")
    assert "<html" not in response.text
    assert project.forms.count() == 1


def test_the_preview_is_inert_and_sends_nothing_anywhere(client: Client, project: Project) -> None:
    screen = client.get(reverse("form", args=["chat"])).context["screen"]
    assert 'class="miniature" inert hx-disable' in client.get(reverse("form", args=["chat"])).text
    assert "/compare/" not in screen
    assert "Basil" in screen or "basil" in screen  # a preset's sample, since the project has none yet


def test_the_preview_counts_what_saving_would_do(client: Client, project: Project) -> None:
    make_comparison(project, "one")
    make_comparison(project, "two")
    response = post(client, project, "form-preview", htmx=True, overlap=3, reasons=["facts"], guidelines="Be just.")
    assert "2 open comparisons get another number of annotators" in response.text
    assert "No longer asked: style" in response.text
    assert "guidelines changed (version 2)" in response.text
    assert "<del>kind</del><ins>just</ins>" in response.text
    nothing = post(client, project, "form-preview", htmx=True)
    assert "Nothing differs from form 1 yet" in nothing.text


def test_the_preview_warns_where_gold_is_wanted_that_is_not_there(client: Client, project: Project) -> None:
    response = post(client, project, "form-preview", htmx=True, practice_size=3, qualification_size=5)
    assert "want 8 comparisons whose answer is known; the project has 0" in response.text
    assert "No comparison has a known answer" in post(client, project, "form-preview", htmx=True, gold_rate=0.1).text


def test_the_preview_says_what_is_wrong_and_leads_to_the_field(client: Client, project: Project) -> None:
    response = post(client, project, "form-preview", htmx=True, lease_seconds=1)
    assert response.status_code == 200  # it is the preview of something half typed, not a refusal
    assert 'href="#field-lease_seconds"' in response.text
    assert response.context["screen"] == ""


def test_without_a_script_the_preview_is_the_editor_with_what_was_typed(client: Client, project: Project) -> None:
    response = post(client, project, "form-preview", levels=1, guidelines="Be quick.")
    assert "<html" in response.text
    assert "Be quick." in response.text
    assert "A is much better" not in response.context["screen"]
    assert project.forms.count() == 1


def test_hostile_words_are_shown_as_words(client: Client, project: Project) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    aspects = [{"key": "x", "label": hostile, "kind": "preference"}]
    response = post(client, project, "form-preview", aspects=aspects, reasons=[hostile], guidelines=hostile)
    assert "<img src=x" not in response.text
    assert "&lt;img src=x" in response.text


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"aspects": [{"key": "a", "label": "A\x00", "kind": "rating"}]}, "aspects"),
        ({"aspects": [{"key": "a", "label": "A", "kind": "stars"}]}, "aspects"),
        ({"aspects": [{"key": "a b", "label": "A", "kind": "rating"}]}, "aspects"),
        ({"aspects": [{"key": f"a{n}", "label": "A", "kind": "rating"} for n in range(13)]}, "aspects"),
        ({"guidelines": "x" * 100_001}, "guidelines"),
        ({"guidelines": "a\x00b"}, "guidelines"),
        ({"reasons": ["x" * 101]}, "reasons"),
        ({"reasons": [f"tag {n}" for n in range(31)]}, "reasons"),
        ({"overlap": "many"}, "overlap"),
        ({"overlap": 10**30}, "overlap"),
        ({"began_from": "then"}, "began_from"),
        ({"levels": 9}, "levels"),
    ],
)
def test_nonsense_is_refused_by_field(client: Client, project: Project, changes: dict[str, Any], field: str) -> None:
    response = post(client, project, **changes)
    assert response.status_code == 422
    assert list(response.context["editor"].errors) == [field]
    assert project.forms.count() == 1


def test_a_form_that_never_was_is_no_base_to_merge_on(client: Client, project: Project) -> None:
    response = post(client, project, began_from=10**30, levels=1)
    assert response.status_code == 409
    assert response.context["editor"]["levels"].value() == 1


# Two curators at once


def test_a_form_saved_in_between_is_shown_with_my_changes_on_top(client: Client, project: Project) -> None:
    ada = make_member(project, Role.OWNER, name="ada")
    projects.change_form(project, by=ada, levels=2, reasons=["facts", "hers"])
    response = post(client, project, began_from=1, levels=3, reasons=["facts", "mine"], overlap=4)
    assert response.status_code == 409
    assert project.forms.count() == 2
    merged = response.context["editor"]
    assert merged["levels"].value() == 2  # I had not touched it: hers stands
    assert merged["reasons"].value() == "facts\nmine"  # both did: mine stands, hers is told
    assert merged["overlap"].value() == 4
    assert merged["began_from"].value() == 2
    told = {clash.field: (clash.theirs, clash.yours) for clash in response.context["clashes"]}
    assert told["reasons"] == ("facts, hers", "facts, mine")
    assert told["levels"] == ("2: slightly better, much better", "")
    assert "ada saved it" in response.text


def test_the_preview_says_that_somebody_saved_meanwhile(client: Client, project: Project) -> None:
    assert "while you work" not in post(client, project, "form-preview", htmx=True, levels=1).text
    projects.change_form(project, by=None, levels=2)
    assert "Form 2 was saved while you work" in post(client, project, "form-preview", htmx=True, began_from=1).text


def test_saving_the_merged_form_again_is_taken(client: Client, project: Project) -> None:
    projects.change_form(project, by=None, levels=2)
    assert post(client, project, began_from=1, overlap=4).status_code == 409
    assert post(client, project, began_from=2, levels=2, overlap=4).status_code == 302
    assert (current(project).number, current(project).levels, current(project).overlap) == (3, 2, 4)


def test_a_merge_that_does_not_fit_together_is_told_and_keeps_both(client: Client, project: Project) -> None:
    projects.change_form(project, by=None, overlap=5)
    response = post(client, project, began_from=1, overlap=2, max_overlap=3)
    assert response.status_code == 409
    assert response.context["editor"]["max_overlap"].value() == 3
    assert "max_overlap" in response.text


def test_merging_takes_theirs_where_i_changed_nothing() -> None:
    from annotate.services.asked import FIELDS

    base = dict.fromkeys(FIELDS, 0)
    merged, clashes = merge(base, base | {"levels": 1, "overlap": 1}, base | {"levels": 2, "rubric": 2, "overlap": 1})
    assert merged == base | {"levels": 1, "overlap": 1, "rubric": 2}
    assert clashes == [("levels", 2, 1), ("rubric", 2, ...)]


# Versions


def test_versions_say_what_changed_in_words(client: Client, project: Project, cleo: User) -> None:
    projects.change_form(project, by=cleo, justification="required", gold_rate=0.1)
    page = client.get(reverse("form-versions", args=["chat"])).text
    assert "asked, may stay empty" in page
    assert "must be given" in page
    assert "10 %" in page
    assert "cleo" in page


def test_an_older_form_can_be_opened_again_and_saved_as_the_next(client: Client, project: Project) -> None:
    projects.change_form(project, by=None, levels=1, reasons=[])
    assert "?like=1" in client.get(reverse("form-versions", args=["chat"])).text
    page = client.get(reverse("form", args=["chat"]), {"like": "1"})
    editor = page.context["editor"]
    assert (editor["levels"].value(), editor["reasons"].value(), editor["began_from"].value()) == (3, "facts\nstyle", 2)
    assert {change.field for change in page.context["changes"]} == {"levels", "reasons"}
    assert project.forms.count() == 2
    for nonsense in ("9", "x", "9" * 40, "-1"):
        page = client.get(reverse("form", args=["chat"]), {"like": nonsense})
        assert page.context["editor"]["levels"].value() == 1


def test_a_form_whose_rubric_was_retired_opens_and_says_so(client: Client, project: Project, cleo: User) -> None:
    rubric = make_rubric(project, status="approved", approved_by=cleo, approved_at=timezone.now())
    projects.change_form(project, by=cleo, rubric=rubric)
    projects.change_form(project, by=cleo, rubric=None)
    type(rubric).objects.update(status="retired")
    page = client.get(reverse("form", args=["chat"]), {"like": "2"})
    assert page.status_code == 200
    assert "is retired" in page.context["complaints"][0]["text"]


def test_a_preview_of_very_long_texts_stays_short(client: Client, project: Project) -> None:
    make_comparison(project, a="long " * 40_000, b="short")
    page = post(client, project, "form-preview", htmx=True)
    assert len(page.content) < 200_000

"""The editor of recipes: its fields hold any recipe and tell what it would do; where it cannot be built, they stay."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from annotate.models import Comparison
from curation.exports.recipe import Recipe
from curation.exports.toml import written
from curation.models import DatasetVersion
from curation.recipe_form import RecipeForm, initial_of
from curation.services import previewing
from tests import build
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]

RECIPES: list[dict[str, Any]] = [
    {},
    {
        "where": {"topic": ["law", 3, 0.5, True], "a key": ['say "x", y'], "language": ["de"]},
        "sources": ["human", "mixed"],
    },
    {"method": "auto", "aspect": "tone", "target": "tie-aware", "ties": "keep", "both_bad": "keep", "dedupe": False},
    {"min_annotators": 2, "min_judgements": 3, "min_agreement": 0.75, "min_probability": 0.6, "include_judges": False},
    {"noise": {"method": "consensus-entropy", "max_score": 0.6}, "target": "hard"},
    {"noise": {"treatment": "none"}, "split": {"train": 1, "validation": 0, "test": 0, "seed": 7, "by": "cluster"}},
    {"deidentify": {"texts": ["email", "phone:US"], "raters": "pseudonyms", "metadata": ["topic", "source"]}},
    {"deidentify": {"metadata": False}, "near_duplicates": {"threshold": 0.7, "of": "prompt"}},
    {"decontaminate": {"against": ["mt-bench"], "words": 8}, "balance": {"by": "topic", "most": 100}},
    {"balance": {"by": "side", "most": 0.5}, "near_duplicates": {}},
    {"near_duplicates": {"threshold": 0.95, "by": "embedding"}},
]


def sent(values: dict[str, Any]) -> dict[str, Any]:
    """What a browser sends of fields that hold these values."""
    return {
        name: "on" if value is True else value
        for name, value in values.items()
        if value not in (None, "") and value is not False
    }


def posted(values: dict[str, Any]) -> QueryDict:
    data = QueryDict(mutable=True)
    for name, value in sent(values).items():
        data.setlist(name, value if isinstance(value, list) else [str(value)])
    return data


@pytest.mark.parametrize("data", RECIPES)
def test_the_fields_hold_every_recipe_to_the_letter(data: dict[str, Any]) -> None:
    recipe, project = Recipe.from_dict(data), build.make_project()
    form = RecipeForm(posted(initial_of(recipe)), project=project)
    form.fields["decontaminate.against"].choices = [("mt-bench", "mt-bench")]  # type: ignore[attr-defined]
    form.fields["aspect"].choices = [("", ""), ("tone", "tone")]  # type: ignore[attr-defined]
    assert form.recipe() == recipe, form.errors
    assert json.dumps(form.recipe().to_dict()) == json.dumps(recipe.to_dict())  # type: ignore[union-attr]  # 1 is not 1.0


def judged(n: int = 4, *, letters: str = "BB") -> tuple[Project, Client, User]:
    """n comparisons that two people judged, and a curator who is signed in."""
    project = build.make_project(overlap=2)
    for i in range(n):
        comparison = build.make_comparison(
            project, f"c{i}", prompt=f"Which, in case {i}?", metadata={"topic": f"t{i % 2}"}
        )
        build.make_judgements(comparison, letters)
    curator = build.make_member(project, Role.CURATOR)
    return project, signed_in(curator), curator


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def fields(**changes: Any) -> dict[str, Any]:
    return sent(initial_of(Recipe()) | {"name": "prefs"} | {key.replace("__", "."): v for key, v in changes.items()})


def ask(client: Client, project: Project, route: str = "recipe", **changes: Any) -> Any:
    return client.post(reverse(route, args=[project.slug]), fields(**changes))


def look(client: Client, project: Project, **changes: Any) -> str:
    """The fragment that htmx gets while the fields are edited."""
    address = reverse("recipe", args=[project.slug])
    answer = client.post(address, fields(**changes), headers={"HX-Request": "true"})
    assert "<html" not in answer.text
    return html.unescape(answer.text)


def test_it_counts_what_each_rule_drops_with_examples_and_writes_nothing() -> None:
    project, client, _ = judged(4)
    text = look(client, project, where='topic = ["t1"]')
    assert "<strong>2</strong> rows of 4 comparisons" in text
    assert "topic is t0" in text
    comparison = Comparison.objects.get(external_id="c0")
    assert reverse("comparison", args=[project.slug, comparison.pk]) in text
    assert 'topic = ["t1"]' in text.partition("As TOML")[2]
    assert not DatasetVersion.objects.exists()
    assert not Run.objects.exists()


def test_a_refusal_stands_beside_the_field_that_it_names_and_nothing_is_lost() -> None:
    project, client, _ = judged()
    for field, value in {
        "min_probability": "7",
        "where": "topic: law",
        "split.train": "0.5",
        "balance.most": "3",
    }.items():
        answer = ask(client, project, "build", **{field.replace(".", "__"): value})
        assert answer.status_code == 422, field
        beside = "balance.by" if field == "balance.most" else field
        assert answer.context["form"].errors[beside], field
        assert answer.context["form"][field].value() == value
    assert not DatasetVersion.objects.exists()


def test_fields_that_only_say_half_are_told_beside_the_other_half() -> None:
    project, client, _ = judged()
    for beside, told, changes in (
        ("noise.max_score", "above which score", {"noise__method": "consensus-entropy"}),
        ("deidentify.metadata", "Keys are named", {"deidentify__keys": "topic"}),  # all of it would have stayed
        ("deidentify.keys", "at least one key", {"deidentify__metadata": "keys", "deidentify__keys": " , "}),
    ):
        answer = ask(client, project, "build", **changes)
        assert answer.status_code == 422, beside
        assert told in str(answer.context["form"].errors[beside])
        assert len(answer.context["form"].errors) == 1
    assert not DatasetVersion.objects.exists()


def test_contradictory_rules_are_told_before_the_build() -> None:
    project, client, _ = judged()
    text = look(client, project, include_judges=False, sources=["judge"])
    assert "human among them, as include_judges is false" in text
    assert 'data-complaint="id_sources"' in text


def test_a_recipe_that_leaves_nothing_cannot_be_built_and_says_so() -> None:
    project, client, _ = judged()
    text = look(client, project, min_annotators="9")
    assert "This recipe leaves nothing" in text
    assert text.partition("disabled>")[2].lstrip().startswith("Build")


def test_of_many_comparisons_a_sample_is_told_with_its_interval_until_all_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(previewing, "LIMIT", 5)
    project, client, _ = judged(20)
    text = look(client, project)
    assert "From 5 of 20 comparisons" in text
    assert "≈ " in text
    assert "Count exactly" in text
    answer = ask(client, project, "recipe-count")
    run = Run.objects.get(kind="outline")
    assert answer["Location"] == reverse("run", args=[project.slug, run.pk])
    assert "Being counted exactly" in look(client, project)
    ledger.execute(run.pk)
    text = look(client, project)
    assert "<strong>20</strong> rows of 20 comparisons" in text
    assert "Counted" in text
    assert "From 5 of 20 comparisons" in look(client, project, min_agreement="0.5")  # another recipe
    page = client.get(reverse("recipe", args=[project.slug]), {"count": run.pk})
    assert (page.context["form"]["name"].value(), page.context["form"]["min_agreement"].value()) == ("prefs", 0.0)
    page = client.get(reverse("run", args=[project.slug, run.pk]))
    assert f"{reverse('recipe', args=[project.slug])}?count={run.pk}" in page.text


def test_a_build_goes_to_its_run_with_the_recipe_of_the_fields() -> None:
    project, client, _ = judged()
    answer = ask(client, project, "build", min_agreement="0.5", deidentify__texts=["email"])
    version = DatasetVersion.objects.get(dataset__name="prefs")
    assert answer["Location"] == reverse("run", args=[project.slug, version.run_id])
    assert version.recipe["min_agreement"] == 0.5
    assert version.recipe["deidentify"] == {"texts": ["email"]}


def test_a_dataset_without_a_name_and_one_of_another_project_are_refused_by_name() -> None:
    project, client, _ = judged()
    other = build.make_project()
    build.make_version(other, [build.make_comparison(other)], name="taken")
    assert ask(client, project, "build", name="").context["form"].errors["name"]
    assert ask(client, project, "build", name="no spaces here").context["form"].errors["name"]
    answer = ask(client, project, "build", name="taken")
    assert "another project" in answer.text


def test_a_new_version_starts_from_the_recipe_of_the_one_before_and_tells_the_difference() -> None:
    project, client, _ = judged()
    comparisons = list(project.comparisons.all())
    build.make_version(project, comparisons, name="prefs", recipe={"min_agreement": 0.5})
    page = client.get(reverse("recipe", args=[project.slug]), {"from": "prefs@1"})
    assert page.context["form"]["min_agreement"].value() == 0.5
    assert page.context["form"]["name"].value() == "prefs"
    text = look(client, project, min_agreement="0.75")
    assert "Since prefs@1" in text
    assert "<del>0.5</del> → <ins>0.75</ins>" in text
    assert "The recipe is the same." in look(client, project, min_agreement="0.5")


@pytest.mark.parametrize("named", ["", "prefs", "prefs@99", "prefs@x@y", "\x00@1", "@"])
def test_a_version_that_is_not_there_leaves_the_fields_as_they_are_by_themselves(named: str) -> None:
    project, client, _ = judged(1)
    page = client.get(reverse("recipe", args=[project.slug]), {"from": named})
    assert page.status_code == 200
    assert page.context["form"]["split.train"].value() == 0.8


@pytest.mark.parametrize("text", [written({"min_agreement": 0.9}), '{"min_agreement": 0.9}'])
def test_a_pasted_recipe_fills_the_fields(text: str) -> None:
    project, client, _ = judged()
    answer = ask(client, project, toml=text, read="on", min_annotators="2")
    assert answer.context["form"]["min_agreement"].value() == 0.9
    assert answer.context["form"]["min_annotators"].value() == 0
    assert answer.context["form"]["name"].value() == "prefs"


@pytest.mark.parametrize(
    ("text", "told"),
    [("methud = 1", "methud"), ("x = ", "TOML"), ("{", "JSON"), ('{"a": NaN}', "one of"), ("ties = 3", "drop, keep")],
)
def test_what_cannot_be_read_stands_as_it_was_pasted_and_the_fields_stay(text: str, told: str) -> None:
    project, client, _ = judged()
    answer = ask(client, project, toml=text, read="on", min_annotators="2")
    assert answer.status_code == 422
    form = answer.context["form"]
    assert told in str(form.errors["toml"])
    assert (form["toml"].value(), form["min_annotators"].value()) == (text, "2")


@pytest.mark.parametrize("where", ["build", "recipe-count"])
def test_a_pasted_recipe_that_is_not_in_the_fields_yet_is_neither_built_nor_counted(where: str) -> None:
    project, client, _ = judged()
    answer = ask(client, project, where, name="prefs", toml="min_annotators = 2")
    assert answer.status_code == 422
    assert "not in the fields yet" in str(answer.context["form"].errors["toml"])
    assert not DatasetVersion.objects.exists()


@pytest.mark.parametrize("text", ["a\0", "x" * 100_001])
def test_what_is_no_text_of_a_recipe_is_said_so(text: str) -> None:
    project, client, _ = judged()
    answer = ask(client, project, toml=text, read="on", min_annotators="2")
    assert answer.status_code == 422
    assert answer.context["form"].errors["toml"]
    assert answer.context["form"]["min_annotators"].value() == "2"


def test_a_viewer_looks_at_the_counts_and_builds_nothing() -> None:
    project, _, _ = judged()
    client = signed_in(build.make_member(project, Role.VIEWER))
    text = look(client, project)
    assert "<strong>4</strong> rows" in text
    assert "Build" not in text
    assert ask(client, project, "build").status_code == 403
    assert ask(client, project, "recipe-count").status_code == 403
    assert not DatasetVersion.objects.exists()


def test_a_project_without_judgements_says_what_is_missing() -> None:
    project = build.make_project()
    build.make_comparison(project)
    text = look(signed_in(build.make_member(project, Role.CURATOR)), project)
    assert "There are no judgements to build from yet." in text


def test_a_version_whose_recipe_is_refused_by_now_leaves_the_fields_as_they_are_by_themselves() -> None:
    project, client, _ = judged()
    build.make_version(project, list(project.comparisons.all()), name="prefs", recipe={"gone": 1})
    page = client.get(reverse("recipe", args=[project.slug]), {"from": "prefs@1"})
    assert page.context["form"]["method"].value() == "dawid-skene"
    assert "Since prefs@1" not in look(client, project)


def test_keys_of_the_metadata_are_offered_with_their_values() -> None:
    project, client, _ = judged()
    page = client.get(reverse("recipe", args=[project.slug]))
    assert page.context["keys"] == {"topic": ['"t0"', '"t1"']}

"""The curator's editor of recipes: every field, what each rule would drop before anything is built, and the build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.http import HttpResponse
from django.utils.translation import gettext as _

from curation.exports.across import ACROSS
from curation.exports.recipe import Change, Recipe, diff
from curation.exports.toml import written
from curation.stats import Estimate, wilson
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import DomainError, Invalid
from tiebreak.runs.models import Run

from .desk import Desk, page
from .models import DatasetVersion
from .recipe_form import RecipeForm, keys_of, read
from .services import building, previewing, versions
from .services.previewing import Example, Outline


class Line(NamedTuple):
    """What one rule, one split or one state has: so many of what was looked at, and of all, where that is a sample."""

    name: str
    n: int
    share: Estimate
    of: int
    """Comparisons in all."""
    examples: Sequence[Example] = ()

    @property
    def low(self) -> int:
        return round((self.share.low or 0) * self.of)

    @property
    def high(self) -> int:
        return round((self.share.high or 0) * self.of)

    @property
    def about(self) -> int:
        return round((self.share.value or 0) * self.of)


@dataclass(frozen=True, slots=True)
class Outlined:
    """What the recipe of the form would do, as the page shows it; or what is wrong with it."""

    recipe: Recipe | None = None
    counts: Outline | None = None
    run: Run | None = None
    """That counts, or has counted, every comparison by this recipe."""
    before: DatasetVersion | None = None
    changes: Sequence[Change] = ()
    """Fields that differ from those of the version before."""

    @property
    def toml(self) -> str:
        return written(self.recipe.to_dict()) if self.recipe else ""

    @property
    def kept(self) -> list[Line]:
        """Rows by split, then those without a chosen side."""
        return [*self._lines(self.counts.splits), *self._lines(self.counts.undecided)] if self.counts else []

    @property
    def dropped(self) -> list[Line]:
        """By the rules that drop something, in their order."""
        return [line for line in self._lines(self.counts.dropped) if line.n] if self.counts else []

    @property
    def idle(self) -> list[str]:
        return [rule for rule, n in self.counts.dropped.items() if not n] if self.counts else []

    @property
    def changed(self) -> list[Line]:
        return self._lines(self.counts.changed) if self.counts else []

    @property
    def nothing(self) -> bool:
        return self.counts is not None and not self.counts.rows and not sum(self.counts.undecided.values())

    @property
    def across(self) -> bool:
        """A sample was looked at, and a rule that holds rows against each other dropped some of it."""
        return self.counts is not None and not self.counts.exact and any(self.counts.dropped[rule] for rule in ACROSS)

    def _lines(self, counted: dict[str, int]) -> list[Line]:
        assert self.counts is not None  # noqa: S101 - those who ask have looked
        looked_at, total = self.counts.looked_at, self.counts.total
        return [
            Line(name, n, wilson(n, looked_at), total, self.counts.examples.get(name, ()))
            for name, n in counted.items()
        ]


@page(methods="GET POST")
def recipe(desk: Desk) -> HttpResponse:
    """The editor; for htmx what the fields say would do. Nothing is written, so whoever reads may look."""
    said = desk.request.POST
    if desk.request.method == "GET":
        return _page(desk, _opened(desk))
    form = RecipeForm(said, project=desk.project)
    if desk.partial:
        return desk.render("_recipe_outline.html", form=form, outlined=_outlined(desk.project, form))
    if "read" in said:
        return _page(desk, *_read(desk, form))
    outlined = _outlined(desk.project, form)
    return _page(desk, form, outlined, status=422 if form.errors else 200)


@page(Can.CURATE, methods="POST")
def build(desk: Desk) -> HttpResponse:
    """A version by what the fields say; nothing of it is lost where that cannot be."""
    form = RecipeForm(desk.request.POST, project=desk.project)
    asked, name = _asked(form), form.cleaned_data.get("name", "")
    if not name and "name" not in form.errors:
        form.add_error("name", _("Name the dataset that the version is of."))
    if asked and not form.errors:
        try:
            version = building.start(name, desk.project, asked.to_dict(), by=desk.user)
        except DomainError as error:
            form.blame(error)
        else:
            return desk.go("run", version.run_id)
    return _page(desk, form, status=422)


@page(Can.CURATE, methods="POST")
def count(desk: Desk) -> HttpResponse:
    """A run that counts every comparison by what the fields say."""
    form = RecipeForm(desk.request.POST, project=desk.project)
    asked = _asked(form)
    if asked is None:
        return _page(desk, form, status=422)
    name = form.cleaned_data.get("name", "")
    return desk.go("run", previewing.start(desk.project, asked, by=desk.user, name=name).pk)


def _asked(form: RecipeForm) -> Recipe | None:
    """The recipe of the fields; None with the errors beside them, also where one was pasted that they do not say."""
    asked = form.recipe()
    if form.cleaned_data.get("toml", "").strip():
        form.add_error("toml", _("It was pasted, and is not in the fields yet: read it into them, or empty the box."))
    return None if form.errors else asked


def _opened(desk: Desk) -> RecipeForm:
    """The form as it is first seen: from a version, from a count, for a dataset, or new."""
    query = desk.request.GET
    counted = _counted(desk.project, query.get("count", ""))
    if counted is not None:
        given = counted.params
        return RecipeForm(project=desk.project, recipe=_readable(given["recipe"]), name=given.get("name", ""))
    found = _version(desk.project, query.get("from", ""))
    if found is not None:
        return RecipeForm(project=desk.project, recipe=_readable(found.recipe), name=found.dataset.name)
    return RecipeForm(project=desk.project, name=query.get("name", ""))


def _readable(stored: Mapping[str, Any]) -> Recipe | None:
    """None where a release since then refuses it."""
    try:
        return Recipe.from_dict(stored)
    except ValueError:
        return None


def _counted(project: Project, pk: str) -> Run | None:
    runs = Run.objects.filter(project=project, kind=previewing.KIND)
    return runs.filter(pk=int(pk)).first() if pk.isdecimal() and len(pk) < 10 else None


def _version(project: Project, named: str) -> DatasetVersion | None:
    """NAME@VERSION, or NAME for the latest that is ready."""
    try:
        return versions.named(named.replace("\x00", ""), project)
    except DomainError:
        return None


def _read(desk: Desk, form: RecipeForm) -> tuple[RecipeForm, Outlined, int]:
    """A pasted recipe in the fields; where it cannot be read, the fields as they were, and why."""
    form.is_valid()
    if "toml" in form.errors:
        return form, Outlined(), 422
    try:
        asked = read(form.cleaned_data["toml"])
    except Invalid as error:
        form.add_error("toml", error.message)
        return form, Outlined(), 422
    filled = RecipeForm(project=desk.project, recipe=asked, name=form.data.get("name", ""))
    return filled, Outlined(), 200


def _outlined(project: Project, form: RecipeForm) -> Outlined:
    """Counts of the recipe, and how it differs from the version before; the form has the errors where it is none."""
    asked = form.recipe()
    if asked is None:
        return Outlined()
    run, counts = previewing.counted(project, asked)
    try:
        if counts is None or counts.total <= previewing.LIMIT:  # so few are counted as they are now
            counts = previewing.outline(project, asked)
    except DomainError as error:
        form.blame(error)
        return Outlined(asked)
    before = _version(project, form.cleaned_data.get("name", ""))
    was = _readable(before.recipe) if before else None
    return Outlined(asked, counts, run, before if was else None, diff(was, asked) if was else ())


def _page(desk: Desk, form: RecipeForm, outlined: Outlined | None = None, status: int = 200) -> HttpResponse:
    context: dict[str, Any] = {"form": form, "outlined": outlined or Outlined(), "keys": keys_of(desk.project)}
    return desk.render("recipe.html", status=status, **context)

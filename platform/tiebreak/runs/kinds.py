"""Every kind of background work: a literal table, its handlers imported by the worker that runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.utils.translation import gettext_noop as _

if TYPE_CHECKING:
    from .ledger import Execution
    from .models import Run

Handler = Callable[["Execution"], Mapping[str, Any]]


class Kind(NamedTuple):
    label: str  # in English; a page says it in its reader's language
    queue: str
    handler: str  # dotted path of a function that takes an Execution and returns the run's result
    lease_seconds: int = 60
    stopped: str = ""  # dotted path, called with a run that ended without success, in the transaction that ended it


KINDS: Final[Mapping[str, Kind]] = {
    "import": Kind(_("Import comparisons"), "default", "annotate.services.importing.run"),
    "follow-form": Kind(_("Bring the queue in line with its form"), "default", "annotate.services.projects.follow"),
    "duplicate": Kind(_("Copy a project's comparisons"), "default", "annotate.services.duplicating.run"),
    "fetch-images": Kind(_("Fetch images"), "default", "annotate.services.images.run"),
    "judge": Kind(_("Judge comparisons"), "judge", "curation.handlers.judging.run"),
    "rubrics": Kind(_("Generate rubrics"), "judge", "curation.handlers.rubrics.run"),
    "aggregate": Kind(_("Aggregate judgements"), "default", "curation.services.aggregating.run"),
    "route": Kind(_("Route comparisons"), "default", "curation.services.routing.run"),
    "noise": Kind(_("Score noise"), "default", "curation.services.noise.run"),
    "noise-training": Kind(_("Score noise by training"), "gpu", "curation.handlers.noise.run"),
    "treat": Kind(_("Treat doubtful labels"), "default", "curation.services.treating.run"),
    "embed": Kind(_("Embed texts"), "gpu", "curation.handlers.embedding.run"),
    "build": Kind(
        _("Build a dataset version"),
        "default",
        "curation.services.building.run",
        stopped="curation.services.building.stopped",
    ),
    "outline": Kind(_("Count what a recipe would do"), "default", "curation.services.previewing.run"),
    "withdraw": Kind(_("Withdraw data"), "default", "curation.services.withdrawing.run"),
    "train": Kind(_("Train a reward model"), "gpu", "curation.handlers.rewards.train"),
    "evaluate": Kind(_("Evaluate a reward model"), "gpu", "curation.handlers.rewards.evaluate"),
    "score": Kind(_("Score completions"), "gpu", "curation.handlers.rewards.score"),
    "return": Kind(_("Send a reward model's errors to people"), "gpu", "curation.handlers.rewards.send_back"),
}


def kind_of(name: str) -> Kind:
    """Raises ValueError with the known names."""
    try:
        return KINDS[name]
    except KeyError:
        raise ValueError(f"kind: expected one of {', '.join(sorted(KINDS))}, got {name!r}") from None


def handler_of(name: str) -> Handler:
    handler: Handler = _resolve(kind_of(name).handler)
    return handler


def stopped(run: Run) -> None:
    """Tell what the run was to make that it will not be made."""
    if path := kind_of(run.kind).stopped:
        _resolve(path)(run)


def _resolve(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)

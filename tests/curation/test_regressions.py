"""What once went wrong in curation, and must not again."""

from __future__ import annotations

from typing import Any

import pytest

from curation.models import (
    DatasetRow,
)
from curation.services import building
from tests.build import (
    make_comparison,
    make_judgements,
    make_project,
)
from tiebreak.accounts.models import Project
from tiebreak.runs import ledger
from tiebreak.runs.ledger import Execution
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]


def make_judged(n: int = 4, letters: str = "AA", **form: Any) -> Project:
    project = make_project(**({"overlap": 2} | form))
    for i in range(n):
        make_judgements(make_comparison(project, f"c{i}", a=f"answer {i}", b=f"no answer {i}"), letters)
    return project


def claimed(run: Run) -> Execution:
    """The run in the hands of a worker; whoever held it before has lost it."""
    Run.objects.filter(pk=run.pk).update(status="queued", lease_expires_at=None)
    execution = ledger.claim(run.pk)
    assert execution is not None
    return execution


# --- two workers, one run --------------------------------------------------------------------------------------------


def test_a_builder_that_lost_its_lease_leaves_the_version_to_the_one_that_has_it() -> None:
    version = building.start("prefs", make_judged(), {}, by=None, wake=False)
    assert version.run is not None
    late, current = claimed(version.run), claimed(version.run)
    with pytest.raises(ledger.LeaseLost):
        building.run(late)
    version.refresh_from_db()
    assert version.status == "building"
    building.run(current)
    version.refresh_from_db()
    assert version.status == "ready"


def test_a_builder_that_loses_its_lease_writes_no_row_more(monkeypatch: pytest.MonkeyPatch) -> None:
    version = building.start("prefs", make_judged(), {}, by=None, wake=False)
    assert version.run is not None
    late = claimed(version.run)
    monkeypatch.setattr(late, "progress", lambda *_, **__: None)  # it slept between two looks at its lease
    claimed(version.run)
    with pytest.raises(ledger.LeaseLost):
        building.run(late)
    assert not DatasetRow.objects.exists()
    version.refresh_from_db()
    assert version.status == "building"

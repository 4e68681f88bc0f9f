"""The card and the figures of a version that was built: what only the database knows is told as it is there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annotate.models import Rater
from annotate.services import projects
from curation.models import DatasetVersion
from curation.services import building
from tests.build import make_comparison, make_judgements, make_project, make_rater
from tiebreak.accounts.models import Project
from tiebreak.runs import ledger

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]

N = 24


@pytest.fixture
def project() -> Project:
    return make_project("chat", overlap=3, guidelines="Choose the better one.")


def built(project: Project, recipe: dict[str, Any] | None = None) -> DatasetVersion:
    started = building.start("prefs", project, recipe or {}, by=None, wake=False)
    ledger.execute(started.run_id or 0)
    started.refresh_from_db()
    assert started.status == "ready", started.run and started.run.error
    return started


def judged(project: Project, n: int = N, **facts: Any) -> None:
    for i in range(n):
        make_judgements(
            make_comparison(project, f"c{i:03d}", prompt=f"why {i}?", a="yes, as it is", b="no", **facts), "AAB"
        )


def test_the_figures_are_json_and_say_how_often_the_longer_one_is_chosen(project: Project) -> None:
    judged(project)

    version = built(project)

    json.dumps(version.statistics, allow_nan=False)
    (length,) = version.statistics["bias"]["length"]
    assert (length["label"], length["value"], length["n"]) == ("all", 1.0, N)
    assert "longer" in [caution["name"] for caution in version.statistics["cautions"]]
    assert "A length-biased set: the chosen completion is the longer in 100 %" in version.card
    print(version.card)

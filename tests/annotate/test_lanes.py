"""Lanes: what rows ask of raters, strata of the metadata, places in the order of import."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest

from annotate.formats import bits
from annotate.models import Comparison, Form, Lane
from annotate.services import importing, lanes
from annotate.services.importing import Report
from tests.build import make_comparison, make_project
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.core.models import Event
from tiebreak.runs import ledger

pytestmark = pytest.mark.django_db


def row(key: str, **more: Any) -> dict[str, Any]:
    return {"id": key, "prompt": f"question {key}", "completion_a": "one", "completion_b": "two", **more}


def bring(project: Project, *rows: dict[str, Any]) -> Report:
    return importing.import_stream(
        project, io.BytesIO("\n".join(map(json.dumps, rows)).encode()), filename="rows.jsonl"
    )


def asks(project: Project) -> dict[str, tuple[list[str], str, str]]:
    """What each comparison's lane asks, by the comparison's id."""
    known = {lane.number: (lane.skills, lane.language, lane.stratum) for lane in Lane.objects.filter(project=project)}
    return {c.external_id: known.get(c.lane, ([], "", "")) for c in Comparison.objects.filter(project=project)}


def change(project: Project, **fields: Any) -> None:
    Form.objects.filter(project=project, current=True).update(**fields)


# Columns of an import


def test_rows_that_ask_the_same_share_a_lane_and_those_that_ask_nothing_have_none() -> None:
    project = make_project()
    bring(
        project,
        row("plain"),
        row("law", skills=["law", "tax", "law"], language="DE-at"),
        row("law too", skills=["tax", "law"], language="de-AT"),
        row("german", language="de"),
    )
    assert asks(project) == {
        "plain": ([], "", ""),
        "law": (["law", "tax"], "de-AT", ""),
        "law too": (["law", "tax"], "de-AT", ""),
        "german": ([], "de", ""),
    }
    assert Lane.objects.count() == 2
    assert Comparison.objects.get(external_id="plain").lane == 0


def test_a_row_says_how_urgent_it_is_and_why_its_gold_is_right() -> None:
    project = make_project()
    bring(project, row("first", priority=2), row("gold", gold=-1, gold_because="The second one invents a law."))
    assert Comparison.objects.get(external_id="first").priority == 2
    assert Comparison.objects.get(external_id="gold").gold_because == "The second one invents a law."


def test_a_row_that_is_sent_again_is_known_and_a_changed_one_moves() -> None:
    project = make_project()
    bring(project, row("n", skills=["law"], priority=1))
    again = bring(project, row("n", skills=["law"], priority=1))
    assert (again.unchanged, again.updated) == (1, 0)
    changed = bring(project, row("n", language="fr"))
    assert changed.updated == 1
    assert asks(project)["n"] == ([], "fr", "")
    assert Comparison.objects.get().priority == 1  # the file says nothing of it any more: a router may have set it


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"skills": "law"}, "skills"),
        ({"skills": [" "]}, "skills"),
        ({"skills": ["x" * 61]}, "skills[0]"),
        ({"language": "german language"}, "language"),
        ({"language": 7}, "language"),
        ({"priority": 3}, "priority"),
        ({"priority": True}, "priority"),
        ({"gold_because": "so"}, "gold_because"),
        ({"gold": 1, "gold_because": "x" * 2001}, "gold_because"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_field(more: dict[str, Any], field: str) -> None:
    report = bring(make_project(), row("n", **more), row("fine"))
    assert (report.created, report.first_rejects[0]["field"]) == (1, field)


def test_needs_beyond_the_most_are_refused_and_the_others_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "MAX_LANES", 2)
    project = make_project()
    report = bring(project, *(row(f"n{n}", skills=[f"skill{n}"]) for n in range(3)), row("plain"))
    assert (report.created, report.rejected) == (3, 1)
    assert "at most 2 different needs" in report.first_rejects[0]["message"]
    assert bring(project, row("again", skills=["skill1"])).created == 1


# Strata


def test_an_import_that_was_stopped_before_it_mixed_mixes_when_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(ordering="mixed", mix_by=["source"])
    rows = [row("a", metadata={"source": "web"}), row("b", metadata={"source": "book"})]
    with monkeypatch.context() as killed:
        killed.setattr(lanes, "rearrange", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            bring(project, *rows)
    assert Comparison.objects.count() == 2
    assert bring(project, *rows).unchanged == 2
    assert {key: stratum for key, (_, _, stratum) in asks(project).items()} == {"a": "web", "b": "book"}


def test_what_came_before_a_file_broke_off_is_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(ordering="mixed", mix_by=["source"])
    monkeypatch.setattr(importing, "BATCH", 1)
    file = io.BytesIO(gzip.compress((json.dumps(row("a", metadata={"source": "web"})) + "\n").encode())[:-6])
    run = importing.start_import(project, file, by=None, wake=False, filename="rows.jsonl.gz")
    with pytest.raises(Invalid):
        ledger.execute(run.pk)
    assert asks(project) == {"a": ([], "", "web")}


def test_mixed_makes_a_stratum_of_each_value_and_keeps_what_is_asked() -> None:
    project = make_project(ordering="mixed", mix_by=["source"])
    bring(
        project,
        row("a", metadata={"source": "web"}),
        row("b", metadata={"source": "web"}, skills=["law"]),
        row("c", metadata={"source": "book"}),
        row("d"),
    )
    assert asks(project) == {
        "a": ([], "", "web"),
        "b": (["law"], "", "web"),
        "c": ([], "", "book"),
        "d": ([], "", ""),
    }


def test_a_number_of_many_values_becomes_thirds_of_all_that_came_so_far() -> None:
    project = make_project(ordering="mixed", mix_by=["length"])
    bring(project, *(row(f"n{n}", metadata={"length": n}) for n in range(15)))
    parts = {name: stratum for name, (_, _, stratum) in asks(project).items()}
    assert [parts[f"n{n}"] for n in (0, 4, 5, 9, 10, 14)] == [
        "length ≤ 4", "length ≤ 4", "4 < length ≤ 9", "4 < length ≤ 9", "length > 9", "length > 9",
    ]  # fmt: skip
    bring(project, *(row(f"m{n}", metadata={"length": 100 + n}) for n in range(15)))
    assert asks(project)["n14"][2] == "9 < length ≤ 104"  # of 30 values the tenth is 9 and the twentieth 104
    assert Lane.objects.filter(project=project).count() == 3  # those that nothing is in are gone


def test_a_number_of_few_values_stands_for_itself_beside_other_keys() -> None:
    project = make_project(ordering="mixed", mix_by=["stars", "source"])
    bring(project, row("a", metadata={"stars": 3, "source": "web"}), row("b", metadata={"stars": 5}), row("c"))
    assert [stratum for _, _, stratum in asks(project).values()] == ["3 · web", "5", ""]


def test_too_many_strata_are_refused_and_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "MAX_LANES", 3)
    project = make_project()
    for number in range(4):
        make_comparison(project, metadata={"source": f"s{number}"})
    change(project, ordering="mixed", mix_by=["source"])
    with pytest.raises(Invalid) as refused:
        lanes.rearrange(project)
    assert refused.value.params["field"] == "mix_by"
    assert not Lane.objects.exists()


def test_another_ordering_moves_every_comparison_and_back() -> None:
    project = make_project()
    bring(project, *(row(f"n{n}", metadata={"source": "web"}) for n in range(20)))
    by_chance = dict(Comparison.objects.values_list("external_id", "shuffle"))
    assert list(by_chance.values()) != sorted(by_chance.values())
    change(project, ordering="sequence")
    assert lanes.rearrange(project) == 20
    assert list(Comparison.objects.order_by("shuffle").values_list("external_id", flat=True)) == list(by_chance)
    assert lanes.rearrange(project) == 0  # what stands where it should is not written
    change(project, ordering="mixed", mix_by=["source"])
    assert lanes.rearrange(project) == 20
    change(project, ordering="random", mix_by=[])
    assert lanes.rearrange(project) == 20
    for name, shuffle in Comparison.objects.values_list("external_id", "shuffle"):
        assert shuffle == pytest.approx(by_chance[name], abs=1e-9)
        assert shuffle == pytest.approx(bits(name) / 2**64, abs=1e-9)
    assert not Lane.objects.exists()
    assert Event.objects.filter(verb="queue.rearranged").count() == 3


def test_in_order_of_import_places_rise_from_batch_to_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH", 3)
    project = make_project(ordering="sequence")
    bring(project, *(row(f"n{n}") for n in range(8)))
    bring(make_project(), row("elsewhere"))
    bring(project, row("last"))
    found = Comparison.objects.filter(project=project).order_by("shuffle")
    assert list(found.values_list("external_id", flat=True)) == [*(f"n{n}" for n in range(8)), "last"]
    assert lanes.rearrange(project) == 0

"""The newcomer's command: the whole loop on the bundled sample, in a process and a data directory of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tiebreak import embedded

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What `manage.py demo --no-serve --json` printed last."""
    data = tmp_path_factory.mktemp("demo")
    ours = ("TIEBREAK_", "DATABASE_URL", "REDIS_URL", "SECRET_KEY")
    env = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    env |= {"TIEBREAK_DATA": str(data), "HF_HUB_OFFLINE": "1", "DJANGO_SETTINGS_MODULE": "tiebreak.settings"}
    done = subprocess.run(
        [sys.executable, "manage.py", "demo", "--no-serve", "--json"],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    embedded.stop(data)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.strip().splitlines()[-1])


def figures(told: Any, step: str) -> dict[str, Any]:
    found: dict[str, Any] = next(s["figures"] for s in told["steps"] if s["step"] == step)
    return found


def test_the_demo_has_a_figure_for_each_step_of_the_loop(told: Any) -> None:
    assert [s["step"] for s in told["steps"]] == [
        "set up", "import", "judge", "route", "people", "aggregate", "rubric", "noise", "dataset", "card", "pull",
        "train", "send back", "people again",
    ]  # fmt: skip
    assert all(s["figures"] and s["did"] and s["seconds"] >= 0 for s in told["steps"])


def test_the_sample_is_imported_whole_and_judged_in_both_orders(told: Any) -> None:
    assert figures(told, "import") == {"created": 152, "updated": 0, "unchanged": 0, "rejected": 0}
    judge = figures(told, "judge")
    assert judge["parsed"] + judge["unparsed"] == 304


def test_people_judge_what_the_router_gave_them_under_its_budget(told: Any) -> None:
    assert figures(told, "route")["human"] == 110
    assert figures(told, "route")["audit"] > 0
    assert figures(told, "people")["judgements"] == 330
    assert figures(told, "people")["hidden_repeats"] > 0
    assert figures(told, "people")["simulated"] is True


def test_the_consensus_is_mostly_what_the_authors_think(told: Any) -> None:
    assert figures(told, "aggregate")["right_by_authors"] > 0.8


def test_a_rubric_was_generated_approved_and_used(told: Any) -> None:
    rubric = figures(told, "rubric")
    assert rubric["kept"] > 0
    assert rubric["approved"] is True
    assert rubric["judged"] > 0


def test_the_version_was_pulled_byte_for_byte_and_its_test_split_protected(told: Any) -> None:
    pulled = figures(told, "pull")
    assert pulled["hash_equal"] is True
    assert pulled["rows"] == pulled["lines"] == figures(told, "dataset")["counts"]["train"]
    assert pulled["test_split_status"] == 403


def test_the_model_is_measured_beside_the_length_baseline_and_its_errors_return(told: Any) -> None:
    trained = figures(told, "train")
    assert trained["accuracy"]["low"] <= trained["accuracy"]["value"] <= trained["accuracy"]["high"]
    assert trained["length_baseline"]["n"] == trained["accuracy"]["n"] == trained["n"]
    assert figures(told, "send back")["returned"] > 0
    assert figures(told, "people again")["waiting"] > 0


def test_the_card_says_how_far_labels_follow_looks_and_where_it_stands(told: Any) -> None:
    card = figures(told, "card")
    assert {"all", "length", "length and layout"} == set(card["bias"])
    assert "small" in card["cautions"]  # 25 of 100 groups are no test of 5 points
    assert card["card"].endswith("-preferences/1/")

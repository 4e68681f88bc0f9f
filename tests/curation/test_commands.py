"""The commands that people and scripts type: their last line, their exit status, and what they refuse."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from annotate.management.base import VerbCommand
from annotate.models import Comparison, Judge, Rubric
from curation.management.commands import evaluate_reward_model, train_reward_model
from curation.models import DatasetVersion
from curation.services import building, verbs
from tests.build import make_comparison, make_judge, make_judgements, make_project
from tiebreak.accounts.models import Project
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]

ROOT = Path(__file__).parents[2]


def call(*arguments: str) -> dict[str, Any]:
    """What `--json` prints last. Raises CommandError."""
    out = io.StringIO()
    call_command(*arguments, "--json", stdout=out)
    told: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return told


def refused(*arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status, and the error that `--json` prints (nothing for misuse)."""
    out = io.StringIO()
    with pytest.raises(CommandError) as raised:
        call_command(*arguments, "--json", stdout=out)
    lines = out.getvalue().splitlines()
    return raised.value.returncode, json.loads(lines[-1])["error"] if lines else {}


@pytest.fixture
def project() -> Project:
    """Twelve judged comparisons, a judge that needs no server."""
    project = make_project("chat", overlap=3)
    for i in range(12):
        made = make_comparison(project, f"c{i:02d}", prompt=f"question {i}", a=f"answer {i}", b=f"no answer at all {i}")
        make_judgements(made, "AAB" if i % 3 else "BBB")
    make_judge(project, "stand-in")
    return project


@pytest.fixture
def version(project: Project) -> DatasetVersion:
    started = building.start("prefs", project, {}, by=None, wake=False)
    ledger.execute(started.run_id or 0)
    started.refresh_from_db()
    return started


# --- verbs on a project -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["aggregate", "chat", "--method", "majority"], {"comparisons", "settled", "disputed"}),
        (["judge", "chat", "--judge", "stand-in", "--limit", "2", "--budget", "1.50"], {"judge"}),
        (["route", "chat", "--budget", "2", "--seed", "3"], {"policy"}),
        (["score_noise", "chat", "--method", "consensus-entropy"], {"scored"}),
    ],
)
def test_a_verb_prints_its_figures_as_one_object_and_leaves_its_run(
    project: Project, arguments: list[str], keys: set[str]
) -> None:
    if arguments[0] == "score_noise":
        call("aggregate", "chat")
    told = call(*arguments)
    assert keys <= set(told), told
    assert told["run_seconds"] >= 0
    assert Run.objects.get(pk=told["run"]).status == Run.Status.SUCCEEDED


def test_without_json_it_is_one_line_for_people(project: Project) -> None:
    out = io.StringIO()
    call_command("aggregate", "chat", stdout=out)
    assert re.search(r"comparisons 12\b", out.getvalue())
    assert out.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["aggregate", "nothing"], "chat"),
        (["aggregate", "chat", "--method", "magic"], "majority"),
        (["judge", "chat", "--judge", "nobody"], "stand-in"),
        (["judge", "chat", "--judge", "stand-in", "--limit", "0"], "limit"),
        (["judge", "chat", "--judge", "stand-in", "--budget", "lots"], "budget"),
        (["route", "chat", "--policy", "astrology"], "policy"),
        (["route", "chat", "--exploration", "1.5"], "exploration"),
        (["route", "chat", "--seed", "-1"], "seed"),
        (["score_noise", "chat", "--method", "magic"], "method"),
        (["generate_rubrics", "chat", "--judge", "nobody"], "stand-in"),
        (["generate_rubrics", "chat", "--judge", "stand-in", "--examples", "1"], "examples"),
        (["build_dataset", "Bad_Name", "--project", "chat"], "name"),
        (["build_dataset", "prefs", "--project", "chat", "--recipe", "/nothing.toml"], "/nothing.toml"),
        (["export_dataset", "prefs@9", "--to", "never"], "prefs@9"),
        (["export_dataset", "prefs@x", "--to", "never"], "prefs@x"),
        (["train_reward_model", "prefs@9"], "prefs@9"),
        (["evaluate_reward_model", "nobody"], "nobody"),
        (["create_judge", "chat", "gpt", "--kind", "oracle", "--model", "m"], "kind"),
        (["create_judge", "chat", "gpt", "--model", "m", "--base-url", "http://169.254.169.254/"], "base_url"),
        (
            ["create_judge", "chat", "gpt", "--model", "m", "--backend", "scripted", "--price-prompt", "x"],
            "price_prompt",
        ),
        (["create_judge", "chat", "gpt", "--kind", "rubric", "--model", "m", "--rubric", "none"], "none"),
        (["import_comparisons", "chat", "/nothing.jsonl"], "/nothing.jsonl"),
    ],
)
def test_a_refusal_ends_with_1_and_says_why_also_in_json(project: Project, arguments: list[str], words: str) -> None:
    status, error = refused(*arguments)
    assert status == 1
    assert words in error["message"]
    assert error["code"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["aggregate"],
        ["aggregate", "chat", "--metod", "majority"],
        ["judge", "chat"],
        ["judge", "chat", "--judge", "stand-in", "--limit", "few"],
        ["build_dataset", "prefs"],
        ["export_dataset", "prefs@1"],
        ["evaluate_reward_model"],
        ["evaluate_reward_model", "m", "a", "b"],
    ],
)
def test_misuse_is_argparses_own_error(project: Project, arguments: list[str]) -> None:
    with pytest.raises((CommandError, TypeError)):  # a process ends with 2; see below
        call_command(*arguments, stdout=io.StringIO(), stderr=io.StringIO())
    assert not Run.objects.exists()


# --- datasets ---------------------------------------------------------------------------------------------------------


def test_build_dataset_follows_a_toml_recipe(project: Project, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("min_annotators = 3\n[split]\ntrain = 0.5\nvalidation = 0.25\ntest = 0.25\n", "utf-8")
    told = call("build_dataset", "prefs", "--project", "chat", "--recipe", str(recipe))
    assert (told["version"], sum(told["counts"].values())) == ("prefs@1", 12)
    version = DatasetVersion.objects.get()
    assert (version.status, version.recipe["min_annotators"], version.recipe["split"]["test"]) == ("ready", 3, 0.25)
    assert (
        call("build_dataset", "prefs", "--project", "chat", "--recipe", str(recipe))["rows_sha256"]
        == told["rows_sha256"]
    )


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("r.toml", "min_anotators = 3", "min_anotators"),
        ("r.toml", 'min_annotators = "three"', "min_annotators"),
        ("r.toml", "[split]\ntrain = 2.0", "split"),
        ("r.toml", "min_annotators = ", "r.toml"),
        ("r.json", '{"min_annotators": -1}', "min_annotators"),
        ("r.json", "[]", "object"),
        ("r.json", "{", "r.json"),
    ],
)
def test_a_bad_recipe_is_refused_by_field_before_anything_is_made(
    project: Project, tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    status, error = refused("build_dataset", "prefs", "--project", "chat", "--recipe", str(tmp_path / name))
    assert (status, DatasetVersion.objects.count(), Run.objects.count()) == (1, 0, 0)
    assert words in error["message"]


def test_a_recipe_that_leaves_no_row_says_what_took_them(project: Project, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("min_annotators = 9", "utf-8")
    status, error = refused("build_dataset", "prefs", "--project", "chat", "--recipe", str(tmp_path / "r.toml"))
    assert status == 1
    assert "12" in error["message"]
    assert DatasetVersion.objects.get().status == DatasetVersion.Status.FAILED


@pytest.mark.parametrize("format", ["trl", "trl-text", "native", "parquet"])
def test_export_dataset_writes_files_whose_hashes_are_in_the_manifest(
    version: DatasetVersion, tmp_path: Path, format: str
) -> None:
    folder = tmp_path / "deep" / "out"
    told = call("export_dataset", "prefs@1", "--format", format, "--to", str(folder))
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert (manifest["dataset"], manifest["version"], manifest["format"]) == ("prefs", 1, format)
    for file in manifest["files"]:
        assert hashlib.sha256((folder / file["path"]).read_bytes()).hexdigest() == file["sha256"]
    rows = {file["split"]: file["rows"] for file in manifest["files"] if file["split"]}
    assert sum(rows.values()) == 12
    assert {Path(f["path"]).name for f in told["files"]} == {p.name for p in folder.iterdir()}
    assert (folder / "README.md").read_text("utf-8") == version.card


def test_what_a_trainer_wants_beside_the_rows_is_written_beside_them(version: DatasetVersion, tmp_path: Path) -> None:
    call("export_dataset", "prefs@1", "--format", "llama-factory", "--to", str(tmp_path))
    info = json.loads((tmp_path / "dataset_info.json").read_text("utf-8"))
    train = info["prefs_train"]
    assert (train["file_name"], train["formatting"], train["ranking"]) == ("train.jsonl", "sharegpt", True)
    first = json.loads((tmp_path / "train.jsonl").read_text("utf-8").splitlines()[0])
    assert set(train["columns"].values()) == set(first)


def test_export_dataset_refuses_a_format_and_a_folder_that_cannot_be(version: DatasetVersion, tmp_path: Path) -> None:
    status, error = refused("export_dataset", "prefs", "--format", "arrow", "--to", str(tmp_path / "out"))
    assert (status, error["field"]) == (1, "format")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("in the way")
    status, error = refused("export_dataset", "prefs", "--to", str(tmp_path / "file"))
    assert (status, error["code"]) == (1, "cannot_write")


# --- models and judges ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["m"], ("m", "pairs", None)),
        (["m", "set.jsonl"], ("m", "pairs", "set.jsonl")),
        (["m", "--benchmark", "b", "set.jsonl"], ("m", "b", "set.jsonl")),
        (["--benchmark", "b", "m", "set.jsonl"], ("m", "b", "set.jsonl")),
        (["m", "set.jsonl", "--benchmark", "b"], ("m", "b", "set.jsonl")),
        (["--json", "m", "--benchmark=b", "set.jsonl"], ("m", "b", "set.jsonl")),
    ],
)
def test_evaluate_takes_its_arguments_in_any_order(typed: list[str], expected: tuple[str, str, str | None]) -> None:
    parser = evaluate_reward_model.Command().create_parser("manage.py", "evaluate_reward_model")
    found = parser.parse_args(typed)
    assert (found.model, found.benchmark, found.path) == expected


def test_train_reads_settings_as_toml_values(tmp_path: Path) -> None:
    pairs = train_reward_model._pairs([["epochs=3", "rate=1e-3"], ["soft_labels=true", "encoder=surface"]])
    assert pairs == {"epochs": 3, "rate": 0.001, "soft_labels": True, "encoder": "surface"}
    with pytest.raises(CommandError) as misused:
        train_reward_model._pairs([["epochs"]])
    assert misused.value.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--config", "/nothing.toml"], "/nothing.toml"), (["--set", "no_such_setting=1"], "no_such_setting")],
)
def test_train_refuses_a_setting_that_does_not_exist(version: DatasetVersion, arguments: list[str], words: str) -> None:
    status, error = refused("train_reward_model", "prefs@1", *arguments)
    assert status == 1
    assert words in error["message"]


def test_create_judge_makes_versions_of_a_name(project: Project) -> None:
    given = ["create_judge", "chat", "gpt", "--model", "m-1", "--base-url", "https://api.example.com/v1",
             "--api-key-env", "EXAMPLE_API_KEY", "--price-prompt", "0.15"]  # fmt: skip
    assert call(*given) == {"project": "chat", "judge": "gpt", "version": 1, "rater": "gpt v1"}
    assert call(*given)["version"] == 2
    judge = Judge.objects.get(project=project, name="gpt", version=2)
    assert (judge.kind, judge.backend, str(judge.price_prompt)) == ("pairwise", "openai", "0.1500")
    assert verbs.prepare("judge", project, {"judge": "gpt"})["judge"] == judge.pk


def test_create_judge_takes_an_approved_rubric_only(project: Project) -> None:
    Rubric.objects.create(project=project, name="draft", version=1)
    status, error = refused("create_judge", "chat", "r", "--kind", "rubric", "--model", "m", "--rubric", "draft",
                            "--backend", "scripted")  # fmt: skip
    assert (status, error["code"]) == (1, "no_rubric")


def test_import_comparisons_makes_the_project_and_counts(tmp_path: Path) -> None:
    rows = [{"id": f"r{i}", "prompt": f"p{i}", "completion_a": "a", "completion_b": "b"} for i in range(3)]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n{broken\n", "utf-8")
    told = call("import_comparisons", "fresh", str(file), "--create")
    assert (told["created"], told["rejected"]) == (3, 1)
    assert Comparison.objects.filter(project__slug="fresh").count() == 3


# --- as a process -----------------------------------------------------------------------------------------------------


def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`manage.py` on this test's database."""
    found = connection.settings_dict
    host = str(found["HOST"])
    where = f"/{found['NAME']}?host={quote(host)}" if host.startswith("/") else f"{host}/{found['NAME']}"
    port = f"&port={found['PORT']}" if found["PORT"] and host.startswith("/") else ""
    login = quote(str(found["USER"])) + (f":{quote(str(found['PASSWORD']))}" if found["PASSWORD"] else "")
    env = os.environ | {
        "DATABASE_URL": f"postgresql://{login}@{where}{port}",
        "DJANGO_SETTINGS_MODULE": "tiebreak.settings",
    }
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
    )


@pytest.mark.django_db(transaction=True)
def test_as_a_process_it_ends_with_0_1_or_2_and_prints_its_object_last(project: Project) -> None:
    done = manage("aggregate", "chat", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[-1])["comparisons"] == 12
    failed = manage("aggregate", "nothing", "--json")
    assert failed.returncode == 1
    assert "nothing" in json.loads(failed.stdout.splitlines()[-1])["error"]["message"]
    assert "Traceback" not in failed.stderr
    misused = manage("aggregate", "chat", "--metod", "majority")
    assert (misused.returncode, misused.stdout) == (2, "")
    assert "--metod" in misused.stderr


def test_a_result_is_told_in_words_a_figure_with_its_interval_and_nothing_for_what_is_empty() -> None:
    figure = {"n": 8, "low": 2 / 3, "high": 1.0, "value": 0.875, "reason": ""}
    unknown = {"n": 0, "low": None, "high": None, "value": None, "reason": "nobody answered twice"}
    result = {"run_seconds": 5.48, "accuracy": figure, "alpha": unknown, "bins": [{"n": 1}], "stopped_by": None}
    told = VerbCommand().tell(result | {"decisions": {"keep": 2, "ask_people": 29}})
    assert told == (
        "run seconds 5.48, accuracy 0.88 [0.67, 1.00], alpha unknown (nobody answered twice), "
        "decisions (keep 2, ask_people 29)"
    )


def test_the_demo_refuses_a_port_at_which_something_else_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, error = refused("demo", "--no-serve", f"--port={port}")
    assert status == 1
    assert f"127.0.0.1:{port}" in error["message"]
    assert not Project.objects.exists()


def test_a_database_that_was_not_set_up_is_told_as_such() -> None:
    class Early(VerbCommand):
        def perform(self, **options: Any) -> dict[str, Any]:
            connection.cursor().execute("SELECT id FROM a_table_that_migrate_makes")
            return {}

    with pytest.raises(CommandError, match=r"manage\.py migrate") as refused, transaction.atomic():
        call_command(Early())
    assert refused.value.returncode == 1

"""The API's schema is complete, and changes only on purpose."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SNAPSHOT = ROOT / "tests/contract/openapi.yml"


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `spectacular` writes; its warnings are errors."""
    file = tmp_path_factory.mktemp("schema") / "openapi.yml"
    done = subprocess.run(
        [sys.executable, "manage.py", "spectacular", "--validate", "--fail-on-warn", "--file", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return file.read_text("utf-8")


def test_every_operation_is_described_without_a_warning(schema: str) -> None:
    assert schema.startswith("openapi: 3.")


def test_the_schema_is_the_one_that_was_agreed(schema: str) -> None:
    same = SNAPSHOT.exists() and schema == SNAPSHOT.read_text("utf-8")
    assert same, (
        f"The API's schema is not that of {SNAPSHOT.relative_to(ROOT)}. If it is meant: `make schema`, then read "
        "the diff, since clients rely on what it removes."
    )

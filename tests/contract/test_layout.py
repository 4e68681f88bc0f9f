"""The top level is prescribed, and `platform/` is a folder: as a package it would shadow the standard module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_platform_is_a_folder_and_never_a_package() -> None:
    assert (ROOT / "platform").is_dir()
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert [path.name for path in (ROOT / "platform").iterdir() if path.suffix == ".py"] == []


def test_the_standard_librarys_platform_is_found_from_the_root() -> None:
    # In a process of its own: pytest itself imported the real module long before it could be shadowed.
    done = subprocess.run(
        [sys.executable, "-c", "import platform; print(platform.system())"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() != ""


def test_the_prescribed_top_level_is_there() -> None:
    files = ("manage.py", "pyproject.toml", "docker-compose.yml")
    folders = ("platform/tiebreak", "annotate", "curation", "models_rt", "templates", "tests")
    assert [name for name in files if not (ROOT / name).is_file()] == []
    assert [name for name in folders if not (ROOT / name).is_dir()] == []

"""The wheel on a training machine: nothing of the server is installed there, and nothing of it is imported."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WITH_REQUESTS = ["requests", "urllib3", "certifi", "idna", "charset_normalizer", "tqdm", "platformdirs"]
# Run with -I -S: neither this checkout nor what is installed beside it can be imported, but for the names let in.
PROBE = """
import importlib.abc, importlib.machinery, json, sys
wheel, installed, allowed = sys.argv[1], sys.argv[2], set(json.loads(sys.argv[3]))

class Declared(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in allowed and path is None:
            return importlib.machinery.PathFinder.find_spec(name, [installed])

sys.path.insert(0, wheel)
sys.meta_path.append(Declared())
from tiebreak.client import Client, ClientError, cli
import tiebreak
assert tiebreak.__file__.startswith(wheel), tiebreak.__file__
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
sys.exit(cli.main(["status", "--json"]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build leaves folders in its tree."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("platform", "annotate", "curation", "models_rt"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "locale"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run([*build, "--wheel-dir", str(out), str(source)], check=True, capture_output=True, timeout=120)
    (made,) = out.glob("tiebreak-*.whl")
    return made


def test_the_wheel_asks_for_what_the_client_needs_and_offers_the_rest_as_extras(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        meta = message_from_bytes(file.read(next(n for n in names if n.endswith("METADATA"))))
        scripts = file.read(next(n for n in names if n.endswith("entry_points.txt"))).decode()
    needed = sorted(line.split(">")[0] for line in meta.get_all("Requires-Dist", []) if "extra ==" not in line)
    assert needed == ["platformdirs", "requests", "tqdm"]
    assert {"server", "embedded", "rt", "hub"} <= set(meta.get_all("Provides-Extra", []))
    assert "tiebreak = tiebreak.client.cli:main" in scripts


def test_the_client_imports_nothing_that_the_wheel_does_not_ask_for(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    installed = str(Path(pytest.__file__).parents[1])
    probe = [sys.executable, "-I", "-S", "-c", PROBE, str(tmp_path / "site"), installed, json.dumps(WITH_REQUESTS)]
    done = subprocess.run(
        probe, capture_output=True, text=True, timeout=60, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    )
    modules, *told = done.stdout.splitlines()
    assert set(WITH_REQUESTS) <= set(json.loads(modules)), "what is asked for is what is used"
    assert not {"django", "celery", "numpy", "pyarrow", "torch"} & set(json.loads(modules))
    assert done.returncode == 1, done.stderr
    assert json.loads(told[-1])["error"]["code"] == "no_login"

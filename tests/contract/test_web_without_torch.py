"""The web process never imports torch: its image does not have it, and its memory is for requests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "sentence_transformers", "models_rt")
CODE = f"""
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tiebreak.settings"
import django
django.setup()
import tiebreak.urls, tiebreak.wsgi, tiebreak.celery
from django.urls import get_resolver
get_resolver().url_patterns
tiebreak.celery.app.loader.import_default_modules()
print(",".join(name for name in {HEAVY!r} if name in sys.modules))
"""


def test_the_web_process_and_the_registered_tasks_import_neither_torch_nor_the_model_runtime() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}", "TIEBREAK_EMBEDDED": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""

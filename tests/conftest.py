"""Shared fixtures. The servers start by themselves: tiebreak.embedded, in a directory of the test run's own."""

from __future__ import annotations

import os
import shutil
import tempfile

# Before Django reads its settings: a data directory of this run's own, so that no test meets anybody's data.
if "PYTEST_XDIST_WORKER" not in os.environ and "TIEBREAK_TEST_DATA" not in os.environ:
    os.environ["TIEBREAK_TEST_DATA"] = tempfile.mkdtemp(prefix="tiebreak-test-")
    os.environ["TIEBREAK_TEST_OWNER"] = str(os.getpid())
os.environ["TIEBREAK_DATA"] = os.environ["TIEBREAK_TEST_DATA"]
os.environ.setdefault("SECRET_KEY", "only-for-tests-" + "x" * 40)
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # playwright's loop runs in the test's thread

import numpy as np  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def pytest_unconfigure(config: pytest.Config) -> None:
    if os.environ.get("TIEBREAK_TEST_OWNER") == str(os.getpid()):
        shutil.rmtree(os.environ["TIEBREAK_TEST_DATA"], ignore_errors=True)

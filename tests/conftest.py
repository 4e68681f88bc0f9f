"""Shared fixtures."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from tiebreak.runs import store


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file store of this test's own."""
    monkeypatch.setattr(store, "root", lambda: tmp_path / "store")
    return tmp_path / "store"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers of this run and remove their data."""
    if os.environ.get("TIEBREAK_TEST_OWNER") != str(os.getpid()):
        return
    from tiebreak import embedded

    data = Path(os.environ["TIEBREAK_TEST_DATA"])
    embedded.stop(data)
    for _ in range(50):
        shutil.rmtree(data, ignore_errors=True)
        if not data.exists():
            break
        time.sleep(0.1)

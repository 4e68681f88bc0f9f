"""The same recipe over the same judgements gives the same bytes: in two processes, in two databases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from django.db import connection

from tests.curation import elsewhere

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("tiebreak_one", "tiebreak_other")


@pytest.fixture
def urls(transactional_db: None) -> Iterator[list[str]]:
    """Two databases beside the tests' own, as empty: copies of it, which want it to themselves while they are made."""
    connection.close()
    connection.close_pool()
    told = connection.settings_dict
    where = {"host": told["HOST"], "user": told["USER"], "password": told["PASSWORD"]}
    with psycopg.connect(dbname="postgres", port=told["PORT"] or None, autocommit=True, **where) as server:
        for name in NAMES:
            server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            server.execute(f"CREATE DATABASE {name} TEMPLATE {told['NAME']}")
        yield [_url(told, name) for name in NAMES]
        for name in NAMES:
            server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _url(told: Mapping[str, Any], name: str) -> str:
    host, port = quote(str(told["HOST"]), safe=""), f":{told['PORT']}" if told["PORT"] else ""
    return f"postgresql://{told['USER']}:{quote(str(told['PASSWORD']), safe='')}@{host}{port}/{name}"


def ran(command: list[str], url: str, storage: Path) -> str:
    beside = {"DATABASE_URL": url, "TIEBREAK_EMBEDDED": "0", "TIEBREAK_STORAGE": str(storage)}
    path = f"{ROOT / 'platform'}:{ROOT}"
    env = os.environ | beside | {"PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "tiebreak.settings"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.django_db(transaction=True)
def test_two_processes_on_two_databases_give_the_same_bytes(urls: list[str], tmp_path: Path) -> None:
    # Other ids everywhere, everything inserted in another order: rows, chain, files and causes are the same.
    one, other = (
        json.loads(
            ran([sys.executable, elsewhere.__file__, str(seed)], url, str(tmp_path / str(seed))).splitlines()[-1]
        )
        for seed, url in enumerate(urls, 1)
    )

    assert set(one) == set(elsewhere.RECIPES)
    for name in one:
        assert one[name] == other[name], name
    assert len({told["rows"] for told in one.values()}) == len(one)  # and the recipes do differ
    everything = one["everything"]
    assert set(everything["dropped"]) >= {"where", "min_agreement", "near_duplicates", "balance"}
    assert everything["changed"]["deidentify"] > 0
    assert set(one["contamination"]["dropped"]) >= {"decontaminate", "near_duplicates", "balance"}
    assert set(everything["files"]) >= {"train.undecided.parquet", "train.parquet"}

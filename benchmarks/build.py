"""Building a dataset version: a recipe over n comparisons, from the votes to rows, files and card.

The reference writes the rows of that very version once more, into a table of the same columns and indexes: by a plain
INSERT … SELECT within the database, the least that storing them could take. The ratio is its time over the build's:
what the consensus, the rules, hashes, Parquet and the card leave of that speed. Every build runs in a process of its
own, whose peak memory is told; the database's own is not in it.

    python benchmarks/build.py --full       10,000, 100,000 and 1,000,000 comparisons, three judgements each
    python benchmarks/build.py              10,000 and 100,000
    python benchmarks/build.py --quick      2,000 and 5,000
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"quick": (2_000, 5_000), "usual": (10_000, 100_000), "full": (10_000, 100_000, 1_000_000)}
TARGET = 0.03
PLAIN: Final = {"method": "dawid-skene"}
EVERYTHING: Final = {
    "method": "dawid-skene",
    "ties": "keep",
    "min_agreement": 0.4,
    "deidentify": {"texts": ["email"], "raters": "pseudonyms"},
    "near_duplicates": {"threshold": 0.8},
    "balance": {"by": "side", "most": 0.5},
    "split": {"by": "cluster"},
}
# A word of a row is one of 4,096 by a hash of where it stands, so that texts differ as texts do.
WORDS: Final = """
(SELECT string_agg('w' || (hashint8extended({seed} * 1000 + w, {salt}) & 4095), ' ') FROM generate_series(1, {n}) AS w)
"""
FILL: Final = """
INSERT INTO annotate_prompt (id, project_id, messages, is_text, sha256)
SELECT g, %(project)s, jsonb_build_array(jsonb_build_object('role', 'user', 'content', {prompt})), true,
       encode(sha256(convert_to('p' || g, 'UTF8')), 'hex') FROM generate_series(1, %(n)s) AS g;

INSERT INTO annotate_completion (id, prompt_id, messages, is_text, text, generator, external_id, sha256)
SELECT 2 * (g - 1) + k, g, jsonb_build_array(jsonb_build_object('role', 'assistant', 'content', t.text)), true, t.text,
       'model-' || k, '', encode(sha256(convert_to('c' || g || '-' || k, 'UTF8')), 'hex')
FROM generate_series(1, %(n)s) AS g, generate_series(1, 2) AS k, LATERAL (SELECT {completion} AS text) AS t;

INSERT INTO annotate_comparison (
    id, project_id, external_id, prompt_id, completion_a_id, completion_b_id, "group", metadata, content_sha256, status,
    route, priority, overlap, seats_taken, shuffle, returned_because)
SELECT g, %(project)s, 'r' || g, g, 2 * g - 1, 2 * g, 'g' || g / 3, jsonb_build_object('source', 's' || g %% 7),
       md5('' || g), 'open', 'human', 0, 3, 3, random(), ''
FROM generate_series(1, %(n)s) AS g;

INSERT INTO annotate_judgement (
    comparison_id, rater_id, repeat, revision, current, preference, both_bad, unparsed_because, probability_b, aspects,
    reasons, justification, "order", seconds, submitted_at)
SELECT g, %(rater)s + (g + j * 67) %% 200, 0, 1, true,
       CASE WHEN hashint8extended(g * 3 + j, 3) %% 10 > 6 THEN -1 ELSE 1 END * CASE WHEN g %% 2 = 0 THEN 1 ELSE -1 END,
       false, '', NULL, '{{}}', '{{}}', '', CASE WHEN (g + j) %% 2 = 0 THEN 'ab' ELSE 'ba' END, 30, now()
FROM generate_series(1, %(n)s) AS g, generate_series(0, 2) AS j
"""
AGAIN: Final = """
INSERT INTO again (version_id, position, comparison_id, split, verdict, side, probability, n_annotators, n_judges, line,
                   sha256, lineage, id)
SELECT version_id, position, comparison_id, split, verdict, side, probability, n_annotators, n_judges, line, sha256,
       lineage, id FROM curation_datasetrow WHERE version_id = %s ORDER BY position
"""


def fill(n: int) -> None:
    from collect import default_to_the_models
    from django.db import connection, transaction

    from annotate.models import Rater
    from annotate.services.projects import create_project

    default_to_the_models()
    project = create_project("large", by=None, overlap=3)
    people = Rater.objects.bulk_create(Rater(project=project, kind="annotator", name=f"p{i}") for i in range(200))
    given = {"project": project.pk, "n": n, "rater": people[0].pk}
    prompt = WORDS.format(seed="g", salt=1, n=30)
    statements = FILL.format(prompt=prompt, completion=WORDS.format(seed="(2 * g + k)", salt=2, n="60 + g % 60"))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # what refers to what is known here
        for statement in statements.replace("g % 60", "g %% 60").split(";\n\n"):
            cursor.execute(statement, given)
        for table in ("prompt", "completion", "comparison"):
            last = f"(SELECT max(id) FROM annotate_{table})"
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('annotate_{table}', 'id'), {last})")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")


def build(recipe: str) -> dict[str, Any]:
    """A version by the recipe, in this process."""
    from curation.services import building
    from tiebreak.accounts.models import Project
    from tiebreak.runs import ledger

    start = time.perf_counter()
    version = building.start("big", Project.objects.get(slug="large"), json.loads(recipe), by=None, wake=False)
    ledger.execute(version.run_id or 0)
    version.refresh_from_db()
    return {
        "seconds": round(time.perf_counter() - start, 2),
        "version": version.pk,
        "rows": version.rows.count(),
        "dropped": version.dropped,
        "MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def again(version: str) -> dict[str, Any]:
    """The reference."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE again (LIKE curation_datasetrow INCLUDING INDEXES INCLUDING CONSTRAINTS)")
        start = time.perf_counter()
        cursor.execute(AGAIN, [int(version)])
        seconds = time.perf_counter() - start
        cursor.execute("DROP TABLE again")
    return {"seconds": round(seconds, 2)}


STEPS: Final = {"fill": lambda n: fill(int(n)) or {}, "build": build, "again": again}


def step(name: str, argument: str) -> dict[str, Any]:
    """A step in a process of its own, whose memory is its alone."""
    command = [sys.executable, __file__, "--step", name, argument]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def measure(n: int) -> dict[str, Any]:
    """One size in a database of its own."""
    step("fill", str(n))
    plain = step("build", json.dumps(PLAIN))
    reference = step("again", str(plain["version"]))
    everything = step("build", json.dumps(EVERYTHING))
    return {"n": n, "plain": plain, "reference": reference, "every rule": everything}


def run(sizes: tuple[int, ...]) -> None:
    sys.path[:0] = [str(ROOT / "platform")]
    from tiebreak import embedded

    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    results = []
    print(f"{'comparisons':>12} {'recipe':>12} {'rows':>10} {'seconds':>9} {'rows/s':>9} {'peak MB':>8}")
    for n in sizes:
        with tempfile.TemporaryDirectory(prefix="tiebreak-build-") as folder:
            os.environ["TIEBREAK_DATA"] = folder
            subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], check=True, cwd=ROOT)
            try:
                found = measure(n)
            finally:
                embedded.stop(Path(folder))
        results.append(found)
        for name in ("plain", "every rule", "reference"):
            told = found[name]
            rows = told.get("rows", found["plain"]["rows"])
            memory = told.get("MB", "")
            print(f"{n:12,} {name:>12} {rows:10,} {told['seconds']:9.1f} {rows / told['seconds']:9,.0f} {memory:>8}")
    last = results[-1]
    print(
        json.dumps(
            {
                "benchmark": "build",
                "ratio": round(last["reference"]["seconds"] / last["plain"]["seconds"], 4),
                "target": TARGET,
                "unit": "of the speed of INSERT … SELECT of the same rows",
                "n": last["n"],
                "reference": "INSERT … SELECT into a table of the same indexes",
                "details": results,
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--step", nargs=2, metavar=("NAME", "ARGUMENT"))
    given = parser.parse_args()
    if given.step is None:
        run(SIZES["quick" if given.quick else "full" if given.full else "usual"])
        return
    sys.path[:0] = [str(ROOT), str(ROOT / "platform"), str(ROOT / "benchmarks")]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tiebreak.settings")
    import django

    django.setup()
    name, argument = given.step
    print(json.dumps(STEPS[name](argument)))


if __name__ == "__main__":
    main()

"""Scale: a project of a million comparisons with five million judgements, on one machine: what each step needs.

Three people and two judges judge each comparison; three completions a prompt, each against each. The rows are made in
the database, with made-up answers whose truth is known. Every step runs from database to database, in a process of its
own whose peak memory is told; the database's own is not in it.

    python benchmarks/scale.py --full       1,000,000 comparisons: an hour or so
    python benchmarks/scale.py              100,000
    python benchmarks/scale.py --quick      5,000, less than a minute
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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"quick": 5_000, "usual": 100_000, "full": 1_000_000}
PEOPLE, JUDGES, EACH = 200, 2, 5
DIMENSION = 384
TARGET = 1.0  # a million comparisons take the slowest step a quarter of an hour

# Quality of a completion, uniform by its id; the better one is the truth. Rater r is right with a chance of its own.
FILL: Final = """
INSERT INTO annotate_prompt (id, project_id, messages, is_text, sha256)
SELECT g, %(project)s,
       jsonb_build_array(jsonb_build_object('role', 'user', 'content', 'Question ' || g || ' of many?')), true,
       encode(sha256(convert_to('p' || g, 'UTF8')), 'hex') FROM generate_series(1, %(prompts)s) AS g;

INSERT INTO annotate_completion (id, prompt_id, messages, is_text, text, generator, external_id, sha256)
SELECT 3 * (g - 1) + k, g, '[]', true, 'Answer ' || k || ' to it, ' || repeat('with words ', 1 + (g * k) %% 40),
       'model-' || k, '', encode(sha256(convert_to('c' || g || '-' || k, 'UTF8')), 'hex')
FROM generate_series(1, %(prompts)s) AS g, generate_series(1, 3) AS k;

INSERT INTO annotate_comparison (
    id, project_id, external_id, prompt_id, completion_a_id, completion_b_id, "group", metadata, content_sha256, status,
    route, priority, overlap, seats_taken, shuffle, returned_because, gold)
SELECT 3 * (g - 1) + n, %(project)s, 'r' || g || '-' || n, g, 3 * (g - 1) + a, 3 * (g - 1) + b, 'g' || g, '{}',
       md5('' || g), 'open', CASE WHEN g %% 4 = 0 THEN 'judge' ELSE 'human' END, 0, 3,
       CASE WHEN g %% 3 = 0 THEN 0 ELSE 3 END, random(), '',
       CASE WHEN g %% 100 = 0 THEN CASE WHEN {truth} THEN 1 ELSE -1 END END
FROM generate_series(1, %(prompts)s) AS g, (VALUES (1, 1, 2), (2, 1, 3), (3, 2, 3)) AS pair (n, a, b);

INSERT INTO annotate_judgement (
    comparison_id, rater_id, repeat, revision, current, preference, both_bad, unparsed_because, probability_b, aspects,
    reasons, justification, "order", seconds, submitted_at)
SELECT c.id, r.rater, 0, 1, true,
       CASE WHEN random() < 0.08 THEN 0 ELSE (CASE WHEN random() < r.skill THEN 1 ELSE -1 END) * c.truth * r.size END,
       false, '', NULL, '{}', '{}', '', r.shown, 30, now()
FROM (
    SELECT id, CASE WHEN {of_row} THEN 1 ELSE -1 END AS truth FROM annotate_comparison WHERE project_id = %(project)s
) AS c, generate_series(0, 4) AS j,
LATERAL (
    SELECT CASE WHEN j < 3 THEN %(rater)s + (c.id + j * 67) %% 200 ELSE %(rater)s + 200 + j - 3 END AS rater,
           CASE WHEN j < 3 THEN 0.62 + ((c.id + j * 67) %% 200) / 600.0 ELSE 0.66 END AS skill,
           1 + (c.id + j) %% 3 AS size, CASE WHEN (c.id + j) %% 2 = 0 THEN 'ab' ELSE 'ba' END AS shown
) AS r
"""
QUALITY: Final = "hashint8extended({id}, 7)"
COMPLETION_VECTORS: Final = f"""
INSERT INTO curation_completionvector (completion_id, encoder_id, vector)
SELECT c.id, %(encoder)s,
       (SELECT array_agg(sin(c.id * 0.37 + d * (1 + c.id %% 97)) / 13.86 + CASE WHEN d %% 7 = 0
               THEN {QUALITY.format(id="c.id")} / 9.3e18 / 30 ELSE 0 END)
        FROM generate_series(1, 384) AS d)::real[]::halfvec
FROM annotate_completion AS c
"""
VECTORS: Final = """
INSERT INTO curation_comparisonvector (comparison_id, encoder_id, prompt, completion_a, completion_b, vector)
SELECT c.id, %(encoder)s, c.prompt_id, c.completion_a_id, c.completion_b_id,
       (SELECT array_agg(sin(c.id * 0.37 + d * (1 + c.prompt_id %% 97)) / 13.86)
        FROM generate_series(1, 384) AS d)::real[]::halfvec
FROM (SELECT * FROM annotate_comparison WHERE project_id = %(project)s ORDER BY id LIMIT 100000) AS c
"""


def fill(comparisons: int) -> None:
    from collect import default_to_the_models
    from django.db import connection, transaction

    from annotate.models import Rater
    from annotate.services.projects import create_project

    default_to_the_models()
    project = create_project("large", by=None, overlap=3)
    people = [Rater(project=project, kind="annotator", name=f"p{n}") for n in range(PEOPLE)]
    judges = [Rater(project=project, kind="judge", name=f"j{n}") for n in range(JUDGES)]
    first = Rater.objects.bulk_create([*people, *judges])[0].pk
    truth = f"{QUALITY.format(id='3 * (g - 1) + b')} > {QUALITY.format(id='3 * (g - 1) + a')}"
    of_row = f"{QUALITY.format(id='completion_b_id')} > {QUALITY.format(id='completion_a_id')}"
    given = {"project": project.pk, "prompts": -(-comparisons // 3), "rater": first}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # what refers to what is known here
        for statement in FILL.replace("{truth}", truth).replace("{of_row}", of_row).split(";\n\n"):
            cursor.execute(statement, given)
        for table in ("prompt", "completion", "comparison"):
            last = f"(SELECT max(id) FROM annotate_{table})"
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('annotate_{table}', 'id'), {last})")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")


# --- the steps, each in its process -----------------------------------------------------------------------------------


def the_project() -> Any:
    from tiebreak.accounts.models import Project

    return Project.objects.get(slug="large")


def verb(name: str, **params: Any) -> dict[str, Any]:
    from curation.services import verbs

    return dict(verbs.run_here(name, the_project(), params).result)


def aggregate() -> dict[str, Any]:
    result = verb("aggregate", method="dawid-skene")
    return {key: result[key] for key in ("comparisons", "judgements", "iterations")} | {"right": accuracy()}


def accuracy() -> float:
    """Share of comparisons whose consensus is the truth."""
    from django.db import connection

    truth = f"{QUALITY.format(id='c.completion_b_id')} > {QUALITY.format(id='c.completion_a_id')}"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT avg(((k.p_b > k.p_a) = ({truth}))::int) FROM curation_consensus AS k "
            "JOIN annotate_comparison AS c ON c.id = k.comparison_id"
        )
        return round(float(cursor.fetchone()[0]), 4)


def live() -> dict[str, Any]:
    """Two thousand new judgements, followed."""
    from django.db import connection
    from django.utils import timezone

    from curation.services import live

    live.follow(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO annotate_judgement (comparison_id, rater_id, repeat, revision, current, preference, both_bad, "
            "unparsed_because, aspects, reasons, justification, submitted_at) "
            "SELECT comparison_id, rater_id, 1, 1, true, 1, false, '', '{}', '{}', '', now() FROM annotate_judgement "
            "ORDER BY id LIMIT 2000"
        )
    start = time.perf_counter()
    updated = live.follow(timezone.now())["updated"]
    return {"updated": updated, "follow seconds": round(time.perf_counter() - start, 2)}


def noise() -> dict[str, Any]:
    result = verb("noise", method="all")
    return {"methods": len(result["methods"]), "scores": result["scored"]}


def doubts() -> dict[str, Any]:
    """The four scores that need training, on embeddings that are all there: made up, with the truth among them."""
    from django.db import connection

    from curation.models import Encoder
    from models_rt import encoders

    runtime = encoders.load("minilm")
    encoder, _ = Encoder.objects.get_or_create(
        fingerprint=runtime.fingerprint, defaults={"spec": "minilm", "dimension": runtime.dimension}
    )
    with connection.cursor() as cursor:
        cursor.execute(COMPLETION_VECTORS, {"encoder": encoder.pk})
    start = time.perf_counter()
    result = verb("noise-training", method="all", config={})
    return {
        "methods": len(result["methods"]),
        "scores": result["scored"],
        "without filling": round(time.perf_counter() - start, 1),
    }


def route() -> dict[str, Any]:
    result = verb("route", policy="uncertainty")
    return {key: result[key] for key in ("comparisons", "human", "judge")}


def retrieve() -> dict[str, Any]:
    """Vectors of up to 100,000 comparisons, their HNSW index, and the five nearest verified of a hundred."""
    from django.db import connection

    from curation.handlers.embedding import _index
    from curation.models import ComparisonVector, Encoder, ProjectEncoder
    from curation.services import retrieving

    project = the_project()
    encoder = Encoder.objects.create(spec="made up", fingerprint="made up", dimension=DIMENSION)
    ProjectEncoder.objects.create(project=project, encoder=encoder)
    with connection.cursor() as cursor:
        cursor.execute(VECTORS, {"project": project.pk, "encoder": encoder.pk})
    start = time.perf_counter()
    _index(encoder)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE curation_comparisonvector")
    indexed = time.perf_counter() - start
    ids = list(ComparisonVector.objects.order_by("-comparison").values_list("comparison", flat=True)[:100])
    start = time.perf_counter()
    found = retrieving.similar(project, ids, 5)
    any_of = time.perf_counter() - start
    start = time.perf_counter()
    verified = retrieving.similar_verified(project, ids, 5)
    each = time.perf_counter() - start
    return {
        "vectors": ComparisonVector.objects.count(),
        "index seconds": round(indexed, 1),
        "found": len(found) + len(verified),
        "ms of a search": round(10 * any_of, 1),
        "ms among verified": round(10 * each, 1),
    }


STEPS: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    "aggregate": aggregate,
    "live": live,
    "noise": noise,
    "doubts": doubts,
    "route": route,
    "retrieve": retrieve,
}


PACED: Final = ("aggregate", "noise", "doubts", "route")  # what every comparison goes through


def step(name: str) -> None:
    start = time.perf_counter()
    details = STEPS[name]()
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    own = {"of its own CPU": round(used.ru_utime + used.ru_stime, 1), "peak MiB": used.ru_maxrss // 1024}
    print(json.dumps({"seconds": round(seconds, 1), **own, **details}))


def setup() -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "platform"), str(ROOT / "benchmarks")]
    os.environ["DJANGO_SETTINGS_MODULE"] = "tiebreak.settings"
    import django

    django.setup()


def measured(name: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--step", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", nargs="*", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--step", choices=list(STEPS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        setup()
        return step(given.step)
    if not set(given.only) & set(PACED):
        parser.error(f"--only: expected one of {', '.join(PACED)} among them")
    size = SIZES["quick" if given.quick else "full" if given.full else "usual"]
    with tempfile.TemporaryDirectory(prefix="tiebreak-bench-") as folder:
        os.environ["TIEBREAK_DATA"] = folder
        for name in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        setup()
        from django.core.management import call_command
        from django.db import connection

        from tiebreak import embedded

        try:
            call_command("migrate", verbosity=0)
            start = time.perf_counter()
            fill(size)
            print(
                f"{size:,} comparisons, {EACH * size:,} judgements made in {time.perf_counter() - start:.0f} s",
                flush=True,
            )
            figures = {}
            for name in given.only:
                figures[name] = measured(name)
                print(f"{name:<12}" + ", ".join(f"{key} {value}" for key, value in figures[name].items()), flush=True)
        finally:
            connection.close()
            embedded.stop(Path(folder))
    slowest = max(each["seconds"] for name, each in figures.items() if name in PACED)
    told = {"benchmark": "scale", "ratio": round(size / slowest / 1000, 2), "target": TARGET}
    unit = {"unit": "thousand comparisons a second, slowest step", "n": size, "reference": "none"}
    print(json.dumps({**told, **unit, "details": figures}))
    return None


if __name__ == "__main__":
    main()

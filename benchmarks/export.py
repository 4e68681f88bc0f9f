"""Export: rows a second through the product's own view against COPY of the same lines out of the same database.

The reference is `COPY (SELECT line … ORDER BY position) TO STDOUT`, read in the same process and thrown away. The view
is asked over Django's test client: authentication, headers, the count and the stream are in the time, a socket is not;
each run of it stands beside a run of the reference, since other load comes and goes. Parquet is written from the same
rows. Memory is what the largest version needs beyond one of a tenth of its rows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TARGET = 0.5
SIZES = {"--quick": 10_000, "": 100_000, "--full": 1_000_000}
FORMATS = ("native", "trl", "trl-text", "kto", "multipref")


def rows(count: int) -> Iterator[dict[str, Any]]:
    """Made-up native rows of some 1.7 kB: code with its quotes and backslashes, other scripts, three votes each."""
    draw = random.Random(7)
    words = [f"word{n}" for n in range(3000)] + ['"quoted"', "C:\\path", "tab\t", "line\n", "日本語", "naïve"]
    text = lambda length: " ".join(draw.choices(words, k=length))  # noqa: E731
    texts = [(text(30), text(80), text(80)) for _ in range(1000)]
    message = lambda role, content: [{"role": role, "content": content}]  # noqa: E731
    for n in range(count):
        prompt, chosen, rejected = texts[n % 1000]
        votes = [
            {"rater": f"r{(n + k) % 200}", "kind": "annotator", "preference": -1.0, "both_bad": False, "order": "ab"}
            for k in range(3)
        ]
        yield {
            "id": f"row-{n:08d}", "prompt": message("user", f"{n} {prompt}"), "chosen": message("assistant", chosen),
            "rejected": message("assistant", rejected), "chosen_side": "a", "preference": -1.25,
            "probability": round(0.5 + n % 1000 / 2001, 6), "margin": 1.5, "source": "human", "n_annotators": 3,
            "n_judges": 0, "votes": votes, "generator_chosen": "model-x", "generator_rejected": None,
            "group": f"g{n % 5000}", "split": "train" if n % 10 else "test", "metadata": '{"part":3}',
        }  # fmt: skip


def make_version(project: Any, name: str, count: int) -> Any:
    """A ready version of so many rows, by COPY: the building of versions has its own benchmark."""
    from django.db import connection

    from curation.exports.files import ndjson_line
    from curation.models import Dataset, DatasetVersion

    dataset = Dataset.objects.create(project=project, name=name)
    version = DatasetVersion.objects.create(dataset=dataset, number=1, recipe={}, recipe_sha256="1" * 64)
    columns = "version_id, position, split, verdict, side, probability, n_annotators, n_judges, line, sha256, lineage"
    with connection.cursor() as cursor:
        cursor.execute("SELECT column_name FROM information_schema.columns WHERE table_name = 'curation_datasetrow'")
        more = {column for (column,) in cursor.fetchall()} - {"id", "comparison_id", *columns.split(", ")}
        assert not more, f"say here what goes into {more}"
        with cursor.copy(f"COPY curation_datasetrow ({columns}) FROM STDIN") as copy:
            for position, row in enumerate(rows(count)):
                line = ndjson_line(row)[:-1]
                sha256 = hashlib.sha256(line + b"\n").hexdigest()
                copy.write_row(
                    (version.pk, position, row["split"], "chosen", "a", 0.9, 3, 0, line.decode(), sha256, "{}")
                )
        cursor.execute("ANALYZE curation_datasetrow")
    tests = (count + 9) // 10
    counts = {"train": count - tests, "validation": 0, "test": tests}
    DatasetVersion.objects.filter(pk=version.pk).update(status="ready", rows_sha256="3" * 64, counts=counts)
    version.refresh_from_db()
    return version


def copied(version: Any) -> int:
    """The reference: bytes that COPY gives."""
    from django.db import connection

    sql = "COPY (SELECT line FROM curation_datasetrow WHERE version_id = %s ORDER BY position) TO STDOUT"
    with connection.cursor() as cursor, cursor.copy(sql, [version.pk]) as copy:
        return sum(len(block) for block in copy)


def streamed(client: Any, version: Any, format: str, query: str = "") -> int:
    """Bytes that the view gives."""
    answer = client.get(f"/api/v1/datasets/{version.dataset.name}/versions/1/rows/?format={format}{query}")
    assert answer.status_code == 200, answer.content
    return sum(len(block) for block in answer.streaming_content)


def to_parquet(version: Any, folder: Path) -> int:
    import orjson

    from curation.exports.files import write_parquet
    from curation.services import exporting

    return write_parquet(folder / "rows.parquet", map(orjson.loads, exporting.lines(version)))


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak() -> int:
    """MiB that this process has needed at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def measure(count: int, folder: Path) -> dict[str, float]:
    from django.test import Client
    from django.utils import timezone

    from annotate.services import projects
    from tiebreak.accounts.models import ApiToken, User

    user = User.objects.create_superuser("bench", password=None)
    project = projects.create_project("bench", by=user)
    until = timezone.now() + timezone.timedelta(days=1)
    _, secret = ApiToken.issue(user, "bench", ["export"], expires_at=until)
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    small, large = (make_version(project, name, n) for name, n in (("small", count // 10), ("large", count)))
    times = 3 if count <= 100_000 else 1
    figures: dict[str, float] = {}
    for format in FORMATS:
        streamed(client, small, format)
    to_parquet(small, folder)
    copied(small)
    before = peak()
    for format in FORMATS:
        streamed(client, large, format)
    figures["stream: MiB more than for a tenth"] = peak() - before
    to_parquet(large, folder)
    figures["parquet: MiB more than for a tenth"] = peak() - before
    took: dict[str, list[float]] = {name: [] for name in ("COPY", *FORMATS)}
    for _ in range(times):
        for format in FORMATS:
            took["COPY"].append(seconds(lambda: copied(large)))
            took[format].append(seconds(lambda format=format: streamed(client, large, format)))
    for name, spent in took.items():
        figures[f"{name}: rows/s"] = round(count / min(spent))
    figures["COPY: MB/s"] = round(copied(large) / min(took["COPY"]) / 1e6)
    for format in FORMATS:
        figures[f"{format}: of COPY"] = round(min(took["COPY"]) / min(took[format]), 2)
    figures["resumed for the last tenth: s"] = round(
        min(seconds(lambda: streamed(client, large, "native", f"&cursor={count * 9 // 10}")) for _ in range(times)), 3
    )
    figures["parquet: rows/s"] = round(count / seconds(lambda: to_parquet(large, folder)))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("--quick", "--full"):
        parser.add_argument(option, action="store_true", help=f"{SIZES[option]:,} rows")
    given = parser.parse_args()
    count = SIZES["--quick" if given.quick else "--full" if given.full else ""]
    sys.path[:0] = [str(ROOT), str(ROOT / "platform")]
    with tempfile.TemporaryDirectory(prefix="tiebreak-bench-") as folder:
        os.environ |= {"TIEBREAK_DATA": folder, "DJANGO_SETTINGS_MODULE": "tiebreak.settings"}
        for name in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connection
        from django.test.utils import setup_test_environment

        setup_test_environment()
        call_command("migrate", verbosity=0)
        figures = measure(count, Path(folder))
        connection.close()
        from tiebreak import embedded

        embedded.stop(Path(folder))
    for name, value in figures.items():
        print(f"{name:<40}{value:>12,}")
    told = {"benchmark": "export", "ratio": figures["native: of COPY"], "target": TARGET, "unit": "of COPY's rows/s"}
    print(json.dumps({**told, "n": count, "reference": "COPY of the same lines, same process", "details": figures}))


if __name__ == "__main__":
    main()

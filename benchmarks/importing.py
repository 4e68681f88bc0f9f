"""Importing: rows a second with and without judgements, again when nothing changed, and how memory grows with the file.

The reference is Django's `bulk_create` in the place of our COPY, in the same process and on the same rows. The files
lie on disk and are streamed; memory is what the largest one needs beyond one of a tenth of its rows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
TARGET = 1.5


def rows(count: int, *, judgements: int) -> IO[bytes]:
    """Made-up rows of some 1.3 kB, with `judgements` by different people each."""
    draw = random.Random(7)
    words = [f"word{n}" for n in range(5000)]
    text = lambda length: " ".join(draw.choices(words, k=length))  # noqa: E731
    file = tempfile.TemporaryFile()  # noqa: SIM115 - handed on, and gone with its last reference
    for n in range(count):
        said = [
            {
                "rater": f"r{(n + k) % 200}",
                "kind": "annotator",
                "preference": draw.randint(-1, 1),
                "justification": text(8),
            }
            for k in range(judgements)
        ]
        row = {"id": f"r{n}", "prompt": text(30), "completion_a": text(80), "completion_b": text(80)}
        file.write(json.dumps({**row, "metadata": {"part": n % 7}, "judgements": said}).encode() + b"\n")
    file.seek(0)
    return file


def measure(slug: str, file: IO[bytes], *, again: bool = False) -> tuple[float, Any]:
    """Seconds for importing a file into a project, and the report."""
    from annotate.services import importing, projects
    from tiebreak.accounts.models import Project

    project = Project.objects.get(slug=slug) if again else projects.create_project(slug, by=None)
    file.seek(0)
    start = time.perf_counter()
    report = importing.import_stream(project, file)
    return time.perf_counter() - start, report


def by_bulk_create(model: Any, new: list[dict[str, Any]]) -> list[int]:
    from annotate.services.copying import Encoded

    plain = lambda value: json.loads(value) if isinstance(value, Encoded) else value  # noqa: E731
    made = [model(**{name: plain(value) for name, value in values.items()}) for values in new]
    return [row.pk for row in model._default_manager.bulk_create(made)]


def peak() -> int:
    """MiB that this process has needed at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def compare(count: int) -> dict[str, Any]:
    from annotate.services import storing

    plain, judged = rows(count, judgements=0), rows(count // 4, judgements=5)
    measure("warm", rows(count // 10, judgements=0))
    copied = storing.insert
    figures: dict[str, Any] = {}
    before = peak()
    seconds, _ = measure("streamed", plain)
    figures |= {"streamed: rows/s": round(count / seconds), "streamed: MiB more than for a tenth": peak() - before}
    for way in ("copy", "bulk_create"):
        storing.insert = copied if way == "copy" else by_bulk_create
        seconds, _ = measure(f"plain-{way[:4]}", plain)
        figures[f"{way}: rows/s"] = round(count / seconds)
        seconds, report = measure(f"judged-{way[:4]}", judged)
        figures[f"{way}: judgements/s"] = round(report.judgements_created / seconds)
    storing.insert = copied
    seconds, report = measure("plain-copy", plain, again=True)
    assert report.unchanged == count
    figures["unchanged rows/s"] = round(count / seconds)
    figures["peak MiB"] = peak()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    count = 4_000 if parser.parse_args().quick else 100_000
    sys.path[:0] = [str(ROOT), str(ROOT / "platform")]
    with tempfile.TemporaryDirectory(prefix="tiebreak-bench-") as folder:
        os.environ |= {"TIEBREAK_DATA": folder, "DJANGO_SETTINGS_MODULE": "tiebreak.settings"}
        for name in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", verbosity=0)
        figures = compare(count)
        connection.close()
        from tiebreak import embedded

        embedded.stop(Path(folder))
    for name, value in figures.items():
        print(f"{name:<36}{value:>12,}")
    ratio = figures["copy: judgements/s"] / figures["bulk_create: judgements/s"]
    told = {"benchmark": "importing", "ratio": round(ratio, 2), "target": TARGET, "unit": "times as fast", "n": count}
    print(json.dumps({**told, "reference": "bulk_create, same process", "details": figures}))


if __name__ == "__main__":
    main()

"""Collecting: 16 annotators at once take the next comparison and answer it, without a pause, over HTTP.

Each has thousands of judgements behind them; the project has 10,000, 100,000 and 1,000,000 comparisons of overlap 3.
The reference is a minimal Django view in the same web processes, behind the same middleware and token, that does one
lease and one insert (`_minimal.py`). The two take turns of some seconds each, so that what else the machine does falls
on both, and the ratio is the median over the turns.

    python benchmarks/collect.py                     the table, the pages, and ten minutes for decay: one hour or so
    python benchmarks/collect.py --quick             10,000 comparisons, less than a minute
    python benchmarks/collect.py --sizes 100000 --minutes 0 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TARGET = 0.6
RATERS = 16
PER_PROMPT = 6  # comparisons of a prompt: all pairs of four completions
TEXTS = 4000
CSRF = "c" * 32
WHY = "The left one answers what was asked ({}) and names its sources; the right one guesses."


# --- what is there beforehand -----------------------------------------------------------------------------------------

FILL = """
INSERT INTO annotate_prompt (id, project_id, messages, is_text, sha256)
SELECT %(prompt)s + g, %(project)s, jsonb_build_array(jsonb_build_object('role', 'user', 'content', t.short)), true,
       encode(sha256(convert_to('p' || %(project)s || '-' || g, 'UTF8')), 'hex')
FROM generate_series(1, %(prompts)s) AS g JOIN bench_text AS t ON t.n = g::bigint * 7919 %% %(texts)s;

INSERT INTO annotate_completion (id, prompt_id, messages, is_text, text, generator, external_id, sha256)
SELECT %(completion)s + (g - 1) * 4 + k, %(prompt)s + g,
       jsonb_build_array(jsonb_build_object('role', 'assistant', 'content', t.long)), true, t.long,
       'model-' || k, '', encode(sha256(convert_to('c' || g || '-' || k, 'UTF8')), 'hex')
FROM generate_series(1, %(prompts)s) AS g CROSS JOIN generate_series(1, 4) AS k
JOIN bench_text AS t ON t.n = (g::bigint * 104729 + k * 7919) %% %(texts)s;

INSERT INTO annotate_comparison (
    project_id, external_id, prompt_id, completion_a_id, completion_b_id, "group", metadata, content_sha256,
    status, route, priority, overlap, shuffle, returned_because)
SELECT %(project)s, 'r' || g || '-' || pair.n, %(prompt)s + g, %(completion)s + (g - 1) * 4 + pair.a,
       %(completion)s + (g - 1) * 4 + pair.b, 'g' || g,
       jsonb_build_object('source', 'source-' || g %% 8, 'topic', 'topic-' || g %% 41, 'turns', 1 + g %% 3),
       encode(sha256(convert_to('r' || g || pair.n, 'UTF8')), 'hex'),
       CASE WHEN g %% 12 = 0 THEN 'settled' WHEN g %% 50 = 1 THEN 'disputed' ELSE 'open' END,
       CASE WHEN g %% 20 = 3 THEN 'judge' ELSE 'human' END,
       CASE WHEN g %% 200 = 7 THEN 1 ELSE 0 END, 3, random(), ''
FROM generate_series(1, %(prompts)s) AS g,
     (VALUES (1, 1, 2), (2, 1, 3), (3, 1, 4), (4, 2, 3), (5, 2, 4), (6, 3, 4)) AS pair (n, a, b);

SELECT setval(pg_get_serial_sequence('annotate_prompt', 'id'), %(prompt)s + %(prompts)s),
       setval(pg_get_serial_sequence('annotate_completion', 'id'), %(completion)s + 4 * %(prompts)s);

INSERT INTO bench_item (batch, place, free, prompt, a, b)
SELECT %(project)s, c.shuffle, 3, p.messages -> -1 ->> 'content', a.text, b.text FROM annotate_comparison AS c
JOIN annotate_prompt AS p ON p.id = c.prompt_id JOIN annotate_completion AS a ON a.id = c.completion_a_id
JOIN annotate_completion AS b ON b.id = c.completion_b_id WHERE c.project_id = %(project)s;
"""

# What the rater has behind them: a stretch of the open comparisons of its own, which at most three share.
HISTORY = """
WITH queue AS (
    SELECT id, row_number() OVER (ORDER BY id) - 1 AS n, count(*) OVER () AS size FROM annotate_comparison
    WHERE project_id = %(project)s AND status = 'open' AND route = 'human'
), mine AS (
    SELECT id FROM queue WHERE (n - %(k)s * (size / %(raters)s) + size) %% size < %(each)s
), made AS (
    INSERT INTO annotate_assignment (
        comparison_id, rater_id, status, repeat, "order", form_id, draft, skip_reason, created_at, closed_at)
    SELECT id, %(rater)s, 'submitted', 0, CASE WHEN id %% 2 = 0 THEN 'ab' ELSE 'ba' END, %(form)s, '{}', '', at, at
    FROM mine, LATERAL (SELECT now() - interval '1 hour' - (id %% 5000) * interval '7 minutes' AS at) AS t
    RETURNING id, comparison_id, "order", created_at
), said AS (
    INSERT INTO annotate_judgement (
        comparison_id, rater_id, assignment_id, repeat, revision, current, preference, both_bad, unparsed_because,
        aspects, reasons, justification, "order", seconds, form_id, key, submitted_at)
    SELECT comparison_id, %(rater)s, id, 0, 1, true, (id %% 3) - 1, false, '', '{}', '{}', 'It is clearer.', "order",
           30, %(form)s, gen_random_uuid(), created_at
    FROM made RETURNING id
)
INSERT INTO core_event (verb, project_id, actor_id, target_type, target_id, data)
SELECT 'judgement.submitted', %(project)s, %(user)s, 'annotate.judgement', id::text, '{}' FROM said
"""
COUNTED = """
UPDATE annotate_rater AS r SET served = s.served, shown_ab = s.shown_ab FROM (
    SELECT rater_id, count(*) AS served, count(*) FILTER (WHERE "order" = 'ab') AS shown_ab
    FROM annotate_assignment WHERE form_id = %(form)s GROUP BY rater_id
) AS s WHERE s.rater_id = r.id
"""
FINDINGS = """
INSERT INTO curation_consensus (
    comparison_id, aggregation_id, p_a, p_tie, p_b, preference, entropy, n_annotators, n_judges, n_both_bad)
SELECT id, %(aggregation)s, p, (1 - p) / 4, (1 - p) * 3 / 4, 1 - 2 * p, 1.5 * random(), 3, 0, 0
FROM annotate_comparison, LATERAL (SELECT 0.3 + 0.7 * random() + 0 * id AS p) AS t
WHERE project_id = %(project)s AND id %% 3 = 0;
INSERT INTO curation_noisescore (comparison_id, method, score, decision, cause, details)
SELECT id, 'loss', random(), (ARRAY['keep', 'soften', 'ask_people', 'drop'])[1 + id %% 4], 'it disagrees', '{}'
FROM annotate_comparison WHERE project_id = %(project)s AND id %% 5 = 0;
"""


class World(NamedTuple):
    """A filled project and who works in it."""

    slug: str
    batch: int
    size: int
    tokens: list[str]
    cookies: list[str]
    curator: str


def texts() -> Iterator[tuple[int, str, str]]:
    """Prompts of some 200 characters and responses of some 900, the longest of 5,000."""
    draw = random.Random(11)
    words = ["".join(draw.choices("abcdefghiklmnoprstuvw", k=draw.randint(2, 9))) for _ in range(6000)]
    for n in range(TEXTS):
        lines = [" ".join(draw.choices(words, k=draw.randint(5, 40))) for _ in range(draw.choice((1, 2, 3, 4, 6, 12)))]
        lines.insert(draw.randint(0, len(lines)), "- " + "\n- ".join(draw.choices(words, k=3)))
        yield n, " ".join(draw.choices(words, k=30)), "\n\n".join(lines)[:5000]


def prepare() -> None:
    import _minimal
    from django.db import connection

    default_to_the_models()
    with connection.cursor() as cursor:
        cursor.execute(_minimal.TABLES)
        cursor.execute("CREATE TABLE bench_text (n int PRIMARY KEY, short text, long text)")
        with cursor.copy("COPY bench_text FROM STDIN") as copy:
            for row in texts():
                copy.write_row(row)


def default_to_the_models() -> None:
    """What rows leave out below takes the model's default, in this database: new columns do not break the filling."""
    from django.db import connection
    from django.db.models import NOT_PROVIDED

    from annotate.models import Assignment, Comparison, Completion, Judgement, Prompt
    from curation.models import Consensus, NoiseScore
    from tiebreak.core.models import Event

    with connection.cursor() as cursor:
        for model in (Prompt, Completion, Comparison, Assignment, Judgement, Consensus, NoiseScore, Event):
            for column in model._meta.concrete_fields:
                if column.default is NOT_PROVIDED or column.generated or column.has_db_default():
                    continue
                value = column.get_db_prep_save(column.get_default(), connection)
                told = connection.ops.compose_sql(
                    f'ALTER TABLE {model._meta.db_table} ALTER COLUMN "{column.column}" SET DEFAULT %s', [value]
                )
                cursor.execute(told)


def fill(size: int) -> World:
    """A project of that many comparisons, 16 annotators with their judgements in it, and a curator."""
    from django.db import connection, transaction

    from annotate.models import Rater
    from annotate.services.projects import create_project, current_form
    from curation.models import Aggregation
    from tiebreak.accounts.models import Membership

    curator = user("curator")
    project = create_project(f"n{size}", by=curator, overlap=3, justification="optional")
    form = current_form(project)
    people = [user(f"annotator-{k}") for k in range(RATERS)]
    Membership.objects.bulk_create(Membership(project=project, user=p, role="annotator") for p in people)
    raters = [Rater.objects.create(project=project, user=p, kind="annotator", name=p.username) for p in people]
    fitted = Aggregation.objects.create(
        project=project, method="majority", converged=True, n_iter=1, n_comparisons=0, n_judgements=0, inputs_sha256=""
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT coalesce(max(id), 0) FROM annotate_prompt), coalesce(max(id), 0) FROM annotate_completion"
        )
        prompt, completion = cursor.fetchone()
        given = {
            "project": project.pk,
            "form": form.pk,
            "raters": RATERS,
            "each": min(4000, size // 10),
            "texts": TEXTS,
        }
        given |= {"prompt": prompt, "completion": completion, "prompts": -(-size // PER_PROMPT)}
        for statement in FILL.split(";\n\n"):
            cursor.execute(statement, given)
        for k, rater in enumerate(raters):
            cursor.execute(HISTORY, given | {"rater": rater.pk, "user": rater.user_id, "k": k})
        cursor.execute(COUNTED, given)
        for statement in FINDINGS.split(";\n"):
            if statement.strip():
                cursor.execute(statement, given | {"aggregation": fitted.pk})
    with connection.cursor() as cursor:  # outside of the transaction
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
    keys = [token(p) for p in people]
    return World(project.slug, project.pk, size, keys, [session(p) for p in people], session(curator))


def user(name: str) -> Any:
    from tiebreak.accounts.models import User

    return User.objects.get_or_create(username=name)[0]


def token(of: Any) -> str:
    from datetime import timedelta

    from django.utils import timezone

    from tiebreak.accounts.models import ApiToken

    return ApiToken.issue(of, "bench", ["annotate"], expires_at=timezone.now() + timedelta(days=2))[1]


def session(of: Any) -> str:
    from django.test import Client

    client = Client()
    client.force_login(of, backend="django.contrib.auth.backends.ModelBackend")
    return client.cookies["sessionid"].value


# --- the servers ------------------------------------------------------------------------------------------------------


def used(parent: int) -> float:
    """Seconds of processor that a process's children have used, those that ended included; 0 where nobody tells."""
    total = 0
    try:
        total += sum(map(int, _stat(parent)[15:17]))
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            total += sum(map(int, _stat(int(child))[13:15]))
    except OSError:
        pass
    return total / os.sysconf("SC_CLK_TCK")


def _stat(process: int) -> list[str]:
    """The fields of /proc/N/stat, the name's spaces and brackets aside."""
    text = Path(f"/proc/{process}/stat").read_text()
    return ["", "", *text[text.rindex(")") + 2 :].split()]


class Web:
    """gunicorn with one process a core and eight threads each, which serves the product and the reference."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        command = [
            sys.executable, "-m", "gunicorn", "tiebreak.wsgi:application", "--bind", f"127.0.0.1:{self.port}",
            "--no-control-socket", "--workers", str(os.cpu_count() or 1), "--threads", "8", "--timeout", "120",
            "--keep-alive", "75", "--log-level", "warning",
        ]  # fmt: skip
        path = os.pathsep.join(map(str, (HERE, ROOT, ROOT / "platform")))
        self.process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": path})
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.1)

    def cpu(self) -> tuple[float, float]:
        """Seconds of processor that the web processes and the embedded database's have used."""
        file = Path(os.environ["TIEBREAK_DATA"]) / "postgres" / "postmaster.pid"
        database = int(file.read_text().split()[0]) if file.exists() else 0
        return used(self.process.pid), used(database)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


class Wire:
    """A kept-alive connection that costs next to nothing: the load must not eat the processors that it loads."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self.port = port
        self.head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "localhost", **headers}.items())
        self.socket: socket.socket | None = None

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        told = f"{method} {path} HTTP/1.1\r\n{self.head}{more}Content-Length: {len(body)}\r\n\r\n".encode() + body
        for attempt in (1, 2):
            if self.socket is None:
                self.socket = socket.create_connection(("127.0.0.1", self.port), 60)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self.socket.sendall(told)
                return self._read()
            except OSError:
                self.close()
                if attempt == 2:
                    raise
        raise AssertionError

    def _read(self) -> tuple[int, bytes]:
        assert self.socket is not None
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head, body = data[:end], data[end + 4 :]
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        wanted = int(length[1]) if length else 0
        parts, have = [body], len(body)
        while have < wanted:
            parts.append(self._more())
            have += len(parts[-1])
        if b"connection: close" in head.lower():
            self.close()
        return int(data[9:12]), b"".join(parts)

    def _more(self) -> bytes:
        assert self.socket is not None
        part = self.socket.recv(1 << 17)
        if not part:
            raise ConnectionResetError
        return part

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


# --- what the annotators do -------------------------------------------------------------------------------------------


@dataclass
class Took:
    """Seconds of every request of a turn, and what did not go through."""

    next: list[float] = field(default_factory=list)
    submit: list[float] = field(default_factory=list)
    refused: int = 0
    empty: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    database: float = 0.0

    @property
    def pairs(self) -> int:
        return len(self.submit)

    def add(self, other: Took) -> None:
        self.next += other.next
        self.submit += other.submit
        for name in ("refused", "empty", "seconds", "cpu", "database"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


ID = re.compile(rb'"id": ?(\d+)')
ANSWER_AT = re.compile(rb"/compare/(\d+)/")
Pair = Callable[[Took], bool]


def timed(into: list[float], wire: Wire, *args: Any, **headers: str) -> tuple[int, bytes]:
    start = time.perf_counter()
    told = wire.ask(*args, **headers)
    into.append(time.perf_counter() - start)
    return told


def ours(port: int, world: World, k: int) -> Pair:
    wire = Wire(port, {"Authorization": f"Bearer {world.tokens[k]}", "Content-Type": "application/json"})

    def pair(took: Took) -> bool:
        status, body = timed(took.next, wire, "POST", f"/api/v1/projects/{world.slug}/next/")
        if status != 200:
            return _not(took, took.next, status, body)
        number = int(ID.search(body)[1])  # type: ignore[index]
        answer = json.dumps({"choice": random.randint(-2, 2), "active_ms": 3, "justification": WHY.format(number)})
        status, body = timed(
            took.submit,
            wire,
            "POST",
            f"/api/v1/assignments/{number}/submit/",
            answer.encode(),
            Idempotency_Key=str(uuid4()),
        )
        return status == 201 or _not(took, took.submit, status, body)

    return pair


def minimal(port: int, world: World, k: int) -> Pair:
    wire = Wire(port, {"Authorization": f"Bearer {world.tokens[k]}", "Content-Type": "application/json"})

    def pair(took: Took) -> bool:
        status, body = timed(took.next, wire, "POST", f"/minimal/{world.batch}/")
        if status != 200:
            return _not(took, took.next, status, body)
        number = int(ID.search(body)[1])  # type: ignore[index]
        answer = json.dumps({"choice": random.randint(-2, 2), "active_ms": 3, "justification": WHY.format(number)})
        status, body = timed(took.submit, wire, "POST", f"/minimal/answers/{number}/", answer.encode())
        return status == 201 or _not(took, took.submit, status, body)

    return pair


def paged(port: int, world: World, k: int) -> Pair:
    """As the page does without its prefetch: an answer is posted, and its response is the next screen."""
    cookie = f"sessionid={world.cookies[k]}; csrftoken={CSRF}"
    wire = Wire(port, {"Cookie": cookie, "X-CSRFToken": CSRF, "HX-Request": "true"})
    screen = f"/p/{world.slug}/compare/"
    at: list[int] = []

    def pair(took: Took) -> bool:
        if not at:
            status, body = timed(took.next, wire, "GET", screen)
            if status != 200 or not ANSWER_AT.search(body):
                return _not(took, took.next, status, body)
            at.append(int(ANSWER_AT.search(body)[1]))  # type: ignore[index]
        number = at.pop()
        answer = f"choice=1&active_ms=3&justification=It+is+clearer+{number}.&key={uuid4()}".encode()
        form = "application/x-www-form-urlencoded"
        status, body = timed(took.submit, wire, "POST", f"{screen}{number}/", answer, Content_Type=form)
        if status != 200 or not ANSWER_AT.search(body):
            return _not(took, took.submit, status, body)
        at.append(int(ANSWER_AT.search(body)[1]))  # type: ignore[index]
        return True

    return pair


def _not(took: Took, into: list[float], status: int, body: bytes) -> bool:
    """A request that did no work counts for nothing; the first ones are shown."""
    into.pop()
    if status == 204:
        took.empty += 1
        time.sleep(0.05)
    else:
        took.refused += 1
        if took.refused <= 2:
            print(f"  status {status}: {body[:300]!r}", file=sys.stderr, flush=True)
    return False


def turn(web: Web, pairs: Sequence[Pair], seconds: float) -> Took:
    """All annotators at once for so many seconds."""
    tooks = [Took() for _ in pairs]
    start = time.perf_counter()
    before, deadline = web.cpu(), start + seconds
    failed: list[BaseException] = []

    def work(pair: Pair, took: Took) -> None:
        try:
            while time.perf_counter() < deadline:
                pair(took)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=both) for both in zip(pairs, tooks, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    total = Took()
    for took in tooks:
        total.add(took)
    total.seconds, after = time.perf_counter() - start, web.cpu()
    total.cpu, total.database = after[0] - before[0], after[1] - before[1]
    return total


# --- the figures ------------------------------------------------------------------------------------------------------


def at(values: Sequence[float], share: float) -> float:
    """A percentile in milliseconds."""
    return 1000 * sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def line(name: str, took: Took) -> str:
    shown = [f"{took.pairs / took.seconds:9.1f}"]
    shown += [f"{at(values, share):8.1f}" for values in (took.next, took.submit) for share in (0.5, 0.95, 0.99)]
    both = [a + b for a, b in zip(took.next, took.submit, strict=False)]
    shown += [f"{at(both, 0.95):8.1f}"]
    shown += [f"{1000 * seconds / max(1, took.pairs):8.2f}" for seconds in (took.cpu, took.database)]
    shown += [f"{took.refused:8d}"]
    return f"{name:<22}" + "".join(shown)


HEAD = (
    f"{'16 at once':<22}{'pairs/s':>9} {'next p50':>8}{'p95':>8}{'p99':>8} {'sub. p50':>8}{'p95':>8}{'p99':>8}"
    f"{'both p95':>9}{'web ms':>7}{'DB ms':>8}{'refused':>8}"
)


def compare(web: Web, world: World, *, seconds: float, rounds: int, page: bool) -> dict[str, Any]:
    """Turns of ours and of the reference, one after the other; the page's by itself."""
    sides = {"ours": ours, "minimal": minimal}
    pairs = {name: [side(web.port, world, k) for k in range(RATERS)] for name, side in sides.items()}
    for each in pairs.values():
        turn(web, each, min(2.0, seconds / 3))  # connections, caches, plans
    tooks: dict[str, list[Took]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in sorted(sides, reverse=bool(number % 2)):
            tooks[name].append(turn(web, pairs[name], seconds))
    totals = {name: Took() for name in sides}
    for name, each in tooks.items():
        for took in each:
            totals[name].add(took)
    ratios = [(a.pairs / a.seconds) / (b.pairs / b.seconds) for a, b in zip(*tooks.values(), strict=True) if b.pairs]
    for name in sides:
        print(line(f"{world.size:>9,} {name}", totals[name]), flush=True)
    if page:
        screens = [paged(web.port, world, k) for k in range(RATERS)]
        turn(web, screens, min(2.0, seconds / 3))
        took = turn(web, screens, seconds)
        totals["page"] = took
        print(line(f"{world.size:>9,} page", took), flush=True)
    ratio = statistics.median(ratios)
    print(f"{'':>10}ratio {ratio:.2f} ({', '.join(f'{r:.2f}' for r in ratios)})", flush=True)
    return {
        "ratio": round(ratio, 3),
        **{f"{name} pairs/s": round(took.pairs / took.seconds, 1) for name, took in totals.items()},
        "next p95 ms": round(at(totals["ours"].next, 0.95), 1),
        "submit p95 ms": round(at(totals["ours"].submit, 0.95), 1),
        "minimal next p95 ms": round(at(totals["minimal"].next, 0.95), 1),
        "minimal submit p95 ms": round(at(totals["minimal"].submit, 0.95), 1),
    }


def endure(web: Web, world: World, minutes: int) -> list[float]:
    """Each minute's throughput, ours alone, without a rest between."""
    print(f"\n{minutes} minutes at {world.size:,} comparisons\n" + HEAD, flush=True)
    pairs = [ours(web.port, world, k) for k in range(RATERS)]
    rates = []
    for minute in range(1, minutes + 1):
        took = turn(web, pairs, 60)
        rates.append(round(took.pairs / took.seconds, 1))
        print(line(f"   minute {minute}", took), flush=True)
    return rates


LISTS = {
    "first page, no filter": "",
    "status, route, metadata": "?status=open&route=human&facet=source:source-3",
    "route, disagreement, noise": "?route=judge&disagreement=high&noise=drop",
    "status, priority, metadata": "?status=settled&priority=1&facet=topic:topic-7",
    "nothing fits": "?status=withdrawn&route=judge&noise=drop",
    "text": "?q=quixotic",
    "text, status, noise": "?q={word}&status=open&noise=keep",
}


def pages(web: Web, world: World) -> dict[str, float]:
    """The curator's list of comparisons: the median and the slowest of five, each filter."""
    wire = Wire(web.port, {"Cookie": f"sessionid={world.curator}", "HX-Request": "true"})
    word = next(text for _, text, _ in texts()).split()[3]
    print(f"\n{'comparisons page':<32}{'median ms':>10}{'slowest':>10}", flush=True)
    slowest = {}
    for name, query in LISTS.items():
        took: list[float] = []
        for _ in range(5):
            status, body = timed(took, wire, "GET", f"/p/{world.slug}/comparisons/{query.format(word=word)}")
            if status != 200:
                print(f"  status {status}: {body[:200]!r}", file=sys.stderr)
        slowest[name] = round(at(took, 1.0), 1)
        print(f"{name:<32}{at(took, 0.5):>10.1f}{slowest[name]:>10.1f}", flush=True)
    return slowest


@contextmanager
def servers(database: str) -> Iterator[None]:
    """Django over an embedded PostgreSQL in a folder of its own, or over an empty database that is given."""
    sys.path[:0] = [str(HERE), str(ROOT), str(ROOT / "platform")]
    with tempfile.TemporaryDirectory(prefix="tiebreak-bench-") as folder:
        for name in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        os.environ |= {"TIEBREAK_DATA": folder, "DJANGO_SETTINGS_MODULE": "_minimal_settings"}
        if database:
            os.environ["DATABASE_URL"] = database
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connection

        try:
            call_command("migrate", verbosity=0)
            prepare()
            yield
        finally:
            connection.close()
            from tiebreak import embedded

            embedded.stop(Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10,000 comparisons, short turns")
    parser.add_argument("--sizes", help="comparisons, parted by commas (default 10000,100000,1000000)")
    parser.add_argument("--seconds", type=float, help="of each turn (default 15)")
    parser.add_argument("--rounds", type=int, help="turns of each side (default 5)")
    parser.add_argument("--minutes", type=int, help="of work without a rest at the largest size (default 10)")
    parser.add_argument("--database", default="", help="URL of an empty database, instead of the embedded PostgreSQL")
    given = parser.parse_args()
    quick = given.quick
    sizes = [int(size) for size in (given.sizes or ("10000" if quick else "10000,100000,1000000")).split(",")]
    seconds = given.seconds or (4.0 if quick else 15.0)
    rounds = given.rounds or (3 if quick else 5)
    minutes = given.minutes if given.minutes is not None else (0 if quick else 10)
    told: dict[str, Any] = {}
    with servers(given.database):
        web = Web()
        try:
            print(HEAD, flush=True)
            for size in sizes:
                start = time.perf_counter()
                world = fill(size)
                print(f"{'':>10}filled in {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
                told[f"{size}"] = compare(web, world, seconds=seconds, rounds=rounds, page=True)
            told["lists, slowest ms"] = pages(web, world)
            if minutes:
                told["pairs/s by minute"] = endure(web, world, minutes)
        finally:
            web.stop()
    last = told[f"{sizes[-1]}"]
    result = {"benchmark": "collect", "ratio": last["ratio"], "target": TARGET, "unit": "of the reference's pairs/s"}
    print(
        json.dumps({**result, "n": sizes[-1], "reference": "minimal Django view, same web processes", "details": told})
    )


if __name__ == "__main__":
    main()

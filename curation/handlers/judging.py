"""A judge run: asks a judge about what it has not judged, in both orders, and stores each verdict as it comes.

Resumable and idempotent: what is stored is not asked again, and UNIQUE (judge, comparison, repeat) forbids a double
even where two workers believed that they hold the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import reduce
from itertools import islice
from operator import or_
from typing import Any, Final, TypeVar

from django.db import transaction
from django.db.models import Avg, Exists, OuterRef, Q, QuerySet, Sum

from annotate.models import Comparison, Criterion, Judge, JudgeCall, Judgement, Rater
from curation.services import budgeting
from models_rt import records
from tiebreak.accounts.models import Project
from tiebreak.core.errors import BackendError, Invalid
from tiebreak.runs.ledger import Execution
from tiebreak.runs.models import Run

from .backends import judge_of

T = TypeVar("T")
BATCH: Final = 200  # comparisons asked about at a time
STORE_AT_ONCE: Final = 16  # verdicts a transaction: what a kill can cost in repeated calls
ALL_FAILED: Final = 8  # so many calls without one answer: the endpoint is sick, the run waits
READINGS: Final = ((0, "ab"), (1, "ba"))


def readings_of(judge: Judge) -> tuple[tuple[int, str], ...]:
    """The (repeat, order) that a judge is asked for: a scorer sees no order, the others are asked in both."""
    return READINGS[:1] if judge.kind == "reward-model" else READINGS


def unjudged(judge: Judge, *, routed: bool = False) -> QuerySet[Comparison]:
    """Comparisons of which the judge lacks a reading. A failed call is no reading: it is asked again.

    ``routed``: only those for which the router buys this judge's verdict.
    """
    answered = JudgeCall.objects.filter(judge=judge, comparison=OuterRef("pk")).exclude(status=JudgeCall.Status.FAILED)
    missing = reduce(or_, (Q(~Exists(answered.filter(repeat=repeat))) for repeat, _ in readings_of(judge)))
    waiting = Comparison.objects.filter(missing, project=judge.project_id)
    if routed:
        waiting = waiting.filter(routing_decisions__current=True, routing_decisions__buys=judge.name)
    return waiting.exclude(status=Comparison.Status.WITHDRAWN).order_by("id")


def pair_of(comparison: Comparison, criteria: Sequence[Criterion] = ()) -> records.Pair:
    """The record of a comparison that a judge receives. Needs prompt and completions selected."""
    return records.Pair(
        id=str(comparison.pk),
        prompt=tuple(comparison.prompt.messages),
        a=comparison.completion_a.text,
        b=comparison.completion_b.text,
        reference=comparison.reference,
        context=comparison.context,
        criteria=tuple(records.Criterion(kind=c.kind, text=c.text) for c in criteria),  # type: ignore[arg-type]
    )


def stepwise(stream: AsyncIterator[T]) -> Generator[T, None, None]:
    """An async stream read from synchronous code: between two items the loop stands still and the database may
    be used.
    """
    loop = asyncio.new_event_loop()
    try:
        while True:
            try:
                yield loop.run_until_complete(anext(stream))
            except StopAsyncIteration:
                return
    finally:
        if hasattr(stream, "aclose"):
            loop.run_until_complete(stream.aclose())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def run(execution: Execution) -> Mapping[str, Any]:
    """Params: judge (id), limit (comparisons, optional), budget (money, optional: stops when it is spent), routed (only
    what the router buys of this judge). The project's own budget ends it too.
    """
    judge = Judge.objects.select_related("rater", "rubric", "project").get(pk=execution.params["judge"])
    if judge.retired_at:
        raise Invalid(f"The judge {judge} is retired.", field="judge")
    limit = execution.params.get("limit")
    budget = Decimal(str(execution.params["budget"])) if execution.params.get("budget") is not None else None
    mine = JudgeCall.objects.filter(run=execution.run)
    # What a killed worker had asked in one order only is not done: it stands first among the unjudged.
    waiting = unjudged(judge, routed=bool(execution.params.get("routed")))
    done = mine.exclude(comparison__in=waiting).values("comparison").distinct().count()
    ids = list(waiting.values_list("pk", flat=True)[: max(0, limit - done) if limit is not None else None])
    total = done + len(ids)
    tally = Tally(mine.aggregate(sum=Sum("price"))["sum"] or Decimal(0))
    execution.progress(done, total, note=f"asking {judge}", cost=tally.spent)
    answering = judge_of(judge)
    while ids:
        n, left = _promise(execution, judge, tally, budget)
        if not n:
            break
        batch, ids = ids[:n], ids[n:]
        asking = asks(judge, batch)
        asked = {ask.pair.id: ask.pair for ask in asking}
        with closing(stepwise(answering.judge(asking))) as verdicts:
            _store_all(execution, judge, verdicts, asked, tally, left=left)
        execution.progress(total - len(ids), total, cost=tally.spent)
    counts = {status: mine.filter(status=status).count() for status in JudgeCall.Status.values}
    return {
        "judge": str(judge),
        "comparisons": mine.values("comparison").distinct().count(),
        **counts,
        "cost": str(tally.spent),
        "stopped_by": "budget" if ids else None,
    }


@dataclass
class Tally:
    """What a run has come to."""

    spent: Decimal
    failed_in_a_row: int = 0


def _promise(execution: Execution, judge: Judge, tally: Tally, budget: Decimal | None) -> tuple[int, Decimal | None]:
    """How many comparisons to ask about next, and the money left for them (None: no limit).

    What they are expected to cost stands in the run's cost at once, under the project's lock: another judge's run
    cannot promise it too. A judge whose price nobody knows is asked about one comparison first.
    """
    with transaction.atomic():
        project = Project.objects.select_for_update(no_key=True).get(pk=judge.project_id)
        limits = [] if budget is None else [budget - tally.spent]
        if (left := budgeting.for_judges(project)) is not None:
            limits.append(left - _in_flight(execution, project))
        if not limits:
            return BATCH, None
        n, price = _affordable(judge, min(limits))
        execution.fence()
        Run.objects.filter(pk=execution.run.pk).update(cost=tally.spent + n * price)
    return n, min(limits)


def _in_flight(execution: Execution, project: Project) -> Decimal:
    """What other runs of judges have promised, and not stored yet."""
    others = Run.objects.filter(project=project, kind="judge", status=Run.Status.RUNNING).exclude(pk=execution.run.pk)
    costs = dict(others.values_list("pk", "cost"))
    stored = JudgeCall.objects.filter(run__in=costs).values_list("run").annotate(sum=Sum("price")).order_by()
    paid = dict(stored)
    return sum((max(Decimal(0), cost - paid.get(pk, 0)) for pk, cost in costs.items()), Decimal(0))


def _affordable(judge: Judge, left: Decimal) -> tuple[int, Decimal]:
    """Comparisons that `left` pays for, at most a chunk, and the expected price of each."""
    readings = len(readings_of(judge))
    answered = JudgeCall.objects.filter(judge=judge).exclude(status=JudgeCall.Status.FAILED)
    mean = answered.aggregate(mean=Avg("price"))["mean"]
    price = readings * Decimal(mean or 0)
    if left <= 0:
        return 0, price
    if mean is None:
        return 1, price
    return (min(STORE_AT_ONCE // readings, int(left / price)) if price else BATCH), price


def asks(judge: Judge, ids: Sequence[int]) -> list[records.Ask]:
    """The calls that the judge still owes on these comparisons."""
    have = set(
        JudgeCall.objects.filter(judge=judge, comparison__in=ids)
        .exclude(status=JudgeCall.Status.FAILED)
        .values_list("comparison_id", "repeat")
    )
    criteria = list(judge.rubric.criteria.all()) if judge.rubric else []
    comparisons = Comparison.objects.select_related("prompt", "completion_a", "completion_b").filter(pk__in=ids)
    return [
        records.Ask(pair=pair_of(comparison, criteria), order=order, repeat=repeat)  # type: ignore[arg-type]
        for comparison in comparisons.order_by("id")
        for repeat, order in readings_of(judge)
        if (comparison.pk, repeat) not in have
    ]


def _store_all(
    execution: Execution,
    judge: Judge,
    verdicts: Iterator[records.Verdict],
    asked: Mapping[str, records.Pair],
    tally: Tally,
    *,
    left: Decimal | None,
) -> None:
    """Store verdicts in small transactions as they come, and count them. Stops asking once nothing is left."""
    end = None if left is None else tally.spent + left
    while chunk := list(islice(verdicts, STORE_AT_ONCE)):
        store(execution, judge, chunk, asked)
        tally.spent += sum((v.usage.price for v in chunk), Decimal(0))
        failures = [v for v in chunk if v.status == "failed"]
        tally.failed_in_a_row = tally.failed_in_a_row + len(failures) if len(failures) == len(chunk) else 0
        if tally.failed_in_a_row >= min(ALL_FAILED, STORE_AT_ONCE):
            raise BackendError(
                f"{judge} did not answer {tally.failed_in_a_row} calls in a row: {failures[-1].reason}", permanent=False
            )
        if end is not None and tally.spent >= end:
            break


def store(
    execution: Execution, judge: Judge, verdicts: Sequence[records.Verdict], asked: Mapping[str, records.Pair]
) -> int:
    """Write verdicts as judgements of the judge's rater, with their calls. Holds the run's row: no lease, no write.

    A reading that is stored already is left as it is. A verdict on a text that an import has replaced since it was
    `asked` about is dropped, and the judge asked again by the next run. Locks the comparisons. Returns how many were
    new.
    """
    rater = Rater.objects.get(judge=judge)
    new = 0
    with transaction.atomic():
        execution.fence()
        Judge.objects.select_for_update().get(pk=judge.pk)  # two runs of one judge store one after the other
        standing = _standing([int(verdict.pair_id) for verdict in verdicts])
        for verdict in verdicts:
            if standing.get(verdict.pair_id) != replace(asked[verdict.pair_id], criteria=()):
                continue
            call = JudgeCall.objects.filter(judge=judge, comparison=int(verdict.pair_id), repeat=verdict.repeat).first()
            if call is not None and call.status != JudgeCall.Status.FAILED:
                continue
            call = call or JudgeCall(judge=judge, comparison_id=int(verdict.pair_id), repeat=verdict.repeat)
            call.judgement = _judgement(judge, rater, verdict) if verdict.status != "failed" else None
            call.run = execution.run
            call.order, call.status, call.model = verdict.order, verdict.status, verdict.model
            call.prompt_sha256, call.reason = verdict.prompt_sha256, storable(verdict.reason)[:500]
            call.prompt_version, call.raw = verdict.prompt_version, storable(verdict.raw)
            call.prompt_tokens = verdict.usage.prompt_tokens
            call.completion_tokens = verdict.usage.completion_tokens
            call.price, call.latency_ms = call.price + verdict.usage.price, verdict.usage.latency_ms
            call.save()
            new += 1
    return new


def _standing(ids: Sequence[int]) -> dict[str, records.Pair]:
    """What the comparisons say now; locked, so that no import can change it before the verdicts are in."""
    rows = Comparison.objects.select_related("prompt", "completion_a", "completion_b").filter(pk__in=ids)
    return {str(row.pk): pair_of(row) for row in rows.select_for_update(of=("self",), no_key=True).order_by("id")}


def storable(text: str) -> str:
    """A model's output as PostgreSQL can hold it: NUL and lone surrogates become U+FFFD. Evidence, never
    training text.
    """
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _judgement(judge: Judge, rater: Rater, verdict: records.Verdict) -> Judgement:
    unparsed = "" if verdict.status == "parsed" else storable(verdict.reason or "unparsed")[:300]
    return Judgement.objects.create(
        comparison_id=int(verdict.pair_id),
        rater=rater,
        repeat=verdict.repeat,
        order=verdict.order,
        preference=verdict.preference,
        both_bad=verdict.both_bad,
        unparsed_because=unparsed,
        probability_b=verdict.probability_b,
        justification=storable(verdict.critique),
        rubric=judge.rubric,
        seconds=verdict.usage.latency_ms / 1000,
    )

"""The budget: what was granted, spent and promised, in money and in hours. Nothing is counted twice, nothing is stored.

Spent is read from the judges' calls and from people's active time, promised from the seats that wait in the queue.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.core.validators import BaseValidator, MaxValueValidator, MinValueValidator
from django.db import connection, transaction

from curation.models import BudgetGrant, RoutingSettings
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.core.models import record
from tiebreak.core.text import TextError, clean_text

LATEST: Final = 5_000  # judgements whose median time prices the next one
ASSUMED_SECONDS: Final = 60.0  # a judgement of a person, until one was timed here
MOST: Final = 10**9  # judgements: more than anybody has, and still to be multiplied
BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "seconds": (0.1, 86_400),
    "hourly_rate": (0, 100_000),
    "hours": (-1e6, 1e6),
    "money": (-1e9, 1e9),
}
# In one pass: grants; what judges and people's time came to (imported judgements were paid for elsewhere); and seats
# open to people or held by them, with those that no router takes back: begun, or sent there by a person.
FIGURES: Final = """
SELECT g.money, g.hours, g.has_money, g.has_hours, calls.spent, time.spent, median.seconds, seats.open + held.n,
  seats.fixed + held.n
FROM (
  SELECT coalesce(sum(money), 0) AS money, coalesce(sum(hours), 0) AS hours,
    coalesce(bool_or(money <> 0), false) AS has_money, coalesce(bool_or(hours <> 0), false) AS has_hours
  FROM curation_budgetgrant WHERE project_id = %(project)s
) AS g, (
  SELECT coalesce(sum(c.price), 0) AS spent
  FROM annotate_judgecall c JOIN annotate_judge j ON j.id = c.judge_id WHERE j.project_id = %(project)s
) AS calls, (
  SELECT coalesce(sum(j.seconds), 0) AS spent
  FROM annotate_judgement j JOIN annotate_rater r ON r.id = j.rater_id
  WHERE r.project_id = %(project)s AND r.kind = 'annotator' AND j.current AND j.form_id IS NOT NULL
) AS time, (
  SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS seconds FROM (
    SELECT j.seconds FROM annotate_judgement j JOIN annotate_rater r ON r.id = j.rater_id
    WHERE r.project_id = %(project)s AND r.kind = 'annotator' AND j.current AND j.form_id IS NOT NULL
      AND j.seconds IS NOT NULL
    ORDER BY j.id DESC LIMIT %(latest)s
  ) AS timed
) AS median, (
  SELECT coalesce(sum(overlap - seats_taken), 0) AS open,
    coalesce(sum(overlap - seats_taken) FILTER (WHERE seats_taken > 0 OR returned_because <> '' OR EXISTS (
      SELECT 1 FROM curation_routingdecision d
      WHERE d.comparison_id = c.id AND d.current AND d.overridden_by_id IS NOT NULL)), 0) AS fixed
  FROM annotate_comparison c WHERE project_id = %(project)s AND status = 'open' AND route = 'human' AND NOT "full"
) AS seats, (
  SELECT count(*) AS n FROM annotate_assignment a JOIN annotate_rater r ON r.id = a.rater_id
  WHERE r.project_id = %(project)s AND a.status IN ('ahead', 'leased') AND a.purpose = 'work'
) AS held
"""


@dataclass(frozen=True, slots=True)
class Ledger:
    """A project's money and hours. What was not granted is None: there is no limit."""

    currency: str
    hourly_rate: Decimal
    seconds: float
    """A person's judgement takes so long."""
    seconds_from: str
    """set, measured or assumed"""
    money: Decimal | None
    hours: float | None
    judges_spent: Decimal
    people_seconds: float
    promised: int
    """People's judgements for which seats are open or held."""
    fixed: int
    """Of those, what no router takes back but one that decides about what is begun, too."""

    @property
    def price(self) -> Decimal:
        """Of one person's judgement."""
        return self.hourly_rate * Decimal(self.seconds) / 3600

    @property
    def people_spent(self) -> Decimal:
        return self.hourly_rate * Decimal(self.people_seconds) / 3600

    @property
    def spent(self) -> Decimal:
        return self.judges_spent + self.people_spent

    @property
    def hours_spent(self) -> float:
        return self.people_seconds / 3600

    @property
    def promised_money(self) -> Decimal:
        return self.price * self.promised

    @property
    def promised_hours(self) -> float:
        return self.seconds * self.promised / 3600

    @property
    def money_left(self) -> Decimal | None:
        """After what is promised; below 0 where more was promised than there is."""
        return None if self.money is None else self.money - self.spent - self.promised_money

    @property
    def hours_left(self) -> float | None:
        return None if self.hours is None else self.hours - self.hours_spent - self.promised_hours

    @property
    def judgements(self) -> int | None:
        """How many judgements of people a router may spread anew; None: as many as it likes.

        What it has promised and can take back is part of them.
        """
        return self.judgements_with(0)

    def judgements_with(self, open_seats: int) -> int | None:
        """`judgements` for a router that can also take back so many open seats of what people have begun."""
        fixed = max(0, self.fixed - open_seats)
        limits = []
        if self.money is not None and self.price > 0:
            limits.append(int((self.money - self.spent) / self.price) - fixed)
        elif self.money is not None and self.money <= 0:
            limits.append(0)  # nothing was granted: it buys nothing, whatever it costs
        if self.hours is not None:
            limits.append(int((self.hours - self.hours_spent) * 3600 / self.seconds + 1e-9) - fixed)
        return max(0, min(MOST, *limits)) if limits else None


def bounds(field: str) -> list[BaseValidator]:
    """For the forms and serializers that take the field."""
    low, high = BOUNDS[field]
    return [MinValueValidator(low), MaxValueValidator(high)]


def settings_of(project: Project) -> RoutingSettings:
    """As they are stored, or as they are where nobody changed them."""
    found = RoutingSettings.objects.filter(project=project).select_related("trusted_by").first()
    return found or RoutingSettings(project=project)


def ledger(project: Project, settings: RoutingSettings | None = None) -> Ledger:
    """Read it anew (a query, and one for the settings)."""
    settings = settings_of(project) if settings is None else settings
    with connection.cursor() as cursor:
        cursor.execute(FIGURES, {"project": project.pk, "latest": LATEST})
        money, hours, has_money, has_hours, judges, spent, median, promised, fixed = cursor.fetchone()
    limited = has_money or project.budget is not None
    return Ledger(
        currency=settings.currency,
        hourly_rate=Decimal(settings.hourly_rate),
        seconds=settings.seconds or (_clamped("seconds", median) if median else ASSUMED_SECONDS),
        seconds_from="set" if settings.seconds else "measured" if median else "assumed",
        money=(project.budget or Decimal(0)) + money if limited else None,
        hours=hours if has_hours else None,
        judges_spent=judges,
        people_seconds=spent,
        promised=promised,
        fixed=fixed,
    )


def for_judges(project: Project) -> Decimal | None:
    """Money that judges may still spend; None: no limit was set."""
    left = ledger(project).money_left
    return None if left is None else max(Decimal(0), left)


def grant(project: Project, *, money: Decimal, hours: float, note: str, by: Any) -> BudgetGrant:
    """So much more, or less where it is negative. Raises Invalid where it is nothing, or beyond BOUNDS."""
    _within_bounds(money=money, hours=hours)
    if not money and not hours:
        raise Invalid("money: expected an amount of money, of hours, or both; got neither.", field="money")
    try:
        note = clean_text(note, field="note", max_chars=300)
    except TextError as error:
        raise Invalid(str(error), field="note") from error
    with transaction.atomic():
        row = BudgetGrant.objects.create(project=project, money=money, hours=hours, note=note, created_by=by)
        record("routing.budget_granted", row, by=by, project=project, money=str(money), hours=hours)
    row.refresh_from_db()
    return row


def configure(project: Project, *, by: Any, **changes: Any) -> RoutingSettings:
    """Change automatic, hourly_rate, currency or seconds. Raises Invalid beyond BOUNDS."""
    _within_bounds(**{name: value for name, value in changes.items() if name in BOUNDS and value is not None})
    with transaction.atomic():
        row, _ = RoutingSettings.objects.select_for_update().get_or_create(project=project)
        before = {name: getattr(row, name) for name in changes}
        for name, value in changes.items():
            setattr(row, name, value)
        row.save(update_fields=list(changes))
        told = {name: [str(before[name]), str(value)] for name, value in changes.items() if before[name] != value}
        if told:
            record("routing.settings_changed", row, by=by, project=project, changes=told)
    return row


def _clamped(field: str, value: float) -> float:
    low, high = BOUNDS[field]
    return min(high, max(low, value))


def _within_bounds(**given: Decimal | float) -> None:
    for field, value in given.items():
        low, high = BOUNDS[field]
        if not (math.isfinite(value) and low <= value <= high):
            raise Invalid(f"{field}: expected {low:,} to {high:,}, got {value}.", field=field)

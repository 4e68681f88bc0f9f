"""Adjudicators' decisions that an import brings: what follows on those that stand here is added to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import F

from annotate import formats
from annotate.formats import Row, RowError
from annotate.models import Adjudication, Comparison, Rater
from annotate.models.raters import WITHDRAWN_NAME
from tiebreak.accounts.models import Membership, Project
from tiebreak.core.models import Event

from .copying import insert
from .pseudonyms import adjudicator_name, pseudonyms_of

RaterKey = tuple[str, str]  # kind, name
Told = Sequence[formats.Adjudication]
Status = Comparison.Status


class Decisions:
    """What was decided of comparisons that a batch may change, and what the batch tells of it."""

    def __init__(self, project: Project, comparisons: Sequence[int]) -> None:
        self.project = project
        self.stored: dict[int, list[Adjudication]] = {}
        found = Adjudication.objects.filter(comparison__in=comparisons).select_related("by", "rater__user")
        for decision in found.order_by("id") if comparisons else ():
            self.stored.setdefault(decision.comparison_id, []).append(decision)

    def news(self, comparison: int, told: Told) -> Told:
        """What comes in the file after the last decision that is stored.

        Where the file does not tell of that one: nothing if it ends with an earlier one, else what is not stored.
        """
        stored = self.stored.get(comparison)
        if not stored:
            return told
        known = [n for n, each in enumerate(told, 1) if self._same(stored[-1], each)]
        if known:
            return told[known[-1] :]
        fresh = [each for each in told if not any(self._same(old, each) for old in stored)]
        return fresh if fresh and fresh[-1] is told[-1] else ()

    def undoes(self, comparison: int, told: Told) -> bool:
        """Whether the file takes back the decision that stands, and tells of no other."""
        stored = self.stored.get(comparison)
        if not stored or not told or not told[-1].undone:
            return False
        return stored[-1].current and self._same(stored[-1], told[-1])

    def _same(self, old: Adjudication, told: formats.Adjudication) -> bool:
        """A time that the file does not tell is no difference."""
        kept = (adjudicator_name(old, self.project), old.preference, old.both_bad, old.reason)
        timed = told.decided_at is None or told.decided_at == old.created_at
        return timed and kept == (told.adjudicator, told.preference, told.both_bad, told.reason)

    @cached_property
    def members(self) -> set[str]:
        """Names that mean somebody with an account here."""
        users = Membership.objects.filter(project=self.project).values_list("user__username", flat=True)
        return {name for user in users for name in (user, *pseudonyms_of(user, self.project))}

    def refusal(self, row: Row, old: Comparison | None, raters: Mapping[RaterKey, Rater]) -> RowError | None:
        """Why what a row tells cannot be stored. What was decided here no file undoes or replaces."""
        pk, told = old.pk if old else 0, row.adjudications
        news = self.news(pk, told)
        if (news or self.undoes(pk, told)) and any(each.by_id for each in self.stored.get(pk, ())):
            return RowError("adjudications", "expected none: it was decided here; leave them out")
        for each in news:
            field = f"adjudications[{next(n for n, one in enumerate(told) if one is each)}].adjudicator"
            rater = raters.get((Rater.Kind.ANNOTATOR, each.adjudicator))
            if rater and WITHDRAWN_NAME.fullmatch(rater.name):
                return RowError(field, f"{each.adjudicator!r} took back what they said: leave it out")
            if (rater and rater.user_id) or each.adjudicator in self.members:
                return RowError(field, f"expected another name: {each.adjudicator!r} is a member of this project")
        return None

    def store(
        self, rows: Iterable[tuple[int, Row]], raters: Mapping[RaterKey, int], now: datetime, run: int | None
    ) -> None:
        """Store what is new beside the ids of comparisons. The last stands unless undone: its comparison is settled."""
        news = {pk: news for pk, row in rows if (news := self.news(pk, row.adjudications))}
        undone = {pk for pk, row in rows if self.undoes(pk, row.adjudications)}
        if not news and not undone:
            return
        changed = [*news, *undone]
        Adjudication.objects.filter(comparison__in=changed, current=True).update(current=False)
        fresh = [(pk, each) for pk, told in news.items() for each in told]
        made: list[dict[str, Any]] = [
            {
                "comparison_id": pk,
                "by_id": None,
                "rater_id": raters[Rater.Kind.ANNOTATOR, each.adjudicator],
                "preference": each.preference,
                "both_bad": each.both_bad,
                "reason": each.reason,
                "current": each is news[pk][-1] and not each.undone,
                "created_at": each.decided_at or now,
            }
            for pk, each in fresh
        ]
        ids = insert(Adjudication, made)
        standing = {row["comparison_id"]: pk for pk, row in zip(ids, made, strict=True) if row["current"]}
        stood = {pk for pk in changed if any(each.current for each in self.stored.get(pk, ()))}
        self._settle(standing, stood - standing.keys())
        events = [self._event("comparison.adjudicated", pk, run, adjudication=made) for pk, made in standing.items()]
        events += [self._event("comparison.reopened", pk, run) for pk in sorted(stood - standing.keys())]
        Event.objects.bulk_create(events)

    def _settle(self, decided: Iterable[int], reopened: Iterable[int]) -> None:
        waiting = Comparison.objects.filter(pk__in=list(decided), status__in=[Status.OPEN, Status.DISPUTED])
        waiting.update(status=Status.SETTLED)
        again = Comparison.objects.filter(pk__in=list(reopened), status=Status.SETTLED)
        again.filter(seats_taken__lt=F("overlap")).update(status=Status.OPEN)
        again.update(status=Status.DISPUTED)

    def _event(self, verb: str, comparison: int, run: int | None, **data: Any) -> Event:
        """By which the consensus follows."""
        return Event(
            verb=verb,
            target_type=Comparison._meta.label_lower,
            target_id=str(comparison),
            project=self.project,
            data=data | {"import": run},
        )

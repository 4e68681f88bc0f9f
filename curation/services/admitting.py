"""Which judges may settle a comparison: those that gold, or the audit slice, shows to be better than a coin.

Voting and calibration amplify whichever side of chance a judge is on, so nothing is labelled by a judge that nobody has
checked. An owner of the risk may let such a judge settle, in writing, and every page says that they did; one that was
checked and is no better than a coin settles nothing, whoever trusts it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from annotate.models import Rater
from curation.models import RoutingSettings
from curation.stats import Estimate, wilson
from curation.stats.anchoring import LEAST, admission
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.core.models import record
from tiebreak.core.text import TextError, clean_text

from .evidence import Judges
from .panels import panel

WINDOW: Final = 50  # the latest gold counts by itself: a judge may have changed
# Each judge beside what is known of a comparison, the latest judged first. A judge's tie is a miss.
ON_GOLD: Final = """
SELECT j.rater_id, sign(sum(j.preference)) = sign(c.gold)
FROM annotate_judgement j JOIN annotate_comparison c ON c.id = j.comparison_id
JOIN annotate_rater r ON r.id = j.rater_id
WHERE c.project_id = %(project)s AND c.gold <> 0 AND c.status <> 'withdrawn'
  AND r.kind = 'judge' AND j.current AND j.preference IS NOT NULL
GROUP BY j.rater_id, c.id, c.gold ORDER BY max(j.id) DESC
"""
# The same beside people's majority, where the audit asked people whatever the judge had said.
ON_AUDIT: Final = """
WITH people AS (
  SELECT j.comparison_id, sign(sum(sign(j.preference))) AS side
  FROM annotate_judgement j JOIN annotate_rater r ON r.id = j.rater_id
  LEFT JOIN annotate_assignment s ON s.id = j.assignment_id
  WHERE r.project_id = %(project)s AND r.kind = 'annotator' AND j.current AND j.preference IS NOT NULL
    AND coalesce(s.purpose, 'work') <> 'repeat'
    AND j.comparison_id IN (SELECT d.comparison_id FROM curation_routingdecision d WHERE d.audit)
  GROUP BY 1 HAVING sum(sign(j.preference)) <> 0
)
SELECT j.rater_id, sign(sum(j.preference)) = p.side
FROM annotate_judgement j JOIN people p ON p.comparison_id = j.comparison_id
JOIN annotate_rater r ON r.id = j.rater_id
WHERE r.project_id = %(project)s AND r.kind = 'judge' AND j.current AND j.preference IS NOT NULL
GROUP BY j.rater_id, j.comparison_id, p.side ORDER BY max(j.id) DESC
"""


class Admission(StrEnum):
    ADMITTED = "admitted"
    REFUSED = "refused"
    UNPROVEN = "too little gold"


class Standing(NamedTuple):
    """Where one judge stands in one project."""

    admission: Admission
    by: str
    """gold or audit; empty where neither has enough"""
    gold: Estimate
    """Share right of the decided gold comparisons that it judged."""
    recent: Estimate
    """The same of the latest WINDOW of them."""
    audit: Estimate
    """Share of people's side in the audit slice."""

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        if self.admission == Admission.UNPROVEN:
            return f"{self.gold.n} decided gold pairs and {self.audit.n} audited ones; {LEAST} of either are the least"
        checked, of = (self.gold, "gold") if self.by == "gold" else (self.audit, "the audit slice")
        if self.admission == Admission.REFUSED and self.by == "gold" and _surely(self.gold):
            return f"right on {_told(self.recent)} of the latest gold, {_told(self.gold)} of all: it has changed"
        return f"right on {_told(checked)} of {of}; more than half is needed at the lower end"


def _told(share: Estimate) -> str:
    return f"{share.value:.0%} ({share.low:.0%}–{share.high:.0%}, n {share.n})"


def _surely(share: Estimate) -> bool:
    """Better than a coin, as far as it was checked."""
    return admission(round((share.value or 0.0) * share.n), share.n).admitted


def stand(gold: Sequence[bool], audit: Sequence[bool]) -> Standing:
    """Judge by right and wrong, the latest first. Gold decides where there is enough of it, else the audit slice."""
    all_of_it, recent, audited = _share(gold, "no gold"), _share(gold[:WINDOW], "no gold"), _share(audit, "no audit")
    if len(gold) >= LEAST:
        admitted, by = _surely(all_of_it) and _surely(recent), "gold"
    elif len(audit) >= LEAST:
        admitted, by = _surely(audited), "audit"
    else:
        return Standing(Admission.UNPROVEN, "", all_of_it, recent, audited)
    return Standing(Admission.ADMITTED if admitted else Admission.REFUSED, by, all_of_it, recent, audited)


def _share(right: Sequence[bool], reason: str) -> Estimate:
    return wilson(sum(right), len(right)) if right else Estimate(None, reason=reason)


def standings(project: Project) -> dict[Rater, Standing]:
    """Each judge of the project, by its rater (three queries)."""
    gold, audit = (_checked(query, project) for query in (ON_GOLD, ON_AUDIT))
    raters = Rater.objects.filter(project=project, kind=Rater.Kind.JUDGE).select_related("judge").order_by("name")
    return {rater: stand(gold.get(rater.pk, []), audit.get(rater.pk, [])) for rater in raters}


def _checked(query: str, project: Project) -> dict[int, list[bool]]:
    found: dict[int, list[bool]] = {}
    with connection.cursor() as cursor:
        cursor.execute(query, {"project": project.pk})
        for rater, right in cursor.fetchall():
            found.setdefault(rater, []).append(right)
    return found


def judges(project: Project) -> Judges:
    """Whose verdicts may settle, and whose may only order the work; a refused judge's do neither.

    Where somebody trusts the judges without gold, those settle too of which gold says nothing yet.
    """
    held = standings(project)
    admitted, unproven = _with(held, Admission.ADMITTED), _with(held, Admission.UNPROVEN)
    if trusted(project):
        return Judges([*admitted, *unproven], [])
    return Judges(admitted, unproven, panel(project, admitted))


def muted(project: Project) -> list[int]:
    """Judges that gold or the audit refuses, by the ids of their raters: no label is made of what they say."""
    return sorted(_with(standings(project), Admission.REFUSED))


def _with(held: Mapping[Rater, Standing], admission: Admission) -> list[int]:
    return [rater.pk for rater, standing in held.items() if standing.admission == admission]


def trusted(project: Project) -> bool:
    return RoutingSettings.objects.filter(project=project, trusted_at__isnull=False).exists()


def trust(project: Project, because: str, *, by: Any) -> RoutingSettings:
    """Let judges settle comparisons without gold or audit, in your name. Raises Invalid without a reason."""
    because = reason(because)
    return _set_trust(project, because, by=by, event="routing.judges_trusted")


def distrust(project: Project, *, by: Any) -> RoutingSettings:
    """Back to the rule: only judges that gold or the audit slice admits settle anything."""
    return _set_trust(project, "", by=by, event="routing.trust_withdrawn")


def _set_trust(project: Project, because: str, *, by: Any, event: str) -> RoutingSettings:
    with transaction.atomic():
        row, _ = RoutingSettings.objects.get_or_create(project=project)
        row.trusted_because, row.trusted_by = because, by if because else None
        row.trusted_at = timezone.now() if because else None
        row.save(update_fields=["trusted_because", "trusted_by", "trusted_at"])
        record(event, row, by=by, project=project, because=because)
    return row


def reason(text: str, field: str = "because", most: int = 300) -> str:
    """A reason that was given; raises Invalid where it is empty or cannot be stored."""
    try:
        text = clean_text(text, field=field, max_chars=most).strip()
    except TextError as error:
        raise Invalid(str(error), field=field) from error
    if not text:
        raise Invalid(f"{field}: say why; it is kept with the decision.", field=field)
    return text

"""An answered form: what may be said on it, and how it is stored in terms of a and b."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import connection
from django.db.models import Min
from django.utils.translation import gettext as _

from annotate import policies
from annotate.models import Assignment, Form, Judgement, Rater, Rubric
from tiebreak.core.errors import Invalid
from tiebreak.core.text import TextError, clean_text

MAX_JUSTIFICATION_CHARS: Final = 20_000
MAX_SECONDS: Final = 24 * 3600.0
MAX_SPANS: Final = 50
MAX_SPAN_CHARS: Final = 2_000
MAX_POSITION: Final = 10_000_000
MAX_CONFIDENCE: Final = 3
SIDES: Final = ("left", "right")
CHECKS: Final = (*SIDES, "both", "neither")
OVERALL: Final = "overall"

# A justification of so many characters that stood in so many of a rater's last ones is asked about once.
REPEATED_CHARS: Final = 20
REPEATED_IN: Final = 2
REPEATED_OF: Final = 5


class Span(NamedTuple):
    """A highlighted piece of a response: evidence. Positions are characters of its text as shown."""

    side: str
    exact: str
    start: int
    end: int


@dataclass(frozen=True)
class Answer:
    """One answered form, as the screen stood: below 0 the left response is better, above 0 the right one."""

    choice: int | None
    both_bad: bool = False
    aspects: Mapping[str, int] = field(default_factory=dict)
    ratings: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # {aspect: {left: n, right: n}}
    confidence: Mapping[str, int] = field(default_factory=dict)  # {aspect, or "overall": 1 to 3}
    checks: Mapping[str, str] = field(default_factory=dict)  # {criterion's id: left, right, both or neither}
    evidence: tuple[Span, ...] = ()
    justification: str = ""
    reasons: tuple[str, ...] = ()
    seconds: float | None = None
    confirm_repeat: bool = False  # "yes, the same justification again"

    def as_draft(self) -> dict[str, Any]:
        """The shape of `Assignment.draft`, which the form is filled from again."""
        seldom = {
            "ratings": {key: dict(rated) for key, rated in self.ratings.items()},
            "confidence": dict(self.confidence),
            "checks": dict(self.checks),
            "evidence": [span._asdict() for span in self.evidence],
        }
        return {
            "choice": self.choice,
            "both_bad": self.both_bad,
            "aspects": dict(self.aspects),
            **{name: value for name, value in seldom.items() if value},
            "justification": self.justification,
            "reasons": list(self.reasons),
            "active_ms": None if self.seconds is None else round(self.seconds * 1000),
        }


def said(answer: Answer, order: str) -> dict[str, Any]:
    """An answer in terms of a and b: the columns of a judgement."""
    named = _names(order)
    return {
        "preference": None if answer.choice is None else policies.to_identity(answer.choice, order),
        "both_bad": answer.both_bad,
        "aspects": {key: policies.to_identity(value, order) for key, value in answer.aspects.items()},
        "ratings": {key: {named[side]: n for side, n in rated.items()} for key, rated in answer.ratings.items()},
        "confidence": dict(answer.confidence),
        "checks": {key: named.get(value, value) for key, value in answer.checks.items()},
        "evidence": [span._asdict() | {"side": named[span.side]} for span in dict.fromkeys(answer.evidence)],
        "reasons": list(dict.fromkeys(answer.reasons)),
        "justification": answer.justification,
        "seconds": answer.seconds,
    }


def as_seen(judgement: Judgement) -> Answer:
    """What a judgement says, in terms of the screen that its rater saw: the inverse of `said`."""
    order = judgement.order or policies.ORDERS[0]
    shown = {name: side for side, name in _names(order).items()}
    return Answer(
        choice=None if judgement.preference is None else policies.to_screen(judgement.preference, order),
        both_bad=judgement.both_bad,
        aspects={key: policies.to_screen(value, order) for key, value in judgement.aspects.items()},
        ratings={key: {shown[name]: n for name, n in rated.items()} for key, rated in judgement.ratings.items()},
        confidence=judgement.confidence,
        checks={key: shown.get(value, value) for key, value in judgement.checks.items()},
        evidence=tuple(
            Span(shown[span["side"]], span["exact"], span["start"], span["end"]) for span in judgement.evidence
        ),
        justification=judgement.justification,
        reasons=tuple(judgement.reasons),
        seconds=judgement.seconds,
    )


def timed(answer: Answer, assignment: Assignment, *, now: datetime) -> Answer:
    """The answer with no more active time than has passed since its rater first had the comparison.

    The browser's figure is its own; the server's clock bounds it.
    """
    if answer.seconds is None or answer.seconds <= _since(assignment.created_at, now):
        return answer
    readings = Assignment.objects.filter(
        rater=assignment.rater_id, comparison=assignment.comparison_id, repeat=assignment.repeat
    )
    began = readings.aggregate(began=Min("created_at"))["began"] or assignment.created_at
    return replace(answer, seconds=min(answer.seconds, _since(began, now)))


def check(answer: Answer, form: Form) -> None:
    """Raise Invalid for the first thing that the form does not allow; its `errors` name every field and why."""
    if errors := complaints(answer, form):
        first, message = next(iter(errors.items()))
        raise Invalid(message, field=first, errors=errors)


def complaints(answer: Answer, form: Form) -> dict[str, str]:
    """What the form does not allow, by field, such as `aspects.tone`."""
    parts = (_choice, _aspects, _ratings, _confidence, _checks, _evidence, _justification, _reasons, _seconds)
    errors: dict[str, str] = {}
    for part in parts:
        for name, message in part(answer, form):
            errors.setdefault(name, message)
    return errors


def check_fresh(answer: Answer, rater: Rater, *, besides: int) -> None:
    """Raise Invalid where the justification stood word for word in two of the rater's last five; confirmed, it stands.

    `besides` is the comparison in hand, whose own earlier revisions are no repetition.
    """
    text = _plain(answer.justification)
    if answer.confirm_repeat or len(text) < REPEATED_CHARS:
        return
    with connection.cursor() as cursor:  # with every answer: the ORM would take longer over it than the database
        cursor.execute(LAST, [rater.pk, besides, REPEATED_OF])
        same = sum(_plain(other) == text for (other,) in cursor.fetchall())
    if same >= REPEATED_IN:
        raise Invalid(
            _(
                "This justification is the same as in %(count)s of your last %(of)s answers: say what is particular "
                "here, or confirm that the same words fit here too."
            )
            % {"count": same, "of": REPEATED_OF},
            code="justification_repeated",
            field="justification",
        )


LAST: Final = """
SELECT justification FROM annotate_judgement WHERE rater_id = %s AND current AND comparison_id <> %s
ORDER BY submitted_at DESC LIMIT %s
"""


def kind_of(aspect: Mapping[str, Any]) -> str:
    """`preference` (which is better) or `rating` (each by itself); forms from before ratings say nothing."""
    return str(aspect.get("kind") or "preference")


def criteria_of(form: Form | None) -> list[Any]:
    """The criteria of the form's rubric, once it is approved."""
    rubric = form.rubric if form else None
    if rubric is None or rubric.status != Rubric.Status.APPROVED:
        return []
    return list(rubric.criteria.all())


Complaints = Iterator[tuple[str, str]]


def _choice(answer: Answer, form: Form) -> Complaints:
    if answer.both_bad and not form.allow_both_bad:
        yield "both_bad", _("This form does not offer “both bad”.")
    if answer.choice is None:
        if not answer.both_bad:
            yield "choice", _("Choose which response is better, and by how much.")
        return
    values = policies.screen_values(form.levels, allow_tie=form.allow_tie)
    if answer.choice == 0 and not form.allow_tie:
        yield "choice", _("This form does not allow a tie: choose a side.")
    elif answer.choice not in values:
        yield "choice", _expected(values, answer.choice)


def _aspects(answer: Answer, form: Form) -> Complaints:
    values = policies.screen_values(form.levels, allow_tie=True)  # an aspect may be even where a side must be chosen
    known = _keys(form, "preference")
    for key, value in answer.aspects.items():
        if key not in known:
            yield "aspects", _no_such(_("aspect"), key)
        elif value not in values:
            yield f"aspects.{key}", _expected(values, value)


def _ratings(answer: Answer, form: Form) -> Complaints:
    values, known = range(1, form.rating_max + 1), _keys(form, "rating")
    for key, rated in answer.ratings.items():
        if key not in known:
            yield "ratings", _no_such(_("rating"), key)
            continue
        for side in sorted(set(SIDES) - set(rated)):
            yield f"ratings.{key}.{side}", _("Rate both responses, or neither.")
        for side, value in rated.items():
            if side not in SIDES or value not in values:
                yield f"ratings.{key}.{side}", _("Expected 1 to %(max)s, got %(got)s.") % {
                    "max": form.rating_max, "got": value,
                }  # fmt: skip


def _confidence(answer: Answer, form: Form) -> Complaints:
    known = {OVERALL, *(aspect["key"] for aspect in form.aspects)} if form.confidence else set()
    for key, value in answer.confidence.items():
        if key not in known:
            yield "confidence", _no_such(_("confidence"), key)
        elif not 1 <= value <= MAX_CONFIDENCE:
            yield f"confidence.{key}", _("Expected 1 to %(max)s, got %(got)s.") % {"max": MAX_CONFIDENCE, "got": value}


def _checks(answer: Answer, form: Form) -> Complaints:
    if not answer.checks:
        return
    known = {str(criterion.pk) for criterion in criteria_of(form)} if form.checklist else set()
    for key, value in answer.checks.items():
        if key not in known:
            yield "checks", _no_such(_("criterion"), key)
        elif value not in CHECKS:
            yield f"checks.{key}", _expected(CHECKS, value[:60])


def _evidence(answer: Answer, form: Form) -> Complaints:
    if answer.evidence and not form.evidence:
        yield "evidence", _("This form asks for no highlights.")
    if len(answer.evidence) > MAX_SPANS:
        yield "evidence", _("At most %(most)s highlights, got %(got)s.") % {
            "most": MAX_SPANS, "got": len(answer.evidence),
        }  # fmt: skip
    for number, span in enumerate(answer.evidence[:MAX_SPANS], 1):
        if wrong := _wrong_span(span):
            yield "evidence", _("Highlight %(number)s: %(wrong)s") % {"number": number, "wrong": wrong}


def _wrong_span(span: Span) -> str:
    if span.side not in SIDES:
        return _expected(SIDES, span.side[:60])
    if not 0 <= span.start < span.end <= MAX_POSITION:
        return _("its end must come after its start.")
    if not span.exact.strip():
        return _("it holds no text.")
    return _unstorable(span.exact, "text", MAX_SPAN_CHARS)


def _justification(answer: Answer, form: Form) -> Complaints:
    if wrong := _unstorable(answer.justification, "justification", MAX_JUSTIFICATION_CHARS):
        yield "justification", wrong
        return
    length = len(answer.justification.strip())
    if form.justification == Form.Justification.OFF:
        if length:
            yield "justification", _("This form asks for no justification.")
        return
    wanted = form.justification == Form.Justification.REQUIRED
    if wanted and not length:
        yield "justification", _("Say why: this project asks for a justification.")
    elif (wanted or length) and length < form.min_justification:
        yield "justification", _("At least %(least)s characters are wanted; there are %(length)s.") % {
            "least": form.min_justification, "length": length,
        }  # fmt: skip


def _reasons(answer: Answer, form: Form) -> Complaints:
    for reason in answer.reasons:
        if reason not in form.reasons:
            yield "reasons", _no_such(_("reason"), reason)


def _seconds(answer: Answer, form: Form) -> Complaints:
    if answer.seconds is not None and not 0 <= answer.seconds <= MAX_SECONDS:
        yield "seconds", f"Expected 0 to {MAX_SECONDS:.0f} seconds, got {answer.seconds}."


def _keys(form: Form, kind: str) -> set[str]:
    return {aspect["key"] for aspect in form.aspects if kind_of(aspect) == kind}


def _names(order: str) -> dict[str, str]:
    """What stands on each side in this order: {left: a, right: b}, or the other way round."""
    return dict(zip(SIDES, policies.sides("a", "b", order), strict=True))


def _since(then: datetime, now: datetime) -> float:
    return min(max((now - then).total_seconds(), 0.0), MAX_SECONDS)


def _plain(text: str) -> str:
    """For comparing: the same words in other spacing or capitals are the same words."""
    return " ".join(text.split()).casefold()


def _unstorable(text: str, name: str, most: int) -> str:
    try:
        clean_text(text, field=name, max_chars=most)
    except TextError as error:
        return str(error)
    return ""


def _expected(values: Any, got: object) -> str:
    listed = ", ".join(map(str, values))
    return _("Expected one of %(listed)s, got %(got)s.") % {"listed": listed, "got": got}


def _no_such(what: str, key: str) -> str:
    return _("There is no %(what)s '%(key)s' in this form.") % {"what": what, "key": key[:60]}

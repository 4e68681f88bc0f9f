"""An answered form: what it may say, what is stored of it, and what stands on the screen again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils.datastructures import MultiValueDict

from annotate.forms import AnswerForm, as_typed, posted_as
from annotate.models import Assignment, Criterion, Form, Judgement, Rubric
from annotate.services import answers
from annotate.services.answers import Answer, Span, as_seen, check_fresh, complaints, said, timed
from tests.build import make_comparison, make_judgement, make_project, make_rater
from tiebreak.core.errors import Invalid

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
FULL = Answer(
    choice=-2,
    aspects={"tone": 1},
    ratings={"depth": {"left": 4, "right": 2}},
    confidence={"tone": 3, "overall": 1},
    checks={"7": "left", "8": "both", "9": "neither"},
    evidence=(Span("left", "so it is", 3, 11), Span("right", "no", 0, 2)),
    justification="Clearer.",
    reasons=("facts",),
    seconds=4.5,
)


def asks(**fields: Any) -> Form:
    """A form that asks for everything."""
    aspects = [{"key": "tone", "label": "Tone"}, {"key": "depth", "label": "Depth", "kind": "rating"}]
    return Form(**{"aspects": aspects, "confidence": True, "reasons": ["facts"], "rating_max": 5} | fields)


# Stored


def test_an_answer_is_stored_in_terms_of_a_and_b_in_every_part() -> None:
    # Order ba: b stood left. What favoured the left favours b (above 0), what the left met b met.
    stored = said(FULL, "ba")
    assert (stored["preference"], stored["aspects"]) == (2, {"tone": -1})
    assert stored["ratings"] == {"depth": {"b": 4, "a": 2}}
    assert stored["confidence"] == {"tone": 3, "overall": 1}
    assert stored["checks"] == {"7": "b", "8": "both", "9": "neither"}
    assert stored["evidence"] == [
        {"side": "b", "exact": "so it is", "start": 3, "end": 11},
        {"side": "a", "exact": "no", "start": 0, "end": 2},
    ]


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_what_was_stored_is_seen_again_as_it_was_said(order: str) -> None:
    assert as_seen(Judgement(order=order, **said(FULL, order))) == FULL


def test_the_same_highlight_twice_is_stored_once() -> None:
    twice = replace(FULL, evidence=(FULL.evidence[0],) * 2)
    assert len(said(twice, "ab")["evidence"]) == 1


def test_a_draft_holds_all_and_comes_back_by_the_names_of_the_fields() -> None:
    draft = json.loads(json.dumps(FULL.as_draft()))
    typed = as_typed(draft)
    assert (typed["choice"], typed["aspect_tone"], typed["active_ms"]) == (-2, 1, 4500)
    assert (typed["rating_depth_left"], typed["rating_depth_right"]) == (4, 2)
    assert (typed["confidence_tone"], typed["confidence_overall"], typed["check_8"]) == (3, 1, "both")
    assert json.loads(typed["evidence"])[0] == {"side": "left", "exact": "so it is", "start": 3, "end": 11}


def test_a_draft_that_is_posted_again_says_the_same() -> None:
    typed = {name: value for name, value in as_typed(FULL.as_draft()).items() if not isinstance(value, dict)}
    listed = {name: value if isinstance(value, list) else [str(value)] for name, value in typed.items()}
    form = AnswerForm(MultiValueDict({**listed, "both_bad": []}))
    form.full_clean()
    assert form.answer() == FULL


def test_the_same_fields_as_json_say_the_same() -> None:
    body = {"choice": -2, "aspect_tone": 1, "rating_depth_left": 4, "rating_depth_right": 2, "confidence_tone": 3,
            "confidence_overall": 1, "check_7": "left", "check_8": "both", "check_9": "neither",
            "evidence": [span._asdict() for span in FULL.evidence], "justification": "Clearer.",
            "reasons": ["facts"], "active_ms": 4500}  # fmt: skip
    form = AnswerForm.of_json(body)
    form.full_clean()
    assert form.answer() == FULL


@pytest.mark.parametrize(
    "evidence",
    [
        "{", "7", "[7]", '[{"side": "left"}]', '[{"side": "left", "exact": 3, "start": 0, "end": 1}]',
        '[{"side": "left", "exact": "x", "start": "0", "end": 1}]',
        '[{"side": "left", "exact": "x", "start": true, "end": 2}]', '"x"', '[["left", "x", 0, 1]]',
    ],
)  # fmt: skip
def test_highlights_that_cannot_be_read_are_an_error_of_their_field(evidence: str) -> None:
    form = AnswerForm(MultiValueDict({"evidence": [evidence], "choice": ["1"]}))
    assert "evidence" in form.errors
    assert form.answer().choice == 1  # what can be read is kept


@pytest.mark.parametrize("active_ms", ["-5", "soon", "1e9", "٣", "9" * 40, ""])
def test_a_clock_that_is_off_costs_nobody_their_answer(active_ms: str) -> None:
    form = AnswerForm(MultiValueDict({"active_ms": [active_ms], "choice": ["1"]}))
    assert "active_ms" not in form.errors
    assert form.answer().seconds is None


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("choice", "choice"), ("aspects.tone", "aspect_tone"), ("ratings.a_b.left", "rating_a_b_left"),
        ("confidence.overall", "confidence_overall"), ("checks.12", "check_12"), ("seconds", "active_ms"),
        ("aspects", "aspects"),
    ],
)  # fmt: skip
def test_a_field_of_the_service_has_its_posted_name(field: str, name: str) -> None:
    assert posted_as(field) == name


# Refused


def span(**fields: Any) -> Span:
    return Span(**{"side": "left", "exact": "x", "start": 0, "end": 1} | fields)


@pytest.mark.parametrize(
    ("form", "answer", "field", "words"),
    [
        ({}, {"ratings": {"tone": {"left": 1, "right": 1}}}, "ratings", "no rating 'tone'"),  # it is a preference
        ({}, {"aspects": {"depth": 1}}, "aspects", "no aspect 'depth'"),  # and that one is a rating
        ({}, {"ratings": {"depth": {"left": 1}}}, "ratings.depth.right", "both responses"),
        ({}, {"ratings": {"depth": {"left": 6, "right": 1}}}, "ratings.depth.left", "1 to 5, got 6"),
        ({}, {"ratings": {"depth": {"left": 0, "right": 1}}}, "ratings.depth.left", "got 0"),
        ({}, {"ratings": {"depth": {"left": 1, "right": 1, "top": 1}}}, "ratings.depth.top", "got 1"),
        ({}, {"confidence": {"depth": 4}}, "confidence.depth", "1 to 3, got 4"),
        ({}, {"confidence": {"wit": 1}}, "confidence", "'wit'"),
        ({"confidence": False}, {"confidence": {"overall": 1}}, "confidence", "'overall'"),
        ({}, {"checks": {"7": "left"}}, "checks", "no criterion '7'"),  # the form has no checklist
        ({"evidence": False}, {"evidence": (span(),)}, "evidence", "no highlights"),
        ({}, {"evidence": (span(),) * 51}, "evidence", "At most 50"),
        ({}, {"evidence": (span(side="top"),)}, "evidence", "left, right, got top"),
        ({}, {"evidence": (span(start=1),)}, "evidence", "after its start"),
        ({}, {"evidence": (span(start=-1),)}, "evidence", "after its start"),
        ({}, {"evidence": (span(end=10**9),)}, "evidence", "after its start"),
        ({}, {"evidence": (span(exact=" "),)}, "evidence", "no text"),
        ({}, {"evidence": (span(exact="a\x00"),)}, "evidence", "NUL"),
        ({}, {"evidence": (span(exact="x" * 2001),)}, "evidence", "2,000"),
    ],
)
def test_what_the_form_does_not_ask_is_refused_by_field(
    form: dict[str, Any], answer: dict[str, Any], field: str, words: str
) -> None:
    errors = complaints(Answer(choice=1, **answer), asks(**form))
    assert words in errors[field]


def test_every_field_that_is_wrong_is_named_at_once() -> None:
    wrong = Answer(choice=9, aspects={"tone": 9}, justification="no")
    form = asks(justification="required", min_justification=10)
    assert list(complaints(wrong, form)) == ["choice", "aspects.tone", "justification"]
    with pytest.raises(Invalid) as caught:
        answers.check(wrong, form)
    assert caught.value.params["field"] == "choice"
    assert set(caught.value.params["errors"]) == {"choice", "aspects.tone", "justification"}


def test_an_answer_that_says_all_that_is_asked_is_taken() -> None:
    assert complaints(replace(FULL, checks={}), asks()) == {}


@pytest.mark.django_db
def test_the_checklist_is_of_the_approved_rubric() -> None:
    project = make_project("chat")
    rubric = Rubric.objects.create(project=project, name="facts", version=1)
    criterion = Criterion.objects.create(rubric=rubric, position=1, kind="principle", text="Names its sources")
    form = asks(checklist=True, rubric=rubric)
    met, odd = {str(criterion.pk): "both"}, {str(criterion.pk): "a"}
    assert "checks" in complaints(Answer(choice=1, checks=met), form)  # a draft: nobody judges by it
    rubric.status = Rubric.Status.APPROVED
    assert complaints(Answer(choice=1, checks=met), form) == {}
    assert "got a" in complaints(Answer(choice=1, checks=odd), form)[f"checks.{criterion.pk}"]
    assert "checks" in complaints(Answer(choice=1, checks={"0": "both"}), form)


# The same justification again

TEXT = "The left one names its sources."


def wrote(project: Any, rater: Any, *texts: str) -> None:
    """The rater's judgements, the newest last."""
    for number, text in enumerate(texts):
        at = NOW + timedelta(minutes=number)
        make_judgement(make_comparison(project), rater, 1, justification=text, submitted_at=at)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("before", "text", "refused"),
    [
        ([TEXT, TEXT], TEXT, True),
        ([TEXT, TEXT], "the  LEFT one\nnames its sources. ", True),  # spacing and capitals are no difference
        ([TEXT], TEXT, False),  # once may happen
        ([TEXT, TEXT], "The left one names some sources.", False),
        (["Shorter.", "Shorter."], "Shorter.", False),  # fewer than 20 characters
        ([TEXT, TEXT, "1", "2", "3", "4"], TEXT, False),  # one of the last five
        ([TEXT, TEXT, "1", "2", "3"], TEXT, True),  # both among the last five
    ],
)
def test_a_justification_pasted_again_and_again_is_asked_about(before: list[str], text: str, refused: bool) -> None:
    project = make_project()
    rater, here = make_rater(project), make_comparison(project)
    wrote(project, rater, *before)
    answer = Answer(choice=1, justification=text)
    if not refused:
        return check_fresh(answer, rater, besides=here.pk)
    with pytest.raises(Invalid, match="is the same as in 2 of your last 5") as caught:
        check_fresh(answer, rater, besides=here.pk)
    assert (caught.value.code, caught.value.params["field"]) == ("justification_repeated", "justification")
    return check_fresh(replace(answer, confirm_repeat=True), rater, besides=here.pk)


@pytest.mark.django_db
def test_only_ones_own_other_answers_count_as_repeated(django_assert_max_num_queries: Any) -> None:
    project = make_project()
    me, other = make_rater(project), make_rater(project)
    wrote(project, other, TEXT, TEXT)
    wrote(project, me, TEXT)
    mine = Judgement.objects.get(rater=me)
    make_judgement(make_comparison(project), me, 1, justification=TEXT)
    answer = Answer(choice=1, justification=TEXT)
    check_fresh(answer, me, besides=mine.comparison_id)
    with django_assert_max_num_queries(1), pytest.raises(Invalid):
        check_fresh(answer, me, besides=0)


# Time


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(30.0, 30.0), (90.0, 60.0), (1e12, 60.0), (None, None)],  # a minute has passed by the server's clock
)
def test_no_more_time_counts_than_has_passed(seconds: float | None, expected: float | None) -> None:
    project = make_project()
    assignment = Assignment.objects.create(
        comparison=make_comparison(project), rater=make_rater(project), order="ab", expires_at=NOW, created_at=NOW
    )
    answer = Answer(choice=1, seconds=seconds)
    assert timed(answer, assignment, now=NOW + timedelta(minutes=1)).seconds == expected


@pytest.mark.django_db
def test_time_spent_under_an_earlier_lease_of_the_same_comparison_counts() -> None:
    project = make_project()
    comparison, rater = make_comparison(project), make_rater(project)
    hour = timedelta(hours=1)
    Assignment.objects.create(
        comparison=comparison, rater=rater, order="ab", status="expired", created_at=NOW - hour
    )  # fmt: skip
    again = Assignment.objects.create(
        comparison=comparison, rater=rater, order="ab", expires_at=NOW + hour, created_at=NOW
    )  # fmt: skip
    assert timed(Answer(choice=1, seconds=300.0), again, now=NOW).seconds == 300.0


@pytest.mark.django_db
def test_a_clock_of_the_server_that_went_back_costs_time_and_no_answer() -> None:
    project = make_project()
    assignment = Assignment.objects.create(
        comparison=make_comparison(project), rater=make_rater(project), order="ab", expires_at=NOW, created_at=NOW
    )
    assert timed(Answer(choice=1, seconds=5.0), assignment, now=NOW - timedelta(hours=1)).seconds == 0.0

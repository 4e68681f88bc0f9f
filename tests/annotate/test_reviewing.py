"""Decisions of experts: who may take them, what they change, what they leave alone, and who is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from annotate.models import Adjudication, Comment, Comparison, Judgement, Rater, Review
from annotate.services import commenting, judging, reviewing
from annotate.services.answers import Answer
from tests import build
from tiebreak.accounts.models import Membership, User
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Conflict, DomainError, Invalid, NotAllowed, NotFound
from tiebreak.core.models import Event

pytestmark = pytest.mark.django_db


def make_disputed(**form: Any) -> Comparison:
    """A comparison with one vote for each side, in a project with one member of each role."""
    project = build.make_project("court", **({"overlap": 2} | form))
    for role in Role.values:
        build.make_member(project, role, name=f"the-{role}")
    comparison = build.make_comparison(project, "c1")
    build.make_judgements(comparison, "AB")
    Comparison.objects.filter(pk=comparison.pk).update(status="disputed")
    comparison.refresh_from_db()
    return comparison


@pytest.fixture
def comparison() -> Comparison:
    return make_disputed()


def one(role: str) -> User:
    return User.objects.get(username=f"the-{role}")


def said_by(comparison: Comparison, user: User, preference: int | None = -1) -> Judgement:
    """A judgement of the user's own, in a seat more."""
    Comparison.objects.filter(pk=comparison.pk).update(overlap=F("overlap") + 1)
    rater = Rater.objects.create(project=comparison.project, kind="annotator", name=user.username, user=user)
    return build.make_judgement(comparison, rater, preference)


def verbs() -> list[str]:
    return list(Event.objects.order_by("id").values_list("verb", flat=True))


def decide(comparison: Comparison, preference: int | None = -2, **given: Any) -> Adjudication:
    by = given.pop("by", None) or one("adjudicator")
    both_bad, reason = given.pop("both_bad", False), given.pop("reason", "B invents its source.")
    return reviewing.adjudicate(comparison, preference, both_bad, reason, by=by, **given)


def test_a_decision_settles_a_disputed_comparison_and_is_kept_with_its_reason(comparison: Comparison) -> None:
    decision = decide(comparison)
    comparison.refresh_from_db()
    assert (comparison.status, decision.current, decision.preference) == ("settled", True, -2)
    assert (decision.by, decision.reason) == (one("adjudicator"), "B invents its source.")
    event = Event.objects.get(verb="comparison.adjudicated")
    assert event.data == {
        "adjudication": decision.pk, "preference": -2, "both_bad": False, "was": "disputed", "replaced": None,
        "own": False,
    }  # fmt: skip
    assert list(comparison.judgements.values_list("preference", "current")) == [(-1, True), (1, True)]


@pytest.mark.parametrize("status", ["open", "settled"])
def test_what_is_not_disputed_can_be_decided_too(comparison: Comparison, status: str) -> None:
    Comparison.objects.filter(pk=comparison.pk).update(status=status)
    decide(comparison)
    assert Comparison.objects.get().status == "settled"


def test_a_withdrawn_comparison_is_not_decided(comparison: Comparison) -> None:
    Comparison.objects.filter(pk=comparison.pk).update(status="withdrawn")
    with pytest.raises(Conflict, match="withdrawn"):
        decide(comparison)
    assert not Adjudication.objects.exists()


def test_the_same_decision_sent_twice_is_one(comparison: Comparison) -> None:
    assert decide(comparison) == decide(comparison)
    assert verbs().count("comparison.adjudicated") == 1


def test_a_later_decision_replaces_the_one_it_saw_which_is_kept(comparison: Comparison) -> None:
    first = decide(comparison)
    second = decide(comparison, 1, by=one("curator"), reason="It does not.", replacing=first.pk)
    assert list(comparison.adjudications.values_list("pk", "current")) == [(second.pk, True), (first.pk, False)]
    assert Event.objects.filter(verb="comparison.adjudicated").first().data["replaced"] == first.pk  # type: ignore[union-attr]


def test_a_decision_that_did_not_see_the_current_one_is_refused(comparison: Comparison) -> None:
    first = decide(comparison)
    for replacing in (None, first.pk + 1):
        with pytest.raises(Conflict) as refused:
            decide(comparison, 1, by=one("curator"), replacing=replacing)
        assert refused.value.code == "decided_meanwhile"
    assert Adjudication.objects.get() == first


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"preference": None}, "choice"),  # nothing said
        ({"preference": 3}, "choice"),  # stronger than the form goes
        ({"preference": 0}, "choice"),  # no tie in this form
        ({"preference": None, "both_bad": True}, "both_bad"),  # nor both bad
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 2_001}, "reason"),
        ({"reason": "\x00"}, "reason"),
    ],
)
def test_a_decision_that_the_form_does_not_know_is_refused_by_its_field(given: dict[str, Any], field: str) -> None:
    comparison = make_disputed(levels=2, allow_tie=False, allow_both_bad=False)
    with pytest.raises(Invalid) as refused:
        decide(comparison, **({"preference": 1} | given))
    assert refused.value.params["field"] == field
    assert (Comparison.objects.get().status, Adjudication.objects.count(), verbs()) == ("disputed", 0, [])


def test_both_bad_decides_without_a_side(comparison: Comparison) -> None:
    assert decide(comparison, None, both_bad=True).preference is None
    assert Comparison.objects.get().status == "settled"


VERBS: dict[str, Callable[[Comparison, Judgement, User], object]] = {
    "adjudicate": lambda c, j, by: decide(c, by=by),
    "reopen": lambda c, j, by: reviewing.reopen(c, by=by),
    "accept": lambda c, j, by: reviewing.accept(j, by=by),
    "correct": lambda c, j, by: reviewing.correct(j, 1, False, "no", by=by),
    "return": lambda c, j, by: reviewing.return_judgement(j, "no", by=by),
    "withdraw": lambda c, j, by: reviewing.withdraw(c, "spam", by=by),
    "restore": lambda c, j, by: reviewing.restore(c, by=by),
}


@pytest.mark.parametrize("verb", VERBS)
def test_only_who_adjudicates_decides_and_to_others_nothing_is_there(comparison: Comparison, verb: str) -> None:
    judgement = said_by(comparison, one("annotator"))
    refused: tuple[tuple[User, type[DomainError]], ...] = (
        (one("annotator"), NotAllowed),
        (one("viewer"), NotAllowed),
        (build.make_user("outsider"), NotFound),
        (build.make_member(build.make_project("elsewhere"), Role.OWNER), NotFound),
    )
    for by, error in refused:
        with pytest.raises(error):
            VERBS[verb](comparison, judgement, by)
    assert (verbs(), Review.objects.count(), Adjudication.objects.count()) == ([], 0, 0)


@pytest.mark.parametrize("verb", ["withdraw", "restore"])
def test_only_a_curator_takes_a_comparison_out(comparison: Comparison, verb: str) -> None:
    with pytest.raises(NotAllowed):
        VERBS[verb](comparison, comparison.judgements.all()[0], one("adjudicator"))


def test_nobody_decides_what_they_judged_but_a_curator_whose_decision_is_marked(comparison: Comparison) -> None:
    said_by(comparison, one("adjudicator"))
    said_by(comparison, one("curator"))
    with pytest.raises(NotAllowed) as refused:
        decide(comparison)
    assert refused.value.code == "own_judgement"
    decide(comparison, by=one("curator"))
    assert Event.objects.get(verb="comparison.adjudicated").data["own"] is True


def test_reopening_undoes_a_decision_and_keeps_it(comparison: Comparison) -> None:
    decision = decide(comparison)
    assert reviewing.reopen(comparison, by=one("curator")).status == "disputed"
    decision.refresh_from_db()
    assert not decision.current
    assert verbs() == ["comparison.adjudicated", "comparison.reopened"]
    with pytest.raises(Conflict):
        reviewing.reopen(comparison, by=one("curator"))
    assert decide(comparison, by=one("adjudicator")).pk != decision.pk


def test_a_comparison_that_lacks_people_waits_for_them_when_its_decision_is_undone(comparison: Comparison) -> None:
    Comparison.objects.filter(pk=comparison.pk).update(overlap=3, status="open")
    decide(comparison)
    assert reviewing.reopen(comparison, by=one("adjudicator")).status == "open"


# Reviews


def test_a_judgement_is_accepted(comparison: Comparison) -> None:
    judgement = comparison.judgements.all()[0]
    review = reviewing.accept(judgement, by=one("adjudicator"))
    assert (review.verdict, review.reason, review.by) == ("accepted", "", one("adjudicator"))
    assert reviewing.accept(judgement, by=one("adjudicator")) == review
    assert verbs() == ["judgement.reviewed"]
    assert Comparison.objects.get().status == "disputed"


def test_a_judgement_is_corrected_by_a_decision_and_stays(comparison: Comparison) -> None:
    judgement = comparison.judgements.get(preference=1)
    decision = reviewing.correct(judgement, -1, False, "B is cut off.", by=one("adjudicator"))
    judgement.refresh_from_db()
    assert (judgement.current, judgement.preference) == (True, 1)
    assert (judgement.review.verdict, judgement.review.reason) == ("corrected", "B is cut off.")
    assert (decision.preference, Comparison.objects.get().status) == (-1, "settled")


def test_a_returned_judgement_is_in_its_annotators_inbox_with_the_reason(comparison: Comparison) -> None:
    judgement = said_by(comparison, one("annotator"))
    review = reviewing.return_judgement(judgement, "Look at the date.", by=one("adjudicator"))
    assert (review.verdict, review.answered_at) == ("returned", None)
    assert commenting.unseen(one("annotator")) == 1
    mention = commenting.mentions_of(one("annotator")).get()
    assert (mention.comment.text, mention.comment.judgement) == ("Look at the date.", judgement)
    reviewing.return_judgement(judgement, "Look at the date.", by=one("adjudicator"))  # once more: nothing new
    assert (commenting.unseen(one("annotator")), verbs()) == (1, ["judgement.reviewed"])


def test_a_judgement_is_returned_only_to_somebody_who_can_answer(comparison: Comparison) -> None:
    imported = comparison.judgements.all()[0]
    left = said_by(comparison, one("annotator"))
    Membership.objects.filter(user=one("annotator")).delete()
    judge = build.make_judge(comparison.project)
    call = build.make_call(judge, comparison, 1)
    for judgement in (imported, left, call.judgement):
        assert judgement is not None
        with pytest.raises(Invalid):
            reviewing.return_judgement(judgement, "Again.", by=one("curator"))
    assert not Review.objects.exists()


def test_who_is_overruled_or_asked_again_is_told_why(comparison: Comparison) -> None:
    judgement = said_by(comparison, one("annotator"))
    for verb in (
        lambda: reviewing.return_judgement(judgement, " ", by=one("curator")),
        lambda: reviewing.correct(judgement, 1, False, "", by=one("curator")),
    ):
        with pytest.raises(Invalid) as refused:
            verb()
        assert refused.value.params["field"] == "reason"
    assert (verbs(), Comment.objects.count()) == ([], 0)


def test_nobody_reviews_a_judgement_of_their_own(comparison: Comparison) -> None:
    mine = said_by(comparison, one("curator"))
    for verb in ("accept", "correct", "return"):
        with pytest.raises(NotAllowed):
            VERBS[verb](comparison, mine, one("curator"))
    assert (Review.objects.count(), Adjudication.objects.count()) == (0, 0)


def test_a_revised_judgement_is_not_reviewed_any_more(comparison: Comparison) -> None:
    judgement = comparison.judgements.all()[0]
    Judgement.objects.filter(pk=judgement.pk).update(current=False)
    with pytest.raises(Conflict, match="revised"):
        reviewing.accept(judgement, by=one("curator"))


def test_a_judgement_of_another_comparison_is_not_corrected_with_this_one(comparison: Comparison) -> None:
    other = build.make_judgements(build.make_comparison(comparison.project), "A")
    with pytest.raises(NotFound):
        decide(comparison, corrects=other)
    assert (Comparison.objects.get(pk=comparison.pk).status, Adjudication.objects.count()) == ("disputed", 0)


def test_a_later_verdict_takes_the_place_of_the_last_which_the_log_keeps(comparison: Comparison) -> None:
    judgement = said_by(comparison, one("annotator"))
    reviewing.return_judgement(judgement, "Why?", by=one("adjudicator"))
    review = reviewing.accept(judgement, "Seen.", by=one("curator"))
    assert (Review.objects.get(), review.verdict) == (review, "accepted")
    assert Event.objects.first().data == {"before": "returned", "after": "accepted", "reason": "Seen."}  # type: ignore[union-attr]


def test_an_annotator_explains_a_returned_judgement_once_and_its_reviewer_is_told(comparison: Comparison) -> None:
    review = reviewing.return_judgement(said_by(comparison, one("annotator")), "Why A?", by=one("adjudicator"))
    for stranger in (one("curator"), build.make_member(comparison.project)):
        with pytest.raises(NotFound):
            reviewing.explain(review, "Because.", by=stranger)
    with pytest.raises(Invalid):
        reviewing.explain(review, "", by=one("annotator"))
    assert reviewing.explain(review, "B is wrong on the date.", by=one("annotator")).answered_at is not None
    assert commenting.unseen(one("adjudicator")) == 1
    with pytest.raises(Conflict):
        reviewing.explain(review, "Really.", by=one("annotator"))
    assert verbs() == ["judgement.reviewed", "judgement.explained"]


# Taking out


def test_a_comparison_is_taken_out_with_a_reason_and_brought_back_as_it_stood(comparison: Comparison) -> None:
    decide(comparison)
    with pytest.raises(Invalid):
        reviewing.withdraw(comparison, "", by=one("curator"))
    assert reviewing.withdraw(comparison, "holds a phone number", by=one("curator")).status == "withdrawn"
    assert reviewing.restore(comparison, by=one("owner")).status == "settled"
    with pytest.raises(Conflict):
        reviewing.restore(comparison, by=one("owner"))
    assert verbs() == ["comparison.adjudicated", "comparison.withdrawn", "comparison.restored"]


# Races and the database


@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_at_once_one_wins_and_the_other_is_told() -> None:
    comparison = make_disputed()
    barrier, told = threading.Barrier(2), list[object]()

    def run(role: str, preference: int) -> None:
        mine, by = Comparison.objects.get(pk=comparison.pk), one(role)
        barrier.wait()
        try:
            told.append(decide(mine, preference, by=by).preference)
        except Conflict as error:
            told.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in (("adjudicator", -1), ("curator", 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 2
    assert "decided_meanwhile" in told
    assert Adjudication.objects.get().preference in told
    assert verbs() == ["comparison.adjudicated"]


def test_the_database_holds_one_current_decision(comparison: Comparison) -> None:
    decide(comparison)
    with pytest.raises(IntegrityError), transaction.atomic():
        Adjudication.objects.create(comparison=comparison, preference=1, reason="also", by=one("curator"))


def test_a_return_is_read_once_it_is_answered_by_a_revision(comparison: Comparison) -> None:
    form = comparison.project.forms.get()
    judgement = said_by(comparison, one("annotator"))
    Judgement.objects.filter(pk=judgement.pk).update(form=form)
    judgement.refresh_from_db()
    reviewing.return_judgement(judgement, "Look again.", by=one("adjudicator"))
    now = timezone.now() + timedelta(days=30)  # long after the form's time
    revised = judging.revise(judgement, Answer(choice=1), by=one("annotator"), now=now)
    assert (revised.revision, revised.preference) == (2, 1)
    assert Review.objects.get().answered_at == now
    assert commenting.unseen(one("annotator")) == 0

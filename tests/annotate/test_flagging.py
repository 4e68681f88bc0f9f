"""Flags: raised by whoever has a comparison before them, resolved by whoever adjudicates."""

from __future__ import annotations

import pytest

from annotate.models import Comparison, Flag, Rater
from annotate.services import flagging
from tests import build
from tiebreak.accounts.models import User
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Conflict, Invalid, NotAllowed, NotFound
from tiebreak.core.models import Event

pytestmark = pytest.mark.django_db


@pytest.fixture
def rater() -> Rater:
    project = build.make_project("flags")
    for role in Role.values:
        build.make_member(project, role, name=f"the-{role}")
    rater = build.make_rater(project, "the-annotator", user=one("annotator"))
    build.make_judgement(build.make_comparison(project, "c1"), rater, -1)
    return rater


@pytest.fixture
def comparison(rater: Rater) -> Comparison:
    return Comparison.objects.get(external_id="c1")


def one(role: str) -> User:
    return User.objects.get(username=f"the-{role}")


def test_a_flag_is_open_until_it_is_resolved(rater: Rater, comparison: Comparison) -> None:
    flag = flagging.flag(comparison, rater, "personal_data", " a phone number ", by=one("annotator"))
    assert (flag.kind, flag.note, flag.resolved_at) == ("personal_data", "a phone number", None)
    resolved = flagging.resolve(flag, "Taken out.", by=one("adjudicator"))
    assert (resolved.resolved_by, resolved.resolution) == (one("adjudicator"), "Taken out.")
    assert list(Event.objects.order_by("id").values_list("verb", flat=True)) == ["flag.raised", "flag.resolved"]


def test_the_same_flag_again_is_one_flag_with_both_notes(rater: Rater, comparison: Comparison) -> None:
    first = flagging.flag(comparison, rater, "broken", "cut off", by=one("annotator"))
    for note in ("", "cut off", "and empty"):
        assert flagging.flag(comparison, rater, "broken", note, by=one("annotator")) == first
    assert flagging.flag(comparison, rater, "unsafe", "", by=one("annotator")) != first
    first.refresh_from_db()
    assert (first.note, Flag.objects.count()) == ("cut off\nand empty", 2)


def test_a_resolved_flag_can_be_raised_again(rater: Rater, comparison: Comparison) -> None:
    flagging.resolve(flagging.flag(comparison, rater, "broken", "", by=one("annotator")), "No.", by=one("owner"))
    assert flagging.flag(comparison, rater, "broken", "still", by=one("annotator")).resolved_at is None
    assert Flag.objects.count() == 2


def test_nobody_flags_in_the_name_of_another(rater: Rater, comparison: Comparison) -> None:
    with pytest.raises(NotFound):
        flagging.flag(comparison, rater, "broken", "", by=one("curator"))


def test_nobody_flags_what_they_were_not_given(rater: Rater) -> None:
    other = build.make_comparison(rater.project, "c2")
    elsewhere = build.make_comparison(build.make_project("elsewhere"), "c1")
    for comparison in (other, elsewhere):
        with pytest.raises(NotFound):
            flagging.flag(comparison, rater, "broken", "", by=one("annotator"))
    assert not Flag.objects.exists()


@pytest.mark.parametrize(
    ("kind", "note", "field"), [("ugly", "", "kind"), ("broken", "x" * 2_001, "note"), ("broken", "\x00", "note")]
)
def test_a_flag_that_cannot_be_read_is_refused_by_its_field(
    rater: Rater, comparison: Comparison, kind: str, note: str, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        flagging.flag(comparison, rater, kind, note, by=one("annotator"))
    assert refused.value.params["field"] == field


def test_a_flag_is_resolved_once_with_words_by_who_may(rater: Rater, comparison: Comparison) -> None:
    flag = flagging.flag(comparison, rater, "broken", "", by=one("annotator"))
    for role in ("annotator", "viewer"):
        with pytest.raises(NotAllowed):
            flagging.resolve(flag, "Fine.", by=one(role))
    for words in ("", "  ", "x" * 301):
        with pytest.raises(Invalid):
            flagging.resolve(flag, words, by=one("curator"))
    flagging.resolve(flag, "Fine.", by=one("curator"))
    with pytest.raises(Conflict) as refused:
        flagging.resolve(flag, "Not fine.", by=one("owner"))
    assert refused.value.code == "already_resolved"
    assert Flag.objects.get().resolution == "Fine."
    assert Event.objects.filter(verb="flag.resolved").count() == 1

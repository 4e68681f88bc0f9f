"""Comments, mentions and messages: who may speak of what, and who is told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from annotate.models import Assignment, Comment, Comparison, Mention, Rater
from annotate.services import commenting
from tests import build
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Invalid, NotAllowed, NotFound
from tiebreak.core.models import Event

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    project = build.make_project("talk")
    for role in Role.values:
        build.make_member(project, role, name=f"the-{role}")
    return project


@pytest.fixture
def comparison(project: Project) -> Comparison:
    return build.make_comparison(project, "c1")


def one(role: str) -> User:
    return User.objects.get(username=f"the-{role}")


def give(comparison: Comparison, user: User, status: str = "leased") -> Rater:
    """An assignment of the comparison to the user's rater."""
    rater, _ = Rater.objects.get_or_create(
        project=comparison.project, user=user, defaults={"kind": "annotator", "name": user.username}
    )
    held = status in Assignment.HELD
    expires_at = timezone.now() + timedelta(hours=1) if held else None
    Assignment.objects.create(comparison=comparison, rater=rater, order="ab", status=status, expires_at=expires_at)
    return rater


def told(comment: Comment) -> set[str]:
    return set(comment.mentions.values_list("user__username", flat=True))


def test_a_comment_reaches_the_members_whom_it_names_and_nobody_else(comparison: Comparison) -> None:
    build.make_user("stranger")
    text = "@the-curator, see @the-annotator. And @stranger, @nobody, mail@the-viewer, @the-owner"
    made = commenting.comment(comparison, text, by=one("adjudicator"))
    assert told(made) == {"the-curator", "the-annotator", "the-owner"}
    assert made.text == text
    event = Event.objects.get(verb="comment.made")
    assert (event.actor, event.data["comparison"]) == (one("adjudicator"), comparison.pk)


def test_a_name_that_ends_in_punctuation_is_read_as_written_first(project: Project, comparison: Comparison) -> None:
    build.make_member(project, Role.VIEWER, name="anna")
    build.make_member(project, Role.VIEWER, name="anna.")
    assert told(commenting.comment(comparison, "@anna. knows", by=one("owner"))) == {"anna."}
    assert told(commenting.comment(comparison, "ask @anna...", by=one("owner"))) == {"anna"}


def test_naming_oneself_tells_nobody(comparison: Comparison) -> None:
    assert told(commenting.comment(comparison, "I, @the-owner, was here", by=one("owner"))) == set()


def test_what_an_annotator_says_without_a_name_goes_to_the_curators(comparison: Comparison) -> None:
    give(comparison, one("annotator"))
    assert told(commenting.comment(comparison, "The prompt is cut off.", by=one("annotator"))) == {
        "the-owner",
        "the-curator",
    }


def test_an_annotator_names_no_other_annotator(project: Project, comparison: Comparison) -> None:
    build.make_member(project, Role.ANNOTATOR, name="colleague")
    give(comparison, one("annotator"))
    made = commenting.comment(comparison, "@colleague say A! @the-adjudicator", by=one("annotator"))
    assert told(made) == {"the-adjudicator"}


@pytest.mark.parametrize("status", ["leased", "submitted", "skipped", "expired", "released"])
def test_an_annotator_speaks_of_what_they_were_given(comparison: Comparison, status: str) -> None:
    give(comparison, one("annotator"), status)
    assert commenting.comment(comparison, "hm", by=one("annotator")).author == one("annotator")


def test_to_an_annotator_a_comparison_they_were_not_given_does_not_exist(comparison: Comparison) -> None:
    give(comparison, one("adjudicator"))
    for somebody in (one("annotator"), build.make_user("outsider")):
        with pytest.raises(NotFound, match="no such comparison"):
            commenting.comment(comparison, "hm", by=somebody)
    assert not Comment.objects.exists()
    assert not Event.objects.filter(verb="comment.made").exists()


def test_a_viewer_says_nothing(comparison: Comparison) -> None:
    with pytest.raises(NotAllowed):
        commenting.comment(comparison, "hm", by=one("viewer"))


def test_a_comment_belongs_to_a_judgement_of_its_comparison(project: Project, comparison: Comparison) -> None:
    other = build.make_judgements(build.make_comparison(project), "A")[0]
    mine = build.make_judgements(comparison, "B")[0]
    assert commenting.comment(comparison, "why?", by=one("adjudicator"), judgement=mine).judgement == mine
    with pytest.raises(NotFound):
        commenting.comment(comparison, "why?", by=one("adjudicator"), judgement=other)


def test_an_annotator_comments_on_no_judgement_of_another(comparison: Comparison) -> None:
    theirs = build.make_judgements(comparison, "B")[0]
    rater = give(comparison, one("annotator"), "skipped")
    mine = build.make_judgement(comparison, rater, 1)
    assert commenting.comment(comparison, "I was unsure", by=one("annotator"), judgement=mine)
    with pytest.raises(NotFound):
        commenting.comment(comparison, "he is wrong", by=one("annotator"), judgement=theirs)


@pytest.mark.parametrize("text", ["", "  \n", "x" * 5_001, "a\x00b", "\ud800"])
def test_a_comment_that_cannot_be_stored_is_refused_by_its_field(comparison: Comparison, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        commenting.comment(comparison, text, by=one("owner"))
    assert refused.value.params["field"] == "text"


def test_a_message_goes_to_the_person_behind_a_rater(project: Project, comparison: Comparison) -> None:
    rater = give(comparison, one("annotator"))
    made = commenting.message(rater, "Please read the guidelines.", by=one("curator"))
    assert (made.rater, told(made)) == (rater, {"the-annotator"})
    assert commenting.unseen(one("annotator")) == 1


def test_only_a_curator_writes_to_a_rater_and_only_to_one_with_an_account(
    project: Project, comparison: Comparison
) -> None:
    rater = give(comparison, one("annotator"))
    for role in ("adjudicator", "annotator", "viewer"):
        with pytest.raises(NotAllowed):
            commenting.message(rater, "hm", by=one(role))
    judge = build.make_judge(project).rater
    for nobody in (judge, build.make_rater(project, "imported")):
        with pytest.raises(Invalid):
            commenting.message(nobody, "hm", by=one("curator"))
    project.members.filter(user=one("annotator")).delete()
    with pytest.raises(Invalid):
        commenting.message(rater, "come back", by=one("curator"))
    assert not Comment.objects.exists()


def test_a_mention_is_unseen_until_its_reader_has_seen_it(comparison: Comparison) -> None:
    made = [commenting.comment(comparison, f"@the-curator @the-viewer {n}", by=one("owner")) for n in range(3)]
    assert commenting.mark_seen(one("curator"), [made[0].pk, made[1].pk]) == 2
    assert commenting.mark_seen(one("curator"), [made[0].pk]) == 0
    assert (commenting.unseen(one("curator")), commenting.unseen(one("viewer"))) == (1, 3)


def test_who_has_left_has_nothing_unseen(project: Project, comparison: Comparison) -> None:
    commenting.comment(comparison, "@the-viewer", by=one("owner"))
    project.members.filter(user=one("viewer")).delete()
    assert commenting.unseen(one("viewer")) == 0
    assert not commenting.mentions_of(one("viewer")).exists()
    assert Mention.objects.count() == 1
